"""Clicks on given lists: the frame's laws, whatever the lists; and what is wrong with lists."""

import re
from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ltr.errors import ConfigError, DataError
from ltr.frames import check
from ltr.simulation import KINDS, START, Users, attraction_of, clicks, truth_of


def lists(sizes, *, variants=()):
    """One list a query, or a query and variant, with so many products; and an attraction for each row."""
    rows = [
        {"query_id": f"q{query}", "query": f"words {query}", "product_id": f"p{place}", "position": place}
        | ({"variant": name} if name else {})
        for query, size in enumerate(sizes)
        for name in (variants or [None])
        for place in range(1, size + 1)
    ]
    shown = pl.DataFrame(rows, schema_overrides={"position": pl.Int64})
    return shown, np.linspace(0.05, 0.95, shown.height)


@settings(max_examples=60)
@given(
    sizes=st.lists(st.integers(1, 7), min_size=1, max_size=6),
    kind=st.sampled_from(KINDS),
    searches=st.integers(0, 4),
    page=st.none() | st.integers(1, 8),
    variants=st.sampled_from([(), ("a", "b"), ("c",)]),
    seed=st.integers(0, 2**40),
    shuffle=st.randoms(use_true_random=False),
)
def test_every_log_obeys_the_law_of_impressions(sizes, kind, searches, page, variants, seed, shuffle):
    shown, attraction = lists(sizes, variants=variants)
    order = list(range(shown.height))
    shuffle.shuffle(order)
    shown, attraction = shown[order], attraction[order]
    log = clicks(shown, attraction, users=Users(kind), searches=searches, seed=seed, page=page)
    same = clicks(shown, attraction, users=Users(kind), searches=searches, seed=seed, page=page)
    assert log.equals(same)
    check(log, "impressions")
    # As many rows as are shown, each search one list from position 1 on, cut at the page.
    assert log["search_id"].n_unique() == len(sizes) * searches
    of_search = log.group_by("search_id", maintain_order=True).agg(
        "position", pl.col("query_id").unique(), pl.struct("product_id", "position").alias("row")
    )
    for _, positions, (query_id,), _ in of_search.rows():
        assert positions == list(range(1, min(sizes[int(query_id[1:])], page or 99) + 1))
    on = ["query_id", "query", "product_id", *(["variant"] if variants else [])]
    listed = log.join(shown, on=on, how="left", suffix="_listed")
    assert listed["position"].equals(listed["position_listed"].cast(pl.UInt16), check_names=False)
    assert not log.filter(~pl.col("clicked") & pl.col("add_to_cart")).height
    assert not log.filter(~pl.col("add_to_cart") & pl.col("purchase")).height


@settings(max_examples=30)
@given(size=st.integers(1, 10), seed=st.integers(0, 10**9))
def test_nothing_is_clicked_below_the_click_that_ends_a_cascade(size, seed):
    shown, _ = lists([size])
    log = clicks(shown, np.full(size, 0.5), users=Users("cascade", continuation=0), searches=20, seed=seed)
    assert log.group_by("search_id").agg(pl.col("clicked").sum())["clicked"].max() <= 1


def test_another_seed_is_another_log_with_ids_of_its_own():
    shown, attraction = lists([5] * 20)
    first, second = (clicks(shown, attraction, users=Users(), searches=5, seed=seed) for seed in (1, 2))
    assert not first["clicked"].equals(second["clicked"])
    assert not set(first["search_id"]) & set(second["search_id"])


def test_click_rates_follow_position_and_attraction_over_many_queries():
    shown, _ = lists([10] * 200)
    attraction = attraction_of(np.random.default_rng(1).integers(0, 2, shown.height), 1)
    log = clicks(shown, attraction, users=Users("pbm"), searches=40, seed=5)
    pairs = log.join(shown.with_columns(a=attraction).drop("position", "query"), on=["query_id", "product_id"])
    for (position, a), rows in pairs.group_by("position", "a"):
        expected = a / position
        assert abs(rows["clicked"].mean() - expected) <= 4 * np.sqrt(expected * (1 - expected) / rows.height)


def test_a_query_is_searched_as_often_as_it_is_named():
    shown, attraction = lists([2, 3, 1])
    log = clicks(shown, attraction, users=Users(), searches={"q2": 4, "q0": 1, "elsewhere": 9}, seed=1)
    assert log.group_by("query_id").agg(pl.col("search_id").n_unique()).sort("query_id").rows() == [
        ("q0", 1),
        ("q2", 4),
    ]


def test_searches_are_shared_among_variants_with_equal_odds():
    shown, attraction = lists([3], variants=("new", "old"))
    log = clicks(shown, attraction, users=Users(), searches=4_000, seed=1)
    seen = log.group_by("search_id").agg(pl.col("variant").unique())
    assert seen["variant"].list.len().max() == 1
    assert abs(seen["variant"].explode().value_counts()["count"].max() - 2_000) <= 4 * np.sqrt(1_000)


def test_a_query_that_one_variant_lacks_sees_the_other():
    shown, _ = lists([2, 2], variants=("new", "old"))
    shown = shown.filter((pl.col("query_id") == "q0") | (pl.col("variant") == "old"))
    log = clicks(shown, np.full(6, 0.5), users=Users(), searches=50, seed=1)
    assert dict(log.group_by("query_id").agg(pl.col("variant").n_unique()).rows()) == {"q0": 2, "q1": 1}


def test_searches_begin_at_the_start_a_second_apart():
    shown, attraction = lists([2])
    log = clicks(shown, attraction, users=Users(), searches=3, seed=1, start=datetime(2025, 5, 1, tzinfo=UTC))
    assert log["shown_at"].unique().sort().to_list() == [
        datetime(2025, 5, 1, tzinfo=UTC) + timedelta(seconds=second) for second in range(3)
    ]
    assert clicks(shown, attraction, users=Users(), searches=1, seed=1)["shown_at"][0] == START


def test_revenue_is_the_price_of_what_is_bought():
    shown, _ = lists([4])
    users = Users("pbm", eta=0, carting=1, buying=0.5)
    log = clicks(shown, np.ones(4), users=users, searches=100, seed=1, prices=[1.0, 2.0, 3.0, 4.0])
    assert log["revenue"].to_list() == [
        float(position) * bought for position, bought in log.select("position", "purchase").rows()
    ]
    assert 0 < log["purchase"].mean() < 1


def test_the_truth_lists_each_pair_once_and_examination_by_position():
    shown, attraction = lists([3, 5], variants=("a", "b"))
    attraction = np.concatenate([np.tile(np.linspace(0.1, 0.5, size), 2) for size in (3, 5)])
    truth = truth_of(shown, attraction, users=Users("trust", eta=2))
    assert truth.attraction.select("query_id", "product_id").rows() == [
        (f"q{query}", f"p{place}") for query, size in enumerate((3, 5)) for place in range(1, size + 1)
    ]
    assert truth.examination["examination"].to_list() == [1, 1 / 4, 1 / 9, 1 / 16, 1 / 25]
    assert truth.examination["irrelevant"][1] == 0.65 / 2


def test_the_examination_of_a_cascade_is_weighted_by_searches():
    shown, _ = lists([2, 2])
    attraction = [1.0, 0.0, 0.0, 0.0]
    users = Users("cascade", continuation=0)
    once = truth_of(shown, attraction, users=users).examination["examination"].to_list()
    often = truth_of(shown, attraction, users=users, searches={"q0": 1, "q1": 3}).examination["examination"].to_list()
    assert (once, often) == ([1, 1 / 2], [1, 3 / 4])


def test_no_list_and_no_search_make_an_empty_log():
    shown, _ = lists([2])
    for log in (
        clicks(shown.clear(), [], users=Users("dbn", abandonment=0.5), searches=3, seed=1),
        clicks(shown, [0.5, 0.5], users=Users("dbn", abandonment=0.5), searches=0, seed=1),
    ):
        assert check(log, "impressions").height == 0


BAD = {
    "no positions": (lambda shown: shown.drop("position"), "lack ['position']"),
    "from zero": (lambda shown: shown.with_columns(pl.col("position") - 1), "not 1 to n"),
    "a gap": (lambda shown: shown.filter(pl.col("position") != 2), "not 1 to n"),
    "a place twice": (lambda shown: shown.with_columns(position=pl.lit(1)), "not 1 to n"),
    "a product twice": (lambda shown: shown.with_columns(product_id=pl.lit("p")), "holds a product twice"),
    "no words": (lambda shown: shown.with_columns(query=pl.lit(None, pl.String)), "empty fields"),
    "text": (lambda shown: shown.with_columns(pl.col("position").cast(pl.String)), "no integers"),
}


@pytest.mark.parametrize(("spoil", "message"), BAD.values(), ids=BAD)
def test_lists_that_cannot_be_are_refused(spoil, message):
    shown = spoil(lists([3])[0])
    with pytest.raises(DataError, match=re.escape(message)):
        clicks(shown, np.full(shown.height, 0.5), users=Users(), searches=1, seed=1)


@pytest.mark.parametrize("attraction", [[0.5], [0.5, 1.1], [0.5, -0.1], [0.5, float("nan")]])
def test_attraction_that_is_no_probability_a_row_is_refused(attraction):
    with pytest.raises(DataError, match="attraction"):
        clicks(lists([2])[0], attraction, users=Users(), searches=1, seed=1)


@pytest.mark.parametrize(
    ("policy", "message"),
    [
        ({"searches": -1}, "-1 searches"),
        ({"page": 0}, "page is 0"),
        ({"seed": -3}, "seed is -3"),
        ({"start": datetime(2026, 1, 1)}, "no time zone"),
    ],
)
def test_policy_that_cannot_be_is_refused(policy, message):
    shown, attraction = lists([2])
    with pytest.raises(ConfigError, match=message):
        clicks(shown, attraction, **{"users": Users(), "searches": 1, "seed": 1} | policy)


def test_prices_are_one_a_row():
    shown, attraction = lists([2])
    with pytest.raises(DataError, match="2 rows are shown and prices has 1"):
        clicks(shown, attraction, users=Users(), searches=1, seed=1, prices=[1.0])


def test_a_list_longer_than_positions_can_say_needs_a_page():
    size = 65_536
    shown = pl.DataFrame({"query_id": "q", "query": "w", "product_id": range(size), "position": range(1, size + 1)})
    with pytest.raises(DataError, match="65536 products; set page"):
        clicks(shown, np.zeros(size), users=Users(), searches=1, seed=1)
    assert clicks(shown, np.zeros(size), users=Users(), searches=1, seed=1, page=3).height == 3
