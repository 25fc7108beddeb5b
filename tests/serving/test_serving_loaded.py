"""A bundle is verified, proven and warm before it answers, and needs no library that fits rankers."""

import subprocess
import sys
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import polars as pl
import pytest

from ltr import bundle as bundles
from ltr.encoders.hashing import HashingEncoder
from ltr.errors import BundleError, BundleMismatchError, EncoderError
from ltr.features import definition
from ltr.serving import golden, load, parse_request
from ltr.serving.encoding import HeadQueries, texts
from ltr.serving.rerank import rerank
from made.served import copied, vouched

# What the extra `serve` does not bring.
ABSENT = (
    "lightgbm", "xgboost", "optuna", "scipy", "torch", "mlflow", "sentence_transformers", "transformers", "onnx",
    "elasticsearch", "matplotlib",
)  # fmt: skip
SERVED = """
import sys
from importlib.abc import MetaPathFinder
from pathlib import Path

class Absent(MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in sys.argv[2].split():
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Absent())
from ltr.serving import load, parse_request
from ltr.serving.rerank import rerank

serving = load(Path(sys.argv[1]))
ids = serving.bundle.state.products["product_id"].head(9).to_list()
answer = rerank(serving, parse_request({"query": "red", "candidates": ids, "explain": True}))
sys.stdout.write(f"{answer.reason.value} {len(answer.results[0].contributions)}")
"""


def test_a_bundle_is_served_where_no_library_that_fits_rankers_is_installed(small_bundle, shop):
    command = [sys.executable, "-c", SERVED, str(small_bundle), " ".join(ABSENT)]
    told = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (told.stdout, told.stderr) == (f" {len(shop.bundle.ranker.features)}", "")


def test_golden_rows_are_proven_and_bundles_without_have_nothing_to_prove(shop, counted):
    golden = shop.bundle.golden
    assert shop.proven == (golden.height, golden["query"].n_unique())
    assert shop.proven[0] > 100
    assert counted.proven == (0, 0)


def with_golden(bundle, target, change):
    path = copied(bundle, target)
    file = path / "model" / "golden.parquet"
    change(pl.read_parquet(file)).write_parquet(file)
    return vouched(path)


def test_a_golden_row_that_scores_otherwise_by_one_bit_is_refused_by_name(small_bundle, tmp_path):
    def nudged(rows):
        score = rows["score"].to_numpy().copy()
        score[[7, 9]] = np.nextafter(score[[7, 9]], np.inf)
        return rows.with_columns(score=pl.Series(score))

    path = with_golden(small_bundle, tmp_path / "copy", nudged)
    rows = pl.read_parquet(path / "model" / "golden.parquet")
    with pytest.raises(BundleError, match=r"2 of .* golden rows score otherwise") as caught:
        load(path)
    assert repr(rows["product_id"][7]) in str(caught.value)
    assert repr(rows["query"][7]) in str(caught.value)


def test_golden_rows_of_other_features_are_refused(small_bundle, tmp_path):
    path = with_golden(small_bundle, tmp_path / "copy", lambda rows: rows.drop("title_bm25"))
    with pytest.raises(BundleMismatchError, match=r"the golden rows lack \['title_bm25'\]"):
        load(path)


def with_vectors(bundle, target, change=lambda vectors: vectors):
    path = copied(bundle, target)
    queries = ["red shoe", "hat", ""]
    vectors = change(HashingEncoder().encode_queries(queries))
    frame = pl.DataFrame({"query": queries, "vector": vectors.tolist()})
    frame.write_parquet(path / "model" / golden.QUERIES)
    return vouched(path)


def test_golden_query_vectors_may_differ_as_processors_do_and_no_more(counted_bundle, tmp_path):
    rng = np.random.default_rng(1)

    def rounded(vectors):
        return vectors * (1 + rng.normal(size=vectors.shape) * 1e-3)

    assert load(with_vectors(counted_bundle, tmp_path / "near", rounded)).proven == (0, 3)

    def turned(vectors):
        vectors[1] = vectors[0]
        return vectors

    with pytest.raises(BundleError, match=r"1 of 3 golden queries .* the first is 'hat', of cosine 0\.\d+"):
        load(with_vectors(counted_bundle, tmp_path / "other", turned))

    def spoilt(vectors):
        vectors[0] = np.nan
        return vectors

    with pytest.raises(BundleError, match=r"the first is 'red shoe', of cosine 0\.0000 where 0\.999 is the least"):
        load(with_vectors(counted_bundle, tmp_path / "spoilt", spoilt))
    with pytest.raises(BundleError, match=r"have shape \(3, 8\), the encoder's \(3, 256\)"):
        load(with_vectors(counted_bundle, tmp_path / "cut", lambda vectors: vectors[:, :8]))


def test_golden_queries_that_cannot_be_read_are_told(counted_bundle, tmp_path):
    path = with_vectors(counted_bundle, tmp_path / "copy")
    (path / "model" / golden.QUERIES).write_bytes(b"PAR1")
    with pytest.raises(BundleError, match=r"golden_queries\.parquet cannot be read"):
        load(vouched(path))


@pytest.mark.parametrize("part", ["model/ranker/ranker.txt", "state/products.parquet", "model/encoder/encoder.json"])
def test_a_truncated_bundle_is_refused_and_the_one_in_use_goes_on(part, counted_bundle, tmp_path):
    path = copied(counted_bundle, tmp_path / "copy")
    serving = load(path)
    request = parse_request({"query": "red shoe", "candidates": [f"p{at}" for at in range(24)]})
    before = rerank(serving, request)
    file = path / part
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    with pytest.raises(BundleError, match="is not what was saved"):
        load(path)
    assert rerank(serving, request).results == before.results


def test_a_bundle_that_cannot_answer_is_refused(counted, caplog):
    broken = replace(counted, score=lambda _matrix: 1 / 0)
    with pytest.raises(BundleError, match=r"does not answer \(scorer_failed\)"):
        broken.warm()
    assert "division by zero" in caplog.text


def test_equal_models_have_one_name_whatever_their_state(counted_bundle, shop, tmp_path):
    first, copy = load(counted_bundle), load(copied(counted_bundle, tmp_path / "copy"))
    assert first.model == copy.model != shop.model
    assert len(first.model) == 64


def test_product_vectors_are_mapped_and_not_copied_so_that_workers_share_them(shop):
    assert shop.bundle.state.vectors
    assert all(isinstance(vectors, np.memmap) for vectors in shop.bundle.state.vectors.values())


def test_what_is_loaded_scores_as_the_bundle_does_with_its_library(small_bundle, shop):
    loaded = bundles.load(small_bundle)
    rng = np.random.default_rng(3)
    rows = rng.normal(size=(500, len(loaded.ranker.features))).astype(np.float32)
    rows[rng.random(rows.shape) < 0.1] = np.nan
    assert shop.score(rows).tobytes() == loaded.ranker.predict(rows).tobytes()


class Counted:
    """The hashing encoder, and how often it was asked."""

    name, digest, dimension = "hashing", "", 256

    def __init__(self):
        self.asked = []

    def encode_queries(self, texts):
        self.asked += texts
        return HashingEncoder().encode_queries(texts)

    def encode(self, texts):
        return HashingEncoder().encode(texts)

    def save(self, directory):
        HashingEncoder().save(directory)


def test_head_queries_are_encoded_once_and_the_least_recent_forgotten():
    engine = Counted()
    encoder = HeadQueries(engine, 2)
    expected = HashingEncoder().encode_queries(["a", "b", "a"])
    assert encoder.encode_queries(["a", "b", "a"]).tobytes() == expected.tobytes()
    assert engine.asked == ["a", "b"]
    encoder.encode_queries(["a"])
    encoder.encode_queries(["c"])  # forgets b
    encoder.encode_queries(["a"])
    assert engine.asked == ["a", "b", "c"]
    encoder.encode_queries(["b"])
    assert engine.asked == ["a", "b", "c", "b"]


def test_more_queries_at_once_than_are_kept_are_answered_all_the_same():
    encoder = HeadQueries(Counted(), 1)
    queries = [f"query {at}" for at in range(20)]
    assert encoder.encode_queries(queries).tobytes() == HashingEncoder().encode_queries(queries).tobytes()
    assert encoder.encode_queries([]).shape == (0, 256)
    with pytest.raises(EncoderError, match="texts is the string 'red'"):
        encoder.encode_queries("red")


def test_the_rest_is_the_encoders_own(tmp_path):
    encoder = HeadQueries(Counted())
    assert (encoder.name, encoder.digest, encoder.dimension) == ("hashing", "", 256)
    assert encoder.encode(["red"]).tobytes() == HashingEncoder().encode(["red"]).tobytes()
    encoder.save(tmp_path)
    assert (tmp_path / "encoder.json").is_file()


def test_many_threads_get_the_vectors_that_one_gets():
    encoder = HeadQueries(HashingEncoder(), 8)
    queries = [f"query {at % 20}" for at in range(400)]
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda query: encoder.encode_queries([query])[0].tobytes(), queries))
    assert found == [row.tobytes() for row in HashingEncoder().encode_queries(queries)]
    assert len(encoder._rows) == 8


def test_what_is_encoded_of_a_query_is_what_its_features_read():
    def parsed(*features):
        return definition.parse({"name": "tiny", "feature": list(features)})

    whole = {"name": "near", "kind": "cosine", "field": "title"}
    part = {"name": "unwanted", "kind": "cosine", "field": "title", "part": "unwanted"}
    plain = {"name": "cover", "kind": "coverage", "field": "title"}
    assert texts("shoes without laces", parsed(plain)) == []
    assert texts("shoes without laces", parsed(whole)) == ["shoes without laces"]
    found = Counter(texts("shoes without laces", parsed(whole, part)))
    assert found == {"shoes without laces": 1, "laces": 1}
    assert texts("shoes", parsed(whole, part)) == ["shoes"]
