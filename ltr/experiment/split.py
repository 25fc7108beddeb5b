"""Seeded splits of queries into fit, dev and test, or into folds.

A query is never on two sides. With ``group``, neither are two queries of one group (such as the movies' queries that
share their set of relevant movies). The order is that of a seeded hash of the group's name, so a query keeps its
side when others come or go, on every platform.

>>> parts = holdout({f"q{i}": f"q{i}" for i in range(100)}, test=0.2, dev=0.1, seed=7)
>>> len(parts.test), len(parts.dev), len(parts.fit)
(20, 10, 70)
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass

from ltr.config import SplitConfig
from ltr.errors import ConfigError, JudgmentError

__all__ = ["Parts", "folds", "given", "holdout", "split"]

MINIMUM_QUERIES = 10


@dataclass(frozen=True)
class Parts:
    """The query_ids of each side, sorted."""

    fit: tuple[str, ...]
    dev: tuple[str, ...]
    test: tuple[str, ...]

    @property
    def digest(self) -> str:
        """Names this test side, whatever the experiment is called."""
        return hashlib.sha256("\n".join(self.test).encode()).hexdigest()[:16]


def split(groups: Mapping[str, str], config: SplitConfig) -> list[Parts]:
    """One Parts for a holdout, or one a fold and repetition; ``groups`` maps query_id to the group that stays together."""
    if len(groups) < MINIMUM_QUERIES:
        raise JudgmentError(
            f"{len(groups)} queries with judgments are too few to fit and to evaluate on",
            hint=f"at least {MINIMUM_QUERIES} are needed; judge more queries",
        )
    if config.folds is None:
        return [holdout(groups, test=config.test, dev=config.dev, seed=config.seed)]
    return [
        parts
        for repeat in range(config.repeats)
        for parts in folds(groups, config.folds, dev=config.dev, seed=config.seed + repeat)
    ]


def given(sides: Mapping[str, str], *, dev: float, seed: int) -> Parts:
    """The test side that the data name; dev as they name it, or else its share of the queries that are not in test.

    Args:
        sides: query_id -> train or test, perhaps dev.
        dev: share of the queries outside the test side.
        seed: of the order that dev is taken in.
    """
    known = {"train": "fit", "fit": "fit", "dev": "dev", "valid": "dev", "vali": "dev", "test": "test"}
    if odd := next((side for side in sides.values() if side not in known), None):
        raise ConfigError(
            f"split.by = 'given': a query's split is {odd!r}", hint=f"sides are called {', '.join(sorted(known))}"
        )
    named: dict[str, list[str]] = {"fit": [], "dev": [], "test": []}
    for query, side in sides.items():
        named[known[side]].append(query)
    if not named["dev"]:
        inner = holdout({query: query for query in named["fit"]}, test=dev, dev=0.0, seed=seed)
        named |= {"fit": [*inner.fit, *inner.dev], "dev": list(inner.test)}
    return _parts(**named)


def holdout(groups: Mapping[str, str], *, test: float, dev: float, seed: int) -> Parts:
    """Fill test, then dev, to their share of queries by whole groups; the rest is for fitting."""
    sides: dict[str, list[str]] = {"test": [], "dev": [], "fit": []}
    wanted = {"test": max(1, round(test * len(groups))), "dev": max(1, round(dev * len(groups)))}
    for members in _shuffled(groups, seed):
        side = next((name for name, size in wanted.items() if len(sides[name]) + len(members) <= size), "fit")
        sides[side].extend(members)
    return _parts(**sides)


def folds(groups: Mapping[str, str], count: int, *, dev: float, seed: int) -> list[Parts]:
    """Every query is in test exactly once; dev is taken from each fold's fitting side."""
    buckets: list[list[str]] = [[] for _ in range(count)]
    for members in _shuffled(groups, seed):
        min(buckets, key=len).extend(members)
    if not all(buckets):
        raise ConfigError(f"split.folds = {count} leaves a fold empty", hint="use fewer folds, or judge more queries")
    parts = []
    for number, bucket in enumerate(buckets):
        held = set(bucket)
        rest = {query: group for query, group in groups.items() if query not in held}
        inner = holdout(rest, test=dev, dev=0.0, seed=seed + 1 + number)
        # holdout's smallest dev is one query: it goes back to the fitting side.
        parts.append(_parts(fit=[*inner.fit, *inner.dev], dev=list(inner.test), test=bucket))
    return parts


def _shuffled(groups: Mapping[str, str], seed: int) -> list[list[str]]:
    members: defaultdict[str, list[str]] = defaultdict(list)
    for query, group in groups.items():
        members[group].append(query)
    return [members[group] for group in sorted(members, key=lambda group: _hash(group, seed))]


def _hash(text: str, seed: int) -> bytes:
    return hashlib.sha256(f"{seed} {text}".encode()).digest()


def _parts(*, fit: list[str], dev: list[str], test: list[str]) -> Parts:
    empty = [name for name, side in (("fit", fit), ("dev", dev), ("test", test)) if not side]
    if empty:
        raise ConfigError(
            f"the split leaves {' and '.join(empty)} without a query", hint="change [split], or judge more"
        )
    return Parts(tuple(sorted(fit)), tuple(sorted(dev)), tuple(sorted(test)))
