"""The store of behaviour counts: sums by key and day, in whatever order and by whichever way they are laid out."""

import json
from datetime import UTC, datetime

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ltr.errors import BundleError, DataError
from ltr.features import counting, counts, definition
from ltr.features.counts import Level
from ltr.features.params import Key

FAR = 2**55  # times a few days is more than int64 can tell apart from other keys without numbering them anew
entries = st.lists(
    st.tuples(
        st.integers(0, 6) | st.sampled_from([2_000_000, FAR, FAR + 1]),
        st.integers(-3, 400) | st.sampled_from([-700_000, 19_000]),
        st.integers(0, 3),
        st.integers(-2, 2),
    ),
    max_size=40,
)


def level(rows, *names):
    columns = list(zip(*rows, strict=True)) or [()] * 4
    values = {name: np.array(columns[2 + at], dtype=np.int64) for at, name in enumerate(names)}
    return Level.of(np.array(columns[0], dtype=np.int64), np.array(columns[1], dtype=np.int32), values)


@given(entries, st.randoms(use_true_random=False))
def test_a_level_is_the_sum_by_key_and_day_in_whatever_order(rows, random):
    table = pl.DataFrame(rows, schema=["key", "day", "impressions", "revenue"], orient="row")
    expected = table.group_by("key", "day").agg(pl.col("impressions", "revenue").sum()).sort("key", "day")
    random.shuffle(rows)
    made = level(rows, "impressions", "revenue")
    assert made.table().rows() == expected.rows()
    assert made.keys.tolist() == expected["key"].unique().sort().to_list()
    assert [each.dtype for each in (made.keys, made.bounds, made.days)] == [np.int64, np.int64, np.int32]


@given(entries)
def test_days_on_which_nothing_was_counted_are_left_out_where_impressions_are_not(rows):
    made = level(rows, "clicks")
    expected = {(key, day) for key, day, clicks, _ in rows if clicks}
    assert {row[:2] for row in made.table().iter_rows()} == expected


@given(entries)
def test_a_level_made_of_its_own_table_is_the_same(rows):
    made = level(rows, "impressions", "revenue")
    key, days, *values = (each.to_numpy(writable=True) for each in made.table())
    again = Level.of(key, days, dict(zip(("impressions", "revenue"), values, strict=True)))
    assert again.table().equals(made.table())


def test_many_keys_on_few_days_are_sorted_and_few_keys_on_many_days_have_places():
    generator = np.random.default_rng(7)
    for keys in (50, 4_000_000):
        rows = [
            (int(key), int(day), 1, 0)
            for key, day in zip(generator.integers(0, keys, 3_000), generator.integers(0, 90, 3_000), strict=True)
        ]
        whole = pl.DataFrame(rows, schema=["key", "day", "impressions", "_"], orient="row")
        expected = whole.group_by("key", "day").agg(pl.col("impressions").sum()).sort("key", "day")
        assert level(rows, "impressions").table().rows() == expected.rows()


TIMES = {
    "2024-01-02": 19_724,
    "2024-01-02T23:59:59.999": 19_724,
    "2024-01-02T00:00:00Z": 19_724,
    "2024-01-02T01:00:00+02:00": 19_723,
    "1969-12-31T23:00:00+00:00": -1,
}


@pytest.mark.parametrize(("time", "expected"), TIMES.items())
def test_a_day_is_a_day_of_utc(time, expected):
    assert counts.day(time) == expected


@pytest.mark.parametrize("time", ["", "yesterday", "2024-13-01", "01.05.2024"])
def test_what_is_no_time_is_refused(time):
    with pytest.raises(DataError, match="is no time; write it as 2024-05-01"):
        counts.day(time)


SET = definition.parse(
    {
        "name": "counted",
        "feature": [
            {"name": "clicks", "kind": "count", "by": "query_product"},
            {"name": "brand_rate", "kind": "rate", "by": "field_query", "field": "brand", "corrected": True},
            {"name": "earned", "kind": "count", "of": "revenue"},
        ],
    }
)
PRODUCTS = pl.DataFrame({"product_id": ["a", "b", "c"], "brand": ["Ace", None, "ace"]})
LOG = pl.DataFrame(
    {
        "query": ["x", "X ", "é", "x"],
        "product_id": ["a", "b", "c", "z"],
        "position": [1, 2, 9, 1],
        "clicked": [True, True, False, None],
        "revenue": [None, 1.239, float("inf"), float("nan")],
        "shown_at": [datetime(2024, 1, 1, tzinfo=UTC)] * 4,
    }
)


def counted(log=LOG, **more):
    more = {"examination": [1.0, 0.3], "wanted": SET, "as_of": "2024-01-02", "products": PRODUCTS} | more
    return counting.build_counts(log, **more)


def test_only_what_the_features_read_is_counted_by_their_keys():
    found = counted()
    assert {key.name: set(level.sums) for key, level in found.levels.items()} == {
        "query_product": {"clicks"},
        "all": {"clicks", "examined"},
        "brand": {"clicks", "examined"},
        "query_brand": {"clicks", "examined"},
        "product": {"revenue"},
    }
    assert {name: series.to_list() for name, series in found.names.items()} == {
        "brand": ["ace"],
        "product": ["a", "b", "c", "z"],
        "query": ["x", "é"],
    }
    third = round(0.3 * 2**20) / 2**20
    assert found.totals == pytest.approx({"clicks": 2, "examined": 2 + 2 * third, "revenue": 1.24})
    assert found.levels[Key(("product",))].table().rows() == [(1, 19_723, 124)]


def test_a_log_is_counted_alike_as_a_frame_and_from_parquet(tmp_path):
    LOG.head(2).write_parquet(tmp_path / "1.parquet")
    LOG.tail(2).write_parquet(tmp_path / "2.parquet")
    assert counted(pl.scan_parquet(tmp_path / "*.parquet")).digest == counted().digest
    naive = LOG.with_columns(pl.col("shown_at").dt.replace_time_zone(None).cast(pl.Datetime("ms")))
    assert counted(naive).digest == counted().digest


@pytest.mark.parametrize("together", [1, 40, 150])
def test_a_log_is_counted_alike_however_much_of_it_is_held_at_a_time(together, monkeypatch):
    generator = np.random.default_rng(7)
    log = pl.DataFrame(
        {
            "query": generator.choice(["x", "X", "y", "ÿ"], 200),
            "product_id": generator.choice(["a", "b", "c", "d"], 200),
            "position": generator.integers(1, 4, 200),
            "clicked": generator.random(200) < 0.5,
            "revenue": generator.normal(size=200).round(2),
            "shown_at": [datetime(2024, 1, int(day), tzinfo=UTC) for day in generator.integers(1, 9, 200)],
        }
    )
    whole = counted(log, as_of="2024-01-08")
    monkeypatch.setattr(counting, "_BATCH", 7)
    monkeypatch.setattr(counting, "_TOGETHER", together)
    assert counted(log.lazy(), as_of="2024-01-08").digest == whole.digest


def test_an_empty_log_counts_nothing():
    for nothing in (counted(LOG.clear()), counted(as_of="2024-01-01")):
        assert nothing.totals == {"clicks": 0, "examined": 0, "revenue": 0}
        assert nothing.query("x") == -1
    assert counted(LOG.clear()).digest == counted(LOG.clear()).digest != counted().digest


def test_impressions_that_are_none_are_refused(tmp_path):
    with pytest.raises(DataError, match="the impressions cannot be counted: "):
        counted(LOG.with_columns(shown_at=pl.lit("yesterday")))
    (tmp_path / "part.parquet").write_bytes(b"PAR1")
    with pytest.raises(DataError, match="the impressions cannot be counted: "):
        counted(pl.scan_parquet(tmp_path / "part.parquet"))


def test_rows_without_a_query_or_a_product_count_for_nothing():
    holes = LOG.with_columns(query=pl.Series(["x", None, "é", "x"]), product_id=pl.Series([None, "b", "c", "z"]))
    assert counted(holes).names["product"].to_list() == ["c", "z"]


def test_a_query_of_endless_length_is_one_of_its_first_characters():
    assert counts.key_of("x" * 5_000) == "x" * 1_000
    assert counted(LOG.with_columns(query=pl.lit("x" * 2_000))).query("x" * 3_000) == 0


BROKEN = ["behaviour.json", "names.1.parquet", "level.2.parquet"]


@pytest.mark.parametrize("broken", BROKEN)
@pytest.mark.parametrize("how", ["missing", "truncated", "another"])
def test_counts_with_a_broken_file_are_refused_as_a_whole(tmp_path, broken, how):
    counted().save(tmp_path / "counts")
    path = tmp_path / "counts" / broken
    if how == "missing":
        path.unlink()
    elif how == "truncated":
        path.write_bytes(path.read_bytes()[:30])
    elif broken.endswith(".json"):
        path.write_text(json.dumps({"until": 3}))
    else:
        pl.DataFrame({"strange": ["x"]}).write_parquet(path)
    with pytest.raises(BundleError, match=r"cannot be read.*copy the bundle again"):
        counts.load(tmp_path / "counts")
