"""Equal to trec_eval (pytrec_eval through ir-measures) and to ir-measures' own engines for what trec_eval lacks."""

import ir_measures
import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ir_measures import AP, RR, Judged, P, R, nDCG

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
        for found in ir_measures.iter_calc(asked, qrels, docs)
    }


def assert_equal_to_trec_eval(run, judgments, names, grades):
    ours = evaluate(
        run, judgments, [parse(name) for name in names], gains=gain_table("linear", grades), scale=grades, empty="zero"
    )
    short = judgments.select("query_id", "product_id", "grade")
    expected = theirs(run.select("query_id", "product_id", "rank"), short, [THEIRS[name] for name in names])
    for row in ours.iter_rows(named=True):
        for name in names:
            assert row[name] == pytest.approx(expected.get((row["query_id"], THEIRS[name]), 0), abs=1e-9), (name, row)


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
        assert_equal_to_trec_eval(run, judgments, list(THEIRS), scale("0-3"))


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
    assert_equal_to_trec_eval(run, held, list(THEIRS), scale("esci"))


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
