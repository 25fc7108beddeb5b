"""SVMlight with qid and LightGBM's files: the numbers of scikit-learn, round trips, and the line of every fault."""

import gzip

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ltr.errors import ConfigError, DataError, JudgmentError
from ltr.frames import check, groups
from ltr.letor import (
    read_letor,
    read_positions,
    read_sizes,
    write_letor,
    write_positions,
    write_sizes,
)

VALUES = st.one_of(
    st.floats(width=32, allow_infinity=False),
    st.sampled_from([0.0, 0.0, 1e-45, 3.4028234663852886e38, float("nan")]),
)


@pytest.fixture
def file(tmp_path):
    """A function that writes a file and returns its path."""

    def written(text, name="pairs.txt"):
        path = tmp_path / name
        path.write_bytes(text.encode() if isinstance(text, str) else text)
        return path

    return written


@st.composite
def judged_pairs(draw, keys):
    """A pairs frame of up to five groups with up to four products and three features each."""
    names = draw(st.lists(keys, min_size=1, max_size=5, unique=True))
    width = draw(st.integers(1, 3))
    rows = [
        (name, f"p{i}", float(draw(st.integers(0, 4))), 1.0, *(draw(VALUES) for _ in range(width)))
        for name in names
        for i in range(draw(st.integers(1, 4)))
    ]
    types = [pl.String, pl.String, *[pl.Float32] * (2 + width)]
    columns = ["query_id", "product_id", "grade", "weight", *(f"f{i}" for i in range(1, width + 1))]
    return check(pl.DataFrame(rows, schema=dict(zip(columns, types, strict=True)), orient="row"), "pairs")


@settings(max_examples=40)
@given(pairs=judged_pairs(st.integers(0, 999).map(str)), first=st.sampled_from([0, 1]), gz=st.booleans())
def test_pairs_come_back_with_the_very_same_values(tmp_path_factory, pairs, first, gz):
    path = tmp_path_factory.mktemp("letor") / ("pairs.txt.gz" if gz else "pairs.txt")
    features = [name for name in pairs.columns if name.startswith("f")]
    write_letor(pairs, path, features=features, first=first)
    letor = read_letor(path, first=first, features=len(features))
    assert letor.query_ids.to_list() == pairs["query_id"].to_list()
    assert letor.comments.to_list() == pairs["product_id"].to_list()
    assert letor.grades.tolist() == pairs["grade"].to_list()
    assert letor.matrix.dtype == np.float32
    assert np.array_equal(letor.matrix, pairs.select(features).to_numpy(), equal_nan=True)


@settings(max_examples=40)
@given(pairs=judged_pairs(st.text(st.characters(exclude_categories=("C", "Z")), min_size=1).map(lambda t: f"{t} x")))
def test_groups_whose_keys_are_no_numbers_are_numbered_and_named_after_the_product(tmp_path_factory, pairs):
    path = tmp_path_factory.mktemp("letor") / "pairs.txt"
    write_letor(pairs, path, features=["f1"])
    letor = read_letor(path)
    sizes = groups(pairs).sizes
    assert letor.query_ids.to_list() == [str(i + 1) for i, size in enumerate(sizes) for _ in range(size)]
    assert letor.comments.to_list() == [f"{row[1]} {row[0]}" for row in pairs.iter_rows()]


@settings(max_examples=25)
@given(pairs=judged_pairs(st.integers(0, 999).map(str)))
def test_files_are_read_as_scikit_learn_reads_them(tmp_path_factory, pairs):
    from sklearn.datasets import load_svmlight_file

    path = tmp_path_factory.mktemp("letor") / "pairs.txt"
    features = [name for name in pairs.columns if name.startswith("f")]
    write_letor(pairs, path, features=features)
    matrix, grades, qid = load_svmlight_file(
        str(path), n_features=len(features), dtype=np.float32, zero_based=False, query_id=True
    )
    letor = read_letor(path, features=len(features))
    assert np.array_equal(matrix.toarray(), letor.matrix, equal_nan=True)
    assert grades.tolist() == letor.grades.tolist()
    assert qid.astype(str).tolist() == letor.query_ids.to_list()


def test_the_real_ranking_example_is_read_as_lightgbm_reads_it(data_home):
    import lightgbm

    for name in ("rank.train", "rank.test"):
        path = data_home / "svmlight-rank" / name
        letor, sizes = read_letor(path), read_sizes(path.with_name(f"{name}.query"))
        theirs = lightgbm.Dataset(str(path), params={"verbosity": -1}).construct()
        assert letor.grades.tolist() == theirs.get_label().tolist()
        assert sizes.tolist() == theirs.get_group().tolist()
        # LightGBM counts features from 0 and so has an empty one before the first
        assert letor.matrix.shape == (theirs.num_data(), theirs.num_feature() - 1)
        assert letor.query_ids is None


def test_lightgbm_takes_positions_from_the_file_that_is_written(tmp_path):
    import lightgbm

    generator = np.random.default_rng(7)
    np.savetxt(
        tmp_path / "t.csv", np.column_stack([generator.integers(0, 2, 60), generator.random((60, 3))]), delimiter=","
    )
    positions = np.tile(np.arange(1, 21), 3)
    write_sizes(np.array([20, 20, 20]), tmp_path / "t.csv.query")
    write_positions(positions, tmp_path / "t.csv.position")
    theirs = lightgbm.Dataset(str(tmp_path / "t.csv"), params={"verbosity": -1}).construct()
    assert theirs.get_group().tolist() == [20, 20, 20]
    # LightGBM numbers the distinct positions from 0 in the order it meets them
    assert theirs.get_position().tolist() == (positions - 1).tolist()


def test_the_line_of_the_format_is_read_whole(file):
    letor = read_letor(file("4 qid:1 1:9.83 3:12.31 # 7555 rambo\n"))
    assert letor.grades.tolist() == [4]
    assert letor.query_ids.to_list() == ["1"]
    assert letor.matrix.tolist() == [[np.float32(9.83), 0, np.float32(12.31)]]
    assert letor.comments.to_list() == ["7555 rambo"]
    assert letor.features == ("f1", "f2", "f3")


def test_blanks_tabs_comments_and_blank_lines_change_nothing(file):
    plain = read_letor(file("1 qid:a 1:2 2:3 # x\n0 qid:a\n"))
    laid_out = read_letor(file("# by hand\r\n\n\t1\tqid:a  1:2 \t2:3\t#x \n   \n0 qid:a #", "other.txt"))
    assert laid_out.matrix.tolist() == plain.matrix.tolist() == [[2, 3], [0, 0]]
    assert laid_out.comments.to_list() == plain.comments.to_list() == ["x", ""]
    assert laid_out.lines.tolist() == [3, 5]


def test_a_hash_inside_a_comment_is_part_of_it(file):
    assert read_letor(file("1 qid:1 1:2 # 7 c#\n")).comments.to_list() == ["7 c#"]


def test_what_is_absent_is_zero_and_what_is_nan_is_missing(file):
    assert np.array_equal(read_letor(file("1 qid:1 2:nan 3:0\n")).matrix, [[0, np.nan, 0]], equal_nan=True)


def test_features_may_be_numbered_from_zero_where_that_is_said(file):
    path = file("1 qid:1 0:5 2:6\n")
    letor = read_letor(path, first=0)
    assert letor.matrix.tolist() == [[5, 0, 6]]
    assert letor.features == ("f0", "f1", "f2")
    with pytest.raises(DataError, match=r"line 1: feature 0 is not one of 1 to"):
        read_letor(path)
    with pytest.raises(ConfigError, match="from 0 or from 1"):
        read_letor(path, first=2)


def test_the_number_of_features_may_be_that_of_another_file(file):
    path = file("1 qid:1 2:6\n")
    assert read_letor(path, features=4).matrix.tolist() == [[0, 6, 0, 0]]
    with pytest.raises(DataError, match="feature 2 is not one of 1 to 1"):
        read_letor(path, features=1)
    assert read_letor(file("1 qid:1\n")).matrix.shape == (1, 0)


def test_a_long_file_is_read_in_chunks_that_leave_no_seam(file):
    n = 40_000
    letor = read_letor(file("".join(f"{i % 5} qid:{i // 100} 1:{i} {2 + i % 3}:1 # p{i}\n" for i in range(n))))
    assert letor.matrix[:, 0].tolist() == list(range(n))
    assert letor.matrix[:, 1:].argmax(axis=1).tolist() == [i % 3 for i in range(n)]
    assert letor.comments[n - 1] == f"p{n - 1}"
    with pytest.raises(DataError, match=f"line {n}: '9'"):
        read_letor(file("".join(f"1 qid:1 {'1:1' if i < n else '9'}\n" for i in range(1, n + 1))))


GRADE_FAULTS = {
    "a word": ("1 qid:1\nE qid:1\n", "line 2: grade 'E'"),
    "NaN": ("nan qid:1\n", "line 1: grade 'nan'"),
    "infinite": ("\n1e39 qid:1\n", "line 2: grade '1e39'"),
    "no grade": ("qid:1 1:2\n", "line 1: grade 'qid:1'"),
}


@pytest.mark.parametrize(("text", "said"), GRADE_FAULTS.values(), ids=GRADE_FAULTS)
def test_a_grade_that_is_none_is_refused_with_its_line(file, text, said):
    with pytest.raises(JudgmentError, match=said):
        read_letor(file(text))


FAULTS = {
    "no colon": ("1 qid:1 1:2\n1 qid:1 7\n", "line 2: '7' is not feature:value"),
    "two colons": ("1 qid:1 1:2:3\n", "line 1: '1:2:3'"),
    "a name": ("1 qid:1 price:2\n", "line 1: 'price:2'"),
    "no value": ("1 qid:1 1:\n", "line 1: '1:'"),
    "a blank before the value": ("1 qid:1 1: 2\n", "line 1: '1:'"),
    "an infinite value": ("1 qid:1 1:inf\n", "line 1: '1:inf'"),
    "a value beyond float32": ("1 qid:1 1:-4e38\n", "line 1: '1:-4e38'"),
    "qid elsewhere": ("1 1:2 qid:1\n", "line 1: 'qid:1'.*qid stands second"),
    "falling numbers": ("1 qid:1 2:1\n1 qid:1 3:1 1:1\n", "line 2: feature 1 stands after"),
    "a number twice": ("1 qid:1 2:1 2:1\n", "line 1: feature 2 stands after"),
    "a negative number": ("1 qid:1 -1:1\n", "line 1: feature -1"),
    "a number beyond all bounds": ("1 qid:1 2000000000:1\n", "line 1: feature 2000000000"),
    "a qid that some lines lack": ("1 qid:1 1:2\n\n1 1:2\n", "line 3 has no qid"),
    "a qid without a name": ("1 qid: 1:2\n", "line 1 has no qid"),
    "a qid in two places": ("1 qid:1\n1 qid:2\n\n1 qid:1\n", "line 4: qid '1' was there before"),
    "comments alone": ("# nothing\n\n", "holds no pair"),
    "nothing": ("", "is empty"),
    "Latin-1": (b"1 qid:1 # caf\xe9\n", "line 1 holds byte 0xE9"),
}


@pytest.mark.parametrize(("text", "said"), FAULTS.values(), ids=FAULTS)
def test_a_fault_names_its_line(file, text, said):
    with pytest.raises(DataError, match=said):
        read_letor(file(text))


def test_gzip_is_read_by_its_name_and_refused_where_it_is_cut(file):
    whole = gzip.compress(b"1 qid:1 1:2\n")
    assert read_letor(file(whole, "a.txt.gz")).matrix.tolist() == [[2]]
    with pytest.raises(DataError, match="cannot be read"):
        read_letor(file(whole[:-9], "b.txt.gz"))
    with pytest.raises(DataError, match="does not exist"):
        read_letor(file("", "c").with_name("absent"))


def test_sizes_and_positions_come_back(tmp_path):
    write_sizes(np.array([3, 1, 2]), tmp_path / "t.query")
    write_positions(np.array([0, 1, 2, 0, 0, 1]), tmp_path / "t.position")
    assert read_sizes(tmp_path / "t.query").tolist() == [3, 1, 2]
    assert read_positions(tmp_path / "t.position").tolist() == [0, 1, 2, 0, 0, 1]


@pytest.mark.parametrize("said", ["0", "-1", "1.5", "x", "1 2"])
def test_a_size_that_is_no_number_of_rows_is_refused_with_its_line(file, said):
    with pytest.raises(DataError, match=f"line 3: '{said}' is not a number of rows from 1"):
        read_sizes(file(f"2\n\n{said}\n"))


def pairs_of(**columns):
    row = {"query_id": ["q"], "product_id": ["p"], "grade": [1.0], "weight": [1.0], "f1": [1.0]} | columns
    return check(pl.DataFrame(row), "pairs").cast({"f1": pl.Float32})


UNWRITABLE = {
    "an unjudged pair": (pairs_of(grade=[None]), JudgmentError, "1 of 1 pairs have no grade"),
    "an infinite feature": (pairs_of(f1=[float("inf")]), DataError, "feature 'f1' is null or infinite"),
    "a null feature": (pairs_of(f1=[None]), DataError, "feature 'f1' is null or infinite"),
    "a product with a blank": (pairs_of(product_id=["a b"]), DataError, "product_id 'a b'"),
    "a query over two lines": (pairs_of(query_id=["a\nb"]), DataError, "query_id 'a\\\\nb' holds a line break"),
    "a feature that is not there": (pairs_of().rename({"f1": "other"}), DataError, r"lack the features \['f1'\]"),
}


@pytest.mark.parametrize(("pairs", "fault", "said"), UNWRITABLE.values(), ids=UNWRITABLE)
def test_what_the_format_has_no_place_for_is_not_written(tmp_path, pairs, fault, said):
    with pytest.raises(fault, match=said):
        write_letor(pairs, tmp_path / "pairs.txt", features=["f1"])
    assert not list(tmp_path.iterdir())


def test_zeros_are_left_out_and_whole_numbers_are_written_short(tmp_path):
    pairs = pairs_of(query_id=["7", "7"], product_id=["a", "b"], grade=[2.0, 0.5], weight=[1, 1], f1=[0.0, 3.0])
    write_letor(pairs, tmp_path / "pairs.txt", features=["f1"])
    assert (tmp_path / "pairs.txt").read_text() == "2 qid:7 # a\n0.5 qid:7 1:3 # b\n"
