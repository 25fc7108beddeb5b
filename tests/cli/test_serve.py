"""`ltr serve` given what cannot be served: exit code 2, one sentence, no traceback."""

import socket

import pytest

from ltr.cli import run
from made.served import copied
from made.service import environment, started

KEYS = "LTR_SERVE_KEYS"


@pytest.fixture(autouse=True)
def no_keys(monkeypatch):
    for name in (KEYS, f"{KEYS}_FILE", "LTR_SERVE_ADMIN_KEYS", "LTR_SERVE_ADMIN_KEYS_FILE"):
        monkeypatch.delenv(name, raising=False)


def refused(capsys, *arguments):
    """The one sentence."""
    assert run(["serve", *map(str, arguments)]) == 2
    output, errors = capsys.readouterr()
    assert output == ""
    assert errors.startswith("error: ")
    assert errors.count("\n") == 1
    return errors


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.7", "shop.internal", ""])
def test_a_host_that_others_reach_needs_keys(host, counted_bundle, capsys):
    told = refused(capsys, counted_bundle, "--host", host)
    assert "LTR_SERVE_KEYS" in told
    assert "--without-keys" in told


def test_a_bundle_that_is_none_is_told(tmp_path, capsys):
    assert f"{tmp_path / 'none'} is not a bundle" in refused(capsys, tmp_path / "none")
    assert f"{tmp_path} is not a bundle" in refused(capsys, tmp_path)


def test_keys_that_are_none_are_told_and_not_shown(counted_bundle, capsys, monkeypatch):
    monkeypatch.setenv(KEYS, "a-good-key-of-some-length,short")
    told = refused(capsys, counted_bundle)
    assert "key 2 of LTR_SERVE_KEYS is no key" in told
    assert "short" not in told
    monkeypatch.setenv(f"{KEYS}_FILE", "/keys")
    assert "are both set" in refused(capsys, counted_bundle)
    monkeypatch.delenv(KEYS)
    assert "'/keys' cannot be read" in refused(capsys, counted_bundle)


def test_an_answer_log_that_cannot_be_written_is_told(counted_bundle, tmp_path, capsys):
    assert "--answer-log" in refused(capsys, counted_bundle, "--answer-log", tmp_path)
    assert "No such file" in refused(capsys, counted_bundle, "--answer-log", tmp_path / "none" / "answers.ndjson")


@pytest.mark.parametrize(
    "option", [("--port", "65536"), ("--workers", "0"), ("--deadline-ms", "0"), ("--deadline-ms", "x")]
)
def test_a_number_out_of_range_is_told(option, counted_bundle, capsys):
    assert run(["serve", str(counted_bundle), *option]) == 2
    errors = capsys.readouterr().err
    assert option[0] in errors
    assert "Traceback" not in errors


def ended(home, *arguments, **given):
    """Standard error of a service that did not come to be, and its exit code."""
    process = started(*arguments, env=environment(home, **given))
    output, errors = process.communicate(timeout=60)
    assert output == ""
    assert errors.count("\n") == 1, errors
    return process.returncode, errors


def test_a_port_that_is_taken_is_told(counted_bundle, tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        code, told = ended(tmp_path, counted_bundle, "--port", port)
    assert code == 2
    assert (
        told == f"error: port {port} of 127.0.0.1 cannot be had: Address already in use; choose another with --port\n"
    )


def test_a_bundle_that_is_damaged_is_told(counted_bundle, tmp_path):
    bundle = copied(counted_bundle, tmp_path / "damaged")
    (bundle / "model" / "feature_set.json").write_text("{}", encoding="utf-8")
    code, told = ended(tmp_path, bundle, "--port", 0)
    assert code == 2
    assert told.startswith("error: ")
    assert str(bundle) in told


def test_a_package_that_is_not_installed_is_told(counted_bundle, tmp_path):
    (tmp_path / "uvicorn.py").write_text("raise ModuleNotFoundError(\"No module named 'uvicorn'\", name='uvicorn')")
    code, told = ended(tmp_path, counted_bundle, "--port", 0, PYTHONPATH=str(tmp_path))
    assert (code, told) == (2, "error: uvicorn is not installed; pip install 'ltr[serve]'\n")


def test_a_worker_that_dies_without_a_word_ends_the_start_with_1(counted_bundle, tmp_path):
    (tmp_path / "uvicorn.py").write_text("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)")
    code, told = ended(tmp_path, counted_bundle, "--port", 0, PYTHONPATH=str(tmp_path))
    assert code == 1
    assert "signal 11" in told
