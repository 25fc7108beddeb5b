"""Parity inside an engine: the stand-in of tests/made/plugin_server.py walks the trees by a road of its own (formats.md 1.4, 2.1).

What is compared is two independent evaluators of one exported document; a genuine plugin was never asked here.
"""

import secrets

import numpy as np
import pytest

from ltr import deployment
from ltr.deployment.proof import generation_of
from ltr.deployment.scratch import index_rows, stored
from ltr.engine import connect
from ltr.engine.connection import path_of
from ltr.errors import EngineError
from ltr.export.parity import ENGINE, matrix
from made.plugin_exports import engine_for, exported

OPENSEARCH = {"flavour": "opensearch"}
O19S = {"flavour": "elasticsearch"}
# Release of the engine, its rule for absent values, and what the report calls that.
RELEASES = {
    "OpenSearch 3.8": ("plugin", OPENSEARCH | {"version": "3.8.0", "missing": "missing"}, "missing"),
    "OpenSearch 3.5": ("plugin", OPENSEARCH | {"version": "3.5.0", "missing": "nan_to_no"}, "nan_to_no"),
    "OpenSearch 3.5 with the fix carried back": (
        "plugin",
        OPENSEARCH | {"version": "3.5.9", "missing": "missing"},
        "missing",
    ),
    "OpenSearch 2.19": ("plugin", OPENSEARCH | {"version": "2.19.0", "missing": "zero"}, "zero"),
    "o19s of 2023": ("plugin", O19S | {"version": "8.11.3", "missing": "zero"}, "zero"),
    "o19s of 2025": ("plugin", O19S | {"version": "9.0.8", "missing": "missing"}, "missing"),
    "Elastic's own": ("native", {}, "native"),
}


def left(server):
    """What is in the engine beside the index of products."""
    return [*server.stores, *server.trained, *(name for name in server.indexes if name != "products"), *server.scripts]


@pytest.mark.parametrize("case", RELEASES)
def test_every_release_scores_the_golden_rows_and_real_candidates_as_its_emulation_to_the_bit(case):
    kind, settings, generation = RELEASES[case]
    made = exported(kind)
    with engine_for(kind, **settings) as (server, engine):
        report = deployment.parity(engine, made, index="products")
        assert report.by_generation == {generation: 0.0, "real candidates": 0.0}
        assert report.passed
        assert report.rows == int(made.golden[ENGINE].sum())
        assert left(server) == []


def test_golden_rows_come_back_from_a_real_engine_to_the_bit(engine_url):
    made = exported("plugin")
    rows = matrix(made.golden, made.features)[made.golden[ENGINE].to_numpy()]
    engine, name = connect(engine_url, timeout_s=60), f"ltr-parity-{secrets.token_hex(4)}"
    try:
        index_rows(engine, name, rows)
        named = [{"bool": {"must": [stored(at)], "_name": feature}} for at, feature in enumerate(made.features)]
        found = np.full_like(rows, np.nan)
        for start in range(0, len(rows), 1000):
            batch = [{"range": {"row": {"gte": start, "lt": start + 1000}}}]
            body = {"size": 1000, "query": {"bool": {"filter": batch, "should": named}}}
            told = engine.call("POST", path_of(name, "_search"), body, params={"include_named_queries_score": True})
            for hit in told["hits"]["hits"]:
                for feature, value in hit.get("matched_queries", {}).items():
                    found[int(hit["_id"]), made.features.index(feature)] = value
        assert found.tobytes() == rows.tobytes()
        # What rescoring a filter's hits makes of a score: with weights 0 and 1 the second score, to the bit.
        second = {"query_weight": 0, "rescore_query_weight": 1, "rescore_query": stored(2)}
        body = {"size": 500, "query": {"bool": {"filter": [{"range": {"row": {"gte": 0, "lt": 500}}}]}}}
        body["rescore"] = {"window_size": 500, "query": second}
        hits = engine.call("POST", path_of(name, "_search"), body)["hits"]["hits"]
        given = {int(hit["_id"]): np.float32(hit["_score"]) for hit in hits}
        assert given == {at: 0 if np.isnan(rows[at, 2]) else rows[at, 2] for at in range(500)}
    finally:
        engine.call("DELETE", path_of(name), allow=(404,))
        engine.close()


def test_golden_rows_with_absent_values_tell_the_releases_apart():
    golden = exported("plugin").golden
    rows = golden.filter(ENGINE).select(exported("plugin").features).to_numpy()
    assert np.isnan(rows).any()
    expected = [golden.filter(ENGINE)[f"_expected.{each}"].to_list() for each in ("missing", "nan_to_no", "zero")]
    assert expected[0] != expected[1]
    assert expected[1] != expected[2]


def test_an_engine_that_evaluates_otherwise_fails_the_proof():
    made = exported("plugin")
    with engine_for("plugin") as (server, engine):
        create = server.createmodel

        def rounding(method, **given):
            status, answer = create(method, **given)
            for key, (features, trees, sigmoid) in list(server.compiled.items()):
                moved = [tree if isinstance(tree, float) else (tree[0], tree[1] * 1.01, *tree[2:]) for tree in trees]
                server.compiled[key] = features, moved, sigmoid
            return status, answer

        server.createmodel = rounding
        report = deployment.parity(engine, made)
        assert not report.passed
        assert report.by_generation["missing"] > 0
        assert report.swaps > 0
        assert left(server) == []


@pytest.mark.parametrize(("kind", "writes"), [("plugin", 4 + 7), ("native", 2 + 7)])
def test_a_failure_at_any_write_leaves_nothing_behind(kind, writes):
    with engine_for(kind) as (server, engine):
        deployment.parity(engine, exported(kind))
        scratch = [path for method, path, _ in server.writes if method != "DELETE"]
        assert len(scratch) <= writes + 1
        for nth in (1, 2, 3, 4, len(scratch)):  # each of its kind, and the last of the rows
            server.fail(nth)
            with pytest.raises(EngineError, match="failed on demand"):
                deployment.parity(engine, exported(kind))
            assert left(server) == []


@pytest.mark.parametrize("kind", ["plugin", "native"])
def test_ctrl_c_leaves_nothing_behind(kind, monkeypatch):
    with engine_for(kind) as (server, engine):

        def interrupted(*_, **__):
            assert left(server)
            raise KeyboardInterrupt

        monkeypatch.setattr("ltr.deployment.proof._scores", interrupted)
        with pytest.raises(KeyboardInterrupt):
            deployment.parity(engine, exported(kind))
        assert left(server) == []


def test_scratch_that_cannot_be_removed_is_named():
    with engine_for("plugin") as (server, engine):
        deployment.parity(engine, exported("plugin"))
        deletions = [at for at, (method, _, _) in enumerate(server.writes, start=1) if method == "DELETE"]
        server.fail(deletions[1], status=403, kind="security_exception")
        with pytest.raises(EngineError, match=r"scratch could not be removed: /ltr-parity-\w{8} .*DELETE it"):
            deployment.parity(engine, exported("plugin"))
        server.fail(1)
        server.fail(2)
        with pytest.raises(EngineError, match=r"failed on demand.*scratch could not be removed: /_ltr/ltr-parity"):
            deployment.parity(engine, exported("plugin"))


def test_a_deployed_model_is_not_touched():
    body = {"query": {"match": {"title": "{{query}}"}}}
    with engine_for("plugin") as (server, engine):
        deployment.deploy(engine, exported("plugin"), index="products", body=body)
        kept = {name: dict(kinds) for name, kinds in server.stores.items()}, dict(server.scripts)
        deployment.parity(engine, exported("plugin"), index="products")
        assert (server.stores, server.scripts) == kept


@pytest.mark.parametrize(
    ("flavour", "version", "expected"),
    [
        ("opensearch", "3.1.0", "zero"),
        ("opensearch", "3.2.0", "nan_to_no"),
        ("opensearch", "3.7.4", "nan_to_no"),
        ("opensearch", "3.8.0", "missing"),
        ("opensearch", "4.0.0", "missing"),
        ("elasticsearch", "7.17.9", "zero"),
        ("elasticsearch", "8.13.0", "missing"),
    ],
)
def test_the_rule_for_absent_values_goes_by_the_release(flavour, version, expected):
    with engine_for("plugin", flavour=flavour, version=version) as (_, engine):
        assert generation_of(engine, "plugin") == expected
        assert generation_of(engine, "native") == "native"
