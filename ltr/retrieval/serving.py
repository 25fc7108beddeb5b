"""The serving road: the shop's own search with our clauses riding along, and the page cut out of it.

The clauses stand in a ``rescore`` of weight 0, in a constant score: the engine adds 0 to each score, leaves the order alone and
reports what each clause gives each hit. Where a body has no place for that (sort keys after the score, collapse, a retriever, kNN,
a rescore of its own) a second request asks for the same values by the hits' ids. Whatever goes wrong with our part, the shop's
own answer is returned, not to be reranked, with a note.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from ltr.errors import EngineError
from ltr.retrieval import candidates
from ltr.retrieval.featurelog import Asked, scores_of
from ltr.retrieval.fusion import WINDOW, best, reciprocal_ranks
from ltr.retrieval.lists import Lists
from ltr.retrieval.multisearch import reason
from ltr.retrieval.named import SIGN, Named
from ltr.retrieval.page import Page
from ltr.retrieval.target import Target, preference

__all__ = ["Road", "search"]

Body = dict[str, Any]
Hit = dict[str, Any]

# How far a rescore or a retriever looks that does not say.
_RANKED: Final = 10
# These are answered with the window, and once.
_ONCE: Final = frozenset({"aggregations", "aggs", "suggest", "profile"})
# These belong to the lexical list, not to that of neighbours.
_LEXICAL: Final = _ONCE | {"query", "min_score", "post_filter", "rescore", "sort"}


@dataclass(frozen=True)
class Road:
    """A request on its way.

    Args:
        body: the shop's, with the text in it.
        depth: hits that may be reranked.
        first: of the page, from 0.
        count: of the page.
    """

    target: Target
    named: Named
    lists: Lists
    text: str
    body: Body
    depth: int
    first: int
    count: int

    @property
    def window(self) -> int:
        """How many first hits are reranked: with a ranking of the body's own, no more than that looks at."""
        retriever: Body = self.body.get("retriever", {})
        kind = next(iter(retriever), "standard")
        bounds = [self.depth, self.target.results]
        if kind not in ("standard", "knn"):
            bounds.append(_looks_at(retriever[kind], "rank_window_size"))
        if "rank" in self.body:
            bounds.append(_looks_at(self.body["rank"].get("rrf", {}), "rank_window_size"))
        if rescorers := self.body.get("rescore"):
            every = rescorers if isinstance(rescorers, list) else [rescorers]
            bounds.append(max(_looks_at(each, "window_size") for each in every))
        return min(bounds)

    @property
    def fused(self) -> bool:
        """Whether a list of neighbours joins: not where the body has its own, or one product for many."""
        return self.lists.vector is not None and not any(key in self.body for key in ("collapse", *candidates.RANKS))

    @property
    def rides(self) -> bool:
        """Whether the clauses fit into the body as it is."""
        taken = any(key in self.body for key in ("collapse", "rescore", *candidates.RANKS))
        return not taken and len(candidates.sorts(self.body)) <= 1 and self.window <= self.target.rescored

    def sent(self, changed: Mapping[str, Any], *, without: Collection[str] = ()) -> Body:
        """Ask for the body without some of its parts and with others changed."""
        body = {key: value for key, value in self.body.items() if key not in without} | dict(changed)
        if fields := self.target.identified.get("docvalue_fields"):
            body["docvalue_fields"] = [*body.get("docvalue_fields", ()), *fields]
        # A point in time names its index and its copies itself.
        timed = "pit" in body
        answer: Body = self.target.engine.call(
            "POST",
            "/_search" if timed else self.target.path("_search"),
            body,
            params={"include_named_queries_score": True} | ({} if timed else {"preference": preference(self.text)}),
            timeout_s=self.target.timeout_s,
        )
        return answer


@dataclass(frozen=True)
class _Window:
    """The first hits in their order, what is known of them, and the hits after them that came along."""

    answer: Body
    hits: list[Hit]
    scores: NDArray[np.float32]
    values: NDArray[np.float32] | None  # None = to be asked for
    after: list[Hit]
    reached: int  # so far into the engine's list they go
    more: bool  # whether it may go on from there
    joined: list[Hit] = field(default_factory=list)  # of the window, what the engine's list has further down, if at all


def search(road: Road) -> Page:
    """Search, and say what may be reranked.

    Raises:
        EngineError: the engine refuses the shop's own body or does not answer.
    """
    if why := _as_it_is(road):
        return _plain(road, why)
    try:
        found = _fused(road) if road.fused else _first(road)
    except EngineError as error:
        if error.status not in (400, 500):
            raise
        return _plain(road, f"nothing may be reranked: {error}")
    product_ids = [road.target.product_id(hit) for hit in found.hits]
    known = [product for product in product_ids if product is not None]
    values, notes = found.values, _notes(found.answer)
    if len(set(known)) < len(found.hits):
        values, known = None, []
        notes.append("nothing may be reranked: the hits do not say which product each is, or one is there twice")
    elif values is None and road.first < len(known):
        try:
            values = scores_of(road.target, road.named, [Asked(road.text, known)], label="reading features")
        except EngineError as error:
            known = []
            notes.append(f"nothing may be reranked: {error}")
    after = _after(road, found)
    cut = (road.first, road.first + road.count)
    for hit in [*found.hits, *after]:
        _own(road, hit)
    found.answer["hits"]["hits"] = [*found.hits[slice(*cut)], *after]
    if values is None or not known or road.first >= len(known):
        return Page(found.answer, notes=tuple(notes))
    match = dict(zip(road.named.features, values.T, strict=True))
    return Page(found.answer, tuple(known), found.scores, match, tuple(notes), tuple(found.hits), tuple(after), cut)


def _as_it_is(road: Road) -> str:
    """Why a request is passed on untouched; empty where it is not."""
    if not candidates.relevance(road.body):
        return "the order is the shopper's: sorted by other than the score"
    if "search_after" in road.body:
        return "the page begins after a hit of the caller's (search_after)"
    if not road.fused and road.count and road.first >= road.window:
        return f"the page is beyond the first {road.window} hits"
    return "" if road.count and road.window > 0 else "no hits are asked for"


def _plain(road: Road, note: str) -> Page:
    place = {} if "search_after" in road.body else {"from": road.first}
    answer = road.sent({**place, "size": road.count})
    for hit in answer["hits"]["hits"]:
        _own(road, hit)
    return Page(answer, notes=(note, *_notes(answer)))


def _first(road: Road) -> _Window:
    """The window of a body that ranks for itself."""
    size = road.window
    riding = road.rides and bool(road.named.features)
    changed: Body = {"from": 0, "size": size}
    if riding:
        # match_all, since clauses that need not match are dropped from a filter that has something else to go by.
        ours = {"bool": {"must": [{"match_all": {}}], "should": road.named.parsed(road.text)}}
        query = {"rescore_query": {"constant_score": {"filter": ours}}, "query_weight": 1, "rescore_query_weight": 0}
        changed["rescore"] = {"window_size": size, "query": query}
    answer = road.sent(changed)
    if riding and _failed(answer) and _failed(road.sent({"from": 0, "size": 0}, without=_ONCE)) < _failed(answer):
        # The shop's hits are not to be lost for our clauses.
        raise EngineError(f"the features' clauses fail: {_notes(answer)[0]}", status=400)
    hits = answer["hits"]["hits"]
    values = None
    if riding:
        values = road.named.values([hit.get("matched_queries", {}) for hit in hits])
    elif not road.named.features:
        values = np.zeros((len(hits), 0), dtype=np.float32)
    return _Window(answer, hits, _scores(hits), values, [], size, len(hits) == size)


def _fused(road: Road) -> _Window:
    """The window of the lexical list and the list of neighbours, fused by rank; the rest of the lexical one is after it."""
    size = max(road.window, WINDOW)
    answer = road.sent({"from": 0, "size": size})
    lexical: list[Hit] = answer["hits"]["hits"]
    near: list[Hit] = []
    if (knn := road.lists.nearest(road.text, road.body, size)) is not None:
        near = road.sent({"from": 0, "size": size, "knn": knn}, without=_LEXICAL)["hits"]["hits"]
    numbers: dict[str | None, int] = {}
    every: list[Hit] = []
    lists = []
    for hits in (lexical, near):
        for hit in hits:
            product = road.target.product_id(hit)
            if product not in numbers:
                numbers[product] = len(every)
                every.append(hit)
        lists.append(np.array([numbers[road.target.product_id(hit)] for hit in hits], dtype=np.int64))
    scores = reciprocal_ranks(lists, len(every))
    order = best(scores, np.arange(len(every)), road.window)
    for number in order:
        every[number]["_score"] = float(scores[number])
    chosen = set(order.tolist())
    after = [every[number] for number in lists[0] if number not in chosen]
    hits = [every[number] for number in order]
    joined = [every[number] for number in order if number >= len(lexical)]
    return _Window(answer, hits, scores[order], None, after, size, len(lexical) == size, joined)


def _after(road: Road, found: _Window) -> list[Hit]:
    """The part of the page that comes after the window."""
    held = len(found.hits) + len(found.after)
    end = road.first + road.count
    after = found.after[max(0, road.first - len(found.hits)) : max(0, end - len(found.hits))]
    if end <= held or not found.more:
        return after
    skipped = max(0, road.first - held)
    changed: Body = {"from": found.reached + skipped, "size": end - held - skipped}
    if found.joined:
        # They are in the window already. A filter of the query would be in other scores' way.
        own = [road.body["post_filter"]] if "post_filter" in road.body else []
        seen = {"ids": {"values": [hit["_id"] for hit in found.joined]}}
        changed["post_filter"] = {"bool": {"filter": own, "must_not": [seen]}}
    beyond = road.sent(changed, without=_ONCE)
    return [*after, *beyond["hits"]["hits"]]


def _scores(hits: Sequence[Hit]) -> NDArray[np.float32]:
    return np.array([np.nan if hit.get("_score") is None else hit["_score"] for hit in hits], dtype=np.float32)


def _own(road: Road, hit: Hit) -> None:
    """Take out of a hit what only we asked for."""
    if isinstance(named := hit.pop("matched_queries", None), dict):
        named = [name for name in named if not name.startswith(SIGN)]
    if named:
        hit["matched_queries"] = named
    id_field = road.target.id_field
    if id_field and not any(
        _names(wanted, id_field) for wanted in (*road.body.get("docvalue_fields", ()), *road.body.get("fields", ()))
    ):
        hit.get("fields", {}).pop(id_field, None)
        if not hit.get("fields", True):
            del hit["fields"]


def _looks_at(part: Body, name: str) -> int:
    return candidates.number(part.get(name, _RANKED), name)


def _names(wanted: Any, field: str) -> bool:
    name: str = wanted.get("field", "") if isinstance(wanted, dict) else wanted
    return name == field or "*" in name


def _failed(answer: Mapping[str, Any]) -> int:
    return int(answer.get("_shards", {}).get("failed", 0))


def _notes(answer: Mapping[str, Any]) -> list[str]:
    notes = []
    if failed := _failed(answer):
        shards = answer["_shards"]
        told = reason((shards.get("failures") or [{}])[0].get("reason", "no reason given"))
        notes.append(f"{failed} of {shards.get('total', '?')} shards failed: {told}")
    if answer.get("timed_out"):
        notes.append("the search ran out of its time: hits may be missing")
    return notes
