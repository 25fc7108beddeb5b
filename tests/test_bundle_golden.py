import shutil

import numpy as np
import polars as pl
import pytest

from ltr import bundle
from ltr.bundle_golden import LISTS, QUERIES, golden_rows, read
from ltr.errors import BundleError
from ltr.frames import groups


def test_a_trained_bundle_keeps_lists_that_it_scores_alike_ever_after(small_bundle):
    loaded = bundle.load(small_bundle)
    golden = loaded.golden
    match = [f"match.{name}" for name in loaded.feature_set.match]
    assert set(golden.columns) == {"query_id", "query", "product_id", "score", *match, *loaded.ranker.features}
    lists = groups(golden.select("query_id"))
    assert 1 < len(lists.offsets) - 1 <= LISTS
    matrix = golden.select(loaded.ranker.features).to_numpy()
    assert matrix.dtype == np.float32
    assert loaded.ranker.predict(matrix).tolist() == golden["score"].to_list()


def test_reranking_those_lists_gives_their_scores_bit_for_bit(small_bundle):
    loaded = bundle.load(small_bundle)
    golden = loaded.golden
    ranked = bundle.rerank(loaded, golden.select("query_id", "query", "product_id", "^match\\..*$"))
    both = ranked.join(golden, on=["query_id", "product_id"], suffix="_then")
    assert both.height == golden.height
    assert both["score"].to_list() == both["score_then"].cast(pl.Float32).to_list()


def test_the_queries_of_those_lists_are_kept_with_their_vectors(small_bundle):
    loaded = bundle.load(small_bundle)
    kept = pl.read_parquet(small_bundle / "model" / QUERIES)
    assert set(kept["query"]) == set(loaded.golden["query"])
    made = loaded.encoder.encode_queries(kept["query"].to_list())
    assert np.array(kept["vector"].to_list(), dtype=np.float32).tolist() == made.tolist()


def test_which_lists_depends_on_their_names_alone(counted_bundle):
    loaded = bundle.load(counted_bundle)
    ids = loaded.state.products["product_id"].to_list()
    asked = {"encoder": loaded.encoder, "memory": None, "lists": 2}

    def chosen(queries):
        rows = [(query, query, product) for query in queries for product in ids[:3]]
        candidates = pl.DataFrame(rows, schema=["query_id", "query", "product_id"], orient="row")
        found = golden_rows(candidates, loaded.feature_set, loaded.state, loaded.ranker, **asked)
        return sorted(found["query_id"].unique())

    assert chosen(["red shoe", "hat", "green"]) == chosen(["green", "hat", "red shoe"])
    assert len(chosen(["red shoe", "hat", "green"])) == 2


def test_golden_rows_that_are_damaged_are_told_and_those_never_saved_are_none(small_bundle, counted_bundle, tmp_path):
    assert read(counted_bundle) is None
    copy = shutil.copytree(small_bundle, tmp_path / "copy")
    (copy / "model" / "golden.parquet").write_bytes(b"PAR1")
    with pytest.raises(BundleError, match=r"golden\.parquet cannot be read"):
        read(copy)
    with pytest.raises(BundleError, match=r"model/golden\.parquet is not what was saved"):
        bundle.load(copy)
