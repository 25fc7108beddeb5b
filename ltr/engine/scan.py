"""All documents of an index, as they were at one moment, and a copy of them as one Parquet file.

Elasticsearch opens a point in time at ``POST /INDEX/_pit`` and pages by ``_shard_doc``; OpenSearch at
``POST /INDEX/_search/point_in_time`` and pages by ``_id``; where neither is there, a scroll. What was opened is closed, whatever
happens. As many documents come as the first answer counts, or an EngineError says so.

Columns are those of ``ltr.engine.columns``; texts and keywords that some document has several of are lists. Vectors, places,
ranges and flattened objects are left out, since no feature reads them, and so are fields that the mapping does not know.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from itertools import count
from pathlib import Path
from tempfile import mkdtemp
from typing import Any, Final

import polars as pl

from ltr.engine.columns import ID, Hit, Rows, asked_of
from ltr.engine.connection import Engine, path_of
from ltr.engine.mapping import EngineField, IndexMapping, missing_index
from ltr.errors import EngineError
from ltr.lines import whole
from ltr.progress import bar

__all__ = ["ID", "copied_fields", "copy", "documents", "sample"]

_KEPT_ALIVE: Final = "5m"  # between two pages
_TIMEOUT_S: Final = 60.0  # a page of long documents takes its time
_PART: Final = 20_000  # documents that are held as Python objects at once
_STARTS: Final = 3  # how often a copy is begun, since what a lost point in time leaves off cannot be gone on with
# A server that does not know a way to page says one of these.
_UNKNOWN_WAY: Final = (400, 403, 404, 405, 500, 501)


def documents(engine: Engine, index: str, *, fields: Sequence[EngineField], batch: int = 1_000) -> Generator[list[Hit]]:
    """Pages of hits, with these fields of ``_source`` and, where the engine holds their values, in ``fields``.

    Args:
        engine: a connection.
        index: an index, alias, data stream or pattern.
        fields: that are wanted.
        batch: documents a page.

    Raises:
        EngineError: ``status`` 404 where the point in time was lost on the way, and only then; no such index; fewer documents
            than were counted; a shard that fails.
    """
    came, total = 0, None
    with closing(_pages(engine, index, {"size": batch, **asked_of(fields)})) as pages:
        for answer in pages:
            hits = answer["hits"]["hits"]
            if total is None:
                total = _counted(answer)
            if not hits:
                break
            came += len(hits)
            yield hits
    if total is not None and came < total:
        raise EngineError(
            f"{engine.url} counts {total:,} documents in {index!r} and delivered {came:,}",
            hint="pages were lost on the way: try again",
        )


def sample(engine: Engine, mapping: IndexMapping, *, size: int = 500) -> pl.DataFrame:
    """Documents drawn at random, the same ones as long as the index does not change; columns as those of ``copy``.

    Raises:
        EngineError: an index without _source, or without a document.
    """
    _need_source(mapping)
    fields = copied_fields(mapping)
    drawn = {"function_score": {"random_score": {"seed": 7, "field": "_seq_no"}}}
    asked = {"size": size, **asked_of(fields)}
    path = path_of(mapping.index, "_search")
    answer = engine.call("POST", path, {**asked, "query": drawn}, timeout_s=_TIMEOUT_S, allow=(400,))
    if "error" in answer:
        answer = engine.call("POST", path, asked, timeout_s=_TIMEOUT_S)
    if not (hits := answer["hits"]["hits"]):
        raise _no_document(engine, mapping)
    return Rows(fields).frame(hits)


def copied_fields(mapping: IndexMapping) -> list[EngineField]:
    """The fields that a copy has."""
    return [each for each in mapping.fields.values() if each.kind and each.stored]


def copy(
    engine: Engine,
    mapping: IndexMapping,
    path: Path,
    *,
    describe: Callable[[int, Sequence[str]], Mapping[str, str]] = lambda _documents, _notes: {},
    batch: int = 1_000,
) -> tuple[int, tuple[str, ...]]:
    """Copy the documents into a Parquet file, sorted by ``ID``, whole or not at all.

    Documents are held as Python objects one part at a time; the parts lie beside the file until they are joined.

    Args:
        engine: a connection.
        mapping: of the index, from ``mapping.read``.
        path: of the file.
        describe: from how many they are and what is to be known of them to the metadata that the file carries.
        batch: documents a page.

    Returns:
        How many documents, and one sentence each for what a person should know.

    Raises:
        EngineError: see ``documents``; or an index without _source, or without a document.
    """
    _need_source(mapping)
    fields = copied_fields(mapping)
    notes = list(mapping.differing)
    total = engine.call("POST", path_of(mapping.index, "_count"), {}).get("count")
    for start in count(1):
        with _parts(path) as parts, bar(f"copying {mapping.index}", total=total) as advance:
            rows = Rows(fields)
            try:
                copied = _write_parts(
                    documents(engine, mapping.index, fields=fields, batch=batch), rows, parts, advance
                )
            except EngineError as error:
                if error.status != 404 or start == _STARTS:
                    raise
                notes.append(f"The copy was begun again: {error}.")
                continue
            if not copied:
                raise _no_document(engine, mapping)
            notes += [
                f"{number:,} values of {name!r} are no {mapping.fields[name].kind} and are missing."
                for name, number in rows.unread.items()
            ]
            _join(parts, path, fields, metadata=dict(describe(copied, notes)))
            return copied, tuple(notes)
    raise AssertionError("the last start returns or raises")


def _need_source(mapping: IndexMapping) -> None:
    if not mapping.source:
        raise EngineError(
            f"index {mapping.index!r} keeps no _source, so that its documents cannot be copied",
            hint='export the catalogue from where it comes from, and set [data] source = "files"',
        )


def _no_document(engine: Engine, mapping: IndexMapping) -> EngineError:
    return EngineError(
        f"index {mapping.index!r} of {engine.url} holds no document that may be read",
        hint="name the index that has the products",
    )


def _pages(engine: Engine, index: str, asked: Mapping[str, Any]) -> Generator[Any]:
    """Answers, one page each, by the first way that the server knows; the last may be empty."""
    ways: list[tuple[str, str, str]] = [
        ("_pit", "id", "_shard_doc"),
        ("_search/point_in_time", "pit_id", "_id"),
    ]
    if engine.probe.flavour == "opensearch":
        ways.reverse()
    for way, key, order in ways:
        opened = engine.call(
            "POST", path_of(index, *way.split("/")), params={"keep_alive": _KEPT_ALIVE}, allow=_UNKNOWN_WAY
        )
        if key in opened:
            yield from _by_point_in_time(engine, opened[key], asked, order=order)
            return
        if "index_not_found" in str(opened):
            raise missing_index(engine, index)
    yield from _by_scroll(engine, index, asked)


def _by_point_in_time(engine: Engine, opened: str, asked: Mapping[str, Any], *, order: str) -> Generator[Any]:
    after: dict[str, Any] = {"track_total_hits": True}
    try:
        while True:
            body = {**asked, **after, "pit": {"id": opened, "keep_alive": _KEPT_ALIVE}, "sort": [{order: "asc"}]}
            try:
                answer = engine.call(
                    "POST",
                    "/_search",
                    body,
                    params={"allow_partial_search_results": False},
                    timeout_s=_TIMEOUT_S,
                )
            except EngineError as error:
                if error.status == 404:
                    raise EngineError(
                        f"{engine.url} has lost the point in time of the copy ({_KEPT_ALIVE} between two pages, or a restart)",
                        hint="try again when the server is quieter",
                        status=404,
                    ) from error
                raise
            yield answer
            hits = answer["hits"]["hits"]
            if len(hits) < asked["size"]:
                return
            opened = answer.get("pit_id", opened)
            after = {"search_after": hits[-1]["sort"], "track_total_hits": False}
    finally:
        # It would go by itself; a server that is gone has none.
        with suppress(EngineError):
            if order == "_shard_doc":
                engine.call("DELETE", "/_pit", {"id": opened}, allow=(404,))
            else:
                engine.call("DELETE", "/_search/point_in_time", {"pit_id": [opened]}, allow=(404,))


def _by_scroll(engine: Engine, index: str, asked: Mapping[str, Any]) -> Generator[Any]:
    answer = engine.call(
        "POST",
        path_of(index, "_search"),
        {**asked, "sort": ["_doc"], "track_total_hits": True},
        params={"scroll": _KEPT_ALIVE, "allow_partial_search_results": False},
        timeout_s=_TIMEOUT_S,
    )
    opened = answer["_scroll_id"]
    try:
        yield answer
        while answer["hits"]["hits"]:
            answer = engine.call(
                "POST", "/_search/scroll", {"scroll": _KEPT_ALIVE, "scroll_id": opened}, timeout_s=_TIMEOUT_S
            )
            opened = answer.get("_scroll_id", opened)
            yield answer
    finally:
        with suppress(EngineError):
            engine.call("DELETE", "/_search/scroll", {"scroll_id": [opened]}, allow=(404,))


def _counted(answer: Mapping[str, Any]) -> int:
    total = answer["hits"].get("total")
    return int(total["value"] if isinstance(total, dict) else total)


@contextmanager
def _parts(path: Path) -> Iterator[Path]:
    """A directory beside the file; that of a copy that was killed goes first."""
    name = f".{path.name}.parts-"
    for left in path.parent.glob(f"{name}*"):
        if not _runs(int(left.name.removeprefix(name).split("-")[0])):
            shutil.rmtree(left, ignore_errors=True)
    path.parent.mkdir(parents=True, exist_ok=True)
    directory = Path(mkdtemp(prefix=f"{name}{os.getpid()}-", dir=path.parent))
    try:
        yield directory
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def _runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True


def _write_parts(pages: Generator[list[Hit]], rows: Rows, parts: Path, advance: Callable[[int], None]) -> int:
    copied, number, waiting, height = 0, count(), [], 0
    with closing(pages):
        for page in pages:
            waiting.append(rows.frame(page))
            height += len(page)
            copied += len(page)
            advance(len(page))
            if height >= _PART:
                pl.concat(waiting).write_parquet(parts / f"{next(number):06}.parquet")
                waiting, height = [], 0
    if waiting:
        pl.concat(waiting).write_parquet(parts / f"{next(number):06}.parquet")
    return copied


def _join(parts: Path, path: Path, fields: Sequence[EngineField], *, metadata: dict[str, str]) -> None:
    """One file of the parts; lists of which no document has two values are none."""
    every = pl.scan_parquet(sorted(parts.glob("*.parquet")))
    lists = [each.name for each in fields if each.kind in ("text", "keyword")]
    longest = every.select(pl.col(name).list.len().max() for name in lists).collect(engine="streaming")
    single = [name for name in lists if (longest[name][0] or 0) <= 1]
    with whole(path) as draft:
        every.with_columns(pl.col(name).list.first() for name in single).sort(ID).sink_parquet(draft, metadata=metadata)
