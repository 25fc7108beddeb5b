"""A record: through JSON without loss, and honest about the revision of the code."""

from __future__ import annotations

import dataclasses
import json
import math
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ltr.errors import TrackingError
from ltr.tracking import Record, revision

SHORT = {"experiment": "shop", "ranker": "lightgbm", "started": "2026-11-21T10:15:00+00:00"}


def test_a_record_comes_back_from_json(record: Record) -> None:
    back = Record.from_json(record.to_json())
    without = [dataclasses.replace(each, measures={}, curve=[]) for each in (record, back)]
    assert without[0] == without[1]
    assert math.isnan(back.measures["lightgbm"]["P(rel=2)@10"]["mean"])
    assert back.measures["lightgbm"]["nDCG@10"] == record.measures["lightgbm"]["nDCG@10"]
    assert str(back.curve) == str(record.curve)


def test_a_number_that_is_not_finite_is_null_in_json(record: Record) -> None:
    table = json.loads(record.to_json(), parse_constant=pytest.fail)
    assert table["measures"]["lightgbm"]["P(rel=2)@10"] == {"mean": None, "low": None, "high": None, "n": 3}


names = st.text(max_size=8)


@given(
    parameters=st.dictionaries(names, st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | names),
    importance=st.dictionaries(names, st.floats(allow_nan=False, allow_infinity=False)),
    question=names,
)
def test_any_plain_values_survive(parameters: dict[str, object], importance: dict[str, float], question: str) -> None:
    finite = {key: value for key, value in parameters.items() if value not in (math.inf, -math.inf)}
    record = Record(**SHORT, parameters=finite, importance=importance, question=question)
    assert Record.from_json(record.to_json()) == record


def test_a_later_key_is_passed_over() -> None:
    record = Record(**SHORT)
    assert Record.from_json(json.dumps(json.loads(record.to_json()) | {"later": 1})) == record


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "results/record.json is no record of a run"),
        ("[]", "is no record of a run"),
        ("{}", "is no record of a run: 'format'; ltr train writes records"),
        ('{"format": 1}', "is no record of a run.*experiment"),
        ('{"format": 2}', "has format 2, newer than 1; update ltr"),
        (json.dumps({"format": 1, **SHORT, "measures": [1]}), "is no record of a run|no measures of"),
    ],
)
def test_text_that_is_no_record_is_refused(text: str, message: str) -> None:
    with pytest.raises(TrackingError, match=message):
        Record.from_json(text, where="results/record.json")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"started": "yesterday"}, "started = 'yesterday' is not a time; ISO 8601"),
        ({"started": "2026-11-21T10:15:00"}, "has no offset; such as 2026"),
        ({"measures": {"retrieval": {}}}, r"no measures of 'lightgbm'; the record has \['retrieval'\]"),
    ],
)
def test_a_record_that_could_not_be_logged_is_refused(change: dict[str, object], message: str) -> None:
    with pytest.raises(TrackingError, match=message):
        Record(**(SHORT | change))


def test_the_fitted_row_is_first_and_judged_by_its_first_measure(record: Record) -> None:
    assert [row for row, _ in record.fitted_first()] == ["lightgbm", "retrieval", "cosine"]
    assert record.judged_by == "nDCG@10"
    assert record.comparison("cosine") == record.comparisons[0]
    assert record.comparison("retrieval") is None
    assert (record.label("retrieval"), record.label("cosine")) == ("retrieval order", "cosine")


@pytest.fixture
def git(tmp_path: Path) -> Callable[..., None]:
    def run(*arguments: str) -> None:
        who = ["-c", "user.name=t", "-c", "user.email=t@example.org", "-c", "commit.gpgsign=false"]
        subprocess.run(["git", "-C", str(tmp_path), *who, *arguments], check=True, capture_output=True)

    return run


def test_the_revision_says_whether_files_differ_from_it(tmp_path: Path, git: Callable[..., None]) -> None:
    assert revision(tmp_path) == "unknown"
    git("init")
    assert revision(tmp_path) == "unknown"
    (tmp_path / "file").write_text("one")
    git("add", "file")
    git("commit", "-m", "one")
    clean = revision(tmp_path)
    assert len(clean) == 40
    assert int(clean, 16) >= 0
    (tmp_path / "file").write_text("two")
    assert revision(tmp_path) == f"{clean}+dirty"


def test_the_revision_is_unknown_without_git(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert revision(tmp_path) == "unknown"
