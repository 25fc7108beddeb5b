"""A catalogue into an index: made beside what is searched, checked, and put in its place in one step.

The index is called ALIAS-DIGEST, by the content and its mapping: the same catalogue has the same index, so that a run that
was killed at any moment goes on where it stopped, and one that was finished has nothing to do. Documents that are there
are not sent again. Only when the server counts as many as the catalogue has does the alias move, in one atomic request.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import polars as pl

from ltr.engine.bulk import Outcome, cut, send
from ltr.engine.connection import path_of
from ltr.engine.documents import Catalogue
from ltr.errors import ConfigError, EngineError
from ltr.progress import bar

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from ltr.datasets import FieldType
    from ltr.engine.connection import Engine

__all__ = ["Indexed", "index"]

_DIGITS: Final = 12
_MOST_DOCUMENTS: Final = 1_000
_LONGEST_NAME: Final = 255
_SHOWN: Final = 3
# For a refresh, which writes out all that has come in since the last.
_PATIENCE_S: Final = 300.0
_ANALYZERS: Final = (
    "arabic", "cjk", "danish", "dutch", "english", "finnish", "french", "german", "italian", "keyword", "norwegian",
    "portuguese", "russian", "simple", "spanish", "standard", "stop", "swedish", "turkish", "whitespace",
)  # fmt: skip


@dataclass(frozen=True)
class Indexed:
    """What is searched now: ``index`` behind ``alias``; ``sent`` of its ``documents`` went in by this call."""

    alias: str
    index: str
    documents: int
    sent: int
    replaced: tuple[str, ...]  # what the alias stood for before
    kept: tuple[str, ...]  # other indexes of this alias, of earlier catalogues or broken off
    removed: tuple[str, ...]


def index(
    engine: Engine,
    alias: str,
    products: pl.DataFrame,
    *,
    fields: Mapping[str, FieldType],
    analyzer: str = "standard",
    vectors: Mapping[str, NDArray[np.float32]] | None = None,
    shards: int = 1,
    replicas: int = 0,
    resume: bool = True,
    remove_old: bool = False,
    notes: Mapping[str, Any] | None = None,
) -> Indexed:
    """Index a catalogue and move the alias to it.

    Args:
        engine: where to.
        alias: the name that is searched; not that of an index, nor of an alias that somebody else has made.
        products: obeying ``frames``, with a column for each of ``fields``.
        fields: field -> type; see ``documents``.
        analyzer: of text, one that the server has.
        vectors: text field -> unit vectors, a row a product.
        shards: primary shards; scores of different shards are of different statistics.
        replicas: set when all is in.
        resume: False = an index that was begun is removed and begun again.
        remove_old: remove the earlier indexes of this alias once it has moved.
        notes: kept in the index's ``_meta.ltr``, such as the encoder's digest.

    Raises:
        ConfigError: a name that no engine allows, or an analyzer that this one lacks.
        DataError: a catalogue that no engine can take.
        EngineError: the name is somebody else's, the server refuses documents, loses some, or does not answer. The alias is
            as it was.
    """
    catalogue = Catalogue(products, fields, analyzer, vectors or {})
    _check_name(alias)
    before = _owned(engine, alias)
    flavour = engine.probe.flavour
    digest = catalogue.digest(shards=shards, flavour=flavour)
    target = f"{alias}-{digest[:_DIGITS]}"
    meta = {"alias": alias, "catalogue": digest, "products": len(catalogue), "analyzer": analyzer, **(notes or {})}
    live = target in before
    begun = _begun(engine, target, digest)
    if begun and not live and not resume:
        engine.call("DELETE", path_of(target), allow=(404,))
        begun = False
    if not begun:
        _check_analyzer(engine, analyzer)
        _create(engine, target, catalogue.body(shards=shards, flavour=flavour, meta=meta))
    outcome = Outcome()
    if not begun or _count(engine, target) != len(catalogue):
        _fill(engine, target, catalogue, outcome, begun=begun, live=live)
    if (found := _count(engine, target)) != len(catalogue):
        raise EngineError(
            f"index {target!r} holds {found:,} documents, and the catalogue {len(catalogue):,} products",
            hint=f"{alias!r} is as it was; is somebody else writing there? If not: --no-resume",
        )
    # None sets the default again: a refresh a second.
    settings = {"index": {"refresh_interval": None, "number_of_replicas": replicas}}
    engine.call("PUT", path_of(target, "_settings"), settings)
    _switch(engine, alias, target, before)
    others = sorted(name for name in _relatives(engine, alias) if name != target)
    if remove_old:
        for name in others:
            engine.call("DELETE", path_of(name), allow=(404,))
    replaced = tuple(sorted(set(before) - {target}))
    kept, removed = ((), others) if remove_old else (others, ())
    return Indexed(alias, target, found, outcome.accepted, replaced, tuple(kept), tuple(removed))


def _fill(engine: Engine, target: str, catalogue: Catalogue, outcome: Outcome, *, begun: bool, live: bool) -> None:
    """Send what is not there yet."""
    there = 0
    with bar("indexing", total=len(catalogue)) as advance:

        def batches() -> Iterator[Sequence[bytes]]:
            nonlocal there
            for start in range(0, len(catalogue), _MOST_DOCUMENTS):
                stop = min(start + _MOST_DOCUMENTS, len(catalogue))
                lines = catalogue.lines(start, stop)
                if begun:
                    missing = _missing(engine, target, catalogue.products["product_id"][start:stop])
                    known = stop - start - int(missing.sum())
                    there += known
                    advance(known)
                    lines = lines.filter(missing)
                yield from cut([line.encode() for line in lines])

        try:
            send(engine, target, batches(), outcome=outcome, advance=advance)
        except EngineError as error:
            raise EngineError(
                f"{error}. {there + outcome.accepted:,} of {len(catalogue):,} documents are in index {target!r}",
                hint="run the same command again: it goes on from there",
                status=error.status,
            ) from error
    if outcome.rejected:
        if not live:
            engine.call("DELETE", path_of(target), allow=(404,))
        told = "; ".join(f"{each.product_id!r}: {each.reason}" for each in outcome.rejected[:_SHOWN])
        raise EngineError(
            f"{engine.url} refuses {len(outcome.rejected):,} of {len(catalogue):,} documents: {told}",
            hint="correct the catalogue, or the field's type in [data.fields]; nothing was switched",
        )


def _missing(engine: Engine, target: str, ids: pl.Series) -> pl.Series:
    """Whether each product is still to be sent; read in real time, so nothing has to be refreshed for it."""
    answer = engine.call(
        "POST",
        path_of(target, "_mget"),
        {"ids": ids.to_list()},
        params={"_source": False, "filter_path": "docs.found,docs._id"},
        timeout_s=_PATIENCE_S,
    )
    return pl.Series([not document.get("found") for document in answer["docs"]], dtype=pl.Boolean)


def _owned(engine: Engine, alias: str) -> list[str]:
    """The indexes that an alias of ours stands for."""
    found = _metas(engine, alias)
    if alias in found:
        raise EngineError(
            f"{alias!r} is an index at {engine.url}, where an alias is wanted",
            hint="choose another name with --index; an index is never written over",
        )
    if foreign := [name for name, meta in found.items() if meta.get("alias") != alias]:
        raise EngineError(
            f"{alias!r} at {engine.url} stands for {', '.join(foreign)}, which ltr has not made",
            hint="choose another name with --index",
        )
    return sorted(found)


def _begun(engine: Engine, target: str, digest: str) -> bool:
    """Whether an earlier run has made the index."""
    found = _metas(engine, target)
    if not found:
        return False
    if found.get(target, {}).get("catalogue") != digest:
        raise EngineError(
            f"{target!r} at {engine.url} is none of ltr's indexes", hint="remove it, or choose another --index"
        )
    return True


def _relatives(engine: Engine, alias: str) -> list[str]:
    """All indexes that were made for an alias."""
    pattern = re.compile(rf"{re.escape(alias)}-[0-9a-f]{{{_DIGITS}}}")
    found = _metas(engine, f"{alias}-*", only="*.mappings._meta.ltr")
    return [name for name, meta in found.items() if pattern.fullmatch(name) and meta.get("alias") == alias]


def _metas(engine: Engine, name: str, *, only: str = "") -> dict[str, dict[str, Any]]:
    """Index -> what ltr has noted in it, of all that a name stands for."""
    params = {"filter_path": only} if only else {}
    found = engine.call("GET", path_of(name, "_mapping"), params=params, allow=(404,))
    if found.get("status") == 404:
        return {}
    return {each: (told.get("mappings", {}).get("_meta") or {}).get("ltr") or {} for each, told in found.items()}


def _create(engine: Engine, target: str, body: dict[str, Any]) -> None:
    answer = engine.call("PUT", path_of(target), body, allow=(400,))
    error = answer.get("error")
    # The first attempt may have made it, and its answer been lost; or another run of the same catalogue was first.
    if error and error.get("type") != "resource_already_exists_exception":
        raise EngineError(
            f"{engine.url} cannot make index {target!r}: {error.get('reason')}",
            hint="check the fields' names and types: a field cannot be both a value and a part of another's name",
            status=400,
        )


def _count(engine: Engine, target: str) -> int:
    engine.call("POST", path_of(target, "_refresh"), timeout_s=max(engine.timeout_s, _PATIENCE_S))
    answer = engine.call("GET", path_of(target, "_count"))
    if failed := answer.get("_shards", {}).get("failed"):
        raise EngineError(f"{failed} shards of {target!r} do not count their documents", hint="look at their health")
    return int(answer["count"])


def _switch(engine: Engine, alias: str, target: str, before: Sequence[str]) -> None:
    """Move the alias in one atomic request."""
    if list(before) == [target]:
        return
    actions = [{"remove": {"index": name, "alias": alias}} for name in before if name != target]
    engine.call("POST", "/_aliases", {"actions": [*actions, {"add": {"index": target, "alias": alias}}]})
    if (now := _owned(engine, alias)) != [target]:
        raise EngineError(
            f"alias {alias!r} stands for {', '.join(now)} and not for {target!r} alone",
            hint="somebody else has moved it at the same time: run the same command again",
        )


def _check_name(alias: str) -> None:
    legal = not re.search(r'[\\/*?"<>|\s,#:]', alias) and alias == alias.lower() and alias not in ("", ".", "..")
    if not legal or alias[0] in "-_+." or len(alias.encode()) > _LONGEST_NAME - _DIGITS - 1:
        raise ConfigError(
            f"{alias!r} cannot be an index's name",
            hint="take lower-case letters, digits, - and _, a letter or digit first; name it with --index",
        )


def _check_analyzer(engine: Engine, analyzer: str) -> None:
    if _has(engine, analyzer):
        return
    there = [name for name in _ANALYZERS if _has(engine, name)]
    raise ConfigError(
        f"{engine.url} has no analyzer {analyzer!r}",
        hint=f"take one that it has, with --analyzer or in [retrieval]: {', '.join(there)}",
    )


def _has(engine: Engine, analyzer: str) -> bool:
    return "error" not in engine.call("POST", "/_analyze", {"analyzer": analyzer, "text": "a"}, allow=(400,))
