"""Inspection: the figures of the evaluation functions on what a bundle holds, and what only training can leave in it."""

import shutil

import polars as pl
import pytest

from ltr import bundle, evaluation
from ltr.config import read_experiment
from ltr.errors import BundleError, ConfigError, DataError, MeasureError
from ltr.evaluation.segments import by_column
from ltr.experiment.assemble import assemble
from ltr.experiment.inspection import KINDS, inspect, segments_of, write
from ltr.experiment.preflight import parts_of
from ltr.refresh import refresh

KEPT = ("segments.parquet", "grades.parquet")


@pytest.fixture(scope="module")
def assembled(small):
    home, _ = small
    return assemble(read_experiment(home / "experiment.toml"), base=home, cache=home / "cache")


@pytest.fixture(scope="module")
def whole(assembled, small_bundle, tmp_path_factory):
    """A bundle that holds what ``write`` leaves."""
    path = tmp_path_factory.mktemp("whole") / "bundle"
    shutil.copytree(small_bundle, path)
    write(path / "results", assembled)
    return path


@pytest.fixture
def bare(small_bundle, tmp_path):
    """A bundle that was saved without."""
    shutil.copytree(small_bundle, tmp_path / "bundle")
    for name in KEPT:
        (tmp_path / "bundle" / "results" / name).unlink(missing_ok=True)
    return tmp_path / "bundle"


def rows_of(path):
    per_query = pl.read_parquet(path / "results" / "per_query.parquet")
    return {key[0]: frame for key, frame in per_query.partition_by("ranker", as_dict=True).items()}


@pytest.mark.parametrize(("against", "measure"), [("retrieval", "nDCG@10"), ("cosine", "RR")])
def test_figures_are_those_of_the_evaluation_functions(whole, against, measure):
    found = inspect(whole, by=["length", "segment"], against=against, measure=measure, moved=0)
    rows = {
        row: frame.select("query_id", measure) for row, frame in rows_of(whole).items() if row in (against, "lightgbm")
    }
    queries = pl.read_parquet(whole / "results" / "segments.parquet")
    tested = queries.join(rows[against], on="query_id", how="semi")
    p_values = []
    for name, segments in {"length": evaluation.by_length(tested), "segment": by_column(tested, "segment")}.items():
        parts = {part.name: part for part in found.segments[name]}
        policy = {"baseline": against, "measure": measure, "permutations": 100_000}
        compared = evaluation.compare_segments(rows, segments, **policy)
        for row, values in rows.items():
            estimates = evaluation.summarise_segments(values, segments)
            of_row = {name: part.ranker if row == "lightgbm" else part.against for name, part in parts.items()}
            assert of_row == {name: by[measure] for name, by in estimates.items()}
        for part in parts.values():
            (direct,) = compared[part.name]
            assert (part.comparison.difference, part.comparison.p_value) == (direct.difference, direct.p_value)
            assert (part.comparison.low, part.comparison.high) == (direct.low, direct.high)
            p_values.append(direct.p_value)
        assert sum(part.queries for part in parts.values()) == rows[against].height
    both = [part.comparison for parts in found.segments.values() for part in parts]
    assert [each.p_holm for each in both] == evaluation.holm(p_values)
    assert [each.proven for each in both] == [each.p_holm < evaluation.ALPHA for each in both]


def test_all_queries_are_as_training_measured_them(whole, small):
    table = small[1].table
    found = inspect(whole, moved=0).whole
    assert found.ranker == table.measures["lightgbm"]["nDCG@10"]
    assert found.against == table.measures["retrieval"]["nDCG@10"]
    (trained,) = (each for each in table.comparisons if each.ranker == "lightgbm")
    assert (found.comparison.difference, found.comparison.p_value) == (trained.difference, trained.p_value)


def test_the_queries_that_gained_and_lost_most_stand_with_both_lists(whole):
    found = inspect(whole, by=["length"], against="cosine", moved=3, depth=4)
    rows = rows_of(whole)
    changed = evaluation.moved(rows["cosine"], rows["lightgbm"], "nDCG@10", n=1_000)
    for side, sign in ((found.gained, 1), (found.lost, -1)):
        direct = changed.filter(pl.col("difference") * sign > 0).head(3)
        assert [(each.query_id, each.against, each.ranker, each.difference) for each in side] == direct.rows()
    runs = pl.read_parquet(whole / "results" / "runs.parquet")
    grades = pl.read_parquet(whole / "results" / "grades.parquet")
    titles = dict(pl.read_parquet(whole / "state" / "products.parquet").select("product_id", "title").iter_rows())
    for each in (*found.gained, *found.lost):
        lists = (runs.filter(pl.col("ranker") == row) for row in ("cosine", "lightgbm"))
        table = evaluation.side_by_side(*lists, each.query_id, 4, judgments=grades)
        told = [
            (row.rank, row.against.product_id, row.ranker.product_id, row.moved, row.against.grade, row.ranker.grade)
            for row in each.lists
        ]
        assert told == table.rows()
        assert all(row.ranker.title == titles[row.ranker.product_id] for row in each.lists)
        # every pair of the simulated shop is judged
        assert all(row.ranker.grade is not None for row in each.lists)


def test_by_default_all_that_is_known_is_shown_and_the_rest_named(whole, bare):
    found = inspect(whole, moved=0)
    assert (tuple(found.segments), found.missing) == (KINDS, {})
    found = inspect(bare, moved=1)
    assert tuple(found.segments) == ("length",)
    assert found.missing.keys() == {"popularity", "unseen"}
    assert all("train again" in why for why in found.missing.values())
    assert found.notes == ("The bundle does not hold grades: it was saved without.",)
    assert found.gained[0].lists[0].ranker.grade is None


def test_the_head_is_a_share_of_all_searches_and_not_of_the_tested_ones(whole, assembled):
    found = inspect(whole, by=["popularity"], moved=0).segments["popularity"]
    judged = assembled.dataset.queries.join(assembled.dataset.judgments, on="query_id", how="semi")
    of_all = evaluation.by_popularity(judged).join(rows_of(whole)["lightgbm"], on="query_id", how="semi")
    counts = dict(of_all.group_by("segment").len().iter_rows())
    assert {part.name: part.queries for part in found} == counts


def test_unseen_is_the_share_of_relevant_products_that_no_fitted_pair_holds(whole, assembled):
    (parts,) = parts_of(assembled.experiment, assembled.dataset, group=None)
    rows = pl.read_parquet(whole / "results" / "segments.parquet")
    fitted = set(assembled.pairs.filter(pl.col("query_id").is_in(parts.fit))["product_id"])
    rel = assembled.experiment.evaluation.rel
    for query_id, share in rows.select("query_id", "unseen").iter_rows():
        judged = assembled.dataset.judgments.filter(pl.col("query_id") == query_id, pl.col("grade") >= rel)
        relevant = judged["product_id"].to_list()
        if query_id not in parts.test or not relevant:
            assert share is None
        else:
            assert share == pytest.approx(sum(product not in fitted for product in relevant) / len(relevant))


QUERIES = pl.DataFrame(
    {
        "query_id": ["a", "b", "c", "x"],
        "query": ["A", "B", "C", "X"],
        "intent": ["buy", "ask", "buy", "buy"],
        "unseen": 7,
    }
)
JUDGMENTS = pl.DataFrame(
    {
        "query_id": ["a", "a", "b", "c"],
        "product_id": ["p1", "p2", "p1", "p2"],
        "grade": [1.0, 1.0, 1.0, 0.0],
        "weight": [1.0, 1.0, 1.0, 1.0],
    }
)


def test_over_repetitions_the_unseen_share_is_their_mean_and_unjudged_queries_are_left_out():
    sides = [(["b"], ["a", "c"]), (["b", "c"], ["a"]), (["a"], ["b"])]
    found = segments_of(QUERIES, JUDGMENTS, JUDGMENTS, sides, rel=1)
    assert found.columns == ["query_id", "query", "intent", "unseen"]
    # of a's p1 and p2 the first repetition had p1 only, the second both; c has no relevant product
    assert found.rows() == [("a", "A", "buy", (1 / 2 + 0) / 2), ("b", "B", "ask", 0.0), ("c", "C", "buy", None)]
    assert segments_of(QUERIES, JUDGMENTS, JUDGMENTS.clear(), sides, rel=1)["unseen"].to_list() == [1.0, 1.0, None]


def harm(name):
    return lambda path: (path / "results" / name).write_bytes(b"PAR1" + bytes(40))


FAULTS = {
    "a directory that is no bundle": (lambda path: (path / "bundle.json").unlink(), {}, BundleError, "no bundle.json"),
    "no results": (lambda path: shutil.rmtree(path / "results"), {}, BundleError, "per_query.parquet is missing"),
    "no runs": (lambda path: (path / "results/runs.parquet").unlink(), {}, BundleError, "runs.parquet is missing"),
    "results that are cut off": (harm("per_query.parquet"), {}, BundleError, "per_query.parquet cannot be read"),
    "segments that are cut off": (harm("segments.parquet"), {}, BundleError, "segments.parquet cannot be read"),
    "a row that is none": (None, {"against": "retreival"}, ConfigError, "did you mean 'retrieval'?"),
    "the ranker itself": (None, {"against": "lightgbm"}, ConfigError, "is the bundle's ranker itself; rows:"),
    "an unknown measure": (None, {"measure": "nDGC@10"}, MeasureError, "did you mean 'nDCG@10'?"),
    "an unknown column": (None, {"by": ["intend"]}, ConfigError, "did you mean 'intent'? segments: intent, length,"),
    "the id as a column": (None, {"by": ["query_id"]}, ConfigError, "does not hold 'query_id'"),
    "fewer than none": (None, {"moved": -1}, ConfigError, "give 0 or more"),
    "no rank": (None, {"depth": 0}, ConfigError, "0 ranks"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_told_with_what_is_allowed(fault, whole, tmp_path):
    change, asked, error, said = FAULTS[fault]
    path = tmp_path / "bundle"
    shutil.copytree(whole, path)
    if change:
        change(path)
    with pytest.raises(error) as raised:
        inspect(path, **asked)
    assert said in str(raised.value)


def test_a_column_that_the_bundle_does_not_hold_is_refused_where_it_was_asked_for(bare):
    for name in ("unseen", "intent"):
        with pytest.raises(
            ConfigError, match=f"does not hold '{name}' of its queries: it was saved without; train again"
        ):
            inspect(bare, by=["length", name])


def test_numbers_that_make_no_segments_are_refused(whole, tmp_path):
    path = tmp_path / "bundle"
    shutil.copytree(whole, path)
    file = path / "results" / "segments.parquet"
    held = pl.read_parquet(file)
    held.with_columns(clicks=pl.int_range(pl.len()) * 2, same=7).write_parquet(file)
    assert [part.name for part in inspect(path, by=["same"], moved=0).segments["same"]] == ["7"]
    if held.join(rows_of(path)["lightgbm"], on="query_id", how="semi").height > 20:
        with pytest.raises(DataError, match="different numbers"):
            inspect(path, by=["clicks"], moved=0)


def test_titles_are_those_of_the_state_in_use_after_refreshes(small_bundle, tmp_path):
    path = shutil.copytree(small_bundle, tmp_path / "bundle")
    products, file = bundle.load(path).state.products, tmp_path / "products.parquet"
    for number in (1, 2):
        products.with_columns(title=pl.col("title") + f" {number}").write_parquet(file)
        refresh(path, products=file, renewed="2026-01-01")
    assert not (path / "state").exists()
    inspected = inspect(path, by=["length"], moved=1)
    shown = [rank.ranker.title for mover in (*inspected.gained, *inspected.lost) for rank in mover.lists if rank.ranker]
    assert shown
    assert all(title.endswith(" 2") for title in shown)
