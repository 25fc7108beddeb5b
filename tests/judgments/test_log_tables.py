"""A log of another make becomes the same impressions, whatever its shape, columns and format."""

import json
from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
import pytest

from ltr.errors import ConfigError, DataError
from ltr.frames import check
from ltr.judgments import gathering, spill, tables
from ltr.judgments.impressions import Filters, LogMapping, read_log, read_mapping

START = datetime(2026, 3, 1, tzinfo=UTC)
SEARCHES, LIST = 40, 5


@pytest.fixture(scope="module")
def truth():
    """Impressions of forty searches; every third product clicked, seconds after."""
    rng = np.random.default_rng(7)
    rows = []
    for number in range(SEARCHES):
        products = rng.permutation(12)[:LIST]
        for place, product in enumerate(products, 1):
            clicked = bool((number + product) % 3 == 0)
            at = START + timedelta(minutes=number)
            rows.append(
                {
                    "search_id": f"s{number:02}",
                    "query_id": f"hat {number % 4}",
                    "query": f"Hat {number % 4}",
                    "product_id": str(100 + product),
                    "position": place,
                    "shown_at": at,
                    "clicked": clicked,
                    "add_to_cart": clicked and place == 1,
                    "purchase": False,
                    "session_id": f"z{number % 7}",
                    "clicked_at": at + timedelta(seconds=place) if clicked else None,
                }
            )
    return check(pl.DataFrame(rows), "impressions")


@pytest.fixture
def read(tmp_path):
    """Read a file or directory under a mapping: (impressions, report)."""
    count = iter(range(1_000))

    def reading(path, mapping, **how):
        found = read_log(path, mapping=mapping, directory=tmp_path / f"out{next(count)}", **how)
        report = found.report
        assert report.read == report.kept + sum(report.dropped.values())
        return check(found.scan().collect(), "impressions"), report

    return reading


CORE = ("search_id", "query_id", "query", "product_id", "position", "shown_at", "clicked", "add_to_cart", "purchase")


def same(found, truth, *, columns=CORE):
    order = ("search_id", "product_id")
    ours, theirs = (each.select(columns).sort(order) for each in (found, truth))
    assert ours.equals(theirs), ours.join(theirs, on=columns, how="anti", nulls_equal=True)


def events(truth):
    """A row an event, their own names, shuffled."""
    kinds = {"view": pl.lit(True), "tap": pl.col("clicked"), "basket": pl.col("add_to_cart")}
    rows = [
        truth.filter(chosen).select(
            sid="search_id",
            q="query",
            item=pl.struct(sku=pl.col("product_id").cast(pl.Int64)),
            rank=pl.col("position").cast(pl.Int64) - 1,
            kind=pl.lit(kind),
            ts=(pl.col("shown_at") if kind == "view" else pl.col("clicked_at")).dt.epoch("ms"),
            visit="session_id",
        )
        for kind, chosen in kinds.items()
    ]
    return pl.concat(rows).sample(fraction=1, shuffle=True, seed=3)


EVENTS = LogMapping(
    shape="events",
    columns={"search_id": "sid", "query": "q", "product_id": "item.sku", "position": "rank", "action": "kind", "time": "ts", "session_id": "visit"},
    actions={"view": "impression", "tap": "click", "basket": "add_to_cart"},
)  # fmt: skip


@pytest.mark.parametrize("form", ["parquet", "ndjson", "hive"])
def test_a_row_an_event(read, truth, tmp_path, form):
    path = tmp_path / f"events.{form}"
    table = events(truth)
    if form == "hive":
        table = table.with_columns(day=pl.col("ts") // 86_400_000, hour=pl.col("ts") // 3_600_000 % 24)
        table.lazy().sink_parquet(pl.PartitionBy(path, key=["day", "hour"]), mkdir=True)
    else:
        getattr(table, f"write_{form}")(path)
    found, report = read(path, EVENTS)
    same(found, truth, columns=(*CORE, "session_id", "clicked_at"))
    assert report.notes == ("positions begin at 0 and were moved to begin at 1",)
    assert report.actions["tap"] == ("click", truth["clicked"].sum())
    assert report.read == events(truth).height


@pytest.mark.parametrize(("form", "separator"), [("csv", ","), ("tsv", "\t")])
def test_cells_of_text(read, truth, tmp_path, form, separator):
    path = tmp_path / f"events.{form}"
    flat = events(truth).with_columns(pl.col("item").struct.field("sku")).drop("item")
    flat.with_columns(ts=pl.from_epoch("ts", "ms").dt.strftime("%d.%m.%Y %H:%M:%S")).write_csv(
        path, separator=separator
    )
    mapping = EVENTS.model_copy(update={"columns": EVENTS.columns | {"product_id": "sku"}, "time": "%d.%m.%Y %H:%M:%S"})
    same(read(path, mapping)[0], truth)


def test_a_row_a_product_shown(read, truth, tmp_path):
    path = tmp_path / "shown.csv"
    truth.rename({"product_id": "sku"}).with_columns(pl.col("clicked").cast(pl.Int8)).write_csv(path)
    found, report = read(path, LogMapping(shape="shown", columns={"product_id": "sku"}))
    same(found, truth, columns=(*CORE, "session_id", "clicked_at"))
    assert (report.read, report.clicks) == (truth.height, truth["clicked"].sum())


@pytest.fixture(scope="module")
def listed(truth):
    """A row a search, with arrays of results and of clicks in every form."""
    return truth.sort("search_id", "position").group_by("search_id", maintain_order=True).agg(
        pl.col("query", "shown_at", "session_id").first(),
        results=pl.col("product_id"),
        flags=pl.col("clicked"),
        ids=pl.col("product_id").filter("clicked"),
        places=pl.col("position").filter("clicked").cast(pl.Int64) - 1,
        carts=pl.col("product_id").filter("add_to_cart"),
        structs=pl.struct(pl.col("product_id").alias("sku"), "clicked"),
        times=pl.col("clicked_at"),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("columns", "how"),
    {
        "flags": ({"product_id": "results", "clicked": "flags"}, {}),
        "products": ({"product_id": "results", "clicked": "ids"}, {}),
        "positions": ({"product_id": "results", "clicked": "places"}, {"clicked_by": "position", "first_position": 0}),
        "structures": ({"product_id": "structs.sku", "clicked": "structs.clicked"}, {}),
    }.values(),
    ids=("flags", "products", "positions", "structures"),
)
@pytest.mark.parametrize("form", ["parquet", "ndjson"])
def test_a_row_a_search(read, truth, listed, tmp_path, columns, how, form):
    path = tmp_path / f"searches.{form}"
    getattr(listed, f"write_{form}")(path)
    # What is clicked, added and bought is told in one way.
    carts = {} if how else {"add_to_cart": "carts"}
    found, report = read(path, LogMapping(shape="searches", columns=columns | carts, **how))
    same(found, truth if carts else truth.with_columns(add_to_cart=pl.lit(False)), columns=(*CORE, "session_id"))
    assert report.read == report.kept == SEARCHES


def test_lists_in_cells_of_json_or_with_a_separator(read, truth, listed, tmp_path):
    joined = listed.with_columns(pl.col("results", "ids").list.join(";")).drop(
        "flags", "places", "carts", "structs", "times"
    )
    joined.write_csv(tmp_path / "searches.csv")
    columns = {"product_id": "results", "clicked": "ids"}
    same(
        read(tmp_path / "searches.csv", LogMapping(shape="searches", columns=columns, separator=";"))[0],
        truth.with_columns(add_to_cart=pl.lit(False)),
    )
    encoded = [json.dumps(ids) for ids in listed["results"].to_list()]
    joined.with_columns(results=pl.Series(encoded)).write_csv(tmp_path / "json.csv")
    same(
        read(tmp_path / "json.csv", LogMapping(shape="searches", columns=columns, separator=";"))[0],
        truth.with_columns(add_to_cart=pl.lit(False)),
    )


def test_times_of_clicks_beside_the_results(read, truth, listed, tmp_path):
    listed.write_parquet(tmp_path / "searches.parquet")
    columns = {"product_id": "results", "clicked": "flags", "clicked_at": "times"}
    found, _ = read(tmp_path / "searches.parquet", LogMapping(shape="searches", columns=columns))
    same(found, truth, columns=("search_id", "product_id", "clicked", "clicked_at"))


def test_lists_that_do_not_match_are_counted(read, tmp_path):
    lines = [
        {"query": "a", "shown_at": 1, "product_id": ["x", "y"], "clicked": ["x", "z"]},
        {"query": "b", "shown_at": 1, "product_id": ["x"], "clicked": []},
        {"query": "c", "shown_at": None, "product_id": ["x"], "clicked": []},
        {"query": "d", "shown_at": 1, "product_id": [], "clicked": []},
        {"query": "e", "shown_at": 1, "product_id": ["x", "y"], "clicked": [], "position": [3]},
    ]
    (tmp_path / "log.ndjson").write_text("\n".join(map(json.dumps, lines)))
    found, report = read(tmp_path / "log.ndjson", LogMapping(shape="searches"))
    assert found.select("query", "product_id", "clicked").rows() == [
        ("a", "x", True),
        ("a", "y", False),
        ("b", "x", False),
    ]
    assert report.dropped == {"wrong_type": 1, "no_timestamp": 1, "no_list": 1}
    assert report.noted["list_action_not_shown"] == 1


def test_what_a_row_lacks_is_counted_with_its_row(read, tmp_path):
    table = pl.DataFrame(
        {
            "search_id": ["s", None, "s", "s", "s"],
            "query": "hat",
            "product_id": ["p", "p", None, "q", "r"],
            "position": [1, 2, 3, None, 5],
            "shown_at": ["2026-01-01", "2026-01-01", "2026-01-01", "2026-01-01", "soon"],
            "clicked": ["yes", "no", "", "1", "0"],
        }
    )
    table.write_parquet(tmp_path / "log.parquet")
    found, report = read(tmp_path / "log.parquet", LogMapping(shape="shown"))
    assert found.select("product_id", "clicked").rows() == [("p", True)]
    assert report.dropped == {"no_search_id": 1, "no_product": 1, "no_timestamp": 1, "no_position": 1}
    assert report.examples["no_timestamp"] == ["log.parquet row 5"]


def test_bad_lines_of_a_table_are_counted_by_their_reason(read, truth, tmp_path):
    lines = truth.head(LIST).write_ndjson().splitlines()
    (tmp_path / "log.ndjson").write_text("\n".join([*lines, "{", "7", f"[{lines[0]}]"]))
    found, report = read(tmp_path / "log.ndjson", LogMapping(shape="shown"))
    assert found.height == LIST
    assert report.dropped == {"truncated": 1, "not_an_object": 1, "duplicate_event": 1}


def test_other_events_are_named_and_counted(read, truth, tmp_path):
    events(truth).write_parquet(tmp_path / "log.parquet")
    _, report = read(tmp_path / "log.parquet", EVENTS.model_copy(update={"actions": {"view": "impression"}}))
    clicks = int(truth["clicked"].sum() + truth["add_to_cart"].sum())
    assert report.dropped == {"other_action": clicks}
    assert report.actions["tap"][0] == "none"


def test_parts_on_disk_make_the_same_impressions(read, truth, tmp_path, monkeypatch):
    events(truth).write_parquet(tmp_path / "log.parquet", row_group_size=16)
    whole, report = read(tmp_path / "log.parquet", EVENTS)
    monkeypatch.setattr(gathering, "_TOGETHER", 30)
    monkeypatch.setattr(spill, "_HELD", 50)
    monkeypatch.setattr(tables, "_BATCH", 25)
    parted, told = read(tmp_path / "log.parquet", EVENTS)
    same(parted, whole, columns=whole.columns)
    assert (told.dropped, told.noted) == (report.dropped, report.noted)


def test_parquet_that_holds_impressions_is_taken_as_it_is(truth, tmp_path):
    (tmp_path / "in").mkdir()
    truth.head(100).write_parquet(tmp_path / "in" / "a.parquet")
    truth.tail(100).write_parquet(tmp_path / "in" / "b.parquet")
    found = read_log(tmp_path / "in", directory=tmp_path / "out")
    assert found.impressions == tmp_path / "in"
    assert not (tmp_path / "out").exists()
    assert found.scan().collect().equals(truth)
    assert (found.report.impressions, found.report.clicks) == (truth.height, truth["clicked"].sum())
    assert "taken as it is" in found.report.sentences()[-1]


def test_filters_or_other_types_make_it_a_table_of_products_shown(read, truth, tmp_path):
    truth.write_parquet(tmp_path / "log.parquet")
    found, report = read(tmp_path / "log.parquet", None, filters=Filters(max_position=3))
    same(found, truth.filter(pl.col("position") <= 3))
    assert report.dropped == {"beyond_max_position": SEARCHES * (LIST - 3)}
    truth.with_columns(pl.col("position").cast(pl.Int64)).write_parquet(tmp_path / "wide.parquet")
    same(read(tmp_path / "wide.parquet", None)[0], truth)


def test_impressions_with_a_fault_are_refused(truth, tmp_path):
    truth.with_columns(position=pl.lit(0, pl.UInt16)).write_parquet(tmp_path / "log.parquet")
    with pytest.raises(DataError, match="no position from 1 on"):
        read_log(tmp_path / "log.parquet", directory=tmp_path / "out")
    (tmp_path / "cut.parquet").write_bytes((tmp_path / "log.parquet").read_bytes()[:200])
    with pytest.raises(DataError, match=r"cut.parquet cannot be read"):
        read_log(tmp_path / "cut.parquet", directory=tmp_path / "out")


def test_a_column_that_is_missing_or_of_the_wrong_kind_is_an_error_that_helps(truth, tmp_path):
    truth.write_parquet(tmp_path / "log.parquet")

    def refused(match, **mapping):
        with pytest.raises(DataError, match=match):
            read_log(tmp_path / "log.parquet", mapping=LogMapping(**mapping), directory=tmp_path / "out")

    refused(
        "no column 'prodct_id' for product_id.*did you mean 'product_id'",
        shape="shown",
        columns={"product_id": "prodct_id"},
    )
    refused("no column 'action' for action", shape="events")
    refused("no column 'query.text' for query", shape="shown", columns={"query": "query.text"})
    refused("'product_id' is String, not a list|'position' is UInt16, not a list", shape="searches")
    truth.group_by("search_id", "query").agg(pl.all()).write_parquet(tmp_path / "log.parquet")
    refused("'product_id' is List.String.; give one text or number a row", shape="shown")


def test_files_that_are_no_tables_are_errors(tmp_path):
    mapping = LogMapping(shape="shown")
    (tmp_path / "log.txt").write_text("x")
    with pytest.raises(DataError, match="no known extension"):
        read_log(tmp_path / "log.txt", mapping=mapping, directory=tmp_path / "out")
    (tmp_path / "ragged.csv").write_text("search_id,query\na,b,c\n")
    with pytest.raises(DataError, match=r"ragged.csv cannot be read"):
        read_log(tmp_path / "ragged.csv", mapping=mapping, directory=tmp_path / "out")
    (tmp_path / "empty.csv").touch()
    assert read_log(tmp_path / "empty.csv", mapping=mapping, directory=tmp_path / "out").report.noted == {
        "empty_file": 1
    }


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ('shape = "evnts"', "shape = 'evnts' is unknown; did you mean 'events'"),
        ('columns = {a = "b"}', "key 'shape' is missing"),
        ('shape = "shown"\nfrist_position = 1', "unknown key 'frist_position'; did you mean 'first_position'"),
        (
            'shape = "shown"\n[columns]\nprodct_id = "x"',
            r"\[columns\] has no key 'prodct_id'.*did you mean 'product_id'",
        ),
        ('shape = "events"\n[actions]\ntap = "clik"', "actions.tap = 'clik' is unknown; did you mean 'click'"),
        ('shape = "events"\ntime = "noon"', "neither a unit"),
        ('shape = "shown"\nclicked_by = "flag"', "clicked_by is for shape 'searches'"),
        ('shape = "shown"\nfirst_position = 2', "first_position = 2"),
        ("shape = ", "not TOML"),
    ],
    ids=range(9),
)
def test_a_mapping_with_a_fault_is_an_error_that_names_the_key(tmp_path, text, match):
    (tmp_path / "mapping.toml").write_text(text)
    with pytest.raises(ConfigError, match=match):
        read_mapping(tmp_path / "mapping.toml")


def test_a_mapping_is_read_from_toml(tmp_path):
    (tmp_path / "mapping.toml").write_text(
        'shape = "events"\ntime = "ms"\nfirst_position = 0\n[columns]\nproduct_id = "item.sku"\n[actions]\ntap = "click"\nhover = "none"\n'
    )
    assert read_mapping(tmp_path / "mapping.toml") == LogMapping(
        shape="events",
        time="ms",
        first_position=0,
        columns={"product_id": "item.sku"},
        actions={"tap": "click", "hover": "none"},
    )
