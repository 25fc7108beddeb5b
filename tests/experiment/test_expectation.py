"""expected.toml: a figure within its tolerance is ok, any other is named."""

import pytest

from ltr.errors import ConfigError
from ltr.evaluation import Estimate
from ltr.experiment import expectation
from ltr.experiment.result import Result, Rows


def rows(value):
    return Rows(
        {"lightgbm": "LightGBM"}, {"lightgbm": {"nDCG@10": Estimate(value, value - 0.1, value + 0.1, 50)}}, (), {}
    )


def result(value, *, recovered=None, **also):
    return Result(
        experiment="demo", bundle="", run_id=None, tracking_uri="", table=rows(value), also={k: rows(v) for k, v in also.items()},
        recovered=recovered or {},
        scale="binary", gains="linear", empty="skip", rel=1, rounds=5, fitted={}, verdict="", warnings=(), notes=(), dropped={}, test_reads=1, seconds={},
    )  # fmt: skip


def test_what_is_accepted_is_ok_at_once_and_within_the_tolerance(tmp_path):
    path = tmp_path / "expected.toml"
    expectation.accept(path, result(0.81234, genre=0.7), name="demo")
    expected = expectation.read(path)
    assert [check.name for check in expectation.check(expected, result(0.81234, genre=0.7))] == [
        "test.lightgbm.nDCG@10",
        "also.genre.lightgbm.nDCG@10",
    ]
    assert all(check.ok for check in expectation.check(expected, result(0.81234 + 0.0019, genre=0.7 - 0.0019)))
    assert not any(check.ok for check in expectation.check(expected, result(0.81234 + 0.0021, genre=0.7 - 0.0021)))


def test_a_row_that_is_gone_is_not_ok(tmp_path):
    path = tmp_path / "expected.toml"
    expectation.accept(path, result(0.8, genre=0.7), name="demo")
    gone = expectation.check(expectation.read(path), result(0.8))[-1]
    assert gone.found is None
    assert not gone.ok


def test_accepting_again_keeps_tolerance_and_minimum(tmp_path):
    path = tmp_path / "expected.toml"
    path.write_text('[test.lightgbm."nDCG@10"]\nvalue = 0.5\ntolerance = 0.01\nminimum = 0.4\n')
    expectation.accept(path, result(0.8), name="demo")
    figure = expectation.read(path).test["lightgbm"]["nDCG@10"]
    assert (figure.value, figure.tolerance, figure.minimum) == (0.8, 0.01, 0.4)


def test_the_share_won_back_is_a_figure_of_its_row(tmp_path):
    def shares(share):
        return {"methods": {"lightgbm": {"share": share}}}

    path = tmp_path / "expected.toml"
    expectation.accept(path, result(0.8, recovered=shares(0.87)), name="demo")
    expected = expectation.read(path)
    assert expected.test["lightgbm"]["recovered"].value == 0.87
    near, far, gone = (
        expectation.check(expected, result(0.8, recovered=share))[-1] for share in (shares(0.84), shares(0.7), None)
    )
    assert near.name == "test.lightgbm.recovered"
    assert (near.ok, far.ok, gone.ok, gone.found) == (True, False, False, None)


def test_no_gap_is_no_figure(tmp_path):
    path = tmp_path / "expected.toml"
    told = {"methods": {"lightgbm": {"share": float("nan")}}}
    expectation.accept(path, result(0.8, recovered=told), name="demo")
    assert "recovered" not in expectation.read(path).test["lightgbm"]


def test_a_figure_that_is_none_is_named(tmp_path):
    path = tmp_path / "expected.toml"
    path.write_text('[test.lightgbm."nDCG@10"]\nvalue = "high"\n')
    with pytest.raises(ConfigError, match=r"expected.toml: test.lightgbm.nDCG@10.value"):
        expectation.read(path)
