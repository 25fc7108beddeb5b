import gzip
import json
import os
from pathlib import Path

import polars as pl
import pytest

from ltr.config import DataConfig
from ltr.datasets import load
from ltr.datasets.msrd import FIELDS
from ltr.errors import ConfigError, JudgmentError

MOVIES = [
    {"id": "1", "title": "Big Fish", "overview": "", "tags": [], "genres": ["Drama"], "director": "Tim Burton"}
    | {"actors": ["Ewan McGregor", "Eva Green"], "characters": ["Young Ed Bloom"], "year": 2003, "votes": 0}
    | {"rating": 0.0, "popularity": 20.5, "budget": 0, "url": "https://image/1.jpg"},
    {"id": "02", "title": "I Am Love", "overview": "A family in Milan", "tags": ["milan"], "genres": [], "director": ""}
    | {"actors": [], "characters": [], "year": 0, "votes": 10, "rating": 7.1, "popularity": 9.5, "budget": 1000}
    | {"url": ""},
]
RATINGS = [
    ("qid:1", "big fish", "1", 1),
    ("qid:1", "big fish", "02", 0),
    ("qid:2", "ewan mcgregor fish", "1", 1),
    ("qid:3", "milan", "02", 1),
    ("qid:3", "milan", "999", 1),
    ("qid:4", "nothing", "1", 0),
    ("qid:5", "nothing else", "1", 0),
]


def written(directory, ratings=RATINGS):
    lines = "".join(f"{json.dumps(movie)}\n" for movie in MOVIES)
    (directory / "movies-corpus.jsonl.gz").write_bytes(gzip.compress(lines.encode()))
    rows = "query_id\tquery\tdoc_id\tgrade\n" + "".join("\t".join(map(str, row)) + "\n" for row in ratings)
    (directory / "movies-judgments.tsv.gz").write_bytes(gzip.compress(rows.encode()))
    return load(DataConfig(source="msrd", path="."), base=directory)


def test_movies_have_their_fields_and_unknown_values_are_null(tmp_path):
    dataset = written(tmp_path)
    assert dataset.products.columns == ["product_id", *FIELDS]
    assert dataset.products.rows(named=True) == [
        {"product_id": "1", "title": "Big Fish", "overview": None, "tags": None, "genres": ["Drama"]}
        | {"director": "Tim Burton", "actors": ["Ewan McGregor", "Eva Green"], "characters": ["Young Ed Bloom"]}
        | {"year": 2003.0, "votes": 0.0, "rating": None, "popularity": 20.5, "budget": None},
        {"product_id": "02", "title": "I Am Love", "overview": "A family in Milan", "tags": ["milan"], "genres": None}
        | {"director": None, "actors": None, "characters": None}
        | {"year": None, "votes": 10.0, "rating": 7.1, "popularity": 9.5, "budget": 1000.0},
    ]
    assert {name for name, kind in dataset.fields.items() if kind == "text"} == set(dataset.text_fields)


def test_queries_with_the_same_relevant_movies_share_their_relevant_set(tmp_path):
    dataset = written(tmp_path)
    sets = dict(dataset.queries.select("query_id", "relevant_set").rows())
    assert sets["qid:1"] == sets["qid:2"]
    assert len(set(sets.values())) == 4  # 1 and 2 share theirs; 4 and 5 have none, and each is alone


def test_judgments_keep_their_ids_and_unknown_movies(tmp_path):
    dataset = written(tmp_path)
    assert dataset.judgments.select("query_id", "product_id", "grade").rows() == [
        (query_id, movie, float(grade)) for query_id, _, movie, grade in RATINGS
    ]
    assert (dataset.scale, dataset.gains) == ("binary", "linear")


def test_a_grade_above_one_is_refused(tmp_path):
    with pytest.raises(JudgmentError, match="line 3: grade '2' is not on scale 'binary'"):
        written(tmp_path, [("qid:1", "fish", "1", 1), ("qid:1", "fish", "02", 2)])


def test_a_directory_without_the_files_is_named(tmp_path):
    with pytest.raises(ConfigError, match=r"lacks movies-corpus.jsonl.gz, movies-judgments.tsv.gz"):
        load(DataConfig(source="msrd", path="."), base=tmp_path)


def test_the_real_movies_load_as_published():
    if not os.environ.get("LTR_DATA_HOME"):
        if os.environ.get("CI") == "true":
            pytest.fail("LTR_DATA_HOME is not set")
        pytest.skip("LTR_DATA_HOME is not set: the movies are not here")
    dataset = load(DataConfig(source="msrd"), base=Path())
    assert (dataset.products.height, dataset.queries.height, dataset.judgments.height) == (9_750, 11_446, 270_592)
    unknown = dataset.judgments.join(dataset.products, on="product_id", how="anti")
    assert unknown.height == 261
    shared = dataset.queries["relevant_set"].is_duplicated().mean()
    assert 0.75 < shared < 0.77  # three of four
    per_query = dataset.judgments.group_by("query_id").agg(pl.col("grade").n_unique())
    assert per_query.filter(pl.col("grade") == 1).height == 68
    assert dataset.products.filter(pl.col("year") < 1900).height == 0
