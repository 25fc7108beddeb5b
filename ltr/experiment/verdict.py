"""Is the fitted ranker worth serving? It is not silently saved where a simpler order is as good, for all that is known."""

from __future__ import annotations

import math
from collections.abc import Mapping

import polars as pl

from ltr import evaluation
from ltr.evaluation import Comparison
from ltr.experiment.result import Rows

__all__ = ["verdict"]

# The rows that need no ranker at all.
_SIMPLER = ("retrieval", "best_feature", "cosine")


def verdict(per_query: Mapping[str, pl.DataFrame], table: Rows, *, first: str) -> str:
    """What to do where the ranker is not proven better than the best of the simpler rows; "" where it is.

    Args:
        per_query: row -> values by query, as the table was made of.
        table: with ``against``, the ranker's comparison with each other row.
        first: the measure that decides.
    """
    simpler = [row for row in _SIMPLER if row in per_query and math.isfinite(table.measures[row][first].mean)]
    if not simpler:
        return ""
    rival = max(simpler, key=lambda row: table.measures[row][first].mean)
    ranker = list(table.labels)[-1]
    against = next((each for each in (*table.against, *table.comparisons) if _between(each, ranker, rival)), None)
    if against is None or (against.proven and against.difference > 0):
        return ""
    told = f"{table.labels[ranker]} is not proven better than {table.labels[rival]}"
    if against.difference <= 0:
        worse = "proven worse" if against.proven else "no better"
        return (
            f"{table.labels[ranker]} is {worse} than {table.labels[rival]} ({against.difference:+.4f}): "
            "serve that order, or judge more queries"
        )
    differences = evaluation.differences(per_query[ranker], per_query[rival], measure=first)
    needed = evaluation.queries_needed(differences)
    seen = evaluation.detectable(differences)
    return (
        f"{told} ({against.difference:+.4f}, {against.low:+.4f} to {against.high:+.4f}): {against.n:,} queries prove "
        f"differences from about {seen:.3f} on" + (f"; this one would take about {needed:,}" if needed else "")
    )


def _between(comparison: Comparison, ranker: str, baseline: str) -> bool:
    return (comparison.ranker, comparison.baseline) == (ranker, baseline)
