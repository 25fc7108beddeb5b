"""A run for people: the description that MLflow shows on the run's first page, and the table beside its files."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterable
from typing import Any

from ltr.tracking.record import Record

__all__ = ["description", "table_csv"]


def description(record: Record) -> str:
    """The run in Markdown: the outcome, a row a ranker, the question, what it was fitted and measured on.

    MLflow folds a description after some five lines, so the fitted ranker stands first.
    """
    lines = []
    if record.measures:
        lines += [_outcome(record), "", *_table(record), ""]
    if record.question:
        lines += [f"*{record.question}*", ""]
    lines += [f"- {line}" for line in _facts(record)]
    return "\n".join(lines)


def table_csv(record: Record) -> str:
    """The measures as CSV: a row for each ranker and measure, empty where there is no number."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    compared_by = ("difference", "p_value", "p_holm", "proven")
    writer.writerow(["ranker", "label", "measure", "mean", "low", "high", "n", *compared_by])
    for row, by in record.fitted_first():
        for measure, estimate in by.items():
            compared = (record.comparison(row) if measure == record.judged_by else None) or {}
            values = [estimate.get(key) for key in ("mean", "low", "high", "n")] + [
                compared.get(key) for key in compared_by
            ]
            writer.writerow([row, record.label(row), measure, *map(_cell, values)])
    return out.getvalue()


def _outcome(record: Record) -> str:
    measure = record.judged_by
    estimate = record.measures[record.ranker][measure]
    told = f"**{record.label(record.ranker)}: {measure} {_number(estimate['mean'])}** ({_interval(estimate)})"
    compared = record.comparison(record.ranker)
    if compared is None:
        return told
    difference, verdict = _number(compared["difference"], sign=True), _verdict(compared)
    return (
        f"{told}, {difference} to {record.label(record.baseline)}, p {'' if verdict.startswith('<') else '= '}{verdict}"
    )


def _table(record: Record) -> list[str]:
    first, *others = record.measures[record.ranker]
    head = ["", first, "95&nbsp;%&nbsp;interval", *others, "difference", "p&nbsp;(Holm)"]
    rows = []
    for row, by in record.fitted_first():
        estimate = by.get(first, {})
        cells = [record.label(row), _number(estimate.get("mean")), _interval(estimate)]
        cells += [_number(by.get(other, {}).get("mean")) for other in others]
        compared = record.comparison(row)
        cells += [_number(compared["difference"], sign=True), _verdict(compared)] if compared else ["", ""]
        rows.append(cells)
    return [_line(head), "| --- |" + " ---: |" * (len(head) - 1), *map(_line, rows)]


def _verdict(comparison: dict[str, Any]) -> str:
    p = comparison["p_holm"]
    told = "< .0001" if p < 0.0001 else _number(p)
    return told if comparison["proven"] else f"{told}, not proven"


def _interval(estimate: dict[str, Any]) -> str:
    return f"{_number(estimate.get('low'))}–{_number(estimate.get('high'))}"


def _facts(record: Record) -> Iterable[str]:
    if record.queries:
        yield "queries: " + ", ".join(f"{count:,} {side}" for side, count in record.queries.items())
    if kept_out := {reason: count for reason, count in record.dropped.items() if count}:
        yield "kept out of fitting: " + ", ".join(
            f"{count:,} {reason.replace('_', ' ')}" for reason, count in kept_out.items()
        )
    if record.gains or record.empty:
        yield f"gains: {record.gains}; queries without a relevant product: {record.empty}"
    if record.dataset:
        yield f"data: {record.dataset} `{record.dataset_digest[:12]}`"
    if record.feature_set:
        yield f"features: {record.feature_set} `{record.feature_set_digest[:12]}`, {len(record.importance)} features"
    if record.rounds is not None:
        yield f"rounds: {record.rounds}"
    if record.seconds:
        yield "seconds: " + ", ".join(f"{stage} {seconds:.1f}" for stage, seconds in record.seconds.items())
    yield f"code: `{record.revision}`"
    if record.bundle:
        yield f"bundle: `{record.bundle}`"


def _number(value: float | None, *, sign: bool = False) -> str:
    if value is None or not math.isfinite(value):
        return "–"
    return f"{value:+.4f}" if sign else f"{value:.4f}"


def _cell(value: Any) -> Any:
    if isinstance(value, float):
        return f"{value:.6g}" if math.isfinite(value) else ""
    return value


def _line(cells: Iterable[str]) -> str:
    first, *others = (cell.replace("|", "\\|") for cell in cells)
    # MLflow's page sets the cells of a table side by side without any space between them.
    return " | ".join([f"| {first}", *(f"&emsp;{cell}" for cell in others)]) + " |"
