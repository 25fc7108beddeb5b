import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ltr import measures
from ltr.config import DataConfig
from ltr.datasets.files import load, normalise, read_judgments, read_products
from ltr.errors import ConfigError, DataError, JudgmentError

RATINGS = "query,docid,rating\nRed  Shoe,007,4\nred shoe,8,1\nhat,9,3\n"


def config(**keys):
    return DataConfig(source="files", **{"products": "catalogue.csv", "judgments": "ratings.csv"} | keys)


def judgments_of(tmp_path, content, name="ratings.csv", *, scale="graded", columns=None):
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return read_judgments(path, scale=scale, columns=columns or {})


def test_a_catalogue_and_quepid_ratings_load_without_any_mapping(shop):
    dataset = load(config(), base=shop)
    assert dataset.products["product_id"].to_list() == ["007", "8", "9", "10"]
    assert dataset.fields == {
        "name": "text",
        "about": "text",
        "brand": "keyword",
        "price": "number",
        "launched": "time",
        "in_stock": "boolean",
    }
    assert dataset.products["price"].to_list() == [59.9, None, 19.0, 25.0]
    assert (dataset.title, dataset.text_fields) == ("name", {"name": 3.0, "about": 1.0})
    assert (dataset.scale, dataset.gains) == ("graded", "exponential")
    assert dataset.queries.rows() == [("red shoe", "Red  Shoe"), ("hat", "hat")]
    assert dataset.judgments.rows() == [("red shoe", "007", 4, 1), ("red shoe", "8", 1, 1), ("hat", "9", 3, 1)]


def test_mapped_columns_and_declared_types_override_what_would_be_guessed(shop):
    dataset = load(
        config(columns={"title": "about", "label": "name"}, fields={"price": "keyword", "label": "keyword"}), base=shop
    )
    assert dataset.title == "title"
    assert dataset.fields["price"] == "keyword"
    assert dataset.products["price"].to_list() == ["59.90", None, "19", "25"]
    assert dataset.text_fields == {"title": 3.0}
    assert "brand keyword" in dataset.notes[0]
    assert "price" not in dataset.notes[0]


def test_a_mapped_column_hides_the_files_own_column_of_that_name(tmp_path):
    path = tmp_path / "shop.jsonl"
    path.write_text('{"id": 1, "product_id": "x", "title": "old", "name": "a new name"}\n')
    products, fields = read_products(path, columns={"product_id": "id", "title": "name"}, fields={"title": "text"})
    assert products.rows() == [("1", "a new name")]
    assert fields == {"title": "text"}


def test_a_query_column_may_also_be_its_id(tmp_path):
    queries, _ = judgments_of(tmp_path, "q,docid,rating\nhat,1,1\n", columns={"query": "q", "query_id": "q"})
    assert queries.rows() == [("hat", "hat")]


def test_nested_columns_are_left_out_and_named(shop):
    (shop / "catalogue.jsonl").write_text('{"sku": 9, "title": "a red shoe", "size": {"eu": 42}}\n')
    dataset = load(config(products="catalogue.jsonl", fields={"title": "text"}), base=shop)
    assert dataset.products.columns == ["product_id", "title"]
    assert dataset.notes == ("Nested columns are left out: size.",)


def test_what_is_called_a_title_is_text_however_alike_the_products_are(tmp_path):
    path = tmp_path / "few.csv"
    path.write_text("sku,title,brand\n" + "".join(f"{i},red shoe,Acme\n" for i in range(40)))
    _, fields = read_products(path)
    assert fields == {"title": "text", "brand": "keyword"}
    path.write_text("sku,label,brand\n" + "".join(f"{i},red shoe,Acme\n" for i in range(40)))
    (tmp_path / "judged.csv").write_text("query,sku,grade\nred,1,1\n")
    named = DataConfig(source="files", products="few.csv", judgments="judged.csv", title="label")
    assert load(named, base=tmp_path).fields == {"label": "text", "brand": "keyword"}


def test_the_title_is_the_configured_field_or_one_named_so_or_the_first_text(tmp_path):
    content = (
        "sku,about,name,blurb\n9,a long text,a red shoe,one more text\n2,another long text,a blue shoe,and yet more\n"
    )
    (tmp_path / "catalogue.csv").write_text(content)
    (tmp_path / "ratings.csv").write_text(RATINGS)
    assert load(config(), base=tmp_path).title == "name"
    assert load(config(title="blurb"), base=tmp_path).title == "blurb"
    assert load(config(fields={"name": "keyword"}), base=tmp_path).title == "about"
    with pytest.raises(ConfigError, match="title = 'nam' is not a text field; did you mean 'name'"):
        load(config(title="nam"), base=tmp_path)


def test_the_scale_of_files_is_that_given_or_escis_by_its_letters_or_graded(shop):
    (shop / "letters.csv").write_text("query,product_id,grade\nhat,9,E\nhat,8,i\n")
    (shop / "stars.csv").write_text("query,product_id,grade\nhat,9,9\n")
    esci = load(config(judgments="letters.csv"), base=shop)
    assert (esci.scale, esci.gains, esci.judgments["grade"].to_list()) == ("esci", "esci", [3.0, 0.0])
    assert load(config(judgments="stars.csv"), base=shop, scale="0-10").scale == "0-10"
    # Without a scale, whoever settles it checks the grades: a 9 is let through here.
    assert load(config(judgments="stars.csv"), base=shop).judgments["grade"].to_list() == [9.0]
    with pytest.raises(JudgmentError, match="line 2: grade '9' is not on scale 'graded'"):
        load(config(judgments="stars.csv"), base=shop, scale="graded")


def test_fewer_keys_than_files_need_are_asked_for(shop):
    with pytest.raises(ConfigError, match=r'\[data\] judgments is missing; source = "files" needs'):
        load(DataConfig(source="files", products="catalogue.csv"), base=shop)


ALIASED = {
    "ours": ("query_id,query,product_id,grade,weight\n7,hat,1,2,0.5\n", ("7", "hat", "1", 2.0, 0.5)),
    "quepid": ("query,docid,rating\nhat,1,2\n", ("hat", "hat", "1", 2.0, 1.0)),
    "the plugin's documentation": ("grade,keywords,docId\n2,hat,1\n", ("hat", "hat", "1", 2.0, 1.0)),
    "others": ("qid,user_query,docno,relevance\nq:7,hat,1,2.0\n", ("q:7", "hat", "1", 2.0, 1.0)),
    "an id beside a sku": ("id,query,sku,label\n99,hat,1,good\n", ("hat", "hat", "1", 2.0, 1.0)),
}


@pytest.mark.parametrize(("content", "wanted"), ALIASED.values(), ids=ALIASED)
def test_columns_under_usual_names_need_no_mapping(tmp_path, content, wanted):
    queries, judgments = judgments_of(tmp_path, content)
    assert judgments.join(queries, on="query_id").select(
        "query_id", "query", "product_id", "grade", "weight"
    ).rows() == [wanted]


@pytest.mark.parametrize("extension", ["csv", "tsv", "parquet", "jsonl"])
def test_every_format_of_judgments_reads_alike(tmp_path, extension):
    frame = pl.DataFrame({"query": ["hat", "hat"], "product_id": [7.0, 8.0], "grade": [3, 0]})
    path = tmp_path / f"ratings.{extension}"
    writers = {
        "csv": frame.write_csv,
        "tsv": lambda file: frame.write_csv(file, separator="\t"),
        "parquet": frame.write_parquet,
        "jsonl": frame.write_ndjson,
    }
    writers[extension](path)
    _, judgments = read_judgments(path, scale=measures.scale("graded"))
    ids = ["7", "8"] if extension == "parquet" else judgments["product_id"].to_list()
    assert judgments.rows() == [("hat", ids[0], 3.0, 1.0), ("hat", ids[1], 0.0, 1.0)]


def test_escis_examples_are_read_in_their_us_part_with_letters_as_grades(tmp_path):
    path = tmp_path / "examples.parquet"
    pl.DataFrame(
        {
            "example_id": [0, 1, 2],
            "query": ["hat", "hat", "sombrero"],
            "query_id": [5, 5, 6],
            "product_id": ["a", "b", "a"],
            "product_locale": ["us", "us", "es"],
            "esci_label": ["E", "S", "E"],
            "split": ["train", "train", "train"],
        }
    ).write_parquet(path)
    queries, judgments = read_judgments(path, scale="esci")
    assert judgments.rows() == [("5", "a", 3.0, 1.0), ("5", "b", 2.0, 1.0)]
    assert queries.select("query_id", "query", "split").rows() == [("5", "hat", "train")]


def test_columns_with_one_value_a_query_stay_beside_it(tmp_path):
    queries, _ = judgments_of(
        tmp_path, "query,docid,rating,team,comment\nhat,1,1,shoes,x\nhat,2,1,shoes,y\nred,1,1,,z\n"
    )
    assert queries.rows() == [("hat", "hat", "shoes"), ("red", "red", None)]


def test_queries_that_quepid_exports_without_ratings_are_passed_over(tmp_path):
    queries, judgments = judgments_of(tmp_path, "query,docid,rating\nhat,1,2\nnobody rated this\n")
    assert queries["query_id"].to_list() == ["hat"]
    assert judgments.height == 1


def test_blank_queries_keep_their_judgments(tmp_path):
    queries, judgments = judgments_of(tmp_path, "query,docid,rating\n ,1,2\n,2,0\nhat,1,1\n")
    assert queries["query"].to_list() == ["", "hat"]
    assert judgments.height == 3


def test_a_query_id_may_be_written_in_several_ways_if_they_are_one_query(tmp_path):
    queries, _ = judgments_of(tmp_path, "query_id,query,docid,rating\n1,Red Hat,1,2\n1,red  hat,2,0\n")
    assert queries.rows() == [("1", "Red Hat")]


@given(st.text())
@settings(deadline=None, max_examples=50)
def test_normalising_twice_changes_nothing(query):
    # "İ" becomes two characters in lower case, and "Σ" depends on its neighbours; both are settled after one pass.
    assert normalise(normalise(query)) == normalise(query)


@given(st.lists(st.text(min_size=1, max_size=8), min_size=1, max_size=8))
@settings(deadline=None, max_examples=50)
def test_a_query_without_an_id_is_named_by_its_normalised_text(tmp_path_factory, texts):
    path = tmp_path_factory.mktemp("judgments") / "ratings.parquet"
    rows = {"query": texts, "product_id": [str(number) for number in range(len(texts))], "grade": [1] * len(texts)}
    pl.DataFrame(rows).write_parquet(path)
    _, judgments = read_judgments(path, scale="binary")
    assert judgments["query_id"].to_list() == [normalise(text) for text in texts]


BAD_JUDGMENTS = {
    "no grade column": (
        "query,docid\nhat,1\n",
        r"no column for grade; it has query, docid; rename a column: grade may be called grade, rating, relevance, label, esci_label$",
    ),
    "no row": ("query,docid,rating\n", "holds no judgment"),
    "a grade above the scale": (
        "query,docid,rating\nhat,1,4\nhat,2,7\n",
        r"line 3: grade '7' is not on scale 'graded' \(0 to 4.*; correct them; the scale is the bundle's, or what convert",
    ),
    "a grade below the scale": ("query,docid,rating\nhat,1,-1\n", "line 2: grade '-1' is not on scale 'graded'"),
    "a grade between two": ("query,docid,rating\nhat,1,2.5\n", "line 2: grade '2.5' is not on"),
    "a letter on a numeric scale": ("query,docid,rating\nhat,1,E\n", "line 2: grade 'E' is not on.*esci"),
    "a grade that is not a number": ("query,docid,rating\nhat,1,nan\n", "line 2: grade 'nan' is not on"),
    "no grade in a row": ("query,product_id,grade\n\nhat,1,\n", "line 3: grade is empty"),
    "no product in a row": ("query,product_id,grade\nhat,,1\n", "line 2: product_id is empty"),
    "no id in a row": ("query_id,query,docid,rating\n1,hat,1,1\n,hat,2,1\n", "line 3: query_id is empty"),
    "a weight below zero": ("query,docid,rating,weight\nhat,1,1,-1\n", "line 2: weight '-1' is not a number from 0"),
    "an infinite weight": ("query,docid,rating,weight\nhat,1,1,inf\n", "line 2: weight 'inf' is not"),
    "a pair in conflict": (
        "query,docid,rating\nhat,1,4\nred,1,1\nHat ,1,0\n",
        r"product '1' is judged twice for query 'hat': grade 4 \(line 2\) and 0 \(line 4\); 2 rows repeat a pair; keep one",
    ),
    "a pair repeated": ("query,docid,rating\nhat,1,4\nhat,1,4\n", r"grade 4 \(line 2\) and 4 \(line 3\)"),
    "one id for two queries": (
        "query_id,query,docid,rating\n1,hat,1,4\n1,shoe,2,4\n",
        r"query_id '1' names two queries, 'hat' \(line 2\) and 'shoe' \(line 3\)",
    ),
}


@pytest.mark.parametrize(("content", "message"), BAD_JUDGMENTS.values(), ids=BAD_JUDGMENTS)
def test_bad_judgments_are_refused_with_the_line_they_stand_on(tmp_path, content, message):
    with pytest.raises(JudgmentError, match=message):
        judgments_of(tmp_path, content)


def test_grades_of_parquet_are_named_by_row(tmp_path):
    path = tmp_path / "ratings.parquet"
    pl.DataFrame({"query": ["hat", "hat"], "product_id": [1, 2], "grade": [1.0, float("nan")]}).write_parquet(path)
    with pytest.raises(JudgmentError, match="row 2: grade nan is not on scale 'binary'"):
        read_judgments(path, scale="binary")


def test_grades_that_are_on_no_scale_are_refused_even_without_one(shop):
    (shop / "odd.csv").write_text("query,docid,rating\nhat,1,31\n")
    with pytest.raises(JudgmentError, match="grade '31' is not on any scale"):
        load(config(judgments="odd.csv"), base=shop)


def test_an_unknown_scale_is_a_fault_of_the_configuration(tmp_path):
    with pytest.raises(ConfigError, match="did you mean 'graded'"):
        judgments_of(tmp_path, RATINGS, scale="grade")


def test_keys_of_judgment_columns_are_checked(tmp_path):
    with pytest.raises(ConfigError, match=r"\[data.judgment_columns\] has no key 'grad'; did you mean 'grade'"):
        judgments_of(tmp_path, RATINGS, columns={"grad": "rating"})


MAPPED_TO_NOTHING = {
    "a name nearly right": ({"grade": "ratings"}, r"no column 'ratings', which .* maps to 'grade'; did you mean 'rating'"),
    "a name in other capitals": ({"product_id": "DocId"}, r"no column 'DocId', which .* maps to .*; did you mean 'docid'"),
}  # fmt: skip


@pytest.mark.parametrize(("columns", "message"), MAPPED_TO_NOTHING.values(), ids=MAPPED_TO_NOTHING)
def test_a_column_that_the_experiment_maps_has_to_be_there(shop, columns, message):
    with pytest.raises(JudgmentError, match=message):
        load(config(judgment_columns=columns), base=shop)


def test_an_experiment_is_told_to_map_the_column_that_it_lacks(shop):
    (shop / "stars.csv").write_text("query,docid,stars\nhat,9,1\n")
    with pytest.raises(
        JudgmentError, match=r'it has query, docid, stars; name it .*judgment_columns\] grade = "COLUMN"'
    ):
        load(config(judgments="stars.csv"), base=shop)
    (shop / "other.csv").write_text("key,name\n1,red shoe\n")
    with pytest.raises(
        DataError, match=r"no column for product_id; it has key, name; name it .*columns\] product_id ="
    ):
        load(config(products="other.csv"), base=shop)
    (shop / "ten.csv").write_text("query,docid,rating\nhat,9,7\n")
    with pytest.raises(JudgmentError, match=r'set the scale they are on, such as \[judgments\] scale = "0-10"'):
        load(config(judgments="ten.csv"), base=shop, scale="graded")


OTHER_NAMES = {
    "the mapped name": "query,sku,stars\nhat,9,1\n",
    "our name": "query,product_id,grade\nhat,9,1\n",
    "a usual name": "query,docid,rating\nhat,9,1\n",
    "the mapped name beside ours": "query,sku,stars,product_id,grade\nhat,9,1,no,no\n",
}


@pytest.mark.parametrize("content", OTHER_NAMES.values(), ids=OTHER_NAMES)
def test_what_a_bundle_is_judged_by_may_have_the_mapped_names_or_ours(tmp_path, content):
    _, judgments = judgments_of(tmp_path, content, columns={"product_id": "sku", "grade": "stars"})
    assert judgments.rows() == [("hat", "9", 1.0, 1.0)]


def test_what_a_bundle_is_judged_by_is_mended_by_renaming_a_column(tmp_path):
    with pytest.raises(
        JudgmentError, match=r"no column for grade; .*; rename a column: grade may be called points, grade,"
    ):
        judgments_of(tmp_path, "query,docid,stars\nhat,9,1\n", columns={"grade": "points"})


def test_a_list_cannot_be_a_query(tmp_path):
    with pytest.raises(JudgmentError, match=r"column 'query' is List.*give one string or number a row"):
        judgments_of(tmp_path, '{"query": ["a"], "docid": 1, "rating": 1}\n', "ratings.jsonl")
