"""Train: assemble, fit, evaluate, compare, save, track; the bundle and its results are on disk before MLflow is asked."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import polars as pl

from ltr import bundle, evaluation, measures, tracking
from ltr.config import Experiment, TrackingConfig
from ltr.engine.connection import bare
from ltr.errors import TrackingError
from ltr.evaluation import Comparison
from ltr.experiment import inspection
from ltr.experiment.assemble import Assembled, assemble
from ltr.experiment.methods import CEILING, NAIVE, TRUE_PROPENSITIES
from ltr.experiment.record import record_of
from ltr.experiment.result import Result, Rows, finite
from ltr.experiment.trial import Trial, trial
from ltr.experiment.verdict import verdict
from ltr.features.definition import FeatureSet
from ltr.lines import write_bytes

__all__ = ["PERMUTATIONS", "train"]

# The smallest p-value that can be found is one over this: 10,000 would print .0003 for every clear difference of three.
PERMUTATIONS: Final = 100_000


def train(
    experiment: Experiment,
    *,
    base: Path,
    cache: Path,
    bundles: Path,
    feature_set: FeatureSet | None = None,
    say: Callable[[str], None] = lambda _text: None,
) -> Result:
    """Run one experiment.

    Args:
        experiment: the configuration.
        base: the directory of experiment.toml.
        cache: where encoders and vectors are kept between runs.
        bundles: where the bundle goes.
        feature_set: instead of the one that the experiment names.
        say: told each warning as it arises.

    Raises:
        LtrError: whatever is wrong with the configuration, the data or the disk; nothing is left behind.
    """
    bundle.check_writable(bundles)
    started = datetime.now(UTC)
    seconds: dict[str, float] = {}
    with _timed(seconds, "assemble"):
        assembled = assemble(experiment, base=base, cache=cache, feature_set=feature_set)
    warnings = (*assembled.audit.warnings, *assembled.warnings)
    for warning in warnings:
        say(warning)
    with _timed(seconds, "fit and evaluate"):
        kept = trial(assembled, group=experiment.split.group)
        also = {column: trial(assembled, group=column) for column in experiment.split.also}
    with _timed(seconds, "compare"):
        table = _rows(experiment, kept)
        others = {column: _rows(experiment, other) for column, other in also.items()}
    result = Result(
        experiment=experiment.name,
        bundle="",
        run_id=None,
        tracking_uri=tracking.masked(experiment.tracking.uri),
        table=table,
        also=others,
        recovered=_recovered(assembled, kept),
        scale=assembled.scale.name,
        gains=assembled.gains_name,
        empty=experiment.evaluation.empty,
        rel=experiment.evaluation.rel,
        rounds=kept.rounds[experiment.kept],
        fitted={row: {"rounds": kept.rounds[row], "seconds": round(kept.seconds[row], 3)} for row in kept.rounds},
        verdict=verdict(kept.per_query, table, first=str(measures.parse(experiment.evaluation.measures[0]))),
        warnings=warnings,
        notes=(*assembled.dataset.notes, *(assembled.clicks.told if assembled.clicks else ()), *kept.notes),
        dropped=kept.dropped,
        test_reads=_count_test_read(base, experiment.name, kept.digest),
        seconds=seconds,
    )
    with _timed(seconds, "save"):
        path = _save(assembled, kept, result, bundles=bundles, created=started)
    result = replace(result, bundle=str(path))
    with _timed(seconds, "track"):
        try:
            run_id, warning = _track(path, experiment.tracking.uri)
        except KeyboardInterrupt:
            _remember(base, result)
            say(f"not tracked: interrupted. {_later(path, experiment.tracking.uri)}")
            raise
    if warning:
        say(warning)
        result = replace(result, warnings=(*result.warnings, warning))
    result = replace(result, run_id=run_id)
    _remember(base, result)
    return result


def _rows(experiment: Experiment, done: Trial) -> Rows:
    first = str(measures.parse(experiment.evaluation.measures[0]))
    library = experiment.kept

    def compared(rows: Iterable[str], baseline: str) -> list[Comparison]:
        return evaluation.compare(
            {row: done.per_query[row] for row in rows},
            baseline=baseline,
            measure=first,
            seed=experiment.split.seed,
            permutations=PERMUTATIONS,
        )

    pairs = [compared((library, row), row)[0] for row in done.labels if row not in (library, "retrieval")]
    corrected = evaluation.holm([pair.p_value for pair in pairs])
    return Rows(
        labels=done.labels,
        measures={
            row: evaluation.summarise(frame, seed=experiment.split.seed) for row, frame in done.per_query.items()
        },
        comparisons=tuple(compared(done.labels, "retrieval")),
        queries=done.queries,
        against=tuple(
            replace(pair, p_holm=p, proven=p < evaluation.ALPHA) for pair, p in zip(pairs, corrected, strict=True)
        ),
    )


def _recovered(assembled: Assembled, done: Trial) -> dict[str, Any]:
    """What each way to learn from clicks wins back of what taking clicks for relevance costs."""
    if assembled.clicks is None or not assembled.judged_by_people:
        return {}
    fitted_rows = {row: done.per_query[row] for row in done.rounds}
    shares = evaluation.recovered(
        fitted_rows,
        naive=NAIVE,
        ceiling=CEILING,
        measure=str(measures.parse(assembled.experiment.evaluation.measures[0])),
        seed=assembled.experiment.split.seed,
    )
    chosen = {row: share for row, share in shares.items() if row not in (CEILING, TRUE_PROPENSITIES)}
    best = max(chosen, key=lambda row: chosen[row].difference)
    return {
        "naive": NAIVE,
        "ceiling": CEILING,
        "best": {"method": best, "share": chosen[best].share},
        "methods": {row: asdict(share) for row, share in shares.items() if row != CEILING},
    }


def _save(assembled: Assembled, kept: Trial, result: Result, *, bundles: Path, created: datetime) -> Path:
    experiment, dataset = _travelling(assembled.experiment), assembled.dataset
    facts = bundle.CatalogueFacts(
        source=dataset.name,
        fields=dict(dataset.fields),
        title=dataset.title,
        retrieval_fields=assembled.retrieval_fields,
        scale=assembled.scale.name,
        gains=[float(gain) for gain in assembled.gains],
        gains_name=assembled.gains_name,
        body=dict(assembled.body) if assembled.body else None,
    )

    def results(directory: Path) -> None:
        (directory / "result.json").write_text(json.dumps(finite(result.to_json()), indent=2) + "\n", encoding="utf-8")
        _per_query(kept, assembled).write_parquet(directory / "per_query.parquet")
        pl.concat([run.with_columns(ranker=pl.lit(row)) for row, run in kept.runs.items()]).write_parquet(
            directory / "runs.parquet"
        )
        record = record_of(replace(assembled, experiment=experiment), kept, result, started=created)
        (directory / "record.json").write_text(record.to_json() + "\n", encoding="utf-8")
        inspection.write(directory, assembled)

    return bundle.save(
        bundles,
        f"{experiment.name}-{created:%Y%m%dT%H%M%SZ}",
        experiment=experiment,
        facts=facts,
        feature_set=assembled.feature_set,
        ranker=kept.ranker,
        state=assembled.state,
        encoder=assembled.encoder,
        judged=kept.judged,
        created=created.isoformat(timespec="seconds"),
        results=results,
        candidates=assembled.run.join(
            dataset.queries.select("query_id", "query"), on="query_id", how="left", maintain_order="left"
        ),
    )


def _travelling(experiment: Experiment) -> Experiment:
    """The experiment as a bundle carries it: passwords of servers stay here."""
    return experiment.model_copy(
        update={
            "tracking": TrackingConfig(uri=tracking.masked(experiment.tracking.uri)),
            "data": experiment.data.model_copy(update={"url": bare(experiment.data.url)}),
            "retrieval": experiment.retrieval.model_copy(update={"url": bare(experiment.retrieval.url)}),
        }
    )


def _per_query(kept: Trial, assembled: Assembled) -> pl.DataFrame:
    long = pl.concat([frame.with_columns(ranker=pl.lit(row)) for row, frame in kept.per_query.items()])
    queries = assembled.dataset.queries.select("query_id", "query")
    return long.join(queries, on="query_id", how="left").sort("query_id", "ranker")


def _track(path: Path, uri: str) -> tuple[str | None, str]:
    """The MLflow run, or None and why; a server that is down never loses the run."""
    if not uri:
        return None, ""
    try:
        return tracking.log_bundle(path, uri=uri), ""
    except TrackingError as error:
        return None, f"not tracked: {error}. {_later(path, uri)}"


def _later(path: Path, uri: str) -> str:
    # A masked URI is no address; the bundle holds none either.
    where = " --uri URI" if tracking.masked(uri) != uri else ""
    return f"The bundle and its results are saved; log them later with: ltr track {path}{where}"


def _count_test_read(base: Path, name: str, digest: str) -> int:
    """How often this test side was read; kept beside the experiment, since a figure read often is a figure tuned on."""
    ledger = base / "results" / "test_reads.json"
    try:
        counts = json.loads(ledger.read_text(encoding="utf-8")) if ledger.exists() else {}
        counts[f"{name}:{digest}"] = counts.get(f"{name}:{digest}", 0) + 1
        ledger.parent.mkdir(exist_ok=True)
        write_bytes((json.dumps(counts, indent=2) + "\n").encode(), ledger)
    except (OSError, ValueError, TypeError, AttributeError):
        return 1
    return int(counts[f"{name}:{digest}"])


def _remember(base: Path, result: Result) -> None:
    """Keep the last result beside the experiment, for ``ltr experiments``; a read-only directory is no reason to fail."""
    try:
        (base / "results").mkdir(exist_ok=True)
        (base / "results" / "last.json").write_text(
            json.dumps(finite(result.to_json()), indent=2) + "\n", encoding="utf-8"
        )
    except OSError:
        return


@contextmanager
def _timed(seconds: dict[str, float], stage: str) -> Iterator[None]:
    start = time.perf_counter()
    yield
    seconds[stage] = round(time.perf_counter() - start, 3)
