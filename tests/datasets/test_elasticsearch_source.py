import polars as pl
import pytest

from ltr import datasets
from ltr.config import DataConfig
from ltr.datasets.catalogue import read_products
from ltr.datasets.elasticsearch import copy, load, origin
from ltr.engine import connect
from ltr.errors import ConfigError, DataError, EngineError, JudgmentError
from made.foreign_index import documents, judgments, standing, write_judgments
from made.front_door import front_door

FOUND = documents(120)
TYPES = {
    "artikelnr": "keyword",
    "bezeichnung": "text",
    "langtext": "text",
    "merkmale.wert": "text",
    "groessen": "keyword",
    "preis_eur": "number",
    "lieferbar": "boolean",
    "eingestellt_am": "time",
}


@pytest.fixture(scope="module")
def engine(engine_url):
    return connect(engine_url)


@pytest.fixture(scope="module")
def foreign(engine):
    with standing(engine, FOUND) as index:
        yield index


@pytest.fixture(scope="module")
def copied(engine, foreign, tmp_path_factory):
    """A copy as the first run leaves it."""
    path = tmp_path_factory.mktemp("copied") / "catalogue.parquet"
    copy(engine, foreign, path)
    return path


@pytest.fixture
def home(copied, tmp_path):
    """A directory with the copy and judgments."""
    (tmp_path / "catalogue.parquet").write_bytes(copied.read_bytes())
    write_judgments(tmp_path / "judgments.csv", FOUND)
    return tmp_path


def config(index, **keys):
    # Nothing listens on port 9: who asks the engine fails.
    given = {"url": "http://127.0.0.1:9", "judgments": "judgments.csv", "title": "bezeichnung"}
    return DataConfig(source="elasticsearch", index=index, **{**given, **keys})


def test_the_first_run_copies_and_the_next_one_asks_nothing(engine_url, foreign, tmp_path):
    write_judgments(tmp_path / "judgments.csv", FOUND)
    with front_door(engine_url, lambda *_: None) as (url, came):
        first = datasets.load(config(foreign, url=url), base=tmp_path, scale="0-3")
        asked = len(came)
        again = datasets.load(config(foreign, url=url), base=tmp_path, scale="0-3")
        assert len(came) == asked
    assert first.products.equals(again.products)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["catalogue.parquet", "judgments.csv"]


def test_products_are_the_documents_under_the_engines_own_names(foreign, home):
    dataset = load(config(foreign), base=home, scale="0-3")
    assert dataset.name == "elasticsearch"
    assert dataset.products["product_id"].to_list() == sorted(name for name, _ in FOUND)
    assert {name: dataset.fields[name] for name in TYPES} == TYPES
    assert dataset.title == "bezeichnung"
    assert dataset.judgments.height == len(judgments(FOUND))
    assert dataset.scale == "0-3"
    (note,) = dataset.notes
    assert f"copy of 120 documents of index '{foreign}'" in note
    assert "remove catalogue.parquet to copy it anew" in note


def test_types_are_those_of_the_mapping_whatever_the_values_look_like(engine, tmp_path):
    mappings = {"properties": {"name": {"type": "text"}, "code": {"type": "keyword"}, "kind": {"type": "text"}}}
    found = [(str(at), {"name": "one", "code": at, "kind": "x"}) for at in range(9)]
    with standing(engine, found, mappings=mappings, settings={"number_of_replicas": 0}) as index:
        copy(engine, index, tmp_path / "catalogue.parquet")
    (tmp_path / "judgments.csv").write_text("query,product_id,grade\none,3,1\n")
    dataset = load(config(index, title="name"), base=tmp_path)
    assert dataset.fields == {"code": "keyword", "kind": "text", "name": "text"}
    assert dataset.products["code"].to_list() == [str(at) for at in range(9)]


def test_another_field_may_name_the_products(foreign, home):
    by_id = {name: source["artikelnr"] for name, source in FOUND}
    rows = [f"{query},{by_id[name]},{grade}" for query, name, grade in judgments(FOUND)]
    (home / "judgments.csv").write_text("\n".join(["query,product_id,grade", *rows]))
    dataset = load(config(foreign, columns={"product_id": "artikelnr"}), base=home, scale="0-3")
    assert dataset.products["product_id"].to_list() == [by_id[name] for name in sorted(by_id)]
    assert "artikelnr" not in dataset.fields
    assert dataset.fields["_id"] == "keyword"


def test_a_type_and_a_name_may_be_set_by_hand(foreign, home):
    dataset = load(
        config(foreign, columns={"name": "bezeichnung"}, fields={"artikelnr": "text"}, title="name"),
        base=home,
        scale="0-3",
    )
    assert (dataset.fields["name"], dataset.fields["artikelnr"]) == ("text", "text")
    assert dataset.text_fields["name"] == 3.0


def test_a_title_of_several_values_is_one_text(engine, tmp_path):
    (tmp_path / "judgments.csv").write_text("query,product_id,grade\nshoe,1,1\n")
    found = [("1", {"name": ["red", "shoe"], "tags": ["a", "b"]}), ("2", {"name": "hat"})]
    mappings = {"properties": {"name": {"type": "text"}, "tags": {"type": "text"}}}
    with standing(engine, found, mappings=mappings, settings={"number_of_replicas": 0}) as index:
        copy(engine, index, tmp_path / "catalogue.parquet")
    dataset = load(config(index, title="name"), base=tmp_path)
    assert dataset.products["name"].to_list() == ["red shoe", "hat"]
    assert dataset.products["tags"].to_list() == [["a", "b"], None]


def test_where_clicks_teach_no_judgments_are_needed(foreign, home):
    dataset = load(config(foreign, judgments=None), base=home, needs_judgments=False)
    assert dataset.judgments.height == 0
    with pytest.raises(ConfigError, match="judgments is missing"):
        load(config(foreign, judgments=None), base=home)


def test_judgments_of_other_products_are_refused(foreign, home):
    (home / "judgments.csv").write_text("query,product_id,grade\nshoe,zzz,1\n")
    with pytest.raises(JudgmentError, match="none of the 1 judged products is in the catalogue"):
        load(config(foreign), base=home)


def test_a_copy_of_another_index_is_not_taken_for_this_one(foreign, home):
    with pytest.raises(DataError, match=f"is a copy of index '{foreign}', and .* index = 'other'; remove it"):
        load(config("other"), base=home)


def test_a_catalogue_that_somebody_else_wrote_is_read_as_a_file(home, foreign):
    frame = pl.read_parquet(home / "catalogue.parquet")
    frame.write_parquet(home / "mine.parquet")
    assert origin(home / "mine.parquet") is None
    dataset = load(config(foreign, products="mine.parquet"), base=home, scale="0-3")
    assert dataset.products.height == frame.height
    assert "guessed from the values" in dataset.notes[0]


def test_a_copy_cut_short_or_one_that_says_nothing_sensible_is_refused(foreign, home):
    path = home / "catalogue.parquet"
    pl.read_parquet(path).write_parquet(home / "odd.parquet", metadata={"ltr": '{"index": 3}'})
    with pytest.raises(DataError, match="does not say what it is a copy of"):
        load(config(foreign, products="odd.parquet"), base=home)
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(DataError, match="not a whole Parquet file"):
        load(config(foreign), base=home)


def test_a_copy_is_parquet(foreign, home):
    with pytest.raises(ConfigError, match=r"products = 'mine.csv' is no Parquet file; name it FILE.parquet"):
        load(config(foreign, products="mine.csv"), base=home)
    with pytest.raises(ConfigError, match="index is missing"):
        load(config(None), base=home)


def test_judgments_that_are_not_there_are_told_before_anything_is_copied(tmp_path, foreign):
    with pytest.raises(DataError, match=r"judgments\.csv does not exist; put the judgments there"):
        load(config(foreign), base=tmp_path)
    with pytest.raises(ConfigError, match="judgments is missing"):
        load(config(foreign, judgments=None), base=tmp_path)


def test_an_engine_that_is_not_there_leaves_nothing(tmp_path, foreign):
    with pytest.raises(EngineError, match="does not answer"):
        load(config(foreign, judgments=None), base=tmp_path, needs_judgments=False)
    assert list(tmp_path.iterdir()) == []


def test_a_bundle_finds_the_products_of_a_later_copy(foreign, home):
    dataset = load(config(foreign), base=home, scale="0-3")
    products, lacking = read_products(
        home / "catalogue.parquet", config=config(foreign), fields=dataset.fields, title="bezeichnung"
    )
    assert products["product_id"].to_list() == dataset.products["product_id"].to_list()
    assert lacking == []


def test_what_was_begun_again_is_noted_with_the_copy(engine_url, foreign, tmp_path):
    lost = []

    def rule(request, forward):
        if request.path.startswith("/_search?") and not lost:
            lost.append(forward("DELETE", "/_pit", {"id": request.json["pit"]["id"]}))

    write_judgments(tmp_path / "judgments.csv", FOUND)
    with front_door(engine_url, rule) as (url, _):
        load(config(foreign, url=url), base=tmp_path, scale="0-3")
    dataset = load(config(foreign), base=tmp_path, scale="0-3")
    assert "begun again" in dataset.notes[1]
