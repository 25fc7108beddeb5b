"""``ltr inspect``: tables that fit, one JSON object of finite numbers, and one sentence for a fault."""

import json
import math
import shutil

import polars as pl
import pytest
from rich.console import Console

from ltr.cli import inspect as verb
from ltr.cli import run
from ltr.config import read_experiment
from ltr.experiment.assemble import assemble
from ltr.experiment.inspection import inspect, write


@pytest.fixture(scope="module")
def bundle(small, small_bundle, tmp_path_factory):
    """The small bundle with what ``write`` leaves in it, and a product whose title is long and holds rich's markup."""
    home, _ = small
    path = tmp_path_factory.mktemp("inspected") / "bundle"
    shutil.copytree(small_bundle, path)
    config = read_experiment(home / "experiment.toml")
    write(path / "results", assemble(config, base=home, cache=home / "cache"))
    file = path / "state" / "products.parquet"
    products = pl.read_parquet(file)
    products.with_columns(pl.format("[red] {}\n{}", "title", pl.lit("long " * 60)).alias("title")).write_parquet(file)
    return path


@pytest.fixture
def told(capsys):
    """Run the command line; returns the exit code, standard output and standard error."""

    def told(*arguments):
        code = run(["inspect", *map(str, arguments)])
        return code, *capsys.readouterr()

    return told


def numbers(value):
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list):
        return [number for each in value for number in numbers(each)]
    return [value] if isinstance(value, float) else []


def test_json_is_one_object_of_what_the_library_says(bundle, told):
    code, out, err = told(bundle, "--json", "--moved", 2, "--against", "cosine", "--by", "segment", "--by", "length")
    assert (code, err) == (0, "")
    found = json.loads(out)
    direct = inspect(bundle, by=["segment", "length"], against="cosine", moved=2)
    assert found == json.loads(json.dumps(direct.to_json()))
    assert list(found["segments"]) == ["segment", "length"]
    assert len(found["gained"]) == len(found["lost"]) == 2
    assert all(map(math.isfinite, numbers(found)))


def test_a_number_that_is_undefined_is_null(bundle, told, tmp_path):
    path = tmp_path / "bundle"
    shutil.copytree(bundle, path)
    file = path / "results" / "per_query.parquet"
    one_word = pl.col("query").str.count_matches(r"\S+") == 1
    per_query = pl.read_parquet(file).with_columns(pl.when(one_word).then(math.nan).otherwise("RR").alias("RR"))
    per_query.write_parquet(file)
    _, out, _ = told(path, "--json", "--measure", "RR", "--by", "length")
    (first, *_) = json.loads(out)["segments"]["length"]
    assert (first["name"], first["ranker"]["mean"], first["comparison"]["difference"]) == ("1", None, None)
    code, out, _ = told(path, "--measure", "RR", "--by", "length", "--moved", 0)
    assert code == 0
    assert f"of {first['queries']}" in out
    assert "undefined" in out
    assert "nan" not in out


@pytest.mark.parametrize("width", [100, 160])
def test_no_line_of_a_table_is_wider_than_the_screen_and_no_figure_is_broken(bundle, told, width, monkeypatch):
    monkeypatch.setattr(verb, "console", lambda: Console(width=width, highlight=False))
    code, out, _ = told(bundle, "--moved", 2)
    assert code == 0
    lines = [line.rstrip() for line in out.splitlines() if str(bundle) not in line and ": not known, " not in line]
    assert max(map(len, lines)) <= width
    found = inspect(bundle, moved=2)
    for parts in found.segments.values():
        for part in parts:
            assert any(line.split()[: len(part.name.split())] == part.name.split() for line in lines)
            assert f"({part.comparison.low:+.4f} to {part.comparison.high:+.4f})" in out
    ranks = [line.split() for line in lines if "[red]" in line]
    lists = len(found.gained) + len(found.lost)
    assert lists >= 2
    assert [row[0] for row in ranks] == ["1", "2", "3", "4", "5"] * lists
    assert all(line.count("[red]") == 2 for line in lines if "[red]" in line)


def test_the_tables_say_what_moved_and_what_is_proven(bundle, told):
    _, out, _ = told(bundle, "--moved", 1)
    found = inspect(bundle, moved=1)
    for title, (mover,) in (("gained", found.gained), ("lost", found.lost)):
        assert f"{title} {abs(mover.difference):.4f}: {mover.query}  ({mover.query_id}; " in out
    assert "grade" in out
    for heading in ("query length", "popularity", "unseen products", "p (Holm)", "difference"):
        assert heading in out
    tests = [part.comparison for parts in found.segments.values() for part in parts]
    assert out.count("not proven") == sum(not test.proven for test in (*tests, found.whole.comparison))
    assert f"Holm-corrected over {len(tests)} segments" in out


def test_grades_are_letters_on_a_scale_of_letters():
    from ltr.experiment.inspection import Shown

    esci = ("I", "C", "S", "E")
    grades = [verb._grade(Shown("p", "t", grade), esci) for grade in (3.0, None, 4.0)]
    assert [*grades, verb._grade(None, esci), verb._grade(Shown("p", "t", 1.0), ("irrelevant", "relevant"))] == [
        *("E", "–", "4"),
        "",
        "1",
    ]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--against", "cosin"], "did you mean 'cosine'?"),
        (["--measure", "nDGC@10"], "did you mean 'nDCG@10'?"),
        (["--by", "intens"], "did you mean 'intent'?"),
    ],
)
def test_a_wrong_option_is_one_sentence_and_exit_code_2(bundle, told, arguments, said):
    code, out, err = told(bundle, *arguments)
    assert (code, out) == (2, "")
    assert said in err
    assert err.count("error: ") == 1


def test_a_directory_without_results_is_one_sentence(bundle, told, tmp_path):
    shutil.copytree(bundle, tmp_path / "bundle")
    shutil.rmtree(tmp_path / "bundle" / "results")
    assert told(tmp_path / "bundle", "--json")[0] == 2
    assert told(tmp_path / "nowhere")[0] == 2
