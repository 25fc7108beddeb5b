"""Logins that a real server with security on refuses."""

import shutil

import pytest

from conftest import free_port, server_directory
from ltr.cli.application import invoke
from ltr.datasets.download import cache_home
from ltr.engine import connect, server
from ltr.errors import EngineError

SECRETS = ("hunter2", "bm90OmtleQ==")


@pytest.fixture(scope="module")
def closed(engine_url):
    """A server that lets nobody in; after ``engine_url``, which says why there is none where there is none."""
    directory = server_directory()
    try:
        cache = server.home(cache_home())
        yield server.start(
            directory=directory, port=free_port(), heap="512m", cache=cache, closed=True, timeout_s=300
        ).url
    finally:
        server.stop(directory)
        shutil.rmtree(directory)


@pytest.mark.parametrize("login", ["none", "password", "key"])
def test_a_refused_login_is_one_sentence_that_keeps_the_secret(closed, login, tmp_path, monkeypatch):
    monkeypatch.delenv("LTR_ELASTICSEARCH_API_KEY", raising=False)
    monkeypatch.chdir(tmp_path)
    url = closed.replace("//", "//elastic:hunter2@") if login == "password" else closed
    if login == "key":
        monkeypatch.setenv("LTR_ELASTICSEARCH_API_KEY", "bm90OmtleQ==")
    engine = connect(url)
    for asked in (
        lambda: engine.call("GET", "/products/_search"),
        lambda: invoke(["init", "--url", url, "--index", "p"]),
    ):
        with pytest.raises(EngineError, match=r"with 401: .*set LTR_ELASTICSEARCH_API_KEY") as told:
            asked()
        assert told.value.status == 401
        assert not any(secret in f"{told.value}{told.value!r}{engine!r}" for secret in SECRETS)
    assert not list(tmp_path.iterdir())
    engine.close()
