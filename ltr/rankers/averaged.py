"""The mean of several rankers, fitted alike but for the seed (bagging of seeds; Breiman, Machine Learning 24, 1996).

    score(x) = 1/N Σ_n score_n(x)

The members subsample rows and columns by their own seeds, so that the mean varies less from one fit to the next than
any of them. A directory holds them as 0, 1, … beside a ranker.txt that names each with its SHA-256.
"""

from __future__ import annotations

import json
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from ltr import rankers
from ltr.config import RankerConfig
from ltr.errors import RankerError
from ltr.rankers import TITLES, Fitted, Ranker, saved
from ltr.rankers.forest import Forest, Tree

__all__ = ["Averaged", "fit_averaged", "merged", "restore"]

VERSION: Final = "1"
_COPY: Final = "fit it again, or restore the directory from a copy"


@dataclass(frozen=True)
class Averaged:
    """Rankers of the same features, and the rounds of each."""

    rankers: tuple[Ranker, ...]
    rounds: tuple[int, ...]

    def __post_init__(self) -> None:
        """Refuse none, and members that read other features."""
        if not self.rankers or len(self.rankers) != len(self.rounds):
            raise RankerError(f"{len(self.rankers)} rankers and {len(self.rounds)} rounds make no average")
        if len({ranker.features for ranker in self.rankers}) > 1:
            raise RankerError(
                "the rankers of an average read different features", hint="fit all on the same feature set"
            )

    @property
    def features(self) -> tuple[str, ...]:
        """The columns, in order."""
        return self.rankers[0].features

    def predict(self, matrix: NDArray[np.float32]) -> NDArray[np.float64]:
        """The mean score of each row, summed in the order of the members."""
        total = self.rankers[0].predict(matrix)
        for ranker in self.rankers[1:]:
            total = total + ranker.predict(matrix)
        return total / len(self.rankers)

    def importance(self) -> dict[str, float]:
        """The mean of the members' importance."""
        each = [ranker.importance() for ranker in self.rankers]
        return {name: sum(one[name] for one in each) / len(each) for name in self.features}

    def save(self, directory: Path) -> None:
        """Write each member into a directory of its own, then ranker.txt and ranker.json."""
        members = []
        for number, (ranker, rounds) in enumerate(zip(self.rankers, self.rounds, strict=True)):
            ranker.save(directory / str(number))
            members.append(
                {"directory": str(number), "rounds": rounds, "sha256": saved.header(directory / str(number))}
            )
        median = statistics.median_low(self.rounds)
        text = json.dumps({"members": members}, indent=2) + "\n"
        saved.write(saved.Saved("averaged", VERSION, self.features, median, text), directory)


def fit_averaged(
    config: RankerConfig,
    fit_pairs: pl.DataFrame,
    dev_pairs: pl.DataFrame | None,
    *,
    seeds: int,
    features: Sequence[str],
    gains: NDArray[np.float64],
    cutoff: int = 10,
    rounds: int | None = None,
) -> Fitted:
    """Fit ``seeds`` rankers with config.seed, config.seed + 1, …; ``rankers.fit`` says what each argument does.

    The rounds are the lower median of the members', each of which keeps its own best; the curve is the mean of the
    members' dev nDCG, as far as the shortest goes. One seed gives the ranker itself.
    """
    if seeds < 1:
        raise RankerError(f"ranker.seeds = {seeds}", hint="it is at least 1")
    fitted = [
        rankers.fit(
            config.model_copy(update={"seed": (config.seed + number) % 2**31}),
            fit_pairs,
            dev_pairs,
            features=features,
            gains=gains,
            cutoff=cutoff,
            rounds=rounds,
        )
        for number in range(seeds)
    ]
    if seeds == 1:
        return fitted[0]
    kept = tuple(one.rounds for one in fitted)
    curve = [statistics.fmean(values) for values in zip(*(one.curve for one in fitted), strict=False)]
    ranker = Averaged(tuple(one.ranker for one in fitted), kept)
    told = f"the mean of {seeds} {TITLES[config.library]} rankers of {', '.join(map(str, kept))} rounds"
    seconds = sum(one.seconds for one in fitted)
    return Fitted(ranker, statistics.median_low(kept), curve, seconds, fitted[0].dropped, (told, *fitted[0].notes))


def restore(directory: Path, *, restore: Callable[[Path], Ranker] = rankers.restore) -> Averaged:
    """Load what ``save`` wrote, each member by ``restore``; RankerError where one is not the one that was saved."""
    held = saved.read(directory)
    try:
        members = [(int(one["rounds"]), str(one["sha256"])) for one in json.loads(held.text)["members"]]
    except (ValueError, KeyError, TypeError) as error:
        raise RankerError(f"{directory / 'ranker.txt'} names no members ({error!r})", hint=_COPY) from error
    found = []
    for number, (_, promised) in enumerate(members):
        member = directory / str(number)
        if saved.header(member) != promised:
            raise RankerError(f"{member / 'ranker.json'} is not the one that was saved (SHA-256 differs)", hint=_COPY)
        found.append(restore(member))
    return Averaged(tuple(found), tuple(rounds for rounds, _ in members))


def merged(forests: Sequence[Forest]) -> Forest:
    """One forest whose score is the mean of the forests', to rounding: their trees, each leaf's value divided by N.

    LightGBM's alone: XGBoost sums in float32, where a divided leaf is another number.
    """
    if not forests or len({(one.library, one.features, one.average_output) for one in forests}) > 1:
        raise RankerError("forests to merge come from one library and read the same features, in one order")
    if forests[0].library != "lightgbm":
        raise RankerError("XGBoost's forests cannot be merged exactly", hint="average their scores instead")
    trees: list[Tree] = []
    for one in forests:
        share = len(forests) * (len(one.trees) if one.average_output else 1)
        trees += [replace(tree, value=tree.value / share) for tree in one.trees]
    base = sum(one.base_score for one in forests) / len(forests)
    return replace(forests[0], trees=tuple(trees), base_score=base, average_output=False)
