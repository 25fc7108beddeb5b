"""Inspection of a trained ranker: in which queries it is better or worse than another row, and which moved most.

``inspect`` reads a bundle's results, and its catalogue for titles. ``write`` leaves in the results what only training knows:

    results/segments.parquet    a row a judged query: query_id, query, the queries' own columns, and unseen of those tested
    results/grades.parquet      query_id, product_id, grade of the lists that were tested

A segmentation is "length" of the query, "popularity" (head, torso, tail), "unseen" products, or a column of the queries.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import polars as pl

from ltr import bundle as bundles
from ltr import evaluation
from ltr.bundle_manifest import state_directory
from ltr.errors import BundleError, ConfigError, LtrError, MeasureError, suggestion
from ltr.evaluation import Comparison, Estimate
from ltr.evaluation.segments import by_column, by_unseen, unseen_share
from ltr.measures import scale

if TYPE_CHECKING:
    from ltr.experiment.assemble import Assembled

__all__ = ["KINDS", "Inspection", "Mover", "Rank", "Segment", "Shown", "inspect", "segments_of", "write"]

# The segmentations that are not named after a column.
KINDS: Final = ("length", "popularity", "unseen")
# As many as in training: Holm multiplies the smallest p-value that can be found by the number of segments.
_PERMUTATIONS: Final = 100_000


@dataclass(frozen=True)
class Segment:
    """One part of the queries.

    Args:
        queries: how many; an estimate's n counts those that the measure is defined for.
        comparison: of the ranker with the other row.
    """

    name: str
    queries: int
    ranker: Estimate
    against: Estimate
    comparison: Comparison


@dataclass(frozen=True)
class Shown:
    """A product in a list; grade is None where it was not judged, or the bundle does not hold grades."""

    product_id: str
    title: str
    grade: float | None


@dataclass(frozen=True)
class Rank:
    """One rank of both lists; ``moved`` is by how many ranks the ranker's product rose, None where it is new."""

    rank: int
    against: Shown | None
    ranker: Shown | None
    moved: int | None


@dataclass(frozen=True)
class Mover:
    """A query, its value in the other row and in the ranker, and the top of both lists."""

    query_id: str
    query: str
    against: float
    ranker: float
    difference: float
    lists: tuple[Rank, ...]


@dataclass(frozen=True)
class Inspection:
    """What there is to see.

    Args:
        ranker: the bundle's row; ``against`` is the one that it is compared with, ``labels`` has what both are called.
        whole: all tested queries; its p is that of one comparison.
        segments: segmentation -> its parts; p is Holm-corrected over the parts of all of them.
        missing: segmentation -> why it is not among them.
        gained: the queries that gained most, the largest gain first; likewise ``lost``.
        grade_labels: of grades 0 and up.
        notes: what a reader should know, one sentence each.
    """

    bundle: str
    measure: str
    ranker: str
    against: str
    labels: dict[str, str]
    whole: Segment
    segments: dict[str, tuple[Segment, ...]]
    missing: dict[str, str]
    gained: tuple[Mover, ...]
    lost: tuple[Mover, ...]
    grade_labels: tuple[str, ...]
    notes: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)


def segments_of(
    queries: pl.DataFrame,
    judgments: pl.DataFrame,
    fitted: pl.DataFrame,
    sides: Sequence[tuple[Sequence[str], Sequence[str]]],
    *,
    rel: float,
) -> pl.DataFrame:
    """The judged queries with their columns and ``unseen``: the mean of ``unseen_share`` over the splits that test them.

    Args:
        queries: a queries frame; a column unseen of its own gives way.
        judgments: a judgments frame.
        fitted: query_id and product_id of the pairs that may be fitted on.
        sides: of each split, or fold, the queries that are fitted on and those that are tested.
        rel: the lowest grade that counts as relevant.
    """
    shares = [unseen_share(_of(judgments, tested), _of(fitted, fit), rel=rel) for fit, tested in sides]
    unseen = pl.concat(shares).group_by("query_id").agg(pl.col("unseen").mean())
    judged = queries.join(judgments, on="query_id", how="semi", maintain_order="left").drop("unseen", strict=False)
    return judged.join(unseen, on="query_id", how="left", maintain_order="left")


def write(directory: Path, assembled: Assembled) -> None:
    """Leave segments.parquet and grades.parquet in a bundle's results, as the experiment's own split has them."""
    from ltr.experiment.candidates import known
    from ltr.experiment.preflight import parts_of

    experiment, dataset, pairs = assembled.experiment, assembled.dataset, assembled.pairs
    parts = parts_of(experiment, dataset, group=experiment.split.group)
    segments = segments_of(
        dataset.queries,
        dataset.judgments,
        known(pairs, dataset.products, dataset.queries["query_id"].to_list()).select("query_id", "product_id"),
        [((*part.fit, *part.dev) if experiment.ranker.refit else part.fit, part.test) for part in parts],
        rel=experiment.evaluation.rel,
    )
    if dataset.feature_table is not None:
        # Each row of a feature file is a product of its own: that none is met twice says nothing.
        segments = segments.drop("unseen")
    segments.write_parquet(directory / "segments.parquet")
    tested = sorted({query_id for part in parts for query_id in part.test})
    grades = _of(pairs, tested).filter(pl.col("grade").is_not_null())
    grades.select("query_id", "product_id", "grade").write_parquet(directory / "grades.parquet")


def inspect(
    path: Path,
    *,
    by: Sequence[str] | None = None,
    against: str = "retrieval",
    measure: str | None = None,
    moved: int = 5,
    depth: int = 5,
) -> Inspection:
    """Compare a bundle's ranker with another row of its table by segments, and find the queries that moved most.

    Args:
        path: a bundle.
        by: segmentations: of KINDS, or columns of the queries; None for those of KINDS that are known.
        against: a row of the table, such as retrieval, best_feature or cosine.
        measure: one that the bundle was evaluated by; None for the first.
        moved: how many queries that gained, and how many that lost.
        depth: how many ranks of their lists.

    Raises:
        LtrError: not a bundle, or one without results; a row, a measure or a column that it does not hold.
    """
    config = bundles.read_experiment(path)
    results = path / "results"
    per_query = _parquet(results / "per_query.parquet", needs=("query_id", "query", "ranker"))
    rows = {str(key[0]): frame for key, frame in per_query.partition_by("ranker", as_dict=True).items()}
    measures = [name for name, dtype in per_query.schema.items() if dtype == pl.Float64]
    measure = next(iter(measures), "") if measure is None else measure
    chosen = _Chosen(config.kept, against, measure)
    chosen.check(rows, measures)
    pair = {row: rows[row].select("query_id", measure) for row in (chosen.ranker, against)}
    tested = rows[chosen.ranker].select("query_id", "query")
    segmentations, missing = _segmentations(results, tested, by)
    whole, segments = _compared(pair, segmentations, chosen, seed=config.split.seed)
    gained, lost, notes = _movers(path, pair, tested, chosen, count=moved, depth=depth)
    if moved and config.split.repeats > 1:
        notes += [f"Values are means over {config.split.repeats} repetitions, lists are those of the first."]
    labels = _json(results / "result.json").get("labels", {})
    return Inspection(
        bundle=str(path),
        measure=measure,
        ranker=chosen.ranker,
        against=against,
        labels={row: str(labels.get(row, row)) for row in pair},
        whole=whole,
        segments=segments,
        missing=missing,
        gained=gained,
        lost=lost,
        grade_labels=scale(str(_json(path / "model" / "catalogue.json").get("scale"))).labels,
        notes=tuple(notes),
    )


@dataclass(frozen=True)
class _Chosen:
    ranker: str
    against: str
    measure: str

    def check(self, rows: Mapping[str, pl.DataFrame], measures: Sequence[str]) -> None:
        if self.ranker not in rows:
            raise BundleError(f"the results hold no row {self.ranker!r}, the bundle's ranker", hint="train again")
        if self.against not in rows or self.against == self.ranker:
            what = "the bundle's ranker itself" if self.against == self.ranker else "no row of the bundle's table"
            rivals = [row for row in rows if row != self.ranker]
            raise ConfigError(f"{self.against!r} is {what}", hint=suggestion(self.against, rivals, noun="rows"))
        if self.measure not in measures:
            raise MeasureError(
                f"the bundle was not evaluated by {self.measure!r}",
                hint=suggestion(self.measure, measures, noun="measures"),
            )


def _segmentations(
    results: Path, tested: pl.DataFrame, by: Sequence[str] | None
) -> tuple[dict[str, pl.DataFrame], dict[str, str]]:
    """Those asked for; or those of KINDS that are known, and why the others are not."""
    file = results / "segments.parquet"
    held = _parquet(file, needs=("query_id", "query")) if file.is_file() else None
    found, missing = dict[str, pl.DataFrame](), dict[str, str]()
    for name in dict.fromkeys(by or KINDS):
        try:
            found[name] = _segmentation(name, tested, held)
        except LtrError as error:
            if by:
                raise
            missing[name] = str(error)
    return found, missing


def _segmentation(name: str, tested: pl.DataFrame, held: pl.DataFrame | None) -> pl.DataFrame:
    if name == "length":
        return evaluation.by_length(tested)
    if held is None:
        raise ConfigError(
            f"the bundle does not hold {name!r} of its queries: it was saved without",
            hint="train again, or ask for 'length'",
        )
    columns = [column for column in held.columns if column not in ("query_id", "query")]
    if name not in columns:
        raise ConfigError(
            f"the bundle does not hold {name!r} of its queries",
            hint=suggestion(name, {*columns, "length"}, noun="segments"),
        )
    if name == "popularity":
        # The head is a share of all searches; those for tested queries are some of them.
        return evaluation.by_popularity(held)
    of_tested = held.join(tested, on="query_id", how="semi", maintain_order="left")
    return by_unseen(of_tested) if name == "unseen" else by_column(of_tested, name)


def _compared(
    pair: Mapping[str, pl.DataFrame], segmentations: Mapping[str, pl.DataFrame], chosen: _Chosen, *, seed: int
) -> tuple[Segment, dict[str, tuple[Segment, ...]]]:
    """All queries, and the parts of each segmentation, corrected together."""
    everything = pair[chosen.ranker].select("query_id", segment=pl.lit("all queries"))
    (whole,) = _parts(pair, everything, chosen, seed=seed)
    found = {name: _parts(pair, segments, chosen, seed=seed) for name, segments in segmentations.items()}
    corrected = iter(evaluation.holm([part.comparison.p_value for parts in found.values() for part in parts]))
    return whole, {name: tuple(_with_p(part, next(corrected)) for part in parts) for name, parts in found.items()}


def _parts(pair: Mapping[str, pl.DataFrame], segments: pl.DataFrame, chosen: _Chosen, *, seed: int) -> list[Segment]:
    counts = {name: part.height for name, part in evaluation.by_segment(pair[chosen.ranker], segments).items()}
    of_ranker, of_rival = (
        evaluation.summarise_segments(pair[row], segments, seed=seed) for row in (chosen.ranker, chosen.against)
    )
    compared = evaluation.compare_segments(
        pair, segments, baseline=chosen.against, measure=chosen.measure, seed=seed, permutations=_PERMUTATIONS
    )
    return [
        Segment(name, count, of_ranker[name][chosen.measure], of_rival[name][chosen.measure], compared[name][0])
        for name, count in counts.items()
    ]


def _with_p(part: Segment, p_holm: float) -> Segment:
    return replace(part, comparison=replace(part.comparison, p_holm=p_holm, proven=p_holm < evaluation.ALPHA))


def _movers(
    path: Path, pair: Mapping[str, pl.DataFrame], tested: pl.DataFrame, chosen: _Chosen, *, count: int, depth: int
) -> tuple[tuple[Mover, ...], tuple[Mover, ...], list[str]]:
    """The queries that gained and those that lost most, and what to know of them."""
    if count < 0:
        raise ConfigError(f"{count} queries that moved", hint="give 0 or more")
    if count == 0:
        return (), (), []
    changed = evaluation.moved(pair[chosen.against], pair[chosen.ranker], chosen.measure, n=tested.height)
    sides = [changed.filter(sign * pl.col("difference") > 0).head(count) for sign in (1, -1)]
    query_ids = pl.concat(sides)["query_id"].to_list()
    runs = _of(
        _parquet(path / "results" / "runs.parquet", needs=("query_id", "product_id", "rank", "ranker")), query_ids
    )
    before, after = (runs.filter(pl.col("ranker") == row) for row in (chosen.against, chosen.ranker))
    file = path / "results" / "grades.parquet"
    grades = _of(_parquet(file, needs=("query_id", "product_id", "grade")), query_ids) if file.is_file() else None
    titles = _titles(path, runs)
    texts = dict(tested.iter_rows())
    notes = [] if grades is not None else ["The bundle does not hold grades: it was saved without."]

    def mover(query_id: str, was: float, now: float, difference: float) -> Mover:
        table = evaluation.side_by_side(before, after, query_id, depth, judgments=grades)
        ranks = [
            Rank(
                row["rank"],
                _shown(row["before"], titles, row.get("before_grade")),
                _shown(row["after"], titles, row.get("after_grade")),
                row["moved"],
            )
            for row in table.iter_rows(named=True)
        ]
        return Mover(query_id, texts[query_id] or "", was, now, difference, tuple(ranks))

    gained, lost = (tuple(mover(*row) for row in side.iter_rows()) for side in sides)
    return gained, lost, notes


def _shown(product_id: str | None, titles: Mapping[str, str | None], grade: float | None) -> Shown | None:
    return None if product_id is None else Shown(product_id, titles.get(product_id) or product_id, grade)


def _titles(path: Path, runs: pl.DataFrame) -> dict[str, str | None]:
    title = str(_json(path / "model" / "catalogue.json").get("title"))
    products = _parquet(state_directory(path) / "products.parquet", needs=("product_id", title))
    named = products.select("product_id", title=pl.col(title).cast(pl.String))
    return dict(named.join(runs, on="product_id", how="semi").iter_rows())


def _of(frame: pl.DataFrame, query_ids: Sequence[str]) -> pl.DataFrame:
    wanted = pl.DataFrame({"query_id": list(query_ids)}, schema={"query_id": pl.String})
    return frame.join(wanted, on="query_id", how="semi", maintain_order="left")


def _parquet(file: Path, *, needs: Sequence[str]) -> pl.DataFrame:
    hint = "results are not needed to serve and may have been left behind: copy the bundle again, or train again"
    if not file.is_file():
        raise BundleError(f"{file} is missing", hint=hint)
    try:
        frame = pl.read_parquet(file)
    except (OSError, pl.exceptions.PolarsError) as error:
        raise BundleError(f"{file} cannot be read: {error}", hint=hint) from error
    if lacking := [name for name in needs if name not in frame.columns]:
        raise BundleError(f"{file} lacks {lacking}", hint=hint)
    return frame


def _json(file: Path) -> dict[str, Any]:
    try:
        value = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise BundleError(f"{file} cannot be read: {error}", hint="copy the bundle again, or train again") from error
    return value if isinstance(value, dict) else {}
