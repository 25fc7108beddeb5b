"""What a person reads of a run: the description, the table and the pictures."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest

from ltr.errors import TrackingError
from ltr.tracking import Record, plots, report

PNG = b"\x89PNG"


def test_the_outcome_comes_first(record: Record) -> None:
    first = report.description(record).splitlines()[0]
    assert first == "**LightGBM lambdarank: nDCG@10 0.7500** (0.7000–0.8000), +0.1500 to retrieval order, p < .0001"


def test_the_table_has_a_row_a_ranker_and_says_what_is_not_proven(record: Record) -> None:
    lines = [line.replace("&emsp;", "") for line in report.description(record).splitlines()]
    table = [line for line in lines if line.startswith("| ")]
    assert table[0] == "|  | nDCG@10 | 95&nbsp;%&nbsp;interval | RR | P(rel=2)@10 | difference | p&nbsp;(Holm) |"
    assert table[2:] == [
        "| LightGBM lambdarank | 0.7500 | 0.7000–0.8000 | 0.7000 | – | +0.1500 | < .0001 |",
        "| retrieval order | 0.6000 | 0.5500–0.6500 | 0.5000 | – |  |  |",
        "| cosine | 0.6200 | 0.5700–0.6700 | 0.5500 | 0.2000 | +0.0200 | 0.3000, not proven |",
    ]


@pytest.mark.parametrize(
    "line",
    [
        "*Does it beat the shop's own order?*",
        "- queries: 840 fit, 120 dev, 240 test",
        "- kept out of fitting: 3 one document",
        "- gains: exponential; queries without a relevant product: skip",
        "- data: shop `0123456789ab`",
        "- features: product_search `fedcba987654`, 25 features",
        "- rounds: 4",
        "- seconds: fit and evaluate 12.5, save 0.5",
        f"- code: `{'a' * 40}+dirty`",
    ],
)
def test_the_description_tells_what_the_run_stands_on(record: Record, line: str) -> None:
    assert line in report.description(record).splitlines()


def test_a_short_record_has_a_short_description() -> None:
    record = Record(experiment="shop", ranker="lightgbm", started="2026-11-21T10:15:00+00:00")
    assert report.description(record) == "- code: `unknown`"


def test_a_pipe_in_a_label_does_not_break_the_table(record: Record) -> None:
    text = report.description(replace(record, labels={"cosine": "a|b"}))
    assert "| a\\|b |" in text


def test_the_csv_has_a_row_for_each_ranker_and_measure(record: Record) -> None:
    rows = list(csv.DictReader(report.table_csv(record).splitlines()))
    assert [(row["ranker"], row["measure"]) for row in rows[:4]] == [
        ("lightgbm", "nDCG@10"),
        ("lightgbm", "RR"),
        ("lightgbm", "P(rel=2)@10"),
        ("retrieval", "nDCG@10"),
    ]
    assert (rows[0]["mean"], rows[0]["p_holm"], rows[0]["proven"]) == ("0.75", "2e-05", "True")
    assert (rows[2]["mean"], rows[2]["p_holm"]) == ("", "")


def test_every_picture_is_drawn(record: Record, per_query: str, tmp_path: Path) -> None:
    plots.draw(replace(record, per_query=per_query), tmp_path)
    drawn = {path.stem for path in tmp_path.glob("*.png") if path.read_bytes().startswith(PNG)}
    assert drawn == {"measures", "learning_curve", "feature_importance", "differences"}


def test_what_a_record_lacks_is_not_drawn(tmp_path: Path) -> None:
    plots.draw(Record(experiment="shop", ranker="lightgbm", started="2026-11-21T10:15:00+00:00"), tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_equal_records_are_drawn_alike(record: Record, tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        plots.draw(record, tmp_path / name)
    assert (tmp_path / "a" / "measures.png").read_bytes() == (tmp_path / "b" / "measures.png").read_bytes()


def test_a_table_by_query_without_the_measure_is_refused(record: Record, tmp_path: Path) -> None:
    path = tmp_path / "per_query.parquet"
    pl.DataFrame({"query_id": ["q"], "ranker": ["lightgbm"]}).write_parquet(path)
    with pytest.raises(TrackingError, match=r"no table of measures by query.*; it has query_id, ranker and nDCG@10"):
        plots.draw(replace(record, per_query=str(path)), tmp_path)
