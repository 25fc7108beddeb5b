"""What goes wrong in a deployment: one clear error, the template as it was, and the next deployment goes on.

Where it says engine_url the server is the real minimal one, which has no plugin; elsewhere it is the stand-in of
tests/made/plugin_server.py, which replays formats.md.
"""

import pytest

from ltr import deployment
from ltr.deployment.pointer import read
from ltr.engine import connect
from ltr.errors import EngineError
from made.plugin_exports import KINDS, asked, engine_for, exported

BODY = {"query": {"match": {"title": "{{query}}"}}}
# Every write of a first deployment: (store, feature set, model | model), version's template, pointer.
WRITES = [(kind, nth) for kind, count in (("native", 3), ("plugin", 5)) for nth in range(1, count + 1)]


def put(engine, made, **options):
    return deployment.deploy(engine, made, index="products", body=BODY, **options)


def pointer(server):
    """The version that applications get, None before there is one."""
    script = server.scripts.get("shop")
    return read(script["source"]).version if script else None


def model(server):
    """The model that applications get, None before there is one."""
    return (pointer(server) or "").rpartition("-")[0] or None


@pytest.mark.parametrize(("kind", "nth"), WRITES)
def test_a_write_that_fails_leaves_no_template_and_the_next_deployment_goes_on(kind, nth):
    with engine_for(kind) as (server, engine):
        server.fail(nth)
        with pytest.raises(EngineError, match=r"there is no 'shop' yet.*deploy again to go on") as caught:
            put(engine, exported(kind))
        assert caught.value.status == 500
        done_before = [path for _, path, _ in server.writes[: nth - 1]]
        assert all(path in str(caught.value) for path in done_before)
        assert pointer(server) is None
        again = put(engine, exported(kind))
        assert [step.path for step in again.steps if step.writes and step.done] == done_before
        assert model(server) == exported(kind).version
        assert asked(engine)


@pytest.mark.parametrize(("kind", "nth"), [pair for pair in WRITES if pair != ("plugin", 5)])
def test_a_write_that_fails_leaves_the_version_before_answering(kind, nth):
    with engine_for(kind) as (server, engine):
        old = put(engine, exported(kind, 4)).version
        scores = [hit["_score"] for hit in asked(engine)]
        server.fail(nth)
        with pytest.raises(EngineError, match=f"'shop' answers as before, with {old}"):
            put(engine, exported(kind))
        assert pointer(server) == old
        assert [hit["_score"] for hit in asked(engine)] == scores
        assert put(engine, exported(kind)).before == old


@pytest.mark.parametrize(("kind", "nth"), WRITES)
def test_an_answer_that_is_lost_does_not_matter_since_what_was_done_is_found(kind, nth):
    with engine_for(kind) as (server, engine):
        server.cut(nth)
        done = put(engine, exported(kind))
        assert done.changed
        assert model(server) == exported(kind).version
        assert asked(engine)
        assert not put(engine, exported(kind)).changed


@pytest.mark.parametrize(
    ("status", "kind"), [(429, "es_rejected_execution_exception"), (500, "limit_exceeded_exception")]
)
@pytest.mark.parametrize("nth", range(1, 6))
def test_a_store_that_is_busy_or_short_of_memory_is_asked_again(status, kind, nth):
    with engine_for("plugin") as (server, engine):
        server.fail(nth, status=status, kind=kind)
        put(engine, exported("plugin"))
        assert model(server) == exported("plugin").version


@pytest.mark.parametrize(
    ("status", "kind"), [(429, "es_rejected_execution_exception"), (500, "limit_exceeded_exception")]
)
def test_a_store_that_stays_busy_ends_the_deployment(status, kind):
    with engine_for("plugin") as (server, engine):
        for nth in range(2, 3 + engine.retries):
            server.fail(nth, status=status, kind=kind)
        with pytest.raises(EngineError, match="deploy again to go on") as caught:
            put(engine, exported("plugin"))
        assert caught.value.status == status
        assert pointer(server) is None
        assert put(engine, exported("plugin")).changed


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_a_model_over_the_servers_limit_is_said_with_its_size(kind):
    with engine_for(kind, max_bytes=6_000) as (server, engine):
        with pytest.raises(EngineError, match=r"takes no request of [\d,]{5,} bytes.*max_content_length") as caught:
            put(engine, exported(kind))
        assert caught.value.status == 413
        assert pointer(server) is None


def racing(server, name, action):
    """A callback that does something once a step has been sent, as somebody else might."""

    def told(step):
        if step.path.endswith(name):
            action()

    return told


@pytest.mark.parametrize("kind", ["featureset", "model"])
@pytest.mark.parametrize("same", [True, False])
def test_what_somebody_else_puts_at_the_same_moment_is_taken_only_where_it_is_the_same(kind, same):
    made = exported("plugin")
    with engine_for("plugin") as (other, to_other), engine_for("plugin") as (server, engine):
        put(to_other, made)
        theirs = other.stores["_default_"][kind][made.version]
        if not same:
            theirs = theirs | {"features": []} if kind == "featureset" else theirs | {"model": {"definition": "[]"}}
        method = "stored" if kind == "featureset" else "createmodel"
        ours = getattr(server, method)

        def raced(asked_by, **given):
            if asked_by in ("PUT", "POST"):
                server.stores["_default_"][kind][made.version] = theirs
                server.compiled.update(other.compiled)
            return ours(asked_by, **given)

        setattr(server, method, raced)
        if same:
            put(engine, made)
            assert model(server) == made.version
            return
        # A feature set that is there is 409, a model 405.
        with pytest.raises(EngineError, match="not updatable" if kind == "model" else "already exists") as caught:
            put(engine, made)
        assert caught.value.status == {"model": 405, "featureset": 409}[kind]
        assert pointer(server) is None


def test_another_model_or_feature_set_of_that_name_is_neither_taken_nor_replaced():
    made = exported("plugin")
    for kind in ("featureset", "model"):
        with engine_for("plugin") as (server, engine):
            put(engine, made)
            store = server.stores["_default_"]
            del server.scripts["shop"]
            if kind == "featureset":
                store["featureset"][made.version]["features"].pop()
            else:
                store["model"][made.version]["model"]["definition"] = '{"splits": []}'
            before = list(server.writes)
            with pytest.raises(EngineError, match=rf"/_{kind}/{made.version}|is there already, with another content"):
                put(engine, made)
            assert server.writes == before
    native = exported("native")
    with engine_for("native") as (server, engine):
        put(engine, native)
        server.trained[native.version]["metadata"] = {}
        with pytest.raises(EngineError, match="not from this export"):
            put(engine, native)


def test_ctrl_c_between_two_writes_leaves_the_template_and_the_next_deployment_goes_on():
    with engine_for("plugin") as (server, engine):
        old = put(engine, exported("plugin", 4)).version

        def interrupt():
            raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            put(engine, exported("plugin"), told=racing(server, "_createmodel", interrupt))
        assert pointer(server) == old
        assert put(engine, exported("plugin")).before == old


def test_a_server_that_dies_in_between_has_nothing_half_switched_when_it_is_back():
    with engine_for("plugin") as (server, engine):
        old = put(engine, exported("plugin", 4)).version
        with pytest.raises(EngineError, match=f"does not answer.*'shop' answers as before, with {old}"):
            put(engine, exported("plugin"), told=racing(server, "_createmodel", server.stop))
        server.start()
        assert pointer(server) == old
        assert asked(engine)
        assert put(engine, exported("plugin")).before == old


def test_a_smoke_query_that_fails_keeps_the_template_where_it_was():
    made = exported("plugin")
    with engine_for("plugin") as (server, engine):
        old = put(engine, exported("plugin", 4)).version
        lose = racing(server, "_createmodel", lambda: server.stores["_default_"]["model"].pop(made.version))
        with pytest.raises(EngineError, match=rf"Unknown model \[{made.version}\].*answers as before, with {old}"):
            put(engine, made, told=lose)
        assert pointer(server) == old


def test_an_index_that_is_not_there_or_empty_has_nothing_to_try_the_model_on():
    with engine_for("plugin") as (server, engine):
        with pytest.raises(EngineError, match="has no index 'shoop'"):
            deployment.deploy(engine, exported("plugin"), index="shoop", body=BODY)
        assert server.writes == []
        server.indexes["products"]["documents"].clear()
        with pytest.raises(EngineError, match="no document to try the model on"):
            put(engine, exported("plugin"))
        assert pointer(server) is None


def test_an_engine_that_renders_no_templates_is_refused_before_anything_is_written():
    with engine_for("plugin", mustache=False) as (server, engine):
        with pytest.raises(EngineError, match="renders no search template"):
            put(engine, exported("plugin"))
        assert server.writes == []


def test_a_body_that_mustache_would_change_is_refused_before_anything_is_written():
    with engine_for("plugin") as (server, engine):
        with pytest.raises(EngineError, match="otherwise than it was meant"):
            deployment.deploy(
                engine,
                exported("plugin"),
                index="products",
                body={"query": {"match": {"title": "{{query}}{{! red }}"}}},
            )
        assert server.writes == []


MISSING = {
    "no plugin on Elasticsearch": ("plugin", {"flavour": "elasticsearch", "version": "8.19.0"}, "o19s"),
    "no plugin on OpenSearch": ("plugin", {"flavour": "opensearch", "version": "3.8.0"}, "opensearch-ltr"),
}


@pytest.mark.parametrize("case", MISSING)
def test_without_the_plugin_the_error_says_what_to_install_and_what_needs_none(case):
    kind, settings, word = MISSING[case]
    with engine_for(kind, plugin=False, **settings) as (server, engine):
        for call in (lambda: put(engine, exported(kind)), lambda: deployment.parity(engine, exported(kind))):
            with pytest.raises(EngineError, match=rf"no ranking plugin.*{word}.*`ltr search`"):
                call()
        assert server.writes == []


LICENCES = [
    ({"licence": "basic"}, "its licence is basic.*Enterprise licence or a trial.*--to plugin"),
    ({"flavour": "opensearch", "version": "3.8.0"}, "is opensearch 3.8.0, and only Elasticsearch has native"),
    ({"version": "8.11.4"}, "learning_to_rank came with 8.12"),
]


@pytest.mark.parametrize(("settings", "message"), LICENCES)
def test_a_native_model_is_refused_before_anything_is_written_where_it_cannot_go(settings, message):
    with engine_for("native", **settings) as (server, engine):
        with pytest.raises(EngineError, match=message):
            put(engine, exported("native"))
        assert server.writes == []


def test_a_licence_that_may_not_be_asked_is_found_out_by_the_refusal():
    with engine_for("native") as (server, engine):

        def hidden(_method, **_):
            server.licence = "basic"
            return 200, {}

        server.license = hidden
        with pytest.raises(EngineError, match=r"non-compliant.*needs an Enterprise licence or a trial") as caught:
            put(engine, exported("native"))
        assert caught.value.status == 403
        assert pointer(server) is None


def test_a_trial_is_licence_enough():
    with engine_for("native", licence="trial") as (_, engine):
        assert put(engine, exported("native")).changed


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_the_real_minimal_server_has_no_plugin_and_nothing_is_written_to_it(engine_url, kind):
    engine = connect(engine_url)
    message = "no ranking plugin" if kind == "plugin" else "its licence is basic"
    try:
        for call in (
            lambda: deployment.deploy(engine, exported(kind), index="anything"),
            lambda: deployment.deploy(engine, exported(kind), index="anything", dry_run=True),
            lambda: deployment.parity(engine, exported(kind)),
        ):
            with pytest.raises(EngineError, match=message):
                call()
        with pytest.raises(EngineError, match="no stored template 'shop'"):
            deployment.rollback(engine, "shop")
        found = engine.call("GET", "/_cluster/state/metadata", params={"filter_path": "metadata.indices.*.state"})
        names = found.get("metadata", {}).get("indices", {})
        assert not [name for name in names if name.startswith((".ltrstore", "ltr-parity"))]
    finally:
        engine.close()
