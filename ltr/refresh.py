"""A bundle's state renewed under its model: today's catalogue, today's behaviour counts, and what moved.

Nothing is fitted. Judged queries are part of the model and stay. A text that the old state has a vector of is not encoded
again, so a day's new products cost a day's texts.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from ltr import bundle as bundles
from ltr import bundle_state
from ltr.bundle import Bundle
from ltr.datasets.catalogue import read_products
from ltr.errors import BundleMismatchError, ConfigError
from ltr.features import compute, counts
from ltr.features import state as states
from ltr.features.reuse import Reusing

if TYPE_CHECKING:
    from ltr.features.definition import FeatureSet
    from ltr.features.state import State

__all__ = ["Moved", "Refreshed", "refresh", "stability"]

_EXAMPLES: Final = 3
_BINS: Final = 10
# A bin that one side leaves empty would be infinitely surprising: it has at least this share.
_FLOOR: Final = 1e-4


@dataclass(frozen=True)
class Moved:
    """How the values of one feature over the catalogue differ from those before.

    Args:
        feature: its name.
        psi: population stability index; see ``stability``.
        before, after: mean of the values that are there; NaN where none is.
        missing: the share of products without a value, before and after.
    """

    feature: str
    psi: float
    before: float
    after: float
    missing: tuple[float, float]


@dataclass(frozen=True)
class Refreshed:
    """What a refresh did.

    Args:
        state: the directory that the bundle's state lies in now.
        version: of the state, before and after.
        as_of: the time that it stands for, before and after.
        products: how many, before and after.
        added, removed, changed: products, by id.
        encoded: texts that had to be encoded.
        reused: texts whose vectors the old state had.
        counts: measure -> all that was counted of it, before and after; None = was not.
        queries: queries with counts, before and after.
        moved: features that need no query, over the catalogue; the one that moved most first.
        notes: what a person should know, one sentence each.
    """

    state: str
    version: tuple[str, str]
    as_of: tuple[str | None, str | None]
    products: tuple[int, int]
    added: tuple[str, ...]
    removed: tuple[str, ...]
    changed: tuple[str, ...]
    encoded: int
    reused: int
    counts: dict[str, tuple[float | None, float | None]]
    queries: tuple[int, int]
    moved: tuple[Moved, ...]
    notes: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """As JSON has it: of the products, how many and the first few."""
        told = asdict(self)
        for name in ("added", "removed", "changed"):
            told[name] = {"count": len(told[name]), "examples": list(told[name][:_EXAMPLES])}
        return told


def refresh(
    path: Path,
    *,
    products: Path | None = None,
    impressions: pl.LazyFrame | None = None,
    as_of: str | None = None,
    renewed: str,
) -> Refreshed:
    """Renew a bundle's state.

    Args:
        path: the bundle.
        products: the catalogue; None = as it was.
        impressions: the whole log that is to be counted; None = the counts as they were.
        as_of: the time that the state is to stand for, ISO 8601; None = the day after the log's last, or as it was.
        renewed: now, ISO 8601 with its zone.

    Raises:
        ConfigError: nothing to renew, or a log that no feature reads.
        DataError: the catalogue or the log is not what it should be.
        BundleMismatchError: the catalogue lacks what the model's features read.
        BundleError: the bundle is damaged, or the state could not be written; the bundle is as it was.
    """
    loaded = bundles.load(path)
    old, wanted = loaded.state, loaded.feature_set
    _check_asked(loaded, products, impressions, as_of)
    catalogue, notes = (old.products, []) if products is None else _catalogue(loaded, products)
    if impressions is not None:
        as_of = as_of or _day_after(impressions, renewed)
    encoder = Reusing(loaded.encoder, old) if loaded.encoder is not None else None
    vector = loaded.experiment.state_vector
    new = states.build(
        catalogue,
        wanted,
        fields=loaded.facts.fields,
        encoder=encoder,
        vector_fields=[vector] if vector else [],
        as_of=as_of or old.as_of,
        impressions=impressions,
        examination=old.behaviour.examination if old.behaviour else None,
        behaviour=old.behaviour,
    )
    moved = _moved(wanted, old, new)
    directory = bundle_state.renew(loaded, new, renewed=renewed)
    added, removed, changed = _differences(old.products, new.products)
    return Refreshed(
        state=directory.name,
        version=(old.version, new.version),
        as_of=(old.as_of, new.as_of),
        products=(len(old), len(new)),
        added=added,
        removed=removed,
        changed=changed,
        encoded=encoder.encoded if encoder else 0,
        reused=encoder.reused if encoder else 0,
        counts=_counts(old, new),
        queries=(_queries(old), _queries(new)),
        moved=moved,
        notes=tuple(notes),
    )


def stability(before: NDArray[np.float32], after: NDArray[np.float32]) -> float:
    """Population stability index: how far a distribution has moved.

        PSI = Σ (aᵢ − bᵢ) · ln(aᵢ / bᵢ),  over the deciles of the values before, and those that are missing

    b and a are the shares before and after, of at least 0.0001. Below 0.1 little has moved, above 0.25 much.

    >>> even = np.arange(100, dtype=np.float32)
    >>> stability(even, even), round(stability(even, even + 10), 3)        # a tenth has gone to either end
    (0.0, 0.759)
    """
    there = before[~np.isnan(before)]
    edges = np.unique(np.quantile(there, np.arange(1, _BINS) / _BINS, method="higher")) if len(there) else there
    shares = [np.maximum(_shares(values, edges), _FLOOR) for values in (before, after)]
    return float(np.sum((shares[1] - shares[0]) * np.log(shares[1] / shares[0])))


def _shares(values: NDArray[np.float32], edges: NDArray[np.float32]) -> NDArray[np.float64]:
    bins = np.where(np.isnan(values), len(edges) + 1, np.searchsorted(edges, values, side="right"))
    return np.bincount(bins, minlength=len(edges) + 2) / max(len(values), 1)


def _check_asked(loaded: Bundle, products: Path | None, impressions: pl.LazyFrame | None, as_of: str | None) -> None:
    if loaded.experiment.data.source == "svmlight":
        raise ConfigError(
            f"{loaded.path} was fitted on feature files, whose rows are the products", hint="there is nothing to renew"
        )
    if impressions is not None and not loaded.feature_set.counts:
        raise ConfigError(
            f"no feature of {loaded.path} reads a log",
            hint="leave out --log, or train with features of kind rate or count",
        )
    if products is None and impressions is None and as_of is None:
        raise ConfigError("there is nothing to renew", hint="give --products, --log or both")
    if as_of is not None:
        counts.day(as_of)


def _catalogue(loaded: Bundle, file: Path) -> tuple[pl.DataFrame, list[str]]:
    facts = loaded.facts
    catalogue, lacking = read_products(file, config=loaded.experiment.data, fields=facts.fields, title=facts.title)
    read = {name for source in loaded.feature_set.sources for name in source.fields} | facts.retrieval_fields.keys()
    if needed := sorted(read & set(lacking)):
        raise BundleMismatchError(
            f"{file} has no {', '.join(needed)}; the model of {loaded.path} reads {', '.join(sorted(read))}",
            hint="add the columns, or train again on a catalogue without them",
        )
    return catalogue, [f"{file} lacks {', '.join(lacking)}, which no feature reads"] if lacking else []


def _day_after(impressions: pl.LazyFrame, now: str) -> str:
    """The day after the log's last row: the last up to now, since a clock that runs ahead must not empty every window."""
    shown = pl.col("shown_at").cast(pl.Datetime("us", "UTC"))
    by_now = shown.filter(shown <= datetime.fromisoformat(now)).max()
    last = impressions.select(pl.coalesce(by_now, shown.max())).collect(engine="streaming").item()
    if last is None:
        raise ConfigError("the log has no impression", hint="see its report: ltr judge LOG; or leave out --log")
    return str(last.date() + timedelta(days=1))


def _differences(old: pl.DataFrame, new: pl.DataFrame) -> tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]]:
    """Products added, removed and changed."""
    on = "product_id"
    both = old.join(new, on=on, how="semi").select(on)
    same = pl.concat([each.join(both, on=on, how="semi").select(sorted(new.columns)) for each in (old, new)])
    # Equal rows are one row.
    changed = same.unique().filter(pl.col(on).is_duplicated())[on].unique().sort()
    added, removed = (a.join(b, on=on, how="anti")[on].sort() for a, b in ((new, old), (old, new)))
    return tuple(added), tuple(removed), tuple(changed)


def _counts(old: State, new: State) -> dict[str, tuple[float | None, float | None]]:
    before, after = (state.behaviour.totals if state.behaviour else {} for state in (old, new))
    return {name: (before.get(name), after.get(name)) for name in after | before}


def _queries(state: State) -> int:
    return len(state.behaviour.names.get("query", ())) if state.behaviour else 0


def _moved(wanted: FeatureSet, old: State, new: State) -> tuple[Moved, ...]:
    part = wanted.part(feature.name for feature in wanted.features if _needs_no_query(feature))
    if not part.features or (part.counts and old.behaviour is None):
        return ()
    before, after = (_values(part, state) for state in (old, new))
    found = []
    for at, name in enumerate(part.names):
        was, now = before[:, at], after[:, at]
        missing = float(np.isnan(was).mean() if len(was) else 0), float(np.isnan(now).mean() if len(now) else 0)
        found.append(Moved(name, stability(was, now), _mean(was), _mean(now), missing))
    return tuple(sorted(found, key=lambda each: -each.psi))


def _needs_no_query(feature: Any) -> bool:
    if feature.scope == "product":
        return True
    return bool(feature.params.counts) and feature.scope != "list" and "query" not in feature.params.by


def _values(part: FeatureSet, state: State) -> NDArray[np.float32]:
    ids = state.products["product_id"].to_list()
    return compute.matrix(part, state, [""], ids, np.array([0, len(ids)], dtype=np.int64))


def _mean(values: NDArray[np.float32]) -> float:
    there = values[~np.isnan(values)].astype(np.float64)
    return float(there.mean()) if len(there) else float("nan")
