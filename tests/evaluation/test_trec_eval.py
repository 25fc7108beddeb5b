"""Equal to trec_eval (pytrec_eval through ir-measures) and to ir-measures' own engines for what trec_eval lacks."""

import ir_measures
import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ir_measures import AP, ERR, RR, Bpref, Judged, P, R, Success, nDCG

from ltr.evaluation import evaluate, summarise
from ltr.frames import ranked
from ltr.measures import gain_table, parse, scale

EXPONENTIAL = {grade: 2**grade - 1 for grade in range(4)}
THEIRS = {
    "nDCG": nDCG,
    "nDCG@3": nDCG @ 3,
    "nDCG@10": nDCG @ 10,
    "nDCG(gains=exponential)@10": nDCG(gains=EXPONENTIAL) @ 10,
    "RR": RR,
    "RR(rel=2)": RR(rel=2),
    "RR@3": RR @ 3,  # ir-measures takes it from the MS MARCO script
    "AP": AP,
    "AP(rel=2)": AP(rel=2),
    "AP@5": AP @ 5,
    "P@1": P @ 1,
    "P@10": P @ 10,
    "P(rel=2)@5": P(rel=2) @ 5,
    "Recall@5": R @ 5,
    "Recall(rel=2)@10": R(rel=2) @ 10,
    "Judged@3": Judged @ 3,
    "Judged@10": Judged @ 10,
    "Success@1": Success @ 1,
    "Success(rel=3)@10": Success(rel=3) @ 10,
    "bpref": Bpref,
    "bpref(rel=2)": Bpref(rel=2),
}
# trec_eval -J
CONDENSED = {
    "nDCG@10": nDCG(judged_only=True) @ 10,
    "nDCG": nDCG(judged_only=True),
    "RR": RR(judged_only=True),
    "AP": AP(judged_only=True),
    "AP(rel=2)": AP(rel=2, judged_only=True),
    "P@5": P(judged_only=True) @ 5,
    "Recall@5": R(judged_only=True) @ 5,
    "Success@1": Success(judged_only=True) @ 1,
}


def theirs(run, judgments, measures):
    """(query_id, their measure) -> value; scores are the negated ranks, so that nothing is tied for trec_eval to break."""
    qrels = [ir_measures.Qrel(query, product, int(grade)) for query, product, grade in judgments.iter_rows()]
    docs = [ir_measures.ScoredDoc(query, product, -float(rank)) for query, product, rank in run.iter_rows()]
    # Asked together, ir-measures 0.4.3 may score plain nDCG by the gains of the other, in the order of a set.
    apart = [measure for measure in measures if "gains" in str(measure)]
    together = [measure for measure in measures if measure not in apart]
    return {
        (found.query_id, found.measure): found.value
        for asked in (together, apart)
        if asked
        for found in ir_measures.iter_calc(asked, qrels, docs)
    }


def assert_equal_to_trec_eval(run, judgments, grades, *, condensed=False):
    peers = CONDENSED if condensed else THEIRS
    wanted, gains = [parse(name) for name in peers], gain_table("linear", grades)
    ours = evaluate(run, judgments, wanted, gains=gains, scale=grades, empty="zero", condensed=condensed)
    short = judgments.select("query_id", "product_id", "grade")
    expected = theirs(run.select("query_id", "product_id", "rank"), short, list(peers.values()))
    for row in ours.iter_rows(named=True):
        for name, peer in peers.items():
            assert row[name] == pytest.approx(expected.get((row["query_id"], peer), 0), abs=1e-9), (name, row)


@settings(deadline=None, max_examples=60)
@given(
    seed=st.integers(0, 2**32 - 1),
    queries=st.integers(1, 6),
    products=st.integers(1, 30),
    tied=st.booleans(),
    density=st.sampled_from([0.1, 0.5, 1.0]),
)
def test_random_runs_have_the_values_of_trec_eval(seed, queries, products, tied, density):
    generator = np.random.default_rng(seed)
    pairs = pl.DataFrame(
        {
            "query_id": np.repeat([f"q{i}" for i in range(queries)], products),
            "product_id": np.tile([f"p{i:02d}" for i in range(products)], queries),
        }
    )
    n = pairs.height
    scores = generator.integers(0, 4, n).astype(float) if tied else generator.normal(size=n)
    run = ranked(pairs.with_columns(score=pl.Series(scores)).filter(pl.Series(generator.random(n) < 0.8)))
    judgments = pairs.with_columns(
        grade=pl.Series(generator.integers(0, 4, n).astype(np.float32)), weight=pl.lit(1.0, dtype=pl.Float32)
    ).filter(pl.Series(generator.random(n) < density))
    if judgments.height and run.height:
        assert_equal_to_trec_eval(run, judgments, scale("0-3"))
        assert_equal_to_trec_eval(run, judgments, scale("0-3"), condensed=True)


def random_run(generator, queries, products, grades):
    pairs = pl.DataFrame(
        {
            "query_id": np.repeat([f"{i}" for i in range(queries)], products),
            "product_id": np.tile([f"p{i:02d}" for i in range(products)], queries),
        }
    )
    n = pairs.height
    shown = pl.Series(generator.random(n) < 0.8)
    run = ranked(pairs.with_columns(score=pl.Series(generator.normal(size=n))).filter(shown))
    given = pairs.with_columns(
        grade=pl.Series(generator.integers(0, grades, n).astype(np.float32)), weight=pl.lit(1.0, dtype=pl.Float32)
    )
    return run, given.filter(pl.Series(generator.random(n) < 0.5))


def test_err_has_the_values_of_gdeval():
    if not ir_measures.gdeval.is_available():
        pytest.skip("gdeval is a Perl script, and there is no perl")
    # gdeval knows the grades 0 to 4, rounds to five decimals and leaves out queries without a relevant product
    run, judgments = random_run(np.random.default_rng(7), 200, 30, 5)
    graded = scale("graded")
    ours = evaluate(run, judgments, [parse("ERR@5"), parse("ERR@20")], gains=gain_table("linear", graded), scale=graded)
    short = judgments.select("query_id", "product_id", "grade")
    expected = theirs(run.select("query_id", "product_id", "rank"), short, [ERR @ 5, ERR @ 20])
    assert len(expected) == 2 * ours.filter(pl.col("ERR@20") > 0).height >= 2 * 190
    for (query_id, peer), value in expected.items():
        row = ours.row(by_predicate=pl.col("query_id") == query_id, named=True)
        assert row[str(peer)] == pytest.approx(value, abs=6e-6)


def test_ndcg_by_the_ideal_of_the_list_is_that_of_trec_eval_with_judgments_of_the_list():
    run, judgments = random_run(np.random.default_rng(7), 50, 30, 4)
    held = judgments.join(run.select("query_id", "product_id"), on=["query_id", "product_id"], how="semi")
    expected = theirs(
        run.select("query_id", "product_id", "rank"), held.select("query_id", "product_id", "grade"), [nDCG @ 10]
    )
    graded = scale("0-3")
    ours = evaluate(run, judgments, [parse("nDCG(ideal=list)@10")], gains=gain_table("linear", graded), scale=graded)
    assert dict(ours.iter_rows()) == pytest.approx({query: value for (query, _), value in expected.items()}, abs=1e-12)


@pytest.fixture(scope="module")
def esci(data_home):
    """Judgments of the ESCI sample under our names, I 0 to E 3."""
    examples = pl.read_parquet(data_home / "esci-us-sample" / "shopping_queries_dataset_examples.parquet")
    grade = pl.col("esci_label").replace_strict({"I": 0, "C": 1, "S": 2, "E": 3}, return_dtype=pl.Float32)
    return examples.select(
        pl.col("query_id").cast(pl.String), "product_id", grade=grade, weight=pl.lit(1.0, dtype=pl.Float32)
    )


def test_real_judgments_have_the_values_of_trec_eval(esci):
    score = pl.Series(np.random.default_rng(7).integers(0, 5, esci.height).astype(float))
    run = ranked(esci.select("query_id", "product_id").with_columns(score=score))
    held = esci.sample(fraction=0.7, seed=7)
    assert_equal_to_trec_eval(run, held, scale("esci"))
    assert_equal_to_trec_eval(run, held, scale("esci"), condensed=True)


@pytest.mark.parametrize(("gains", "known"), [("esci", 0.551), ("exponential", 0.656)])
def test_random_orders_of_the_esci_sample_have_the_known_mean(esci, gains, known):
    generator, grades = np.random.default_rng(7), scale("esci")
    means = []
    for _ in range(20):
        score = pl.Series(generator.random(esci.height))
        run = ranked(esci.select("query_id", "product_id").with_columns(score=score))
        frame = evaluate(run, esci, [parse("nDCG@10")], gains=gain_table(gains, grades), scale=grades)
        means.append(summarise(frame, resamples=1)["nDCG@10"].mean)
    # one random order has a standard error of about .012 over 101 queries
    assert np.mean(means) == pytest.approx(known, abs=0.02)
