"""Kinds about what shoppers did: how often a product, a query, or a product for a query was shown, clicked and bought.

They read the state's behaviour counts (``ltr.features.counts``), of whole UTC days before the day of the list's ``as_of``
(in batch), or of the state's (online). A list whose time is later than the state's sees what the state knows.
"""

from __future__ import annotations

from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from ltr.errors import BundleMismatchError
from ltr.features.columns import Columns
from ltr.features.counts import UNITS, Behaviour, values_of
from ltr.features.params import Floats, Form, Key, Kind, Offsets, Params, Source, finite

__all__ = ["KINDS", "count", "rate"]

By = Literal["product", "query_product", "query", "field", "field_query"]

# From the parent down to what the feature is by; above the first is all together.
_CHAINS: Final[dict[By, tuple[tuple[Literal["query", "product", "field"], ...], ...]]] = {
    "product": (("product",),),
    "query_product": (("product",), ("query", "product")),
    "query": (("query",),),
    "field": (("field",),),
    "field_query": (("field",), ("query", "field")),
}
_ALL: Final = Key()
# Half-lives after which a count is less than float32 can tell.
_FADED: Final = 64


class BehaviourParams(Params):
    """Whose behaviour, and of which time."""

    by: By = Field("product", description="whose; field_query is a brand's, say, for the query")
    field: str | None = Field(
        None, description="for by = field and field_query: a text or keyword field, such as brand"
    )
    window: int | None = Field(None, ge=1, le=100_000, description="days before as_of; else all days before")
    half_life: float | None = Field(
        None, gt=0, le=100_000, description="days in which an event comes to count half; else all count alike"
    )

    @model_validator(mode="after")
    def _field_where_by_says(self) -> BehaviourParams:
        if ("field" in self.by) != (self.field is not None):
            raise ValueError(
                f"by = {self.by!r} needs field = '...'" if self.field is None else f"by = {self.by!r} takes no field"
            )
        return self

    def sources(self, form: Form | None) -> tuple[Source, ...]:
        """The field has to be there; its values are counted under, not held."""
        return (Source("named", (self.field,)),) if self.field else ()

    @property
    def chain(self) -> tuple[Key, ...]:
        """The keys from the parent down."""
        return tuple(Key(parts, (self.field or "") if "field" in parts else "") for parts in _CHAINS[self.by])


class CountParams(BehaviourParams):
    """Of a count."""

    of: Literal["impressions", "clicks", "add_to_carts", "purchases", "revenue"] = Field(
        "clicks", description="what is counted"
    )

    @property
    def counts(self) -> dict[Key, frozenset[str]]:
        """By its own key alone."""
        return {self.chain[-1]: frozenset({self.of})}


class RateParams(BehaviourParams):
    """Of a rate."""

    of: Literal["clicks", "add_to_carts", "purchases", "revenue"] = Field("clicks", description="what is counted")
    per: Literal["impressions", "clicks"] = Field("impressions", description="what it is divided by")
    corrected: bool = Field(
        False, description="an impression counts as much as its position is examined (COEC, Zhang & Jones 2007)"
    )
    smoothing: float = Field(
        20.0, ge=0, description="m: impressions that the parent's rate counts for; 0 = the bare rate"
    )

    @model_validator(mode="after")
    def _can_be_divided(self) -> RateParams:
        if self.per == "clicks" and (self.of == "clicks" or self.corrected):
            raise ValueError("per = 'clicks' goes with add_to_carts, purchases or revenue, not corrected")
        return self

    @property
    def divisor(self) -> str:
        """The measure below the line."""
        return "examined" if self.corrected else self.per

    @property
    def counts(self) -> dict[Key, frozenset[str]]:
        """By its key and all parents."""
        return {key: frozenset({self.of, self.divisor}) for key in (_ALL, *self.chain)}


def count(columns: Columns, groups: Offsets, *, params: CountParams) -> Floats:
    """How often it happened before the day of the list: clicks of the product, purchases of it for the query.

        count = Σ n(d) · ½^((T − d) / half_life),  over whole days d with T − window ≤ d < T

    n(d) is what was counted on day d, T the UTC day of as_of. 0 for what is in the catalogue but not in the log; NaN for a
    product that the catalogue lacks, or that has no value of the field.
    """
    key = params.chain[-1]
    counted = _sums(columns, groups, key, params.of, params)
    for part in key.parts:
        if part != "query":
            counted = np.where(_there(columns, part, key.field), counted, np.nan)
    return finite(counted)


def rate(columns: Columns, groups: Offsets, *, params: RateParams) -> Floats:
    """Click rate, purchase rate and the like before the day of the list, smoothed towards the parent's (a Beta prior).

        rate = (Σ c(d) · w(d) + m · parent) / (Σ n(d) · w(d) + m),  over whole days d with T − window ≤ d < T

    c(d) are the clicks (purchases ...) of day d, n(d) the impressions, or with corrected = true the sum of their positions'
    examination; T is the UTC day of as_of, w(d) = ½^((T − d) / half_life) or 1, m the smoothing.

    The parent of query_product is product, that of field_query is field, that of all others the rate of all together, Σ c / Σ n.
    What is not known, a new product or query, has its parent's rate; NaN where nothing at all was shown in that time.
    """
    of, per, m = params.of, params.divisor, params.smoothing
    value = _ratio(_sums(columns, groups, _ALL, of, params), _sums(columns, groups, _ALL, per, params))
    for key in params.chain:
        counted, shown = (_sums(columns, groups, key, measure, params) for measure in (of, per))
        value = _ratio(counted + m * value, shown + m) if m else _ratio(counted, shown)
    return finite(value)


KINDS: Final = {
    "count": Kind("query_product", count, CountParams, "named"),
    "rate": Kind("query_product", rate, RateParams, "named"),
}


def _ratio(counted: NDArray[np.float64], shown: NDArray[np.float64]) -> NDArray[np.float64]:
    ratio = np.full(len(shown), np.nan)
    np.divide(counted, shown, out=ratio, where=shown > 0)
    return ratio


def _sums(columns: Columns, groups: Offsets, key: Key, measure: str, params: BehaviourParams) -> NDArray[np.float64]:
    """What each row's key did in its time; 0 for a key that is not known."""
    from ltr.features import windows

    level = _behaviour(columns).levels[key]
    window, half_life = params.window or 0, params.half_life

    def entries() -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        start, stop = np.empty(len(columns.rows), dtype=np.int64), np.empty(len(columns.rows), dtype=np.int64)
        windows.entries(_keys(columns, groups, key), level.keys, level.bounds, start, stop)
        return start, stop

    def span() -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        low, high = np.empty(len(columns.rows), dtype=np.int64), np.empty(len(columns.rows), dtype=np.int64)
        start, stop = columns.once(("behaviour", key), entries)
        windows.spans(start, stop, _until(columns, groups), window, level.days, low, high)
        return low, high

    def make() -> NDArray[np.float64]:
        low, high = columns.once(("behaviour", key, window), span)
        sums = level.sums[measure]
        if half_life is None:
            out = (sums[high] - sums[low]).astype(np.float64)
        else:
            out = np.empty(len(low), dtype=np.float64)
            windows.decayed(low, high, _until(columns, groups), level.days, sums, _weights(columns, half_life), out)
        out *= UNITS[measure]
        return out

    return columns.once(("behaviour", key, window, measure, half_life), make)


def _weights(columns: Columns, half_life: float) -> NDArray[np.float64]:
    """By age in days; each worked out by itself, so that its bits do not follow from its place."""
    ages = range(int(_FADED * half_life) + 2)
    return columns.state.once(
        ("decay", half_life), lambda: np.array([0.5 ** (age / half_life) for age in ages], dtype=np.float64)
    )


def _keys(columns: Columns, groups: Offsets, key: Key) -> NDArray[np.int64]:
    if not key.parts:
        return np.zeros(len(columns.rows), dtype=np.int64)
    numbers: dict[str, NDArray[np.int64]] = {part: _numbers(columns, groups, part, key.field) for part in key.parts}
    return np.ascontiguousarray(_behaviour(columns).place(key, numbers))


def _numbers(columns: Columns, groups: Offsets, part: str, field: str) -> NDArray[np.int64]:
    """The number of each row's query, product or value in the counts; −1 for one that they lack."""
    state, behaviour = columns.state, _behaviour(columns)
    if part == "query":
        return columns.once("asked", lambda: np.repeat(_given(columns.asked), np.diff(groups)))

    def of_catalogue() -> NDArray[np.int64]:
        wanted = state.products["product_id"] if part == "product" else values_of(state.products, field)
        return np.append(behaviour.numbers(field if part == "field" else part, wanted), -1)

    return state.once(("behaviour", part, field), of_catalogue)[columns.rows]


def _there(columns: Columns, part: str, field: str) -> NDArray[np.bool_]:
    """Whether each row's product is in the catalogue, and has a value of the field."""
    if part == "product":
        return columns.rows < len(columns.state)
    state = columns.state

    def of_catalogue() -> NDArray[np.bool_]:
        return np.append(values_of(state.products, field).is_not_null().to_numpy(), False)

    return state.once(("behaviour", "there", field), of_catalogue)[columns.rows]


def _until(columns: Columns, groups: Offsets) -> NDArray[np.int64]:
    return columns.once("until", lambda: np.repeat(_given(columns.days), np.diff(groups)))


def _given(values: NDArray[np.int64] | None) -> NDArray[np.int64]:
    if values is None:
        raise BundleMismatchError(
            "features of behaviour need the time and the queries of the lists", hint="ask compute"
        )
    return values


def _behaviour(columns: Columns) -> Behaviour:
    if columns.state.behaviour is None:
        raise BundleMismatchError(
            "features of behaviour need counts, which the state does not hold", hint="build it with impressions"
        )
    return columns.state.behaviour
