"""Pairs from SVMlight and the files beside it: groups, products, positions, and files that disagree."""

import time

import numpy as np
import polars as pl
import pytest

from ltr.datasets.svmlight import read_pairs
from ltr.errors import DataError
from ltr.frames import groups


@pytest.fixture
def beside(tmp_path):
    """A function that writes files, named by their suffixes, and returns the path of the data."""

    def written(data, **suffixed):
        (tmp_path / "rank.txt").write_text(data, encoding="utf-8")
        for suffix, text in suffixed.items():
            (tmp_path / f"rank.txt.{suffix}").write_text(text, encoding="utf-8")
        return tmp_path / "rank.txt"

    return written


def test_the_real_example_is_read_whole_in_well_under_a_second(data_home):
    started = time.perf_counter()
    pairs = read_pairs(data_home / "svmlight-rank" / "rank.train")
    # .15 s on two idle cores; a parser that goes line by line through Python takes more than the bound
    assert time.perf_counter() - started < 3
    assert pairs.shape == (3_005, 4 + 300)
    assert len(groups(pairs)) == 201
    assert pairs["grade"].unique().sort().to_list() == [0, 1, 2, 3, 4]
    assert pairs.null_count().sum_horizontal().item() == 0
    # the file's first lines: 0 10:0.89 11:0.75 12:0.01 17:0.45
    assert pairs.row(0)[:4] == ("1", "1", 0, 1)
    assert pairs.select("f9", "f10", "f12", "f13").row(0) == tuple(np.float32([0, 0.89, 0.01, 0]).tolist())


def test_products_are_named_after_the_hash_or_by_their_line(beside):
    pairs = read_pairs(beside("1 qid:1 1:1 # 7555 rambo\n\n0 qid:1 1:1 #docid = GX0-01 inc = 1\n0 qid:1 1:2\n"))
    assert pairs["product_id"].to_list() == ["7555", "GX0-01", "4"]
    assert pairs["query_id"].to_list() == ["1", "1", "1"]


def test_queries_without_qid_are_numbered_by_their_sizes(beside):
    pairs = read_pairs(beside("1 1:1\n0 1:2\n1 1:3\n", query="2\n1\n"))
    assert pairs["query_id"].to_list() == ["1", "1", "2"]


def test_qid_and_sizes_may_both_be_there_where_they_agree(beside):
    data = "1 qid:a 1:1\n0 qid:a 1:2\n1 qid:b 1:3\n"
    assert read_pairs(beside(data, query="2\n1\n"))["query_id"].to_list() == ["a", "a", "b"]
    with pytest.raises(DataError, match="make different groups"):
        read_pairs(beside(data, query="1\n2\n"))


@pytest.mark.parametrize("query", ["2\n2\n", "2\n"])
def test_sizes_that_do_not_sum_to_the_rows_are_refused(beside, query):
    with pytest.raises(DataError, match=rf"counts {sum(map(int, query.split()))} rows, and .* has 3"):
        read_pairs(beside("1 1:1\n0 1:2\n1 1:3\n", query=query))


def test_a_file_that_names_no_groups_is_refused(beside):
    with pytest.raises(DataError, match=r"has no qid, and .*rank.txt.query does not exist"):
        read_pairs(beside("1 1:1\n"))


@pytest.mark.parametrize(("position", "counted"), [("0\n1\n0\n", [1, 2, 1]), ("1\n2\n1\n", [1, 2, 1])])
def test_positions_count_from_one_whatever_the_file_counts_from(beside, position, counted):
    pairs = read_pairs(beside("1 qid:1 1:1\n0 qid:1 1:2\n1 qid:2 1:3\n", position=position))
    assert pairs["position"].to_list() == counted
    assert pairs.schema["position"] == pl.UInt16


@pytest.mark.parametrize(("position", "said"), [("1\n", "has 1 rows, and .* has 2"), ("1\n70000\n", "beyond 65535")])
def test_positions_that_do_not_fit_are_refused(beside, position, said):
    with pytest.raises(DataError, match=said):
        read_pairs(beside("1 qid:1 1:1\n0 qid:1 1:2\n", position=position))


def test_a_product_twice_in_a_query_is_refused_with_both_lines(beside):
    with pytest.raises(DataError, match=r"line 4: product 'a' of query '1' was on line 1 already"):
        read_pairs(beside("1 qid:1 1:1 # a\n1 qid:1 1:1 # b\n\n0 qid:1 1:2 # a\n1 qid:2 1:2 # a\n"))


def test_files_beside_a_compressed_one_are_found_by_either_name(tmp_path):
    import gzip

    (tmp_path / "rank.txt.gz").write_bytes(gzip.compress(b"1 1:1\n0 1:2\n"))
    (tmp_path / "rank.txt.query").write_text("2\n")
    assert read_pairs(tmp_path / "rank.txt.gz")["query_id"].to_list() == ["1", "1"]
    (tmp_path / "rank.txt.gz.query").write_text("1\n1\n")
    assert read_pairs(tmp_path / "rank.txt.gz")["query_id"].to_list() == ["1", "2"]
