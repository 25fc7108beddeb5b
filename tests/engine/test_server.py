"""The private server: started once, for this machine only, not as root, ended by its process; and why it could not be."""

import os
import socket
from pathlib import Path

import pytest

from conftest import free_port
from ltr.cli import run
from ltr.engine import connect, distribution, server
from ltr.errors import ConfigError, EngineError

root = pytest.mark.skipif(os.geteuid() != 0, reason="of what root starts")


def test_a_second_start_finds_the_first(own_server):
    again = server.start(directory=own_server.directory, port=free_port(), heap="512m")
    assert (again.pid, again.url, again.fresh) == (own_server.pid, own_server.url, False)
    assert server.status(own_server.directory) == again


def test_it_can_be_reached_from_this_machine_only(own_server):
    engine = connect(own_server.url)
    nodes = engine.call("GET", "/_nodes/_local/http,transport")["nodes"]
    (node,) = nodes.values()
    bound = [address for part in ("http", "transport") for address in node[part]["bound_address"]]
    assert bound
    assert {address.rpartition(":")[0] for address in bound} <= {"127.0.0.1", "[::1]"}
    engine.close()


@root
def test_started_by_root_it_is_not_root(own_server):
    assert Path(f"/proc/{own_server.pid}").stat().st_uid != 0
    for name in ("data", "logs", "config"):
        folder = own_server.directory / name
        assert (folder.stat().st_mode & 0o777, folder.stat().st_uid != 0) == (0o700, True)


def test_it_does_not_get_the_callers_environment(own_server):
    variables = Path(f"/proc/{own_server.pid}/environ").read_bytes()
    assert b"LTR_DATA_HOME" not in variables
    assert b"PYTEST_CURRENT_TEST" not in variables


def test_the_command_line_says_whether_it_runs(own_server, tmp_path, capsys):
    assert run(["elasticsearch", "status", "--directory", str(own_server.directory)]) == 0
    told = capsys.readouterr().out
    assert own_server.url in told
    assert f"ltr elasticsearch stop --directory {own_server.directory}" in told
    assert run(["elasticsearch", "start", "--directory", str(own_server.directory), "--port", "1", "--json"]) == 0
    told = capsys.readouterr()
    assert f'"url": "{own_server.url}"' in told.out
    assert "not 1: stop it first" in told.err
    for action, code in (("status", 1), ("stop", 0)):
        assert run(["elasticsearch", action, "--directory", str(tmp_path / "none")]) == code
        assert "no Elasticsearch of ltr runs" in capsys.readouterr().out


def test_a_number_that_belongs_to_another_process_now_is_not_ended(tmp_path):
    (tmp_path / "server.json").write_text(
        f'{{"pid": {os.getpid()}, "port": 9200, "version": "8", "born": "long ago"}}', encoding="utf-8"
    )
    assert server.status(tmp_path) is None
    assert server.stop(tmp_path) is None


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"pid": "x", "port": 1, "version": "8", "born": "1"}'])
def test_a_damaged_record_is_no_server(tmp_path, text):
    (tmp_path / "server.json").write_text(text, encoding="utf-8")
    assert server.status(tmp_path) is None


def test_a_port_that_is_taken_is_refused_before_anything_is_fetched(tmp_path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(EngineError, match=rf"port {port} cannot be had: .*--port.*LTR_ELASTICSEARCH_URL"):
            server.start(directory=tmp_path / "s", port=port)
    assert not list((tmp_path / "s").glob("elasticsearch-*"))


@pytest.mark.parametrize("heap", ["lots", "1", "0m", "1g -XX:OnError=x", "-1g"])
def test_a_heap_that_is_no_size_is_refused(tmp_path, heap):
    with pytest.raises(ConfigError, match="such as 512m or 1g"):
        server.start(directory=tmp_path, heap=heap)


def program(folder, name, script):
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(f"#!/bin/sh\n{script}\n", encoding="ascii")
    (folder / name).chmod(0o755)


def test_no_java_or_one_that_is_too_old_is_said_with_what_to_install(tmp_path, monkeypatch):
    monkeypatch.delenv("JAVA_HOME", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    with pytest.raises(EngineError, match=r"needs Java, and 'java' cannot be run; install Java 17.*JAVA_HOME"):
        server.start(directory=tmp_path / "s", port=free_port())
    for version, said in (("1.8", "is Java 8"), ("11", "is Java 11")):
        program(tmp_path / "bin", "java", f"echo 'java.specification.version = {version}\njava.home = /j' >&2")
        with pytest.raises(EngineError, match=said):
            distribution.java_home()
    program(tmp_path / "bin", "java", "echo '  java.specification.version = 21\n  java.home = /opt/a b' >&2")
    assert distribution.java_home() == Path("/opt/a b")
    monkeypatch.setenv("JAVA_HOME", str(tmp_path / "none"))
    with pytest.raises(EngineError, match="none/bin/java' cannot be run"):
        distribution.java_home()


def test_no_maven_or_one_that_fails_leaves_nothing_behind(tmp_path, monkeypatch):
    monkeypatch.setattr(Path, "home", lambda: tmp_path / "home")
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    cache = tmp_path / "cache"
    with pytest.raises(EngineError, match=r"there is no mvn; install it .*apt install maven"):
        distribution.fetched(cache)
    program(tmp_path / "bin", "mvn", "echo '[INFO] x'; echo '[ERROR] Could not transfer artifact: no route'; exit 1")
    with pytest.raises(EngineError, match=r"could not fetch Elasticsearch .*no route"):
        distribution.fetched(cache)
    # The output directory is an argument of it.
    program(
        tmp_path / "bin",
        "mvn",
        f'for a; do case $a in -DoutputDirectory=*) echo no > "${{a#*=}}/elasticsearch-{server.VERSION}.zip";; esac; done',
    )
    with pytest.raises(EngineError, match=r"SHA-256 [0-9a-f]{64}, expected .*nothing was kept"):
        distribution.fetched(cache)
    assert list(cache.iterdir()) == []


@root
def test_a_directory_that_nobody_may_enter_is_refused(tmp_path):
    assert tmp_path.stat().st_mode & 0o001 == 0 or any(not p.stat().st_mode & 0o001 for p in tmp_path.parents)
    (tmp_path / f"elasticsearch-{server.VERSION}").mkdir()
    with pytest.raises(EngineError, match=r"is closed to user 'nobody'.*chmod o\+x"):
        server.start(directory=tmp_path, port=free_port())


@root
def test_roots_own_cache_is_passed_over_where_it_is_closed(tmp_path, monkeypatch):
    monkeypatch.delenv("LTR_CACHE_HOME", raising=False)
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    assert server.home(closed) == Path("/var/cache/ltr/elasticsearch")
    assert server.home(Path("/opt")) == Path("/opt/elasticsearch")
    monkeypatch.setenv("LTR_CACHE_HOME", str(closed))
    assert server.home(closed) == closed / "elasticsearch"


def test_a_server_that_gives_up_says_why(own_server, tmp_path):
    """A distribution whose launcher fails as Elasticsearch's does."""
    place = own_server.directory / "failing"
    fake = place / f"elasticsearch-{server.VERSION}"
    (fake / "config").mkdir(parents=True)
    program(fake / "bin", "elasticsearch", "echo 'fatal exception: [x] is not a setting' >&2; exit 78")
    with pytest.raises(EngineError, match=r"gave up: fatal exception: \[x\] is not a setting; its logs are in .*logs"):
        server.start(directory=place, port=free_port())
    program(fake / "bin", "elasticsearch", "sleep 60")
    with pytest.raises(EngineError, match="did not start in time"):
        server.start(directory=place, port=free_port(), timeout_s=0.1)
    assert server.status(place) is None
