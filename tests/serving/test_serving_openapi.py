"""The OpenAPI document is true: schemathesis asks what it allows and what it forbids, and compares the answers."""

from dataclasses import replace

import pytest
import schemathesis
from hypothesis import HealthCheck, assume, given, settings
from schemathesis import GenerationMode
from starlette.routing import Route

from ltr.serving import openapi
from ltr.serving.request import MAX_DEPTH, MAX_VALUES
from made.http_service import ADMIN_KEY, KEY, PATIENT, Service

DOCUMENT = openapi.document(PATIENT, admin=False)
ASKED = [path for path, operations in DOCUMENT["paths"].items() if "post" in operations]
READ = [path for path, operations in DOCUMENT["paths"].items() if "get" in operations]


class Idle:
    """A control that nobody uses."""

    async def do(self, action):
        return {}


@pytest.fixture(scope="module")
def service(counted):
    with Service(counted) as service:
        yield service


@pytest.fixture(scope="module")
def api(service):
    return schemathesis.openapi.from_asgi("/openapi.json", service.app)


@pytest.fixture(scope="module")
def shallow(service):
    """The document without what is said of the inside of `fields` and `context`, of which wrong values take minutes to draw."""
    api = schemathesis.openapi.from_asgi("/openapi.json", service.app)
    schemas = api.raw_schema["components"]["schemas"]
    for depth in range(1, MAX_DEPTH + 1):
        del schemas[f"Plain{depth}"], schemas[f"Inner{depth}"]
    schemas[f"Plain{MAX_DEPTH}"] = {"type": "object"}
    return api


def sensible(case):
    """What JSON Schema has no words for: `why` names two of the candidates, and of keys and values there are not too many in all.

    And time enough for retrieval, lest it be 503.
    """
    assume(nodes(case.body) <= MAX_VALUES)
    if case.path == "/search":
        case.body.pop("deadline_ms", None)
    if isinstance(case.body, dict) and case.body.get("why") and isinstance(case.body.get("candidates"), list):
        ids = [one if isinstance(one, str) else one["product_id"] for one in case.body["candidates"]]
        case.body["why"] = ids[:2] if len(ids) > 1 else None
    return case


def nodes(value):
    inner = [*value, *value.values()] if isinstance(value, dict) else value if isinstance(value, list) else []
    return len(inner) + sum(map(nodes, inner))


def ask(strategy, change=lambda case: case, examples=40):
    @settings(max_examples=examples, suppress_health_check=list(HealthCheck))
    @given(strategy)
    def check(case):
        # Besides the rest: no 5xx, a status, headers and a body as documented, what is allowed taken, what is forbidden not.
        change(case).call_and_validate()

    check()


def test_it_is_openapi(api):
    api.validate()


@pytest.mark.parametrize("path", ASKED)
def test_what_it_allows_is_taken_and_answered_as_it_says(api, path):
    ask(api[path]["post"].as_strategy(generation_mode=GenerationMode.POSITIVE), sensible)


@pytest.mark.parametrize("path", ASKED)
def test_what_it_forbids_is_refused_as_it_says(shallow, path):
    ask(shallow[path]["post"].as_strategy(generation_mode=GenerationMode.NEGATIVE), examples=25)


@pytest.mark.parametrize("path", READ)
def test_what_is_read_reads_as_it_says(api, path):
    ask(api[path]["get"].as_strategy(generation_mode=GenerationMode.POSITIVE), examples=10)


@pytest.mark.parametrize("path", ASKED)
def test_degraded_answers_are_as_it_says_too(service, api, path):
    service.real.off = True
    try:
        strategy = api[path]["post"].as_strategy(generation_mode=GenerationMode.POSITIVE)
        ask(strategy, sensible, examples=10)
    finally:
        service.real.off = False


@pytest.mark.parametrize("admin", [False, True])
def test_it_says_all_that_there_is(counted, admin):
    keys = {"keys": (KEY,), "admin_keys": (ADMIN_KEY,) if admin else ()}
    with Service(counted, control=Idle(), **keys) as service:
        routes = {
            (route.path, method.lower())
            for route in service.app.routes
            if isinstance(route, Route)
            for method in route.methods - {"HEAD"}
        }
        told = service.get("/openapi.json", headers={"X-API-Key": KEY}).json()
        assert {(path, method) for path, methods in told["paths"].items() for method in methods} == routes
        for path, method in sorted(routes):
            keyed = bool(told["paths"][path][method].get("security"))
            assert (service.ask(method, path.replace("{name}", "index.html")).status_code == 401) == keyed


def test_its_limits_are_those_of_the_settings():
    told = openapi.document(replace(PATIENT, max_candidates=7, most_ms=9.0), admin=False)["components"]["schemas"]
    assert told["Rerank"]["properties"]["candidates"]["maxItems"] == 7
    assert told["Search"]["properties"]["depth"]["anyOf"][0]["maximum"] == 7
    assert told["Search"]["properties"]["deadline_ms"]["anyOf"][0]["maximum"] == 9.0
