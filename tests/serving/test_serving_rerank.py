"""Every candidate once for each time that it was sent, in the order of `ltr evaluate`, whatever fails on the way."""

import logging
import math
import time
from collections import Counter
from dataclasses import replace

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ltr import bundle as bundles
from ltr.features import compute
from ltr.frames import ranked
from ltr.serving import Candidate, Reason, Request, Stage, parse_request
from ltr.serving.answer import FAILED, Degraded
from ltr.serving.rerank import degraded, directly, rerank

REQUESTS = 2_000
IDS = [f"p{at}" for at in range(24)]


def ask(query, candidates, **keys):
    return parse_request({"query": query, "candidates": list(candidates), **keys})


def ids(answer):
    return [result.product_id for result in answer.results]


def check_law(request, answer):
    """The answer is a permutation of what was sent."""
    sent = [candidate.product_id for candidate in request.candidates]
    assert sorted(result.place for result in answer.results) == list(range(len(sent)))
    assert all(sent[result.place] == result.product_id for result in answer.results)
    assert [result.rank for result in answer.results] == list(range(1, len(sent) + 1))
    assert all(math.isfinite(result.score) for result in answer.results)
    ordered = [result.score for result in answer.results if not result.pinned and not result.excluded]
    assert ordered == sorted(ordered, reverse=True)
    groups = [result.excluded - result.pinned for result in answer.results]
    assert groups == sorted(groups)
    assert all(result.excluded == (result.product_id in request.excluded) for result in answer.results)
    assert answer.descending == sorted(set(answer.descending), reverse=True)


NAMES = st.sampled_from([*IDS[:6], "gone", "P1", "p1 ", "靴"])
CANDIDATES = st.builds(
    Candidate,
    NAMES,
    st.none() | st.floats(-1e6, 1e6),
    st.dictionaries(
        st.sampled_from(["title_match", "title_phrase", "other"]), st.floats(0, 2.0**99, width=32) | st.just(math.nan)
    ),
    st.just({}),
)
ASKED = st.builds(
    Request,
    st.sampled_from(["red shoe", "", "hat 7", "靴", "x" * 1_000]) | st.text(max_size=30),
    st.lists(CANDIDATES, max_size=14).map(tuple),
    pinned=st.lists(NAMES, max_size=3).map(tuple),
    excluded=st.lists(NAMES, max_size=3).map(tuple),
    features=st.booleans(),
    explain=st.booleans(),
)


@settings(max_examples=600)
@given(ASKED, st.sampled_from(["counted", "engine", "broken"]))
def test_the_answer_is_a_permutation_of_what_was_sent(counted, engine, asked, which):
    broken = replace(counted, score=lambda _matrix: 1 / 0)
    serving = {"counted": counted, "engine": engine, "broken": broken}[which]
    answer = rerank(serving, asked)
    check_law(asked, answer)
    assert Counter(ids(answer)) == Counter(candidate.product_id for candidate in asked.candidates)
    if which == "broken" and asked.candidates:
        assert answer.reason is Reason.SCORER_FAILED


def lists_of(serving, count, *, seed):
    """Lists of 1 to 40 products, some of which no catalogue has, for queries out of the catalogue's own words."""
    rng = np.random.default_rng(seed)
    products = serving.bundle.state.products
    words = [*" ".join(products["title"].fill_null("").to_list()).split(), "zzz", "靴", "under", "not"]
    known = products["product_id"].to_list()
    rows = []
    for number in range(count):
        query = " ".join(rng.choice(words, int(rng.integers(0, 6))))
        chosen = [known[at] for at in rng.permutation(len(known))[: int(rng.integers(1, 40))]]
        chosen += [f"unknown {at}" for at in range(int(rng.integers(0, 3)))]
        rows += [(f"q{number:05}", query, chosen[at]) for at in rng.permutation(len(chosen))]
    return pl.DataFrame(rows, schema=["query_id", "query", "product_id"], orient="row")


def offline(serving, lists):
    """The road of `ltr evaluate`: the library that fitted, frames, all lists at once."""
    bundle = bundles.load(serving.bundle.path)
    scored = bundle.retriever().score(lists).drop("rank", "score")
    candidates = lists.join(scored, on=["query_id", "product_id"], how="left", maintain_order="left")
    pairs = compute.pairs(
        candidates, bundle.feature_set, bundle.state, encoder=bundle.encoder, memory=bundle.memory
    )  # fmt: skip
    return bundles.rerank(bundle, candidates), pairs.select("query_id", *bundle.ranker.features)


@pytest.mark.parametrize("which", ["shop", "counted"])
def test_order_scores_and_features_are_those_of_evaluation_bit_for_bit(which, request):
    serving = request.getfixturevalue(which)
    lists = lists_of(serving, REQUESTS if which == "shop" else REQUESTS // 4, seed=5)
    run, pairs = offline(serving, lists)
    expected = {query_id: rows for (query_id,), rows in run.partition_by("query_id", as_dict=True).items()}
    features = {query_id: rows for (query_id,), rows in pairs.partition_by("query_id", as_dict=True).items()}
    for number, ((query_id,), rows) in enumerate(lists.partition_by("query_id", as_dict=True).items()):
        told = number % 10 == 0
        answer = rerank(serving, ask(rows["query"][0], rows["product_id"].to_list(), features=told))
        assert not answer.degraded
        assert ids(answer) == expected[query_id]["product_id"].to_list()
        assert [result.score for result in answer.results] == expected[query_id]["score"].to_list()
        if told:
            values = features[query_id].drop("query_id").fill_nan(None).rows()
            assert [tuple(answer.results[0].features)] == [serving.bundle.ranker.features]
            assert all(tuple(result.features.values()) == values[result.place] for result in answer.results)


@pytest.mark.parametrize("which", ["shop", "engine"])
def test_every_golden_list_is_answered_as_on_the_day_that_it_was_saved(which, request):
    serving = request.getfixturevalue(which)
    golden = serving.bundle.golden
    match = [name for name in golden.columns if name.startswith("match.")]
    assert match
    for rows in golden.partition_by("query_id", maintain_order=True):
        sent = [
            {"product_id": row["product_id"], "match": {name.removeprefix("match."): row[name] for name in match}}
            for row in rows.fill_nan(None).iter_rows(named=True)
        ]
        answer = rerank(serving, ask(rows["query"][0], sent, features=True))
        assert not answer.degraded
        scores = rows["score"].cast(pl.Float32).to_list()
        assert [result.score for result in answer.results] == sorted(scores, reverse=True)
        values = rows.select(serving.bundle.ranker.features).fill_nan(None).rows()
        for result in answer.results:
            assert result.score == scores[result.place]
            assert tuple(result.features.values()) == values[result.place]


def test_products_that_score_alike_keep_the_order_received(counted):
    strangers = [f"stranger {at}" for at in (3, 1, 2, 5, 4)]
    answer = rerank(counted, ask("red shoe", strangers))
    assert ids(answer) == strangers
    assert len({result.score for result in answer.results}) == 1
    assert (answer.unknown, answer.degraded) == (5, False)
    assert answer.missing > 0.5


def test_an_unknown_product_is_ranked_by_what_is_missing_and_not_put_last_or_refused(counted):
    answer = rerank(counted, ask("red shoe", ["stranger", *IDS], features=True))
    stranger = next(result for result in answer.results if result.product_id == "stranger")
    assert stranger.features["price"] is None
    assert answer.unknown == 1


def test_a_repeated_product_comes_as_often_as_it_was_sent(counted):
    answer = rerank(counted, ask("hat", ["p1", "p2", "p1", "p1"]))
    assert sorted(ids(answer)) == ["p1", "p1", "p1", "p2"]
    assert [result.place for result in answer.results if result.product_id == "p1"] == [0, 2, 3]


def test_a_repeated_product_of_ones_own_engine_has_its_match_features_each_time(shop):
    some = shop.bundle.state.products["product_id"].head(3).to_list()
    answer = rerank(shop, ask(shop.bundle.state.products["title"][0], [*some, some[0], "unknown"], features=True))
    first = [result.features for result in answer.results if result.product_id == some[0]]
    assert len(first) == 2
    assert first[0]["title_match"] == first[1]["title_match"] > 0
    assert next(result for result in answer.results if result.product_id == "unknown").features["title_match"] is None


def test_pinned_products_come_first_as_pinned_and_excluded_ones_last(counted):
    plain = ids(rerank(counted, ask("red shoe", IDS)))
    pinned, excluded = [plain[9], "no candidate", plain[4], plain[9]], [plain[0], plain[1], plain[4]]
    answer = rerank(counted, ask("red shoe", IDS, pinned=pinned, excluded=excluded))
    middle = [one for one in plain if one not in {*pinned, *excluded}]
    assert ids(answer) == [plain[9], *middle, plain[0], plain[1], plain[4]]
    assert [result.product_id for result in answer.results if result.pinned] == [plain[9]]
    assert [result.product_id for result in answer.results if result.excluded] == excluded


def test_pinned_copies_stand_together_and_a_degraded_answer_keeps_the_rules():
    request = ask("x", ["a", "b", "c", "b", "d"], pinned=["b", "d"], excluded=["a"])
    answer = degraded(request, Reason.OVERLOADED)
    assert ids(answer) == ["b", "b", "d", "c", "a"]
    assert [result.place for result in answer.results] == [1, 3, 4, 2, 0]
    assert [result.score for result in answer.results] == [5 / 5, 4 / 5, 3 / 5, 2 / 5, 1 / 5] == answer.descending
    assert (answer.degraded, answer.reason) == (True, "overloaded")
    check_law(request, answer)


def test_a_list_without_candidates_is_answered_by_one(counted):
    answer = rerank(counted, ask("red shoe", []))
    assert (answer.results, answer.degraded) == ((), False)


def test_without_the_engines_scores_the_order_is_that_received(engine):
    for candidates in (IDS, [{"product_id": one, "match": {"of_another_set": 1.0}} for one in IDS]):
        answer = rerank(engine, ask("red shoe", candidates))
        assert (answer.degraded, answer.reason, ids(answer)) == (True, "missing_match", IDS)
        assert [result.score for result in answer.results] == [(24 - at) / 24 for at in range(24)]


def test_scores_that_the_engine_gave_to_some_are_enough_and_the_rest_are_missing(engine):
    sent = [
        {"product_id": "p1", "match": {"title_match": 2.5}},
        "p2",
        {"product_id": "p3", "match": {"title_phrase": None}},
    ]
    answer = rerank(engine, ask("red shoe", sent, features=True))
    assert not answer.degraded
    told = {result.product_id: result.features for result in answer.results}
    # What is missing counts as the set declares: 0.
    assert [told[one]["title_match"] for one in ("p1", "p2", "p3")] == [2.5, 0.0, 0.0]
    assert [told[one]["title_phrase"] for one in ("p1", "p2", "p3")] == [0.0, 0.0, 0.0]


def test_what_the_caller_sends_goes_before_what_ones_own_engine_would_say(shop):
    title, known = shop.bundle.state.products["title"][0], shop.bundle.state.products["product_id"][0]
    sent = [
        known,
        {"product_id": known, "match": {"title_match": 0.125}},
        {"product_id": known, "match": {"title_match": None}},
    ]
    answer = rerank(shop, ask(title, sent, features=True))
    told = {result.place: result.features["title_match"] for result in answer.results}
    own = shop.matched(title, [known])["title_match"][0]
    assert told == {0: own, 1: 0.125, 2: None}
    assert own not in (0.125, None)


def test_the_engines_match_features_are_those_that_score_gives(shop):
    products = shop.bundle.state.products
    asked = [*products["product_id"].head(50).to_list(), "unknown"]
    for query in ("", "zzz", *products["title"].head(20).to_list()):
        pairs = pl.DataFrame({"query_id": "q", "query": query, "product_id": asked})
        scored = shop.retriever.score(pairs)
        expected = pairs.join(scored, on="product_id", how="left", maintain_order="left")
        for name, values in shop.matched(query, asked).items():
            assert np.array_equal(values, expected[f"match.{name}"].to_numpy(), equal_nan=True)


def failing(stage):
    def run(own, work):
        if own is stage:
            raise RuntimeError("/secret/path")
        return directly(own, work)

    return run


@pytest.mark.parametrize("stage", [Stage.MATCH, Stage.ENCODE, Stage.FEATURES, Stage.SCORE])
def test_whatever_a_stage_fails_of_the_order_is_that_received_and_the_log_says_why(stage, counted, caplog):
    with caplog.at_level(logging.ERROR):
        answer = rerank(counted, ask("red shoe", IDS), run=failing(stage))
    assert (answer.reason, ids(answer)) == (FAILED[stage], IDS)
    assert "secret" in caplog.text
    assert list(answer.timings) == list(Stage)[: list(Stage).index(stage) + 1]


class Broken:
    """An encoder whose model has gone."""

    name, digest, dimension = "broken", "", 256

    def encode_queries(self, texts):
        raise OSError("no such device")


def test_an_encoder_that_fails_and_scores_that_are_none_degrade_the_answer(counted):
    bundle = replace(counted.bundle, encoder=Broken())
    assert rerank(replace(counted, bundle=bundle), ask("hat", IDS)).reason is Reason.ENCODER_FAILED
    short = replace(counted, score=lambda matrix: np.zeros(len(matrix) - 1))
    assert rerank(short, ask("hat", IDS)).reason is Reason.SCORER_FAILED


def test_scores_that_are_not_finite_are_ordered_as_evaluation_orders_them_and_told_as_json_can(counted):
    given = np.array([1.0, np.nan, np.inf, -np.inf, 1e300, np.nan, -0.0, 0.0])
    answer = rerank(replace(counted, score=lambda _matrix: given), ask("hat", IDS[:8]))
    largest = float(np.finfo(np.float32).max)
    # 1e300 is infinite in float32, in which evaluation orders; -0 and 0 are alike.
    assert [result.place for result in answer.results] == [2, 4, 0, 6, 7, 3, 1, 5]
    assert [result.score for result in answer.results] == [
        largest,
        largest,
        1.0,
        0.0,
        0.0,
        -largest,
        -largest,
        -largest,
    ]
    frame = pl.DataFrame({"query_id": "q", "product_id": IDS[:8], "score": given})
    assert ranked(frame)["product_id"].to_list() == ids(answer)


def test_who_runs_the_stages_may_end_them_with_a_reason_of_its_own(counted):
    began = []

    def run(stage, work):
        began.append(stage)
        if stage is Stage.FEATURES:
            raise Degraded(Reason.DEADLINE)
        return work()

    answer = rerank(counted, ask("hat", IDS), run=run)
    assert (answer.reason, ids(answer)) == (Reason.DEADLINE, IDS)
    assert began == [Stage.MATCH, Stage.ENCODE, Stage.FEATURES]


def test_stages_are_timed_in_seconds(counted):
    def slow(stage, work):
        time.sleep(0.02 if stage is Stage.ENCODE else 0)
        return work()

    answer = rerank(counted, ask("hat", IDS), run=slow)
    assert list(answer.timings) == [Stage.MATCH, Stage.ENCODE, Stage.FEATURES, Stage.SCORE]
    assert answer.timings[Stage.ENCODE] >= 0.02


def test_features_find_the_vectors_where_the_stage_before_has_put_them(counted):
    seen = []

    def run(stage, work):
        found = work()
        seen.append((stage, "a query never seen" in counted.bundle.encoder._rows))
        return found

    rerank(counted, ask("a query never seen", IDS), run=run)
    assert seen[:2] == [(Stage.MATCH, False), (Stage.ENCODE, True)]
