"""What is read of an index, what of it is planned, and the files that come of it."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import polars as pl

from ltr.engine import Engine, fill, scan
from ltr.engine import mapping as mappings
from ltr.engine.connection import path_of
from ltr.engine.mapping import IndexMapping
from ltr.errors import ConfigError, EngineError
from ltr.lines import write_bytes
from ltr.scaffold.experiment_file import Facts, experiment_toml
from ltr.scaffold.feature_file import chosen, features_toml
from ltr.scaffold.fields import Guess, guess, language
from ltr.scaffold.query import QUERY, body_of, weights
from ltr.text import fold

__all__ = ["FILES", "Plan", "Road", "Survey", "check_free", "name_of", "plan", "roads", "survey", "write"]

FILES: Final = ("experiment.toml", "features.toml", "query.json")

_IDS: Final = 200  # judged products that are looked up
_NATIVE: Final = (8, 15)  # since when Elastic's own learning to rank is generally available
_REFUSED: Final = (400, 401, 403, 404, 405, 500)


@dataclass(frozen=True)
class Road:
    """A way to serve a ranker: the licence that it needs, and whether this server has what it takes (None = not known)."""

    name: str
    licence: str
    ready: bool | None
    told: str


@dataclass(frozen=True)
class Survey:
    """What was read.

    Args:
        mapping: of the index.
        documents: how many it has.
        rows: a sample of them.
        guesses: what each field is.
        language: the analyzer for the texts.
        server: flavour and version, as a person says it.
        roads: to serving.
        notes: what a person should know, one sentence each.
    """

    mapping: IndexMapping
    documents: int
    rows: pl.DataFrame = field(repr=False)
    guesses: list[Guess]
    language: str
    server: str
    roads: tuple[Road, ...]
    notes: tuple[str, ...]


@dataclass(frozen=True)
class Plan:
    """What is to be written: file -> text; ``facts`` are what experiment.toml says."""

    files: Mapping[str, str]
    facts: Facts
    picked: Sequence[Guess]
    notes: tuple[str, ...]


def survey(engine: Engine, index: str) -> Survey:
    """Read an index: its mapping (or, where that is refused, what searches see of it), a sample, and the server.

    Raises:
        EngineError: no such index, no leave, no document.
        ConfigError: no field that could be a title.
    """
    told = mappings.read(engine, index)
    rows = scan.sample(engine, told)
    guesses = guess(told, rows)
    if not any(each.role == "title" for each in guesses):
        raise ConfigError(
            f"index {index!r} has no field with texts that could name a product; it has {', '.join(told.fields)}",
            hint="name the index that has the products",
        )
    documents = int(engine.call("POST", path_of(index, "_count"), {})["count"])
    notes = list(told.differing)
    if not told.whole:
        notes.append(
            "The mapping may not be read with this key, so that analyzers are not known: view_index_metadata would show them."
        )
    return Survey(
        told,
        documents,
        rows,
        guesses,
        language(guesses, rows),
        _server(engine),
        roads(engine),
        tuple(notes),
    )


def plan(
    engine: Engine,
    found: Survey,
    *,
    name: str,
    url: str,
    secret: bool = False,
    body: str | None = None,
    judgments: str | None = None,
    judged: Sequence[str] = (),
    queries: int | None = None,
    scale: str = "0-3",
    log: str | None = None,
) -> Plan:
    """Write the files in memory, and ask the engine once whether it takes the body.

    Args:
        engine: a connection.
        found: from ``survey``.
        name: of the experiment.
        url: of the engine, without user and password.
        secret: whether there were some in it.
        body: the user's own, with {{query}}; None = one to start from.
        judgments: path of the judgments from the experiment's directory.
        judged: ids of judged products, to see which field they are of.
        queries: how many are judged.
        scale: of the grades.
        log: path of a click log from the experiment's directory.

    Raises:
        ConfigError: the engine refuses the body.
    """
    id_field, told = _id_field(engine, found, judged)
    guesses = [each for each in found.guesses if each.name != id_field]
    picked = chosen(guesses)
    text = body if body is not None else json.dumps(body_of(picked), ensure_ascii=False, indent=2) + "\n"
    notes = [*told, *_tried(engine, found, json.loads(text))]
    index = found.mapping.index
    facts = Facts(
        name, url, secret, index, found.documents, id_field, judgments, queries, scale, log, found.language, body is None
    )  # fmt: skip
    files = {
        "experiment.toml": experiment_toml(facts, picked, weights(picked)),
        "features.toml": features_toml(guesses, name=_set_name(name), language=found.language),
        "query.json": text,
    }
    return Plan(files, facts, picked, tuple(notes))


def write(planned: Plan, directory: Path, *, force: bool = False) -> list[Path]:
    """Write the files; ConfigError where one is there already, and then none is written."""
    if not force:
        check_free(directory)
    paths = [directory / name for name in FILES]
    try:
        directory.mkdir(parents=True, exist_ok=True)
        for path in paths:
            write_bytes(planned.files[path.name].encode(), path)
    except (FileExistsError, NotADirectoryError) as error:
        raise ConfigError(f"{directory} is no directory", hint="name another with -o") from error
    except OSError as error:
        raise ConfigError(f"{directory} cannot be written: {error.strerror}", hint="name another with -o") from error
    return paths


def check_free(directory: Path) -> None:
    """ConfigError where the directory has one of the files already."""
    if there := [name for name in FILES if os.path.lexists(directory / name)]:
        raise ConfigError(
            f"{directory} has {' and '.join(there)} already",
            hint="name another directory with -o, or overwrite with --force",
        )


def name_of(index: str) -> str:
    """A name for an experiment on an index.

    >>> name_of("Shop/Products-v2"), name_of("logs-*"), name_of("*")
    ('shop-products-v2', 'logs', 'catalogue')
    """
    plain = re.sub(r"[^a-z0-9_.-]+", "-", fold(index)).strip("-_.")
    return plain[:80] or "catalogue"


def roads(engine: Engine) -> tuple[Road, ...]:
    """The ways to serve a ranker from this server."""
    probe = engine.probe
    opensearch = probe.flavour == "opensearch"
    asked = engine.call("GET", "/_ltr", allow=_REFUSED)
    plugin = (isinstance(asked, dict) and "stores" in asked) or any("ltr" in name for name in probe.plugins)
    known = plugin or bool(probe.plugins or probe.modules) or None
    has = "the server has it" if plugin else "the server lacks it" if known else "not known: this key may not ask"
    licence = engine.call("GET", "/_license", allow=_REFUSED)
    kind = str((licence.get("license") or {}).get("type", "")) if isinstance(licence, dict) else ""
    if opensearch:
        native, why = False, "Elasticsearch alone has it"
    elif probe.version and probe.version < _NATIVE and probe.version != (0,):
        native, why = False, f"from Elasticsearch {'.'.join(map(str, _NATIVE))}"
    elif not kind:
        native, why = None, "this key may not see the licence"
    else:
        native = kind in ("enterprise", "trial") and not (probe.modules and "x-pack-ml" not in probe.modules)
        why = f"the server's licence is {kind}" + (
            ", and it has no machine learning" if probe.modules and "x-pack-ml" not in probe.modules else ""
        )
    return (
        Road("service, ltr search", "none", True, "reranks outside the engine, with every kind of feature"),
        Road("_ltr plugin (ltr export --to plugin)", "none", plugin or (False if known else None), has),
        Road("native learning_to_rank and retriever (--to native)", "Enterprise", native, why),
    )


def _server(engine: Engine) -> str:
    probe = engine.probe
    flavour = {"opensearch": "OpenSearch"}.get(probe.flavour, "Elasticsearch")
    version = ".".join(map(str, probe.version))
    return f"{flavour} {version}" if version.strip("0.") else flavour


def _id_field(engine: Engine, found: Survey, judged: Sequence[str]) -> tuple[str | None, list[str]]:
    """The field that judgments name products by; None = _id."""
    wanted = list(dict.fromkeys(judged))[:_IDS]
    if not wanted:
        return None, []

    def known(query: dict[str, Any]) -> int:
        body = {"size": 0, "track_total_hits": True, "query": query}
        answer = engine.call("POST", path_of(found.mapping.index, "_search"), body, allow=(400,))
        return int(answer["hits"]["total"]["value"]) if "hits" in answer else 0

    counts: dict[str | None, int] = {None: known({"ids": {"values": wanted}})}
    if counts[None] * 2 < len(wanted):
        for each in found.guesses:
            of = each.field
            if of.kind == "keyword" and of.indexed and of.stored and of.nested is None and each.sample.distinct > 0.9:
                counts[each.name] = known({"terms": {each.name: wanted}})
    best = max(counts, key=lambda name: counts[name])
    if not counts[best]:
        return None, [
            f"None of the judged products, such as {wanted[0]!r}, is in the index, by _id or by a keyword field."
        ]
    if best is None:
        return None, []
    return best, [f"The judgments name products by {best!r} ({counts[best]:,} of {len(wanted):,} found), not by _id."]


def _tried(engine: Engine, found: Survey, body: dict[str, Any]) -> list[str]:
    """Whether the engine takes the body, asked with the sample's own words."""
    title = next(each.name for each in found.guesses if each.role == "title")
    words = found.rows[title].drop_nulls() if title in found.rows.columns else None
    said = words.explode()[0] if words is not None and words.len() and isinstance(words.dtype, pl.List) else "test"
    asked = {**fill(body, query=str(said)), "from": 0, "size": 1}
    try:
        answer = engine.call("POST", path_of(found.mapping.index, "_search"), asked)
    except EngineError as error:
        if error.status != 400:
            raise
        raise ConfigError(
            f"the engine refuses the search body: {error}",
            hint=f"give a body that {found.mapping.index!r} answers, with {QUERY} where the shopper's words stand",
        ) from error
    if not answer["hits"]["hits"]:
        return [
            f"The search body finds nothing for {str(said)!r}, which is the title of a document: look at its filters."
        ]
    return []


def _set_name(name: str) -> str:
    plain = re.sub(r"[^a-z0-9]+", "_", name).strip("_")
    return plain if plain[:1].isalpha() else f"set_{plain}"
