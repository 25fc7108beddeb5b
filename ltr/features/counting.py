"""From a click log to behaviour counts: the log is read once, in batches, with numbers in the place of its texts.

Rows of one key and day are summed by sorting, as soon as enough of them are held, so memory follows what is counted and not
the log. Where query and product are counted together, the counts of each alone follow from those.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
import polars as pl
from numpy.typing import ArrayLike, NDArray

from ltr.errors import DataError, FeatureSetError
from ltr.features.counts import UNITS, Behaviour, Level, day, key_of, values_of
from ltr.features.definition import FeatureSet
from ltr.features.params import Key

__all__ = ["build_counts"]

Numbers = NDArray[np.int64]

_DAY: Final = 86_400_000_000  # microseconds
_COLUMNS: Final = {
    "query": "query",
    "product": "product_id",
    "clicks": "clicked",
    "add_to_carts": "add_to_cart",
    "purchases": "purchase",
}
_TIME: Final = pl.Datetime("us", "UTC")
_BATCH: Final = 200_000
# Rows that are sorted at a time: some 60 bytes each.
_TOGETHER: Final = 32_000_000
# Levels that are made at a time: each holds some of what it is made of once more.
_AT_ONCE: Final = 2


@dataclass(frozen=True)
class _Log:
    """Rows of a log: the number of each one's query and product, its day, what is counted."""

    parts: Mapping[str, NDArray[Any]]
    days: NDArray[np.int32]
    counts: Mapping[str, NDArray[Any]]


def build_counts(
    impressions: pl.LazyFrame | pl.DataFrame,
    *,
    examination: ArrayLike | None,
    wanted: FeatureSet,
    as_of: str,
    products: pl.DataFrame,
) -> Behaviour:
    """Count what the features of a set read of a log.

    Args:
        impressions: obeys ``frames.SCHEMAS["impressions"]``; only the columns that are counted are read.
        examination: how likely each position is looked at, from the first on; the last holds for all below.
        wanted: which counts, by which keys.
        as_of: ISO 8601; rows of that UTC day and later are not counted.
        products: the catalogue, for keys that name one of its fields.

    Raises:
        DataError: a column that is not there or of another type, or an examination that is none.
        FeatureSetError: a corrected rate without an examination.
    """
    until, keys = day(as_of), wanted.counts
    measures = [measure for measure in UNITS if any(measure in needed for needed in keys.values())]
    curve = _checked(examination, wanted, needed="examined" in measures)
    parts = [part for part in ("query", "product") if any(part in _logged(key) for key in keys)]
    try:
        log, names = _read(_rows(impressions.lazy(), parts, measures, curve, until), parts, measures)
    except pl.exceptions.PolarsError as error:
        raise DataError(f"the impressions cannot be counted: {error}", hint="see ltr.frames.SCHEMAS") from error
    finest = None
    if any(len(_logged(key)) > 1 for key in keys):
        log, finest = _summed(log)
    values = {key.field: values_of(products, key.field) for key in keys if key.field}
    names |= {field: found.drop_nulls().unique().sort() for field, found in values.items()}
    whole = Behaviour(until, names, {}, curve)
    of_product = {field: _valued(whole, field, products["product_id"], found) for field, found in values.items()}

    def level(key: Key) -> Level:
        needed = sorted(keys[key])
        if finest is not None and key.parts == ("query", "product"):
            return replace(finest, sums={name: finest.sums[name] for name in needed})
        own = {part: log.parts[part] for part in _logged(key)}
        if key.field:
            own["field"] = of_product[key.field][own["product"]]
        return _level(whole.place(key, own) if key.parts else None, log, needed)

    with ThreadPoolExecutor(_AT_ONCE) as pool:
        levels = dict(zip(keys, pool.map(level, keys), strict=True))
    read = {key.field if part == "field" else part for key in keys for part in key.parts}
    return replace(whole, names={name: names[name] for name in sorted(read)}, levels=levels)


def _logged(key: Key) -> tuple[str, ...]:
    """What of a key stands in the log: the value of a field is that of the product."""
    return tuple("product" if part == "field" else part for part in key.parts)


def _rows(
    log: pl.LazyFrame, parts: Sequence[str], measures: Sequence[str], curve: NDArray[np.float64] | None, until: int
) -> pl.LazyFrame:
    """What is counted and the day, of the rows before ``until``."""
    # Categories: texts become numbers while they are read.
    read = {part: pl.col(_COLUMNS[part]).cast(pl.String).cast(pl.Categorical) for part in parts}
    read |= {
        measure: pl.col(_COLUMNS[measure]).cast(pl.Boolean).fill_null(False).cast(pl.UInt8)
        for measure in measures
        if measure in _COLUMNS
    }
    if "revenue" in measures:
        hundredths = (pl.col("revenue").cast(pl.Float64) / UNITS["revenue"]).round()
        read["revenue"] = pl.when(hundredths.is_finite()).then(hundredths).otherwise(0).cast(pl.Int64)
    if curve is not None and "examined" in measures:
        units = pl.Series(np.rint(curve / UNITS["examined"]).astype(np.int32))
        read["examined"] = pl.lit(units).gather(pl.col("position").cast(pl.Int64).clip(1, len(units)) - 1)
    there = log.collect_schema().names()
    used = {"shown_at", *(name for each in read.values() for name in each.meta.root_names())}
    if lacking := sorted(used - set(there)):
        raise DataError(f"the impressions lack {lacking}", hint=f"they have {there}; see ltr.frames.SCHEMAS")
    times = [pl.col(name).cast(_TIME) for name in ("shown_at", "clicked_at") if name in there]
    read["day"] = (pl.max_horizontal(times).to_physical() // _DAY).cast(pl.Int32)
    return log.select(**read).filter(pl.col("day") < until).drop_nulls(list(parts))


def _read(rows: pl.LazyFrame, parts: Sequence[str], measures: Sequence[str]) -> tuple[_Log, dict[str, pl.Series]]:
    """The rows, with names in ascending order; wordings of one query share a number."""
    wordings = {part: _Wordings() for part in parts}
    held, most = [_nothing(parts, measures)], _TOGETHER
    for frame in rows.collect_batches(chunk_size=_BATCH, maintain_order=False):
        one = np.ones(frame.height, dtype=np.uint8)
        counts = {name: one if name == "impressions" else frame[name].to_numpy() for name in measures}
        numbers = {part: wordings[part].numbers(frame[part]) for part in parts}
        held.append(_Log(numbers, frame["day"].to_numpy(), counts))
        if sum(len(log.days) for log in held) >= most:
            held = [_summed(_joined(held))[0]]
            most = max(_TOGETHER, 2 * len(held[0].days))
    log = _joined(held)
    found = {part: words.named(key_of if part == "query" else str) for part, words in wordings.items()}
    numbers = {part: number[log.parts[part]] for part, (_, number) in found.items()}
    return replace(log, parts=numbers), {part: names for part, (names, _) in found.items()}


class _Wordings:
    """The texts behind a column's category codes, each taken down when it is first seen."""

    def __init__(self) -> None:
        self._seen = np.zeros(0, dtype=np.bool_)
        self._codes: list[NDArray[np.uint32]] = []
        self._texts: list[pl.Series] = []

    def numbers(self, column: pl.Series) -> NDArray[np.uint32]:
        """The codes of a column."""
        from ltr.features import windows

        codes = column.to_physical().to_numpy(writable=True)
        if (size := int(codes.max(initial=0)) + 1) > len(self._seen):
            self._seen = np.append(self._seen, np.zeros(2 * size - len(self._seen), dtype=np.bool_))
        new = windows.firsts(codes, self._seen)
        if len(new):
            self._codes.append(codes[new])
            self._texts.append(column.gather(new).cast(pl.String))
        return codes

    def named(self, spell: Callable[[str], str]) -> tuple[pl.Series, NDArray[np.uint32]]:
        """The distinct names in ascending order, and the number of the name by code."""
        texts = [spell(text) for series in self._texts for text in series]
        spelt = pl.Series(texts, dtype=pl.String)
        number = np.zeros(len(self._seen), dtype=np.uint32)
        if texts:
            number[np.concatenate(self._codes)] = spelt.rank("dense").to_numpy() - 1
        return spelt.unique().sort(), number


def _nothing(parts: Sequence[str], measures: Sequence[str]) -> _Log:
    return _Log(
        {part: np.zeros(0, dtype=np.uint32) for part in parts},
        np.zeros(0, dtype=np.int32),
        {name: np.zeros(0, dtype=np.uint8) for name in measures},
    )


def _joined(logs: Sequence[_Log]) -> _Log:
    return _Log(
        {part: np.concatenate([log.parts[part] for log in logs]) for part in logs[0].parts},
        np.concatenate([log.days for log in logs]),
        {name: np.concatenate([log.counts[name] for log in logs]) for name in logs[0].counts},
    )


def _summed(log: _Log) -> tuple[_Log, Level]:
    """The same with one row for each key and day, and that as a level."""
    key, sizes = np.zeros(len(log.days), dtype=np.int64), []
    for numbers in log.parts.values():
        sizes.append(int(numbers.max(initial=0)) + 1)
        key *= sizes[-1]
        key += numbers
    level = _level(key, log, list(log.counts))
    left, entries, parts = level.keys, np.diff(level.bounds), {}
    for part, size in reversed(list(zip(log.parts, sizes, strict=True))):
        left, number = np.divmod(left, size)
        parts[part] = np.repeat(number.astype(np.uint32), entries)
    counts = {name: np.diff(sums) for name, sums in level.sums.items()}
    return _Log({part: parts[part] for part in log.parts}, level.days, counts), level


def _level(key: Numbers | None, log: _Log, measures: Sequence[str]) -> Level:
    """The counts by key (None = of all together); rows whose key is −1 are left out."""
    days, counts = log.days, {name: log.counts[name] for name in measures}
    if key is None:
        key = np.zeros(len(days), dtype=np.int64)
    elif (key < 0).any():
        known = key >= 0
        key, days, counts = key[known], days[known], {name: each[known] for name, each in counts.items()}
    return Level.of(key, days, counts)


def _valued(whole: Behaviour, field: str, product_ids: pl.Series, values: pl.Series) -> Numbers:
    """The number of the field's value by product number; −1 where the catalogue has none."""
    found = np.full(len(whole.names["product"]), -1, dtype=np.int64)
    rows = whole.numbers("product", product_ids)
    found[rows[rows >= 0]] = whole.numbers(field, values)[rows >= 0]
    return found


def _checked(examination: ArrayLike | None, wanted: FeatureSet, *, needed: bool) -> NDArray[np.float64] | None:
    if examination is None:
        if needed:
            names = [feature.name for feature in wanted.features if getattr(feature.params, "corrected", False)]
            raise FeatureSetError(
                f"{wanted.where or wanted.name}: {names} are corrected for examination, which is not known",
                hint="give the examination by position, or leave out corrected = true",
            )
        return None
    curve = np.asarray(examination, dtype=np.float64)
    if curve.ndim != 1 or not curve.size or not ((curve > 0) & (curve <= 1)).all():
        raise DataError(
            f"examination {curve.tolist()} is not one number over 0 and up to 1 for each position",
            hint="give it from position 1 on, as ltr propensity prints it",
        )
    return curve
