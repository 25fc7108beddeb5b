"""Feature logging: the engine's scores of given products, by named clauses under a filter of their ids.

Three things make it about twice as fast as the plain request, at the same values. The clauses stand in a constant score, so
that they are worked out for the hits alone and not once more for the order, which is that of the index. Stored fields stay
unread, since an id is read together with its whole document. So a hit cannot say who it is; one more named clause says it,
whose score is the product's place in the list, 1, 2, …, a sum of one constant score for each binary digit.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final

import numpy as np
from numpy.typing import NDArray

from ltr.errors import EngineError
from ltr.progress import bar
from ltr.retrieval.multisearch import TOGETHER, Search, ask, in_flight
from ltr.retrieval.named import SIGN, Named
from ltr.retrieval.prepared import written
from ltr.retrieval.target import Target

__all__ = ["Asked", "scores_of"]

# Hits of one request, which are in memory at once.
_HITS: Final = 10_000


@dataclass(frozen=True)
class Asked:
    """A text, the products that it is compared with, each once, and further named clauses for it (JSON, commas between)."""

    text: str
    product_ids: Sequence[str]
    further: Sequence[str] = ()


@dataclass(frozen=True)
class _Part:
    row: int  # of the first product
    asked: Asked
    start: int
    end: int


def scores_of(target: Target, named: Named, asked: Sequence[Asked], *, label: str) -> NDArray[np.float32]:
    """One row a product, lists one after another, one column a name (``Named.values``); all NaN where the index lacks it.

    Raises:
        EngineError: the engine does not answer, or in part, or an id stands for several documents.
    """
    rows = sum(len(each.product_ids) for each in asked)
    found = np.full((rows, len(named.missing)), np.nan, dtype=np.float32)
    with bar(label, total=rows) as advance:
        for parts, at, values in in_flight(partial(_read, target, named), _requests(asked, target.together)):
            found[at] = values
            advance(sum(part.end - part.start for part in parts))
    return found


def _requests(asked: Sequence[Asked], together: int) -> Iterator[list[_Part]]:
    """Searches that go into one request."""
    parts: list[_Part] = []
    row = hits = 0
    for each in asked:
        for start in range(0, len(each.product_ids), together):
            end = min(start + together, len(each.product_ids))
            if parts and (len(parts) == TOGETHER or hits + end - start > _HITS):
                yield parts
                parts, hits = [], 0
            parts.append(_Part(row + start, each, start, end))
            hits += end - start
        row += len(each.product_ids)
    if parts:
        yield parts


def _read(
    target: Target, named: Named, parts: list[_Part]
) -> tuple[list[_Part], NDArray[np.int64], NDArray[np.float32]]:
    searches = [Search(part.asked.text, _body(target, named, part)) for part in parts]
    rows: list[int] = []
    matched = []
    for part, answer in zip(parts, ask(target, searches, keep=["hits.hits.matched_queries"]), strict=True):
        hits = [hit["matched_queries"] for hit in answer.get("hits", {}).get("hits", ())]
        places = [int(each[SIGN]) - 1 for each in hits]
        if len(set(places)) < len(places):
            twice = part.asked.product_ids[part.start + max(places, key=places.count)]
            raise EngineError(
                f"product {twice!r} is in {target.index!r} more than once",
                hint="search one index that has each product once, or set [retrieval] id_field to what tells them apart",
            )
        rows += [part.row + place for place in places]
        matched += hits
    return parts, np.array(rows, dtype=np.int64), named.values(matched)


def _body(target: Target, named: Named, part: _Part) -> str:
    ids = [written(product) for product in part.asked.product_ids[part.start : part.end]]
    clauses = [named.written(part.asked.text)] if named.features else []
    should = ",".join([*clauses, *part.asked.further, _places(target, ids)])
    return (
        f'{{"size":{len(ids) + 1},"stored_fields":"_none_","sort":["_doc"],"track_total_hits":false,'
        f'"query":{{"constant_score":{{"filter":{{"bool":{{"filter":[{target.among(ids)}],"should":[{should}]}}}}}}}}}}'
    )


def _places(target: Target, ids: Sequence[str]) -> str:
    """The clause that scores each of these ids with its place in the list."""
    digits = []
    for digit in range(len(ids).bit_length()):
        having = [written_id for place, written_id in enumerate(ids, 1) if place >> digit & 1]
        digits.append(f'{{"constant_score":{{"filter":{target.among(having)},"boost":{1 << digit}}}}}')
    return f'{{"bool":{{"_name":"{SIGN}","should":[{",".join(digits)}]}}}}'
