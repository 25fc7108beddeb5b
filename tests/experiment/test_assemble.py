"""From a dataset to labelled pairs: what is counted, refused and kept."""

import polars as pl
import pytest

from ltr.config import parse
from ltr.datasets import Dataset
from ltr.errors import ConfigError, FeatureSetError, JudgmentError
from ltr.experiment.assemble import audit, check_grades, chosen_features
from ltr.experiment.candidates import known, labelled
from ltr.experiment.rows import SingleFeature, best_feature, by_feature, by_retrieval
from ltr.features import definition
from ltr.frames import check
from ltr.measures import scale


def judgments(*rows):
    frame = pl.DataFrame(rows, schema=["query_id", "product_id", "grade"], orient="row")
    return check(frame.with_columns(pl.lit(1.0).alias("weight")), "judgments")


def dataset(graded, *, complete=False):
    return Dataset(
        name="own",
        products=pl.DataFrame({"product_id": ["a", "b", "c"], "title": ["red", "blue", "green"]}),
        queries=pl.DataFrame({"query_id": ["q1", "q2", "q3", "q4"], "query": ["red", "blue", " ", "green"]}),
        judgments=graded,
        fields={"title": "text"},
        title="title",
        text_fields={"title": 1.0},
        scale="graded",
        gains="linear",
        complete=complete,
    )


GRADED = judgments(
    ("q1", "a", 2), ("q1", "b", 0), ("q1", "gone", 1), ("q2", "b", 1), ("q3", "a", 1), ("q3", "b", 0), ("q4", "a", 1), ("q4", "b", 1)
)  # fmt: skip


def test_what_is_wrong_with_judgments_is_counted_by_kind():
    counted = audit(dataset(GRADED))
    assert (counted.queries, counted.judgments) == (4, 8)
    assert counted.unknown_products == 1
    assert counted.one_document == 1  # q2
    assert counted.all_equal == 1  # q4
    assert counted.empty_query == 1  # q3
    assert counted.warnings[0] == (
        "judgments of products that the catalogue lacks: 1, such as 'gone' (kept out of fitting)"
    )
    assert len(counted.warnings) == 4
    assert all("kept out of fitting" in warning for warning in counted.warnings)


def test_complete_judgments_have_no_lists_of_one_grade():
    counted = audit(dataset(GRADED, complete=True))
    assert (counted.one_document, counted.all_equal) == (0, 0)


def test_good_judgments_have_no_warnings():
    assert audit(dataset(judgments(("q1", "a", 1), ("q1", "b", 0)))).warnings == []


@pytest.mark.parametrize("grade", [5.0, -1.0, 1.5])
def test_a_grade_off_the_scale_is_named_with_its_pair(grade):
    with pytest.raises(
        JudgmentError, match=rf"grade {grade:g} of product 'b' for query 'q1' is off scale 'graded' \(0 to 4\)"
    ):
        check_grades(judgments(("q1", "a", 1), ("q1", "b", grade)), scale("graded"))


PAIRS = pl.DataFrame(
    {
        "query_id": ["q1", "q1", "q1", "q3", "q3"],
        "query": ["red", "red", "red", " ", " "],
        "product_id": ["b", "gone", "c", "a", "b"],
        "size": [3.0, 9.0, 1.0, 2.0, 5.0],
        "blank": [float("nan")] * 5,
    }
)


def test_pairs_without_a_judgment_have_no_grade_unless_the_judgments_are_complete():
    assert labelled(PAIRS, GRADED, complete=False)["grade"].to_list() == [0, 1, None, 1, 0]
    assert labelled(PAIRS, GRADED, complete=True)["grade"].to_list() == [0, 1, 0, 1, 0]


def test_fitting_sees_graded_pairs_of_known_products_and_of_queries_that_say_something():
    kept = known(labelled(PAIRS, GRADED, complete=False), dataset(GRADED).products, ["q1", "q3"])
    assert kept.select("query_id", "product_id").rows() == [("q1", "b")]


def test_the_retrieval_row_is_the_order_in_which_the_candidates_came():
    assert by_retrieval(PAIRS).select("product_id", "rank").rows() == [
        ("b", 1),
        ("gone", 2),
        ("c", 3),
        ("a", 1),
        ("b", 2),
    ]


def test_a_feature_ranks_in_both_directions_and_missing_values_keep_the_order_received():
    def order(name, sign):
        return by_feature(PAIRS, SingleFeature(name, sign)).filter(pl.col("query_id") == "q1")["product_id"].to_list()

    assert order("size", 1) == ["gone", "b", "c"]
    assert order("size", -1) == ["c", "b", "gone"]
    assert order("blank", 1) == ["b", "gone", "c"]


def test_the_best_feature_is_chosen_with_its_direction():
    table = {"name": "tiny", "feature": [{"name": n, "kind": "number", "field": "price"} for n in ("blank", "size")]}

    def top_is_c(run):
        return float(run["product_id"][0] == "c")

    chosen = best_feature(PAIRS, definition.parse(table).names, top_is_c)
    assert chosen == SingleFeature("size", -1)
    assert str(chosen) == "−size"


def test_a_vector_field_that_is_no_text_is_refused(tmp_path):
    from ltr.config import parse
    from ltr.experiment.assemble import _check_vector_field

    experiment = parse({"name": "x", "data": {"source": "files"}, "retrieval": {"vector": "titel"}})
    with pytest.raises(ConfigError, match=r"'titel' is not a text field.*did you mean 'title'"):
        _check_vector_field(experiment, dataset(GRADED))


def test_an_experiment_can_do_without_features_of_its_set(tmp_path):
    (tmp_path / "set.toml").write_text(
        'name = "own"\n[[feature]]\nname = "cover"\nkind = "coverage"\nfield = "title"\nalso = ["relative"]\n'
        '[[feature]]\nname = "exact"\nkind = "exact"\nfield = "title"\n',
        encoding="utf-8",
    )

    def names(*leave_out):
        table = {
            "name": "own",
            "data": {"source": "shop"},
            "features": {"set": "set.toml", "leave_out": list(leave_out)},
        }
        return chosen_features(parse(table), base=tmp_path).names

    assert names() == ("cover", "cover_relative", "exact")
    assert names("cover_relative") == ("cover", "exact")
    with pytest.raises(ConfigError, match=r"leave_out names 'exat'; did you mean 'exact'"):
        names("exat")
    with pytest.raises(FeatureSetError, match="names feature 'cover', which the set does not have"):
        names("cover")
