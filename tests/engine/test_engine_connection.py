"""One connection: what is tried again, what is an error and what it says, and what is never shown."""

import json
import time
import traceback
from base64 import b64encode

import pytest

from ltr.engine import Engine, connect
from ltr.engine.connection import masked, path_of
from ltr.errors import ConfigError, EngineError
from made.scripted_server import RESET, Late, scripted

FINE = (200, {"took": 1})
REFUSED = "http://127.0.0.1:1"  # no service of ours listens at port 1
PAGE = "<html><body>Welcome to the shop</body></html>"


@pytest.fixture(autouse=True)
def _without_environment(monkeypatch):
    for name in ("URL", "API_KEY", "CA"):
        monkeypatch.delenv(f"LTR_ELASTICSEARCH_{name}", raising=False)


def test_a_busy_server_is_asked_again_until_it_answers():
    with scripted((429, {}), (429, {}), FINE) as server:
        assert connect(server.url).call("GET", "/_search") == {"took": 1}
    assert len(server.asked) == 3


@pytest.mark.parametrize("status", [429, 502, 503, 504])
def test_a_server_that_stays_busy_is_an_error_with_its_status(status):
    with (
        scripted((status, {"error": {"reason": "queue full"}})) as server,
        pytest.raises(EngineError, match=f"{server.url} answers GET /_search with {status}: queue full") as told,
    ):
        connect(server.url, retries=1).call("GET", "/_search")
    assert told.value.status == status
    assert len(server.asked) == 2


@pytest.mark.parametrize("status", [400, 401, 403, 404, 409, 500])
def test_what_asking_again_does_not_change_is_asked_once(status):
    with scripted((status, {})) as server, pytest.raises(EngineError):
        connect(server.url).call("GET", "/")
    assert len(server.asked) == 1


def test_a_connection_that_breaks_is_made_again():
    with scripted(RESET, RESET, FINE) as server:
        assert connect(server.url).call("POST", "/_bulk", [{"index": {}}, {"a": 1}]) == {"took": 1}
    assert [request.body for request in server.asked] == [b'{"index":{}}\n{"a":1}\n'] * 3


def test_a_connection_that_always_breaks_is_an_error_without_a_status():
    with scripted(RESET) as server, pytest.raises(EngineError, match=r"does not answer: .*; check the URL") as told:
        connect(server.url, retries=1).call("GET", "/")
    assert told.value.status is None


def test_a_server_that_is_not_there_is_said_with_what_to_do():
    with pytest.raises(EngineError, match=f"{REFUSED} does not answer: .*refused; .*make elasticsearch"):
        connect(REFUSED, retries=0).call("GET", "/")


def test_a_late_answer_is_an_error_that_says_how_late():
    with scripted(Late(1.0, FINE)) as server, pytest.raises(EngineError, match=r"within 0\.2 s"):
        connect(server.url, timeout_s=0.2, retries=0).call("GET", "/")
    with scripted(Late(0.3, FINE)) as server:
        assert connect(server.url, timeout_s=0.1, retries=0).call("GET", "/", timeout_s=5) == {"took": 1}


def test_waits_double_and_are_bounded(monkeypatch):
    waits = []
    monkeypatch.setattr(time, "sleep", waits.append)
    with scripted((503, {})) as server, pytest.raises(EngineError):
        connect(server.url, retries=8).call("GET", "/")
    assert len(waits) == 8
    assert all(0 <= wait <= min(10, 0.25 * 2**attempt) for attempt, wait in enumerate(waits))


def test_a_page_where_json_is_wanted_is_quoted():
    with scripted((200, PAGE)) as server, pytest.raises(EngineError, match=r"no JSON: .*Welcome to the shop"):
        connect(server.url).call("GET", "/")
    with (
        scripted((403, "<h1>Forbidden by proxy</h1>")) as server,
        pytest.raises(EngineError, match="with 403: <h1>Forbidden by proxy</h1>"),
    ):
        connect(server.url).call("GET", "/")


def test_wrong_credentials_say_how_to_give_others():
    answer = {"error": {"root_cause": [{"reason": "unable to authenticate user [me]"}], "type": "security_exception"}}
    with (
        scripted((401, answer)) as server,
        pytest.raises(EngineError, match=r"401: unable to authenticate.*LTR_ELASTICSEARCH_API_KEY") as told,
    ):
        connect(server.url).call("GET", "/")
    assert told.value.status == 401


def test_of_several_hosts_one_that_is_dead_is_passed_over():
    with scripted(FINE) as server:
        engine = connect(f"{REFUSED},{server.url}")
        assert [engine.call("GET", "/") for _ in range(6)] == [{"took": 1}] * 6
        assert engine.url == f"{REFUSED},{server.url}"


def test_of_several_hosts_each_takes_its_turn():
    with scripted(FINE) as one, scripted(FINE) as other:
        engine = connect(f"{one.url}, {other.url}")
        for _ in range(10):
            engine.call("GET", "/")
    assert len(one.asked) == len(other.asked) == 5


@pytest.mark.parametrize(
    ("answer", "retries"),
    [((401, {"error": "no"}), 0), ((200, PAGE), 0), ((503, {}), 1), (RESET, 0), (Late(1, FINE), 0)],
    ids=["401", "page", "503", "reset", "late"],
)
def test_secrets_are_in_no_error_and_in_no_repr(answer, retries):
    with scripted(answer) as server:
        port = server.url.rpartition(":")[2]
        url = f"http://elastic:S3cret%21@127.0.0.1:{port}"
        for engine in (
            connect(url, timeout_s=0.2, retries=retries),
            connect(server.url, api_key="S3cretKey", timeout_s=0.2, retries=retries),
        ):
            with pytest.raises(EngineError) as told:
                engine.call("GET", "/")
            everything = "".join(traceback.format_exception(told.value)) + repr(engine) + str(engine) + engine.url
            assert "S3cret" not in everything
    assert {request.headers["authorization"] for request in server.asked} == {
        f"Basic {b64encode(b'elastic:S3cret!').decode()}",
        "ApiKey S3cretKey",
    }


@pytest.mark.parametrize(
    "url",
    [
        "ftp://u:S3cret@h", "//u:S3cret@h", "http://u:S3cret@h:port", "http://u:S3cret@h?q=1", "u:S3cret@h:9200",
        "http://u:S3cret/S3cret@h", "http://u:S3cret,S3cret@h", "http://a,http://u:S3cret/,S3cret@h", "http://u:S3cret#@h",
        "http://u:9/S3cret@h", "http://u:S3cret@no host", "http://u:S3cret@h/ü",
    ],
)  # fmt: skip
def test_a_url_that_is_none_is_refused_without_its_password(url):
    with pytest.raises(ConfigError, match="is no engine's URL") as told:
        connect(url)
    assert "S3cret" not in "".join(traceback.format_exception_only(told.value))
    assert "S3cret" not in masked(url)


@pytest.mark.parametrize("key", ["S3cret Key", "S3cret\nKey", "S3cret→"])
def test_a_key_that_is_none_is_refused_unseen(key):
    with pytest.raises(ConfigError, match=r"no key has; give it as the engine gave it") as told:
        connect("http://localhost", api_key=key)
    assert "S3cret" not in "".join(traceback.format_exception(told.value))


def test_a_key_read_from_a_file_may_end_its_line():
    with scripted(FINE) as server:
        connect(server.url, api_key="Key\n").call("GET", "/")
    assert server.asked[0].headers["authorization"] == "ApiKey Key"


def test_tls_to_a_port_that_speaks_none_says_so():
    with scripted(FINE) as server, pytest.raises(EngineError, match=r"https://.*(not trusted|does not answer)"):
        connect(server.url.replace("http:", "https:"), retries=0).call("GET", "/")


def test_certificates_that_cannot_be_read_are_refused(tmp_path):
    (tmp_path / "ca.pem").write_text("no certificate", encoding="ascii")
    for path in (tmp_path / "ca.pem", tmp_path / "none.pem"):
        with pytest.raises(ConfigError, match=r"cannot be read.*give a PEM file"):
            connect("https://localhost", ca=str(path))


def test_the_environment_says_where_the_engine_is(monkeypatch):
    with scripted(FINE) as server:
        monkeypatch.setenv("LTR_ELASTICSEARCH_URL", server.url)
        monkeypatch.setenv("LTR_ELASTICSEARCH_API_KEY", "abc")
        connect().call("GET", "/")
    assert server.asked[0].headers["authorization"] == "ApiKey abc"
    monkeypatch.setenv("LTR_ELASTICSEARCH_CA", "/nowhere")
    with pytest.raises(ConfigError, match="/nowhere"):
        connect()


def test_json_lines_and_parameters_travel_as_the_engines_want_them():
    with scripted(FINE) as server:
        engine = connect(server.url + "/behind/proxy")
        engine.call("POST", path_of("a b", "_msearch"), [{}, {"query": "é"}], params={"x": True, "size": 3})
        engine.call("POST", "/_search", {"size": 1})
        engine.call("GET", "/_search")
    lines, body, empty = server.asked
    assert lines.path == "/behind/proxy/a%20b/_msearch?x=true&size=3"
    assert [json.loads(line) for line in lines.body.splitlines()] == [{}, {"query": "é"}]
    assert lines.body.endswith(b"\n")
    assert (lines.headers["content-type"], body.headers["content-type"]) == ("application/x-ndjson", "application/json")
    assert empty.body == b""


def test_a_status_that_is_expected_is_an_answer():
    with scripted((404, {"found": False}), (404, {}), (200, {})) as server:
        engine = connect(server.url)
        assert engine.call("GET", "/i/_doc/1", allow=(404,)) == {"found": False}
        assert engine.call("HEAD", "/i", allow=(404,)) is None
        assert engine.call("HEAD", "/i", allow=(404,)) == {}


def test_the_innermost_cause_is_told():
    error = {
        "root_cause": [{"type": "parse", "reason": "failed to parse field [price]"}],
        "reason": "shards failed",
        "caused_by": {"reason": "outer", "caused_by": {"reason": 'For input string: "cheap"'}},
    }
    with (
        scripted((400, {"error": error})) as server,
        pytest.raises(EngineError, match=r'failed to parse field \[price\]: For input string: "cheap"'),
    ):
        connect(server.url).call("POST", "/")


def test_what_opensearch_says_of_itself_is_understood():
    def answer(request):
        if request.path == "/":
            return (200, {"version": {"distribution": "opensearch", "number": "3.8.0"}})
        node = {"version": "3.8.0", "plugins": [{"name": "opensearch-ltr"}], "modules": [{"name": "transport-netty4"}]}
        return (200, {"nodes": {"n": node}})

    with scripted(answer) as server:
        probe = connect(server.url).probe
    assert (probe.flavour, probe.version) == ("opensearch", (3, 8, 0))
    assert (probe.plugins, probe.modules) == ({"opensearch-ltr"}, {"transport-netty4"})


def test_the_real_server_is_probed_though_it_does_not_say_its_name(engine_url):
    engine: Engine = connect(engine_url)
    assert engine.probe.flavour in ("elasticsearch", "opensearch")
    assert engine.probe.version >= (7,)
    assert "transport-netty4" in engine.probe.modules
    engine.close()
