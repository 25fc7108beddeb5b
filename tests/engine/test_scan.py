import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from ltr.engine import connect
from ltr.engine.columns import ID
from ltr.engine.mapping import read
from ltr.engine.scan import copied_fields, copy, documents, sample
from ltr.errors import EngineError
from made.foreign_index import documents as foreign_documents
from made.foreign_index import standing
from made.front_door import HANG_UP, front_door

PLAIN = {"number_of_replicas": 0}
FOUND = foreign_documents(120)


@pytest.fixture(scope="module")
def engine(engine_url):
    return connect(engine_url)


@pytest.fixture(scope="module")
def foreign(engine):
    with standing(engine, FOUND) as index:
        yield index


def ids(pages):
    return sorted(hit["_id"] for page in pages for hit in page)


def passed_on(_request, _forward):
    return None


def opened_and_closed(came):
    """How many points in time or scrolls were opened through a door, and how many closed."""
    opens = [
        each for each in came if each.method == "POST" and re.search(r"/_pit\?|/point_in_time\?|[?&]scroll=", each.path)
    ]
    return len(opens), len([each for each in came if each.method == "DELETE"])


@pytest.mark.parametrize("batch", [7, 60, 120, 1_000])
def test_every_document_comes_once_whatever_the_page(engine, foreign, batch):
    fields = copied_fields(read(engine, foreign))
    assert ids(documents(engine, foreign, fields=fields, batch=batch)) == sorted(name for name, _ in FOUND)


def test_documents_are_those_of_the_moment_of_the_first_page(engine):
    with standing(engine, FOUND[:30]) as index:
        fields = copied_fields(read(engine, index))
        pages = documents(engine, index, fields=fields, batch=10)
        first = next(pages)
        engine.call("DELETE", f"/{index}/_doc/{FOUND[29][0]}", params={"refresh": True})
        engine.call("PUT", f"/{index}/_doc/new", {"bezeichnung": "neu"}, params={"refresh": True})
        assert ids([first, *pages]) == sorted(name for name, _ in FOUND[:30])


@pytest.mark.parametrize("wanted", [1, 100])
def test_what_was_opened_is_closed_also_by_who_leaves_early(engine_url, engine, foreign, wanted):
    fields = copied_fields(read(engine, foreign))
    with front_door(engine_url, passed_on) as (url, came):
        pages = documents(connect(url), foreign, fields=fields, batch=10)
        for _, _page in zip(range(wanted), pages, strict=False):
            pass
        pages.close()
        assert opened_and_closed(came) == (1, 1)
        closed = came[-1].json["id"]
    assert engine.call("DELETE", "/_pit", {"id": closed}, allow=(404,))["num_freed"] == 0


def opensearch(request, forward):
    """OpenSearch's dialect of a point in time, and none of Elasticsearch's."""
    path, _, parameters = request.path.partition("?")
    if path.endswith("/_pit"):
        return 400, {"error": "no handler found for uri and method [POST]"}
    if path.endswith("/_search/point_in_time"):
        if request.method == "DELETE":
            (pit,) = request.json["pit_id"]
            return forward("DELETE", "/_pit", {"id": pit})
        status, told = forward("POST", path.replace("/_search/point_in_time", "/_pit") + "?" + parameters)
        return (status, {"pit_id": told["id"]} if "id" in told else told)
    if path == "/_search" and "pit" in (body := request.json):
        assert body["sort"] == [{"_id": "asc"}]
        # The minimal server does not sort by _id; its own order does for the test.
        return forward("POST", request.path, {**body, "sort": [{"_shard_doc": "asc"}]})
    return None


def scrolling(request, _forward):
    """A server before points in time."""
    if "_pit" in request.path or "point_in_time" in request.path:
        return 400, {"error": "no handler found for uri and method [POST]"}
    return None


@pytest.mark.parametrize("rule", [opensearch, scrolling])
def test_other_dialects_deliver_the_same(engine_url, engine, foreign, rule):
    fields = copied_fields(read(engine, foreign))
    with front_door(engine_url, rule) as (url, came):
        assert ids(documents(connect(url), foreign, fields=fields, batch=50)) == sorted(name for name, _ in FOUND)
    assert opened_and_closed(came)[1] == 1
    assert came[-1].method == "DELETE"


def test_a_page_that_a_scroll_lost_is_noticed(engine_url, engine, foreign):
    lost = []

    def rule(request, forward):
        if request.path == "/_search/scroll" and request.method == "POST" and not lost:
            lost.append(forward("POST", request.path, request.body))  # the scroll has moved on, and nobody was told
            return HANG_UP
        return scrolling(request, forward)

    fields = copied_fields(read(engine, foreign))
    with (
        front_door(engine_url, rule) as (url, _),
        pytest.raises(EngineError, match=r"counts 120 .* delivered 70.*try again"),
    ):
        ids(documents(connect(url), foreign, fields=fields, batch=50))


def test_a_lost_connection_is_gone_on_after(engine_url, engine, foreign):
    dropped = []

    def rule(request, _forward):
        if request.path.startswith("/_search?") and len(dropped) < 3:
            dropped.append(request)
            return HANG_UP
        return None

    fields = copied_fields(read(engine, foreign))
    with front_door(engine_url, rule) as (url, _):
        assert ids(documents(connect(url), foreign, fields=fields, batch=50)) == sorted(name for name, _ in FOUND)
    assert len(dropped) == 3


def expiring(times):
    """A rule: the point in time is lost before the second page, so many times."""
    lost = []

    def rule(request, forward):
        body = request.json if request.path.startswith("/_search?") else None
        if body and "search_after" in body and len(lost) < times:
            lost.append(forward("DELETE", "/_pit", {"id": body["pit"]["id"]}))
        return

    return rule


def test_a_copy_begins_again_where_the_point_in_time_was_lost_and_says_so(engine_url, engine, foreign, tmp_path):
    told = read(engine, foreign)
    path = tmp_path / "catalogue.parquet"
    with front_door(engine_url, expiring(1)) as (url, _):
        copied, notes = copy(connect(url), told, path, batch=50)
    assert copied == len(FOUND)
    assert len(notes) == 1
    assert re.search(r"begun again: .* lost the point in time", notes[0])
    assert pl.read_parquet(path)[ID].to_list() == sorted(name for name, _ in FOUND)


def test_a_copy_that_is_always_lost_leaves_nothing(engine_url, engine, foreign, tmp_path):
    told = read(engine, foreign)
    with front_door(engine_url, expiring(99)) as (url, _), pytest.raises(EngineError, match="lost the point in time"):
        copy(connect(url), told, tmp_path / "catalogue.parquet", batch=50)
    assert list(tmp_path.iterdir()) == []


# ---- copy


@pytest.fixture(scope="module")
def copied(engine, foreign, tmp_path_factory):
    path = tmp_path_factory.mktemp("copy") / "catalogue.parquet"
    number, notes = copy(engine, read(engine, foreign), path, batch=37)
    assert (number, notes) == (len(FOUND), ())
    return pl.read_parquet(path)


def test_a_copy_is_exact_for_texts_and_keywords(copied):
    by_id = dict(FOUND)
    for row in copied.iter_rows(named=True):
        source = by_id[row[ID]]
        maker = source.get("hersteller", {}).get("name") or source.get("hersteller.name")
        attributes = source["merkmale"] if isinstance(source["merkmale"], list) else [source["merkmale"]]
        assert row["bezeichnung"] == source["bezeichnung"]
        assert row["langtext"] == source["langtext"]
        assert row["hersteller.name"] == maker
        assert row["hersteller.land"] == source.get("hersteller", {}).get("land")
        assert row["warengruppen"] == source["warengruppen"]
        assert row["merkmale.name"] == [each["name"] for each in attributes]
        assert row["merkmale.wert"] == [each["wert"] for each in attributes]


def test_a_copy_has_the_numbers_that_the_engine_holds(copied):
    by_id = dict(FOUND)
    for row in copied.iter_rows(named=True):
        source = by_id[row[ID]]
        price = source.get("preis_eur")
        least = min(price) if isinstance(price, list) else price
        assert row["preis_eur"] == (None if least is None else float(np.float32(least)))
        assert row["bewertung"] == float(np.float16(source["bewertung"]))
        assert row["verkaufteStueck"] == source["verkaufteStueck"]
        assert row["lieferbar"] is source["lieferbar"]


def test_a_copy_reads_dates_whatever_their_format(copied):
    by_id = dict(FOUND)
    for row in copied.iter_rows(named=True):
        given = by_id[row[ID]]["eingestellt_am"]
        if isinstance(given, int):
            assert row["eingestellt_am"].timestamp() * 1_000 == pytest.approx(given, abs=0.01)
        else:
            assert f"{row['eingestellt_am']:%d.%m.%Y}" == given


def test_a_copy_leaves_out_what_no_feature_reads(copied):
    assert not {"bild_vektor", "lager_ort", "erp", "erp.notiz", "preis"} & set(copied.columns)
    assert copied["suchtext"].null_count() == copied.height  # copy_to: to be matched in the engine, and in no document
    assert copied.schema["farbe"] == pl.String
    assert copied.schema["groessen"] == pl.List(pl.String)


def test_a_copy_takes_the_place_of_the_one_before_only_when_it_is_whole(engine_url, engine, foreign, tmp_path):
    path = tmp_path / "catalogue.parquet"
    path.write_bytes(b"the one before")
    told = read(engine, foreign)

    def rule(request, _forward):
        if request.path.startswith("/_search?") and "search_after" in request.json:
            return 400, {"error": {"reason": "a shard has failed"}}
        return None

    with front_door(engine_url, rule) as (url, _), pytest.raises(EngineError, match="a shard has failed"):
        copy(connect(url), told, path, batch=50)
    assert path.read_bytes() == b"the one before"
    assert list(tmp_path.iterdir()) == [path]


KILLED = """
import sys
from pathlib import Path
from ltr.engine import connect
from ltr.engine.columns import ID
from ltr.engine.mapping import read
from ltr.engine.scan import copy
engine = connect(sys.argv[1])
copy(engine, read(engine, sys.argv[2]), Path(sys.argv[3]), batch=10)
"""


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
def test_a_copy_that_is_killed_leaves_no_catalogue_and_the_next_one_clears_up(
    engine_url, engine, foreign, tmp_path, how
):
    path = tmp_path / "catalogue.parquet"
    reached = []

    def rule(request, _forward):
        if request.path.startswith("/_search?") and "search_after" in request.json:
            reached.append(request)
            time.sleep(0.2)
        return

    with front_door(engine_url, rule) as (url, _):
        copying = subprocess.Popen([sys.executable, "-c", KILLED, url, foreign, str(path)], stderr=subprocess.DEVNULL)
        while not reached:
            assert copying.poll() is None
            time.sleep(0.02)
        os.kill(copying.pid, how)
        assert copying.wait(timeout=20) != 0
    assert not path.exists()
    if how == signal.SIGINT:
        assert list(tmp_path.iterdir()) == []
    copy(engine, read(engine, foreign), path)
    assert list(tmp_path.iterdir()) == [path]


def test_an_index_without_source_or_without_documents_cannot_be_copied(engine, tmp_path):
    text = {"properties": {"title": {"type": "text"}}}
    with standing(engine, [], mappings=text, settings=PLAIN) as index:
        for attempt in (lambda told: copy(engine, told, tmp_path / "c.parquet"), lambda told: sample(engine, told)):
            with pytest.raises(EngineError, match="holds no document"):
                attempt(read(engine, index))
    with standing(
        engine, [("1", {"title": "x"})], mappings={**text, "_source": {"enabled": False}}, settings=PLAIN
    ) as index:
        for attempt in (lambda told: copy(engine, told, tmp_path / "c.parquet"), lambda told: sample(engine, told)):
            with pytest.raises(EngineError, match=r"keeps no _source.*source = \"files\""):
                attempt(read(engine, index))
    assert list(tmp_path.iterdir()) == []


def test_values_of_an_older_index_that_do_not_fit_are_missing_and_told(engine, tmp_path):
    nested = {"type": "nested", "properties": {"price": {"type": "double", "ignore_malformed": True}}}
    found = [("1", {"offers": [{"price": "4.5"}, {"price": "on request"}]}), ("2", {"offers": {"price": "?"}})]
    with standing(engine, found, mappings={"properties": {"offers": nested}}, settings=PLAIN) as index:
        path = tmp_path / "catalogue.parquet"
        assert copy(engine, read(engine, index), path) == (
            2,
            ("2 values of 'offers.price' are no number and are missing.",),
        )
        assert pl.read_parquet(path).rows() == [("1", 4.5), ("2", None)]


def test_more_numbers_than_one_search_may_ask_for_are_copied_all_the_same(engine, tmp_path):
    properties = {f"n{at}": {"type": "double"} for at in range(130)}
    found = [(str(row), {name: row + at / 8 for at, name in enumerate(properties)}) for row in range(3)]
    with standing(engine, found, mappings={"properties": properties}, settings=PLAIN) as index:
        copy(engine, read(engine, index), tmp_path / "c.parquet")
    frame = pl.read_parquet(tmp_path / "c.parquet")
    for row, (_, source) in enumerate(found):
        assert {name: frame[name][row] for name in properties} == source


def test_parts_are_joined_in_one_order_whatever_their_number(engine, foreign, tmp_path, monkeypatch):
    told = read(engine, foreign)
    frames = []
    for part in (20, 100_000):
        monkeypatch.setattr("ltr.engine.scan._PART", part)
        path = tmp_path / f"{part}.parquet"
        copy(engine, told, path, batch=7)
        frames.append(pl.read_parquet(path))
    assert frames[0].equals(frames[1])
    assert frames[0][ID].is_sorted()


def test_a_sample_is_drawn_alike_twice_and_has_the_columns_of_a_copy(engine, foreign, copied):
    told = read(engine, foreign)
    one, other = sample(engine, told, size=40), sample(engine, told, size=40)
    assert one.equals(other)
    assert one.height == 40
    assert one.columns == copied.columns
    assert not one[ID].is_sorted()


def test_a_copy_says_what_it_was_told_to(engine, foreign, tmp_path):
    path = tmp_path / "deep" / "catalogue.parquet"
    copy(engine, read(engine, foreign), path, describe=lambda number, notes: {"of": f"{number} {list(notes)}"})
    assert pl.read_parquet_metadata(path)["of"] == "120 []"
    assert [left.name for left in Path(path.parent).iterdir()] == [path.name]
