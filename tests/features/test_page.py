import json
from pathlib import Path

import pytest

from ltr.features import catalogue_page, page
from ltr.features.kinds import KINDS

DIRECTORY = Path(__file__).parents[2] / "features"
HOW = {"machine": "M", "date": "2026-01-01", "command": "make bench BENCH=b", "note": "N"}


def row(text, kind):
    return next(line for line in text.splitlines() if line.startswith(f"| [`{kind}`]"))


def test_the_page_of_kinds_is_up_to_date():
    path = DIRECTORY / page.MEASURED
    measured = json.loads(path.read_text(encoding="utf-8")) if path.exists() else None
    text = (DIRECTORY / "README.md").read_text(encoding="utf-8")
    assert text == catalogue_page(measured), "run: python -m ltr.features.page"


@pytest.mark.parametrize("name", KINDS)
def test_every_kind_is_its_function_and_says_its_formula(name):
    kind = KINDS[name]
    assert kind.compute.__name__ == name
    first, formula = (kind.compute.__doc__ or "").split("\n\n")[:2]
    assert first.rstrip().endswith(".")
    assert "=" in formula or name == "similarity"
    assert all(info.description for info in kind.params.model_fields.values())


def test_nothing_measured_is_said_of_every_kind(tmp_path):
    text = catalogue_page()
    assert all(row(text, name).endswith("| not measured | not measured |") for name in KINDS)
    page.write(tmp_path)
    assert (tmp_path / "README.md").read_text(encoding="utf-8") == text


def test_cost_and_worth_come_from_measured_json(tmp_path):
    worth = {"value": 0.01234, "low": -0.00051, "high": 0.02, "queries": 9, "on": "msrd"}
    measured = {
        "cost": HOW
        | {"kinds": {"bm25": {"value": 0.1234, "unit": "pair"}, "number": {"value": 1250, "unit": "product"}}},
        "worth": HOW
        | {
            "kinds": {
                "bm25": worth,
                "length": worth | {"value": -0.002},
                "match": worth | {"on": "shop"},
                "number": None,
            }
        },
    }
    (tmp_path / page.MEASURED).write_text(json.dumps(measured), encoding="utf-8")
    page.write(tmp_path)
    text = (tmp_path / "README.md").read_text(encoding="utf-8")
    assert row(text, "bm25").endswith("| 0.12 a pair | +0.0123 (−0.0005 to 0.0200) |")
    assert row(text, "length").endswith("| not measured | −0.0020 (−0.0005 to 0.0200) |")
    assert row(text, "match").endswith("| not measured | +0.0123 (−0.0005 to 0.0200), shop |")
    assert row(text, "number").endswith("| 1,200 a product | – |")
    assert "\nCost: N. M, 2026-01-01, `make bench BENCH=b`.\n" in text
    assert "\nWorth: N. M, 2026-01-01, `make bench BENCH=b`.\n" in text
