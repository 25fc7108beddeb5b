"""TREC's files: the order of trec_eval, what ir-measures reads, round trips, and the line of every fault."""

import gzip
import io

import ir_measures
import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ltr.errors import CandidateError, ConfigError, DataError, JudgmentError
from ltr.evaluation import evaluate
from ltr.frames import check, ranked
from ltr.measures import gain_table, parse, scale
from ltr.trec import read_qrels, read_run, read_topics, write_qrels, write_run, write_topics

# Blanks and control characters apart, an id may hold anything: quotes, commas, hashes, letters beyond ASCII.
IDS = st.text(st.characters(exclude_categories=("Z", "C")), min_size=1, max_size=6)
BLANKS = st.text(st.sampled_from(" \t"), min_size=1, max_size=3)
SCORES = st.one_of(
    st.floats(width=32, allow_nan=False, allow_infinity=False), st.sampled_from([0.0, -0.0, 1.0, 0.5, 1e-45])
)


@pytest.fixture
def file(tmp_path):
    """A function that writes a file and returns its path."""

    def written(text, name="file.txt"):
        path = tmp_path / name
        path.write_bytes(text.encode() if isinstance(text, str) else text)
        return path

    return written


def judgments_of(rows):
    schema = {"query_id": pl.String, "product_id": pl.String, "grade": pl.Float32, "weight": pl.Float32}
    return check(pl.DataFrame([(*row, 1.0) for row in rows], schema=schema, orient="row"), "judgments")


@st.composite
def pairs(draw, values):
    keys = draw(st.lists(st.tuples(IDS, IDS), min_size=1, max_size=30, unique=True))
    return [(query_id, product_id, draw(values)) for query_id, product_id in keys]


@st.composite
def laid_out(draw, rows):
    """Lines of cells with blanks and blank lines wherever the format allows them."""
    lines = []
    for row in rows:
        cells = [str(row[0])]
        for cell in row[1:]:
            cells += [draw(BLANKS), str(cell)]
        lines.append(
            draw(st.sampled_from(["", "", " ", "\t"])) + "".join(cells) + draw(st.sampled_from(["", "", "  "]))
        )
        lines += draw(st.sampled_from([[], [], [""]]))
    # ir-measures passes over a line only where it is wholly empty.
    return draw(st.sampled_from(["\n", "\r\n"])).join(lines) + draw(st.sampled_from(["", "\n"]))


@settings(max_examples=60)
@given(data=st.data(), rows=pairs(st.integers(-2, 9)))
def test_qrels_are_read_as_ir_measures_reads_them(tmp_path_factory, data, rows):
    text = data.draw(laid_out([(query, "0", product, grade) for query, product, grade in rows]))
    path = tmp_path_factory.mktemp("qrels") / "q.qrels"
    path.write_bytes(text.encode())
    theirs = [(q.query_id, q.doc_id, q.relevance) for q in ir_measures.read_trec_qrels(io.StringIO(text, newline=None))]
    ours = read_qrels(path)
    assert ours.select("query_id", "product_id", "grade").rows() == theirs
    assert ours["weight"].to_list() == [1.0] * len(rows)


@settings(max_examples=60)
@given(data=st.data(), rows=pairs(SCORES))
def test_runs_are_read_as_ir_measures_reads_them(tmp_path_factory, data, rows):
    text = data.draw(
        laid_out([(query, "Q0", product, i, score, "tag") for i, (query, product, score) in enumerate(rows)])
    )
    path = tmp_path_factory.mktemp("runs") / "r.run"
    path.write_bytes(text.encode())
    theirs = {
        (d.query_id, d.doc_id): float(np.float32(d.score))
        for d in ir_measures.read_trec_run(io.StringIO(text, newline=None))
    }
    for order in ("scores", "ranks"):
        ours = read_run(path, order=order)
        assert dict(zip(ours.select("query_id", "product_id").rows(), ours["score"], strict=True)) == theirs


def trec_eval_order(rows):
    """The rule in trec_eval's own words: sim as float, descending, then docno by strcmp, descending."""
    lists = {}
    for query, product, score in rows:
        lists.setdefault(query, []).append((float(np.float32(score)), product.encode()))
    return [(query, product.decode()) for query in sorted(lists) for _, product in sorted(lists[query], reverse=True)]


@settings(max_examples=60)
@given(rows=pairs(st.sampled_from([0.0, -0.0, 1.0, 1.0 + 1e-9, 2.0])))
def test_the_order_of_a_run_is_that_of_trec_eval_whatever_its_ranks_say(tmp_path_factory, rows):
    path = tmp_path_factory.mktemp("runs") / "r.run"
    path.write_text("".join(f"{q} Q0 {p} {i} {s!r} t\n" for i, (q, p, s) in enumerate(rows)), encoding="utf-8")
    run = read_run(path)
    assert run.select("query_id", "product_id").rows() == trec_eval_order(rows)
    by_rank = [(query, product) for query, product, _ in sorted(rows, key=lambda row: row[0])]
    assert read_run(path, order="ranks").select("query_id", "product_id").rows() == by_rank


TIED = {"nDCG@3": ir_measures.nDCG @ 3, "AP": ir_measures.AP, "P@2": ir_measures.P @ 2, "RR": ir_measures.RR}


@settings(max_examples=40)
@given(seed=st.integers(0, 2**32 - 1))
def test_tied_runs_and_negative_grades_have_the_values_of_trec_eval(tmp_path_factory, seed):
    generator, home = np.random.default_rng(seed), tmp_path_factory.mktemp("tied")
    products = [f"p{i}" for i in range(12)]
    (home / "r").write_text(
        "".join(
            f"q Q0 {p} {i} {generator.integers(0, 3) + generator.integers(0, 2) * 1e-10:.12f} t\n"
            for i, p in enumerate(products)
        )
    )
    (home / "q").write_text("".join(f"q 0 {p} {generator.integers(-2, 4)}\n" for p in products[:9]) + "q 0 z 1\n")
    theirs = {
        found.measure: found.value
        for found in ir_measures.iter_calc(
            list(TIED.values()),
            ir_measures.read_trec_qrels(str(home / "q")),
            ir_measures.read_trec_run(str(home / "r")),
        )
    }
    grades = scale("0-3")
    for negative in ("unjudged", "zero"):
        ours = evaluate(
            read_run(home / "r"),
            read_qrels(home / "q", negative=negative),
            [parse(name) for name in TIED],
            gains=gain_table("linear", grades),
            scale=grades,
            empty="zero",
        ).row(0, named=True)
        assert {name: ours[name] for name in TIED} == pytest.approx({name: theirs[TIED[name]] for name in TIED})


def test_negative_grades_are_kept_or_left_out_or_zero(file):
    path = file("q 0 a -1\nq 0 b 2\n")
    assert read_qrels(path)["grade"].to_list() == [-1, 2]
    assert read_qrels(path, negative="unjudged")["product_id"].to_list() == ["b"]
    assert read_qrels(path, negative="zero")["grade"].to_list() == [0, 2]


@settings(max_examples=60)
@given(rows=pairs(st.integers(-1, 2**24)), gz=st.booleans())
def test_judgments_come_back_from_qrels(tmp_path_factory, rows, gz):
    path = tmp_path_factory.mktemp("qrels") / ("q.qrels.gz" if gz else "q.qrels")
    judgments = judgments_of(rows)
    write_qrels(judgments, path)
    assert read_qrels(path).equals(judgments)


@settings(max_examples=60)
@given(rows=pairs(SCORES), gz=st.booleans())
def test_a_run_comes_back_by_its_ranks_bit_for_bit_and_by_its_scores_where_they_were_its_ranks(
    tmp_path_factory, rows, gz
):
    path = tmp_path_factory.mktemp("runs") / ("r.run.gz" if gz else "r.run")
    run = ranked(pl.DataFrame(rows, schema=["query_id", "product_id", "score"], orient="row"))
    write_run(run, path, tag="bm25")
    again = read_run(path, order="ranks")
    assert again.equals(run)
    assert again["score"].to_numpy().tobytes() == run["score"].to_numpy().tobytes()
    write_run(run, path, scores="ranks")
    assert read_run(path).drop("score").equals(run.drop("score"))


def test_a_run_has_the_six_columns_of_the_format(tmp_path):
    run = ranked(pl.DataFrame({"query_id": ["q", "q"], "product_id": ["a", "b"], "score": [0.1, 2.0]}))
    write_run(run, tmp_path / "r", tag="bm25")
    assert (tmp_path / "r").read_text() == "q Q0 b 1 2.0 bm25\nq Q0 a 2 0.1 bm25\n"


@settings(max_examples=60)
@given(
    topics=st.dictionaries(
        IDS, st.text(st.characters(exclude_categories=("C",)), min_size=1).map(str.strip).filter(bool), min_size=1
    )
)
def test_queries_come_back_from_topics(tmp_path_factory, topics):
    path = tmp_path_factory.mktemp("topics") / "topics.tsv"
    queries = pl.DataFrame({"query_id": list(topics), "query": list(topics.values())})
    # a first query that looks like markup is read as markup
    if not f"{next(iter(topics))}".startswith("<top>"):
        write_topics(queries, path)
        assert read_topics(path).equals(queries)


def test_topics_in_trecs_own_markup_give_number_and_title(file):
    path = file(
        "<top>\n<num> Number: 401\n<title> foreign minorities,\nGermany\n<desc> Description:\nWhat?\n</top>\n\n"
        "<top>\n<num>402<title>Topic: behavioral genetics\n</top>\n"
    )
    assert read_topics(path).rows() == [("401", "foreign minorities, Germany"), ("402", "behavioral genetics")]


def test_queries_of_a_run_may_stand_in_any_order(file):
    run = read_run(file("b Q0 x 1 1 t\na Q0 y 1 1 t\nb Q0 z 2 2 t\n"))
    assert run.rows() == [("a", "y", 1, 1.0), ("b", "z", 1, 2.0), ("b", "x", 2, 1.0)]


def test_a_byte_order_mark_is_no_part_of_the_first_id(file):
    assert read_qrels(file(b"\xef\xbb\xbfq 0 a 1\n"))["query_id"][0] == "q"


QRELS_FAULTS = {
    "three columns": ("q 0 a 1\n\nq 0 b\n", "line 3 has 3 columns"),
    "five columns": ("q 0 a 1\nq 0 b 1 x\n", "line 2 has 5 columns"),
    "too many columns from the first": ("q 0 a 1 5\nq 0 b 1\n", "line 1 has 5 columns"),
    "a fraction": ("q 0 a 1\nq 0 b 0.7\n", r"line 2: grade '0.7' is not a whole number"),
    "a word": ("q 0 a 1\nq 0 b good\n", "line 2: grade 'good'"),
    "not a number": ("q 0 a nan\n", "line 1: grade 'nan'"),
    "beyond float32": (f"q 0 a {2**24 + 1}\n", "line 1: grade"),
    "beyond int64": (f"q 0 a {2**70}\n", "line 1: grade"),
    "a pair twice": (
        "q 0 a 1\nr 0 a 1\n\nq 0 a 2\n",
        r"line 4: query_id 'q', product_id 'a' is judged twice, first on line 1",
    ),
    "blank lines alone": ("\n \n", "has no line"),
}


@pytest.mark.parametrize(("text", "said"), QRELS_FAULTS.values(), ids=QRELS_FAULTS)
def test_a_fault_in_qrels_names_its_line(file, text, said):
    with pytest.raises(JudgmentError, match=said):
        read_qrels(file(text))


RUN_FAULTS = {
    "five columns": ("q Q0 a 1 2 t\nq Q0 b 2 1\n", "line 2 has 5 columns"),
    "a tag with a blank": ("q Q0 a 1 2 my run\n", "line 1 has 7 columns"),
    "a score that is a word": ("q Q0 a 1 high t\n", "line 1: score 'high'"),
    "a score that is NaN": ("q Q0 a 1 2 t\n\nq Q0 b 2 nan t\n", "line 3: score 'nan'"),
    "an infinite score": ("q Q0 a 1 -inf t\n", "line 1: score '-inf'"),
    "a score beyond float32": ("q Q0 a 1 1e39 t\n", "line 1: score '1e39'"),
    "a rank that is a fraction": ("q Q0 a 1.5 2 t\n", "line 1: rank '1.5'"),
    "a negative rank": ("q Q0 a -1 2 t\n", "line 1: rank '-1'"),
    "a pair twice": (
        "q Q0 a 1 2 t\nq Q0 a 2 1 t\n",
        r"line 2: query_id 'q', product_id 'a' is ranked twice, first on line 1",
    ),
}


@pytest.mark.parametrize(("text", "said"), RUN_FAULTS.values(), ids=RUN_FAULTS)
def test_a_fault_in_a_run_names_its_line(file, text, said):
    with pytest.raises(CandidateError, match=said):
        read_run(file(text))


def test_equal_ranks_are_a_fault_only_where_ranks_are_asked_for(file):
    path = file("q Q0 a 0 2 t\nq Q0 b 0 1 t\n")
    assert read_run(path)["product_id"].to_list() == ["a", "b"]
    with pytest.raises(CandidateError, match=r"line 2: query_id 'q', rank 0 holds two products, first on line 1"):
        read_run(path, order="ranks")


FILE_FAULTS = {
    "empty": (b"", "empty"),
    "UTF-16": ("q 0 a 1\n".encode("utf-16"), "NUL"),
    "Latin-1": (b"q 0 a 1\nq 0 caf\xe9 1\n", "line 2 holds byte 0xE9"),
}


@pytest.mark.parametrize(("data", "said"), FILE_FAULTS.values(), ids=FILE_FAULTS)
def test_a_file_that_is_no_text_is_refused(file, data, said):
    with pytest.raises(DataError, match=said):
        read_qrels(file(data))


def test_a_gzip_file_that_is_cut_or_none_is_refused(file):
    whole = gzip.compress(b"q 0 a 1\n" * 100)
    for data in (whole[:-10], b"q 0 a 1\n"):
        with pytest.raises(DataError, match="cannot be read"):
            read_qrels(file(data, "q.gz"))
    with pytest.raises(DataError, match="does not exist"):
        read_qrels(file("", "q.gz").with_name("absent"))


TOPIC_FAULTS = {
    "no tab": ("1\tred shoe\n2 blue shoe\n", "line 2: '2 blue shoe'"),
    "three cells": ("1\tred\tshoe\n", "line 1"),
    "no text": ("1\tred shoe\n\n2\t\n", "line 3"),
    "an id twice": ("1\tred\n1\tblue\n", "line 2: query_id '1' has two topics, first on line 1"),
    "nothing": ("\n", "no topic"),
    "markup without a title": ("<top>\n<num> 1\n<title> x\n</top>\n<top>\n<num> 2\n</top>", "line 5: .* title"),
    "markup without a number": ("<top>\n<title> x\n</top>", "line 1: .* number"),
}


@pytest.mark.parametrize(("text", "said"), TOPIC_FAULTS.values(), ids=TOPIC_FAULTS)
def test_a_fault_in_topics_names_its_line(file, text, said):
    with pytest.raises(DataError, match=said):
        read_topics(file(text))


@pytest.mark.parametrize("blank", [" ", "\t", "\n", "\xa0", "\x1c", ""], ids=repr)
def test_ids_that_would_read_as_other_columns_are_not_written(tmp_path, blank):
    product = f"a{blank}b" if blank else ""
    with pytest.raises(DataError, match="product_id"):
        write_qrels(judgments_of([("q", product, 1)]), tmp_path / "q")
    run = ranked(pl.DataFrame({"query_id": ["q"], "product_id": [product], "score": [1.0]}))
    with pytest.raises(DataError, match="product_id"):
        write_run(run, tmp_path / "r")
    with pytest.raises(DataError, match="tag"):
        write_run(run.with_columns(product_id=pl.lit("a")), tmp_path / "r", tag=product)
    assert not list(tmp_path.iterdir())


def test_what_the_formats_have_no_place_for_is_not_written(tmp_path):
    with pytest.raises(JudgmentError, match=r"grade 0.7 of product 'a' for query 'q' is not a whole number"):
        write_qrels(judgments_of([("q", "a", 0.7)]), tmp_path / "q")
    last = ranked(pl.DataFrame({"query_id": ["q"], "product_id": ["a"], "score": [float("nan")]}))
    with pytest.raises(CandidateError, match="not finite"):
        write_run(last, tmp_path / "r")
    write_run(last, tmp_path / "r", scores="ranks")
    assert read_run(tmp_path / "r")["score"].to_list() == [-1.0]
    with pytest.raises(DataError, match="a topic is one line"):
        write_topics(pl.DataFrame({"query_id": ["q"], "query": ["a\tb"]}), tmp_path / "t")


def test_an_unknown_policy_is_refused_with_those_there_are(file, tmp_path):
    path = file("q 0 a 1\n")
    with pytest.raises(ConfigError, match="did you mean 'scores'"):
        read_run(path, order="score")
    with pytest.raises(ConfigError, match="keep, unjudged, zero"):
        read_qrels(path, negative="drop")
    with pytest.raises(ConfigError, match="own, ranks"):
        write_run(ranked(pl.DataFrame({"query_id": ["q"], "product_id": ["a"], "score": [1.0]})), path, scores="none")
