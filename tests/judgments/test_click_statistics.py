"""Counts of a log by query, product and place: the same as a group-by, in any order, however the log is cut."""

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ltr.errors import DataError
from ltr.judgments import lists as searches
from ltr.judgments import statistics
from ltr.judgments.lists import last_click, lists_of, parts
from ltr.judgments.statistics import Counter, by_position, positions_of

ROWS = st.lists(
    st.tuples(st.sampled_from(["a", "b", "ü'\""]), st.sampled_from(["p", "q", "r"]), st.integers(1, 6), st.booleans()),
    min_size=1,
    max_size=60,
)


def frame(rows):
    return pl.DataFrame(
        rows,
        schema={"query_id": pl.String, "product_id": pl.String, "position": pl.UInt16, "clicked": pl.Boolean},
        orient="row",
    )


def counted(cells):
    pair = np.repeat(np.arange(cells.pairs.height), np.diff(cells.bounds))
    return cells.pairs[pair].with_columns(
        position=pl.Series(cells.place + 1), shown=pl.Series(cells.shown), clicked=pl.Series(cells.clicked)
    )


@settings(max_examples=80)
@given(rows=ROWS)
def test_counts_are_those_of_a_group_by_in_the_order_of_ids(rows):
    log = frame([*rows, ("a", "p", 1, True)])
    by = ["query_id", "product_id", "position"]
    expected = log.group_by(by).agg(shown=pl.len(), clicked=pl.col("clicked").sum()).sort(by)
    assert counted(by_position(log)).rows() == expected.rows()


def test_a_log_in_many_batches_grows_the_table_and_counts_the_same(monkeypatch):
    rng = np.random.default_rng(7)
    log = pl.DataFrame(
        {
            "query_id": [f"q{number}" for number in rng.integers(0, 300, 20_000)],
            "product_id": [f"p{number}" for number in rng.integers(0, 40, 20_000)],
            "position": rng.integers(1, 9, 20_000).astype(np.uint16),
            "clicked": rng.random(20_000) < 0.2,
        }
    )
    whole = counted(by_position(log))
    monkeypatch.setattr(statistics, "_BATCH", 700)
    assert counted(by_position(log.lazy())).equals(whole)
    assert counted(by_position(log.sample(fraction=1.0, shuffle=True, seed=3))).equals(whole)
    assert whole["shown"].sum() == 20_000


def test_numbers_of_pairs_are_found_again():
    log = frame([("b", "p", 1, True), ("a", "q", 1, False), ("b", "p", 2, False)])
    counter = Counter(2)
    counter.add(log.with_columns(place=(pl.col("position") - 1).cast(pl.UInt32)))
    assert counter.codes(log).tolist() == [0, 1, 0]
    assert counter.ranks().tolist() == [1, 0]


def test_positions_below_the_last_share_its_place():
    log = frame([("a", "p", 1, True), ("a", "p", 3, False), ("a", "p", 900, True)])
    cells = by_position(log, most=3)
    assert (cells.place.tolist(), cells.shown.tolist(), cells.clicked.tolist()) == ([0, 2], [1, 2], [1, 1])
    assert positions_of(log) == statistics.POSITIONS


def test_sums_by_pair_and_place_are_those_of_the_cells():
    cells = by_position(frame([("a", "p", 1, True), ("a", "p", 2, False), ("b", "p", 2, True), ("b", "p", 2, True)]))
    assert cells.of_pairs(cells.shown).tolist() == [2, 2]
    assert cells.of_places(cells.clicked).tolist() == [1, 2]
    assert cells.tied == 1 / 2
    assert cells.told().pairs.rows() == [("a", "p")]
    assert cells.at_places(np.array([True, False])).pairs.height == 0


FAULTS = {
    "no row": (frame([]), "holds no impression"),
    "no click": (frame([("a", "p", 1, False)]), "nothing in the log was clicked"),
    "position 0": (frame([("a", "p", 0, True)]), "a position is 0"),
    "no position": (frame([("a", "p", 1, True)]).drop("position"), "lack .'position'."),
}


@pytest.mark.parametrize(("log", "said"), FAULTS.values(), ids=FAULTS)
def test_a_log_that_nothing_follows_from_is_refused(log, said):
    with pytest.raises(DataError, match=said):
        by_position(log)


def test_lists_are_found_whatever_the_order_of_rows():
    log = pl.DataFrame({"search_id": ["t", "s", "t", "s"], "position": [2, 1, 1, 1]})
    lists = lists_of(log)
    assert log[lists.order].rows() == [("s", 1), ("s", 1), ("t", 1), ("t", 2)]
    assert lists.order.tolist()[:2] == [1, 3]  # equal positions keep their order
    assert lists_of(log.sort("search_id", "position")).order.tolist() == [0, 1, 2, 3]


def test_a_search_whose_rows_stand_apart_is_one_list():
    lists = lists_of(pl.DataFrame({"search_id": ["s", "t", "s"], "position": [1, 1, 2]}))
    assert np.diff(lists.bounds).tolist() == [2, 1]


def test_the_last_click_of_a_list_is_its_lowest():
    lists = lists_of(pl.DataFrame({"search_id": ["s", "s", "s", "t"], "position": [1, 2, 3, 1]}))
    assert last_click(lists, np.array([True, True, False, False])).tolist() == [1, -1]


def test_parts_hold_whole_searches_and_all_of_them(monkeypatch, world):
    monkeypatch.setattr(searches, "PART", 3_000)
    log = world(20, 1_000)[1].with_columns(clicked=True)
    found = list(parts(log.lazy()))
    assert len(found) > 3
    assert all(part.group_by("search_id").len()["len"].unique().to_list() == [10] for part in found)
    assert sum(part.height for part in found) == log.height
