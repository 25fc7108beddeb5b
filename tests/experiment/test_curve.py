"""The learning curve of a small shop: nested sets, other queries measured, the test side unread."""

import json
from dataclasses import replace

import pytest

from ltr.config import read_experiment
from ltr.errors import JudgmentError
from ltr.experiment.assemble import assemble
from ltr.experiment.curve import _fewer, _folds, learn
from ltr.experiment.preflight import parts_of
from ltr.experiment.split import Parts

PARTS = Parts(tuple(f"f{i}" for i in range(80)), tuple(f"d{i}" for i in range(20)), ("t",))


@pytest.fixture(scope="module")
def curve(small):
    home, _ = small
    config = read_experiment(home / "experiment.toml", overrides=["ranker.rounds=10", "split.dev=0.2"])
    return learn(config, base=home, cache=home / "cache", target=0.99)


def test_each_size_is_half_of_the_next_and_tested_on_the_same_queries(curve):
    assert all(larger // 2 == smaller for smaller, larger in zip(curve.queries, curve.queries[1:], strict=False))
    assert len(curve.queries) >= 3
    assert len({each.n for each in (*curve.ranker, *curve.best_feature)}) == 1
    # 80 queries, a fifth of them test; each of the others is measured once.
    assert curve.ranker[0].n <= 64
    assert curve.judgments[0] < curve.judgments[-1]


def test_the_test_side_is_not_read(small, curve):
    home, _ = small
    ledger = (home / "results" / "test_reads.json").read_text()
    learn(read_experiment(home / "experiment.toml", overrides=["ranker.rounds=2"]), base=home, cache=home / "cache")
    assert (home / "results" / "test_reads.json").read_text() == ledger


def test_queries_that_the_encoder_was_tuned_on_are_in_no_fold(small):
    home, _ = small
    config = read_experiment(home / "experiment.toml")
    assembled = assemble(config, base=home, cache=home / "cache")
    (parts,) = parts_of(config, assembled.dataset, group=None)
    known = frozenset(parts.fit[:5])
    every = {
        query for part in _folds(replace(assembled, tuned_on=known)) for query in (*part.fit, *part.dev, *part.test)
    }
    assert every == {*parts.fit, *parts.dev} - known


def test_what_more_queries_bring_is_said_with_intervals(curve):
    told = json.loads(json.dumps(curve.to_json()))
    assert [each["queries"] for each in told["expected"]] == [2 * curve.queries[-1], 4 * curve.queries[-1]]
    assert all(each["gain"]["low"] <= each["gain"]["high"] for each in told["expected"])
    assert told["asymptote"] <= 1
    assert told["needed"] is None or told["needed"] > curve.queries[-1]


def test_smaller_sets_lie_within_larger_ones_in_the_same_proportion():
    quarter, half = (_fewer(PARTS, size, seed=7) for size in (25, 50))
    assert (len(quarter.fit), len(quarter.dev)) == (20, 5)
    assert set(quarter.fit) < set(half.fit)
    assert set(quarter.dev) < set(half.dev)
    assert quarter.test == PARTS.test
    assert _fewer(PARTS, 100, seed=7).fit == tuple(sorted(PARTS.fit))


def test_too_few_queries_are_refused(small):
    home, _ = small
    config = read_experiment(home / "experiment.toml", overrides=["data.queries=20", "split.test=0.4", "split.dev=0.3"])
    with pytest.raises(JudgmentError, match="make no learning curve"):
        learn(config, base=home, cache=home / "cache")
