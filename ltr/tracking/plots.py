"""A run in four pictures, drawn without a screen: measures with intervals, learning curve, importance, differences."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import polars as pl

from ltr.errors import MissingExtraError, TrackingError
from ltr.tracking.record import Record

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

__all__ = ["draw", "draw_learning_curve"]

_INK: Final = "#3b3f46"
_BLUE: Final = "#2b6cb0"
_GREY: Final = "#a0aec0"
_SHOWN: Final = 20  # features


def draw(record: Record, directory: Path) -> None:
    """Write a PNG for whatever the record has: a record without a curve has no picture of one."""
    pictures: dict[str, Callable[[Record, Any], bool]] = {
        "measures": _measures,
        "learning_curve": _curve,
        "feature_importance": _importance,
        "differences": _differences,
    }
    for name, picture in pictures.items():
        figure, axes = _page()
        if picture(record, axes):
            figure.savefig(directory / f"{name}.png", metadata={"Software": None})


def draw_learning_curve(
    path: Path, queries: Sequence[int], rows: Mapping[str, Sequence[tuple[float, float, float]]], *, measure: str
) -> None:
    """Write a PNG of the measure by the number of queries fitted on: for each row its mean, low and high at each number."""
    figure, axes = _page()
    for (label, values), colour in zip(rows.items(), (_BLUE, _GREY, _INK), strict=False):
        means, lows, highs = zip(*values, strict=True)
        axes.fill_between(queries, lows, highs, color=colour, alpha=0.15, linewidth=0)
        axes.plot(queries, means, "o-", color=colour, label=label, linewidth=1.5)
    axes.set_xscale("log", base=2)
    axes.set_xticks(queries, [f"{n:,}" for n in queries])
    axes.minorticks_off()
    axes.set_xlabel("judged queries to fit on")
    axes.set_ylabel(f"{measure}, cross-validated, 95 % interval")
    axes.grid(alpha=0.25)
    axes.legend(frameon=False, fontsize=9)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, metadata={"Software": None})


def _page() -> tuple[Any, Any]:
    """A figure and its axes, in the house's look."""
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise MissingExtraError("matplotlib", "tracking") from error
    figure = Figure(figsize=(8, 4.5), dpi=110, layout="constrained")
    axes = figure.add_subplot()
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(colors=_INK, labelsize=9)
    return figure, axes


def _measures(record: Record, axes: Any) -> bool:
    measure = record.judged_by
    rows = [row for row in reversed(record.measures) if math.isfinite(record.measures[row][measure]["mean"])]
    for place, row in enumerate(rows):
        estimate = record.measures[row][measure]
        colour = _BLUE if row == record.ranker else _GREY
        axes.plot([estimate["low"], estimate["high"]], [place, place], color=colour, linewidth=6, alpha=0.45)
        axes.plot(estimate["mean"], place, "o", color=colour, markersize=8)
        axes.annotate(
            f"{estimate['mean']:.4f}", (estimate["mean"], place), (0, 9), textcoords="offset points", ha="center",
            fontsize=9, color=_INK,
        )  # fmt: skip
    axes.set_yticks(range(len(rows)), [record.label(row) for row in rows])
    axes.set_ylim(-0.6, len(rows) - 0.3)
    axes.set_xlabel(f"{measure} on test, 95 % interval")
    axes.grid(axis="x", alpha=0.25)
    return bool(rows)


def _curve(record: Record, axes: Any) -> bool:
    rounds = range(1, len(record.curve) + 1)
    axes.plot(rounds, record.curve, color=_BLUE, linewidth=1.5)
    if record.rounds is not None and 0 < record.rounds <= len(record.curve):
        axes.axvline(record.rounds, color=_GREY, linewidth=1, linestyle="--")
        best = record.curve[record.rounds - 1]
        axes.set_title(f"round {record.rounds} of {len(record.curve)} kept, {best:.4f}", fontsize=10, color=_INK)
    axes.set_xlabel("round")
    axes.set_ylabel(f"dev {record.curve_measure}")
    axes.grid(alpha=0.25)
    return len(record.curve) > 1


def _importance(record: Record, axes: Any) -> bool:
    total = sum(record.importance.values()) or 1.0
    largest = sorted(record.importance.items(), key=lambda item: (-item[1], item[0]))[:_SHOWN][::-1]
    axes.barh([name for name, _ in largest], [100 * gain / total for _, gain in largest], color=_BLUE)
    axes.set_xlabel("share of total gain, %")
    if len(record.importance) > _SHOWN:
        axes.set_title(f"{_SHOWN} of {len(record.importance)} features", fontsize=10, color=_INK)
    axes.grid(axis="x", alpha=0.25)
    return bool(largest)


def _differences(record: Record, axes: Any) -> bool:
    if record.per_query is None or record.baseline not in record.measures or record.baseline == record.ranker:
        return False
    measure = record.judged_by
    try:
        values = pl.read_parquet(record.per_query, columns=["query_id", "ranker", measure])
    except (OSError, pl.exceptions.PolarsError) as error:
        raise TrackingError(
            f"{record.per_query} is no table of measures by query: {str(error).partition(chr(10))[0]}",
            hint=f"it has query_id, ranker and {measure}",
        ) from error
    own, other = (values.filter(pl.col("ranker") == row) for row in (record.ranker, record.baseline))
    both = own.join(other, on="query_id", suffix="_baseline").drop_nans()
    difference = both.select(pl.col(measure) - pl.col(f"{measure}_baseline")).to_series().to_numpy()
    if not len(difference):
        return False
    axes.hist(difference, bins=41, range=(-1, 1), color=_BLUE)
    axes.set_yscale("symlog", linthresh=10)  # most queries do not change; the tails are what to look at
    axes.yaxis.set_major_formatter("{x:,.0f}")
    axes.axvline(0, color=_INK, linewidth=0.8)
    better, worse = int((difference > 0).sum()), int((difference < 0).sum())
    axes.set_title(
        f"{better:,} queries better, {worse:,} worse, {len(difference) - better - worse:,} equal",
        fontsize=10,
        color=_INK,
    )
    axes.set_xlabel(f"{measure} of {record.label(record.ranker)} − {record.label(record.baseline)}, by query")
    axes.set_ylabel("queries")
    return True
