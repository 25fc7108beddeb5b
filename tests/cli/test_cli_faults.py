"""What a user gets wrong: one clear sentence, exit code 2, no traceback, earlier results untouched."""

import errno
import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from ltr.cli import run

PRODUCTS = "sku,name,price\n" + "".join(
    f"S{i},{colour} {kind} {i},{5 + i % 40}\n"
    for i, (colour, kind) in enumerate(
        (c, k) for c in ("red", "blue", "green", "black") for k in ("shoe", "shirt", "hat") for _ in range(5)
    )
)
QUERIES = [f"{colour} {kind}" for colour in ("red", "blue", "green", "black") for kind in ("shoe", "shirt", "hat")]
JUDGMENTS = "query,docid,rating\n" + "".join(
    f"{query},S{i},{(line.split(',')[1].split()[0] in query) + 2 * (line.split(',')[1].split()[1] in query)}\n"
    for query in QUERIES
    for i, line in enumerate(PRODUCTS.splitlines()[1:])
)
FEATURES = """
name = "own"
[[feature]]
name = "title_bm25"
kind = "bm25"
field = "name"
[[feature]]
name = "price"
kind = "number"
field = "price"
"""
EXPERIMENT = """
name = "own"
[data]
source = "files"
products = "products.csv"
judgments = "judgments.csv"
[data.columns]
product_id = "sku"
[features]
set = "own.toml"
[ranker]
rounds = 20
[tracking]
uri = ""
"""


@pytest.fixture
def own(tmp_path, monkeypatch):
    """A small catalogue of one's own in CSV, judged in Quepid's columns; the working directory is its own too."""
    for name, text in {
        "products.csv": PRODUCTS,
        "judgments.csv": JUDGMENTS,
        "own.toml": FEATURES,
        "experiment.toml": EXPERIMENT,
    }.items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LTR_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path


def edit(path, old, new):
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new, 1), encoding="utf-8")


FAULTS = {
    "an experiment that is none": (["train", "shopp"], None, "experiment 'shopp' is neither"),
    "an unknown key": (
        ["train", "."],
        lambda own: edit(own / "experiment.toml", "[features]", "[fetures]"),
        "unknown key 'fetures'; did you mean 'features'?",
    ),
    "an unknown kind": (
        ["train", "."],
        lambda own: edit(own / "own.toml", '"bm25"', '"bm52"'),
        "did you mean 'bm25'?",
    ),
    "a field that the catalogue lacks": (
        ["train", "."],
        lambda own: edit(own / "own.toml", 'field = "name"', 'field = "nmae"'),
        "'nmae'",
    ),
    "a missing column": (
        ["train", "."],
        lambda own: edit(own / "products.csv", "sku,", "id_of_it,"),
        "sku",
    ),
    "a duplicate pair": (
        ["train", "."],
        lambda own: edit(own / "judgments.csv", "red shoe,S1,", "red shoe,S0,"),
        "S0",
    ),
    "a grade off the scale": (
        ["train", "."],
        lambda own: edit(own / "judgments.csv", "red shoe,S0,3", "red shoe,S0,9"),
        "scale",
    ),
    "an infinite number": (
        ["train", "."],
        lambda own: edit(own / "products.csv", "S0,red shoe 0,5", "S0,red shoe 0,inf"),
        "price",
    ),
    "bytes that are not UTF-8": (
        ["train", "."],
        lambda own: (own / "products.csv").write_bytes(b"sku,name,price\nS0,caf\xe9,1\n"),
        "UTF-8",
    ),
    "a truncated Parquet": (
        ["train", ".", "--set", "data.products=p.parquet"],
        lambda own: (own / "p.parquet").write_bytes(b"PAR1" + bytes(40)),
        "p.parquet",
    ),
    "too few queries": (
        ["train", "."],
        lambda own: (own / "judgments.csv").write_text("\n".join(JUDGMENTS.splitlines()[: 1 + 60 * 5]) + "\n"),
        "at least 10",
    ),
    "an unknown measure": (["train", ".", "--set", 'evaluation.measures=["nDGC@10"]'], None, "nDCG"),
    "an unknown ranker parameter": (["train", ".", "--set", "ranker.num_leafs=3"], None, "num_lea"),
    "a monotone feature that the set lacks": (
        ["train", ".", "--set", "ranker.monotone.titel_bm25=1"],
        None,
        "did you mean 'title_bm25'?",
    ),
    "a split by a column that the queries lack": (["train", ".", "--set", 'split.also=["inten"]'], None, "'inten'"),
    "a rel above every grade": (["train", ".", "--set", "evaluation.rel=31"], None, "scale"),
    "judgments of another catalogue": (
        ["train", "."],
        lambda own: (own / "products.csv").write_text(PRODUCTS.replace("\nS", "\nT")),
        "'S0'",
    ),
    "measures that name none": (
        ["evaluate", ".", "--judgments", "judgments.csv", "--measures", " "],
        None,
        "no measure",
    ),
    "nothing to reproduce": (["reproduce"], None, "has an expected.toml"),
    "an expectation that was never written": (["reproduce", "."], None, "ltr reproduce --accept ."),
    "a bundle that is none": (["evaluate", "nowhere", "--judgments", "judgments.csv"], None, "is not a directory"),
    "a place that cannot be written": (
        ["train", ".", "--bundles", "products.csv"],
        None,
        "cannot write under",
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_one_sentence_and_exit_code_2(fault, own, capsys):
    arguments, harm, expected = FAULTS[fault]
    if harm:
        harm(own)
    before = {path: path.read_bytes() for path in own.iterdir() if path.is_file()}
    assert run(arguments) == 2
    captured = capsys.readouterr()
    assert expected in captured.err
    assert "Traceback" not in captured.err
    assert captured.out == ""
    errors = [line for line in captured.err.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1
    assert {path: path.read_bytes() for path in own.iterdir() if path.is_file()} == before
    assert not list(own.glob("bundles/*"))


@pytest.mark.parametrize(
    "mistake",
    [
        'evaluation.measures=["nDGC@10"]',
        "ranker.num_leafs=3",
        "ranker.num_leaves=-3",
        "ranker.monotone.nothing=1",
        'split.also=["nothing"]',
        "split.group=nothing",
        "evaluation.rel=9",
        "evaluation.gains=expo",
    ],
)
def test_a_mistake_in_the_configuration_is_told_before_anything_is_encoded(mistake, small, capsys):
    home, _ = small
    arguments = ["train", str(home), "--set", "encoder.model=no-such-encoder"]
    assert run(arguments) == 2
    assert "no-such-encoder" in capsys.readouterr().err
    assert run([*arguments, "--set", mistake]) == 2
    assert "no-such-encoder" not in capsys.readouterr().err


def test_one_broken_experiment_leaves_the_others_listed(own, capsys):
    for name, text in {"good": EXPERIMENT, "broken": "name = "}.items():
        (own / "experiments" / name).mkdir(parents=True)
        (own / "experiments" / name / "experiment.toml").write_text(text)
    assert run(["experiments", "--json"]) == 0
    captured = capsys.readouterr()
    assert "broken" in captured.err
    assert [each["name"] for each in json.loads(captured.out)["experiments"]] == ["broken", "good"]


def test_an_unreadable_file_is_not_said_to_be_full(own, monkeypatch, capsys):
    def refuse(*_arguments, **_named):
        raise PermissionError(errno.EACCES, "Permission denied", "products.csv")

    monkeypatch.setattr("ltr.cli.application.invoke", refuse)
    assert run(["train", "."]) == 2
    assert capsys.readouterr().err == (
        "error: products.csv: Permission denied; check its permissions, or choose another place\n"
    )


def test_wrong_options_are_exit_code_2(capsys):
    assert run(["train"]) == 2
    assert run(["train", "shop", "--no-such-option"]) == 2
    assert run(["trian"]) == 2
    assert "Traceback" not in capsys.readouterr().err


def limited(kilobytes):
    """A limit on the size of any one file stands in for a full disk: the kernel refuses the write in the same place."""
    import resource

    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (kilobytes * 1024, kilobytes * 1024))


def test_a_full_disk_while_saving_is_exit_code_2_and_leaves_nothing(own):
    command = [sys.executable, "-m", "ltr.cli", "train", "."]
    done = subprocess.run(command, capture_output=True, text=True, preexec_fn=lambda: limited(2), check=False)
    assert done.returncode == 2, done.stderr
    assert "Traceback" not in done.stderr
    assert "space" in done.stderr
    assert not list((own / "bundles").glob("**/*"))


def test_a_full_disk_while_tracking_keeps_the_bundle_and_prints_no_traceback(own):
    command = [sys.executable, "-m", "ltr.cli", "train", ".", "--set", "tracking.uri=sqlite:///mlflow.db"]
    done = subprocess.run(command, capture_output=True, text=True, preexec_fn=lambda: limited(100), check=False)
    assert done.returncode == 0, done.stderr
    assert "not tracked" in done.stderr
    assert "Traceback" not in done.stderr
    (saved,) = (own / "bundles").iterdir()
    assert f"ltr track bundles/{saved.name}" in done.stderr


def test_ctrl_c_while_tracking_says_where_the_bundle_is(own):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        uri = f"http://user:hunter2@127.0.0.1:{silent.getsockname()[1]}"
        command = [sys.executable, "-m", "ltr.cli", "train", ".", "--set", f"tracking.uri={uri}"]
        process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        silent.settimeout(60)
        asked, _ = silent.accept()
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=60)
        asked.close()
    assert process.returncode == 130, errors
    (saved,) = (own / "bundles").iterdir()
    assert f"ltr track bundles/{saved.name} --uri URI" in errors
    assert "hunter2" not in errors
    assert "Traceback" not in errors


def test_a_bundle_is_tracked_where_it_was_meant_for_and_once(own, capsys):
    assert run(["train", ".", "--set", "tracking.uri=sqlite:///elsewhere.db", "--json"]) == 0
    trained = json.loads(capsys.readouterr().out)
    assert run(["track", trained["bundle"]]) == 0
    assert capsys.readouterr().out.strip() == f"MLflow run {trained['run_id']} at sqlite:///elsewhere.db"
    assert not (own / "mlflow.db").exists()


def test_a_bundle_that_was_not_to_be_tracked_needs_a_server(own, capsys):
    assert run(["train", ".", "--json"]) == 0
    trained = json.loads(capsys.readouterr().out)
    assert run(["track", trained["bundle"]]) == 2
    assert "--uri" in capsys.readouterr().err


def test_ctrl_c_in_the_middle_is_exit_code_130_and_leaves_nothing(own):
    command = [
        sys.executable,
        "-m",
        "ltr.cli",
        "train",
        ".",
        "--set",
        "ranker.rounds=100000",
        "--set",
        "ranker.patience=100000",
    ]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    maps = Path(f"/proc/{process.pid}/maps")
    while process.poll() is None and "lib_lightgbm" not in maps.read_text(encoding="utf-8"):
        time.sleep(0.05)
    time.sleep(0.5)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130, errors
    assert "interrupted; earlier results are untouched" in errors
    assert "Traceback" not in errors
    assert not list((own / "bundles").glob("**/*"))


def test_json_keeps_standard_output_to_itself(own):
    command = [sys.executable, "-m", "ltr.cli", "train", ".", "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=os.environ)
    told = json.loads(done.stdout)
    assert Path(told["bundle"]).is_dir()
    assert told["measures"]["lightgbm"]["nDCG@10"].keys() >= {"mean", "low", "high"}
    assert {comparison["ranker"] for comparison in told["comparisons"]} == {"best_feature", "lightgbm"}


def test_an_undefined_measure_is_null_in_json(own, capsys):
    (own / "none.csv").write_text("query,docid,rating\nred shoe,S0,0\nred shoe,S1,0\n")
    assert run(["train", "."]) == 0
    (bundle,) = own.glob("bundles/*")
    capsys.readouterr()
    assert run(["evaluate", str(bundle), "--judgments", "none.csv", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["measures"]["nDCG@10"]["mean"] is None
