"""``ltr compare`` and ``ltr judgments convert``: the values of ir-measures, honest tables, and one sentence for a fault."""

import gzip
import json

import ir_measures
import numpy as np
import polars as pl
import pytest
import typer
from ir_measures import AP, RR, Judged, P, R, nDCG
from typer.main import get_command

from ltr.cli.compare import compare
from ltr.cli.convert import convert
from ltr.datasets.files import read_judgments
from ltr.errors import CandidateError, ConfigError, DataError, JudgmentError, LtrError
from ltr.trec import read_qrels, read_topics

MEASURES = {
    "nDCG@10": nDCG @ 10,
    "nDCG": nDCG,
    "AP": AP,
    "RR": RR,
    "P(rel=2)@5": P(rel=2) @ 5,
    "Recall@10": R @ 10,
    "Judged@5": Judged @ 5,
}


@pytest.fixture
def ltr(capsys):
    """Run the verbs as the command line does; returns standard output and standard error."""
    app = typer.Typer(rich_markup_mode=None)
    app.command("compare")(compare)
    judgments = typer.Typer()
    app.add_typer(judgments, name="judgments")
    judgments.command("convert")(convert)

    def run(*arguments):
        get_command(app).main([str(argument) for argument in arguments], prog_name="ltr", standalone_mode=False)
        return capsys.readouterr()

    return run


@pytest.fixture
def files(tmp_path):
    """Qrels of 30 queries and three runs of them: one by noise, one near the grades, one the same with ties."""
    generator = np.random.default_rng(7)
    qrels, runs = [], {"noise": [], "near": [], "tied": []}
    for query in range(30):
        grades = generator.integers(0, 4, 20) if query else np.zeros(20, dtype=int)
        qrels += [f"q{query} 0 p{p} {grade}" for p, grade in enumerate(grades) if p % 4]
        near = grades + generator.normal(size=20)
        for name, scores in {"noise": generator.normal(size=20), "near": near, "tied": np.round(near)}.items():
            if not (name == "noise" and query == 3):
                runs[name] += [f"q{query} Q0 p{p} {i} {scores[p]} {name}" for i, p in enumerate(np.argsort(-scores))]
    (tmp_path / "q.qrels").write_text("\n".join(qrels) + "\n")
    for name, lines in runs.items():
        (tmp_path / f"{name}.run").write_text("\n".join(lines) + "\n")
    return tmp_path


def test_the_values_are_those_of_ir_measures_on_the_same_files(ltr, files):
    names = ("noise", "near", "tied")
    out = ltr(
        "compare", files / "q.qrels", *(files / f"{n}.run" for n in names), "--measures", " ".join(MEASURES), "--json"
    )
    found = json.loads(out.out)
    assert "noise.run has no list for 1 of 30 judged queries" in out.err
    for name in names:
        theirs = ir_measures.calc_aggregate(
            list(MEASURES.values()),
            ir_measures.read_trec_qrels(str(files / "q.qrels")),
            ir_measures.read_trec_run(str(files / f"{name}.run")),
        )
        # Judged's own engine breaks ties by product id upwards, unlike trec_eval
        asked = {
            text: measure for text, measure in MEASURES.items() if name != "tied" or measure is not MEASURES["Judged@5"]
        }
        ours = {text: found["measures"][name][text]["mean"] for text in asked}
        assert ours == pytest.approx({text: theirs[measure] for text, measure in asked.items()})


def test_gains_are_those_named(ltr, files):
    table = {0: 0, 1: 1, 2: 3, 3: 7}
    theirs = ir_measures.calc_aggregate(
        [nDCG(gains=table) @ 10],
        ir_measures.read_trec_qrels(str(files / "q.qrels")),
        ir_measures.read_trec_run(str(files / "near.run")),
    )
    for gains in ("exponential", "0/1/3/7"):
        found = json.loads(ltr("compare", files / "q.qrels", files / "near.run", "--gains", gains, "--json").out)
        assert found["measures"]["near"]["nDCG@10"]["mean"] == pytest.approx(theirs[nDCG(gains=table) @ 10])
        assert (found["gains"], found["scale"], found["empty"]) == (gains, "0-3", "zero")


def test_each_run_is_compared_with_the_baseline_by_the_first_measure_corrected_by_holm(ltr, files):
    paths = [files / f"{name}.run" for name in ("noise", "near", "tied")]
    found = json.loads(ltr("compare", files / "q.qrels", *paths, "--measures", "AP RR", "--json").out)
    assert found["baseline"] == "noise"
    by = {comparison["ranker"]: comparison for comparison in found["comparisons"]}
    assert list(by) == ["near", "tied"]
    p = {name: each["p_value"] for name, each in by.items()}
    low, high = sorted(p, key=p.get)
    assert by[low]["p_holm"] == pytest.approx(min(1, 2 * p[low]))
    assert by[high]["p_holm"] == pytest.approx(max(p[high], 2 * p[low]))
    assert {each["measure"] for each in by.values()} == {"AP"}
    assert by["near"]["proven"]
    means = {name: found["measures"][name]["AP"]["mean"] for name in ("noise", "near")}
    assert by["near"]["difference"] == pytest.approx(means["near"] - means["noise"])


def test_the_baseline_may_be_named_by_name_or_path_and_stands_first(ltr, files):
    paths = [files / "noise.run", files / "near.run"]
    for name in ("near", files / "near.run"):
        found = json.loads(ltr("compare", files / "q.qrels", *paths, "--baseline", name, "--json").out)
        assert list(found["labels"]) == ["near", "noise"]
        assert found["comparisons"][0]["difference"] < 0


def test_the_table_says_what_is_proven_and_which_rules_it_used(ltr, files):
    out = ltr("compare", files / "q.qrels", files / "noise.run", files / "near.run").out
    assert "nDCG@10" in out
    assert "p (Holm)" in out
    assert "better" in out
    assert "30 queries; gains linear on scale 0-3; queries without a relevant product: zero" in out


def test_runs_of_one_name_go_by_their_paths(ltr, files):
    (files / "other").mkdir()
    (files / "other" / "near.run.gz").write_bytes(gzip.compress((files / "near.run").read_bytes()))
    paths = [files / "near.run", files / "other" / "near.run.gz"]
    found = json.loads(ltr("compare", files / "q.qrels", *paths, "--json").out)
    assert list(found["labels"]) == [str(path) for path in paths]
    assert found["comparisons"][0]["p_holm"] == 1


def test_ranks_order_a_run_where_they_are_asked_for(ltr, files):
    (files / "q.qrels").write_text("q 0 a 1\n")
    (files / "r.run").write_text("q Q0 a 1 0.5 t\nq Q0 b 2 0.5 t\n")
    value = {
        order: json.loads(ltr("compare", files / "q.qrels", files / "r.run", "--order", order, "--json").out)
        for order in ("scores", "ranks")
    }
    assert {order: found["measures"]["r"]["RR"]["mean"] for order, found in value.items()} == {
        "scores": 1 / 2,
        "ranks": 1,
    }


def test_queries_without_a_relevant_product_are_skipped_where_that_is_asked_for(ltr, files):
    found = json.loads(ltr("compare", files / "q.qrels", files / "near.run", "--empty", "skip", "--json").out)
    assert found["counted"]["near"]["AP"] == 29
    (files / "none.qrels").write_text("q1 0 p1 0\n")
    found = json.loads(ltr("compare", files / "none.qrels", files / "near.run", "--empty", "skip", "--json").out)
    assert found["measures"]["near"]["AP"]["mean"] is None


def test_grades_below_zero_are_counted_aloud(ltr, files):
    with (files / "q.qrels").open("a") as qrels:
        qrels.write("q1 0 p999 -1\n")
    out = ltr("compare", files / "q.qrels", files / "near.run", files / "noise.run", "--json")
    assert "1 grades are below 0 and count as not judged" in out.err


COMPARE_FAULTS = {
    "an unknown baseline": (["--baseline", "naer"], ConfigError, "did you mean 'near'?"),
    "unknown gains": (["--gains", "exp"], ConfigError, "gains 'exp' are unknown"),
    "gains that are words": (["--gains", "a/b"], ConfigError, "'a/b' are not numbers"),
    "too few gains": (["--gains", "0/1"], ConfigError, "have 2 values"),
    "an unknown measure": (["--measures", "NDGC@10"], LtrError, "NDGC"),
}


@pytest.mark.parametrize(("options", "fault", "said"), COMPARE_FAULTS.values(), ids=COMPARE_FAULTS)
def test_a_wrong_option_is_one_clear_error(ltr, files, options, fault, said):
    with pytest.raises(fault, match=said.replace("?", r"\?")):
        ltr("compare", files / "q.qrels", files / "noise.run", files / "near.run", *options)


def test_files_that_do_not_belong_together_are_refused(ltr, files):
    (files / "other.run").write_text("401 Q0 a 1 1 t\n")
    with pytest.raises(CandidateError, match=r"ranks none of the 30 queries .* its first is '401'"):
        ltr("compare", files / "q.qrels", files / "other.run")
    with pytest.raises(ConfigError, match="named twice"):
        ltr("compare", files / "q.qrels", files / "near.run", files / "near.run")
    (files / "high.qrels").write_text("q1 0 p1 31\n")
    with pytest.raises(JudgmentError, match=r"grade 31; grades are whole numbers from 0 to 30"):
        ltr("compare", files / "high.qrels", files / "near.run")
    (files / "minus.qrels").write_text("q1 0 p1 -1\n")
    with pytest.raises(JudgmentError, match="no grade from 0"):
        ltr("compare", files / "minus.qrels", files / "near.run")


QUEPID = 'query,docid,rating\nred shoe,p1,3\n"shoe, red ""x""",p2,0\nunrated,,\nred shoe,p2,1\n'


@pytest.fixture
def quepid(tmp_path):
    (tmp_path / "quepid.csv").write_text(QUEPID, encoding="utf-8")
    return tmp_path / "quepid.csv"


@pytest.mark.parametrize("name", ["t.csv", "t.tsv", "t.parquet", "t.jsonl", "t.csv.gz", "t.parquet.gz", "t.ndjson"])
def test_tables_hold_the_same_judgments_whatever_their_format(ltr, quepid, name):
    assert "3 judgments of 2 queries" in ltr("judgments", "convert", quepid, "-o", quepid.with_name(name)).out
    ours = read_judgments(quepid.with_name(name), scale="graded")
    for one, other in zip(ours, read_judgments(quepid, scale="graded"), strict=True):
        assert one.equals(other)


def test_quepids_own_columns_are_written_where_they_are_asked_for(ltr, quepid):
    ltr("judgments", "convert", quepid, "-o", quepid.with_name("t.jsonl"))
    ltr("judgments", "convert", quepid.with_name("t.jsonl"), "-o", quepid.with_name("again.csv"), "--to", "quepid")
    assert quepid.with_name("again.csv").read_text() == QUEPID.replace("unrated,,\n", "")


def test_queries_named_by_their_texts_are_numbered_in_qrels_and_found_again_by_their_topics(ltr, quepid):
    qrels, topics = quepid.with_name("t.qrels"), quepid.with_name("topics.tsv")
    ltr("judgments", "convert", quepid, "-o", qrels, "--topics", topics)
    assert qrels.read_text() == "1 0 p1 3\n2 0 p2 0\n1 0 p2 1\n"
    assert read_topics(topics).rows() == [("1", "red shoe"), ("2", 'shoe, red "x"')]
    ltr("judgments", "convert", qrels, "-o", quepid.with_name("t.csv"), "--topics", topics)
    queries, judgments = read_judgments(quepid.with_name("t.csv"), scale="graded")
    assert queries.rows() == [("1", "red shoe"), ("2", 'shoe, red "x"')]
    assert judgments.equals(read_qrels(qrels))


def test_ids_that_trec_can_hold_are_kept(ltr, tmp_path):
    (tmp_path / "t.csv").write_text("query_id,query,product_id,grade\nq7,red shoe,p,E\nq8,blue,p,I\n")
    ltr("judgments", "convert", tmp_path / "t.csv", "-o", tmp_path / "t.qrels.gz")
    assert gzip.decompress((tmp_path / "t.qrels.gz").read_bytes()) == b"q7 0 p 3\nq8 0 p 0\n"
    ltr("judgments", "convert", tmp_path / "t.qrels.gz", "-o", tmp_path / "again.txt")
    assert (tmp_path / "again.txt").read_text() == "q7 0 p 3\nq8 0 p 0\n"


def test_what_is_lost_is_said(ltr, tmp_path):
    (tmp_path / "t.csv").write_text("query_id,query,product_id,grade,weight\nq,a,p,1,0.5\n")
    assert "weights have no place" in ltr("judgments", "convert", tmp_path / "t.csv", "-o", tmp_path / "t.qrels").err
    (tmp_path / "u.qrels").write_text("q 0 a -1\nq 0 b 2\n")
    (tmp_path / "topics").write_text("q\tred\n")
    out = ltr("judgments", "convert", tmp_path / "u.qrels", "-o", tmp_path / "u.csv", "--topics", tmp_path / "topics")
    assert "1 grades are below 0" in out.err
    assert pl.read_csv(tmp_path / "u.csv").rows() == [("q", "red", "b", 2, 1.0)]


CONVERT_FAULTS = {
    "an unknown scale": (["q.csv", "-o", "o.csv", "--scale", "stars"], ConfigError, "scale 'stars' is unknown"),
    "off the scale": (["q.csv", "-o", "o.csv", "--scale", "binary"], JudgmentError, "line 2: grade '3'"),
    "qrels off the scale": (["q.qrels", "-o", "o.txt", "--scale", "binary"], JudgmentError, "grade 2 of product 'a'"),
    "no texts": (["q.qrels", "-o", "o.csv"], ConfigError, "--topics FILE"),
    "ids with blanks": (["q.csv", "-o", "o.qrels"], ConfigError, "'red shoe' holds a blank"),
    "a query without a topic": (["q.qrels", "-o", "o.csv", "--topics", "topics"], DataError, "lacks query 'q'"),
    "an unknown extension": (["q.csv", "-o", "o.xlsx"], ConfigError, "does not tell its format"),
    "a table that is none": (["q.csv", "-o", "o.xlsx", "--to", "table"], ConfigError, "is no table"),
    "onto itself": (["q.csv", "-o", "q.csv"], ConfigError, "both read and written"),
    "grades that are neither": (["bad.csv", "-o", "o.csv"], JudgmentError, "line 2: grade 'E' is not on scale '0-30'"),
    "one text, two ids": (["two.csv", "-o", "o.csv", "--to", "quepid"], DataError, "two ids of the query 'red'"),
}


@pytest.mark.parametrize(("arguments", "fault", "said"), CONVERT_FAULTS.values(), ids=CONVERT_FAULTS)
def test_what_cannot_be_converted_is_one_clear_error_and_writes_nothing(
    ltr, tmp_path, monkeypatch, arguments, fault, said
):
    monkeypatch.chdir(tmp_path)
    for name, text in {
        "q.csv": QUEPID,
        "q.qrels": "q 0 a 2\n",
        "topics": "r\tred\n",
        "bad.csv": "query,docid,rating\nred,a,E\nred,b,F\n",
        "two.csv": "query_id,query,docid,rating\n1,red,a,1\n2,red,a,2\n",
    }.items():
        (tmp_path / name).write_text(text)
    before = sorted(tmp_path.iterdir())
    with pytest.raises(fault, match=said):
        ltr("judgments", "convert", *arguments)
    assert sorted(tmp_path.iterdir()) == before
    assert (tmp_path / "q.csv").read_text() == QUEPID
