"""Who sees which variant: by a hash of the user, so that nobody has to remember it; and whether the shares came out.

Weighted rendezvous hashing (Thaler & Ravishankar, IEEE/ACM Transactions on Networking 1998; Schindelhauer & Schomaker, SPAA
2005): each variant draws a number for each user, and the user goes to the least.

    d(user, variant) = −ln(u) ÷ weight,   u = (first 8 bytes of SHA-256("experiment/variant/user") + ½) ÷ 2⁶⁴

−ln(u) ÷ w is exponential with rate w, so that each variant is the least with probability w ÷ Σ w. The name of the experiment
is the salt: users are divided anew, and independently, in each experiment. A variant that is added, or whose weight grows,
takes users from the others in proportion, and no user moves between those; one that is removed gives its users to the others.
But users who have moved have seen both: once results are to be read, a change of variants or weights is a new experiment,
under a new name.

>>> assign(["u1", "u2", "u3", "u4"], experiment="spring", weights={"control": 1, "treatment": 1})
['control', 'control', 'treatment', 'control']
>>> sample_ratio({"control": 821_588, "treatment": 815_482}, {"control": 1, "treatment": 1}).mismatch
True
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from ltr.errors import ConfigError
from ltr.evaluation.distributions import chi_squared_tail

__all__ = ["MISMATCH", "SampleRatio", "assign", "sample_ratio"]

# Below this p the shares are wrong: so few false alarms that one is always worth looking into (Kohavi, Tang & Xu 2020,
# chapter 21).
MISMATCH: Final = 0.001
_RANGE: Final = 2.0**64


@dataclass(frozen=True)
class SampleRatio:
    """Users by variant against the shares intended (Pearson's χ²; Fabijan et al., KDD 2019).

    Args:
        observed: users of each variant.
        expected: users that each would have by its weight.
        p_value: of a ratio as far off by chance.
        mismatch: p < MISMATCH. Then something loses or moves users, and the experiment's other figures are not to be read.
    """

    observed: dict[str, int]
    expected: dict[str, float]
    p_value: float
    mismatch: bool


def assign(users: Iterable[str], *, experiment: str, weights: Mapping[str, float]) -> list[str]:
    """The variant of each user.

    Args:
        users: their ids, whatever stays with a person.
        experiment: its name, which no other experiment has.
        weights: variant -> its share, on any scale; 0 = nobody.

    Raises:
        ConfigError: no name, or weights that are no shares.
    """
    if not experiment:
        raise ConfigError("the experiment has no name", hint="name it: the name divides the users anew")
    _check(weights)
    salted = [
        (variant, weight, hashlib.sha256(f"{experiment}/{variant}/".encode()))
        for variant, weight in weights.items()
        if weight
    ]
    assigned = []
    for user in users:
        own = user.encode()
        least, found = math.inf, ""
        for variant, weight, salt in salted:
            digest = salt.copy()
            digest.update(own)
            drawn = (int.from_bytes(digest.digest()[:8], "big") + 0.5) / _RANGE
            distance = -math.log(drawn) / weight
            if distance < least:
                least, found = distance, variant
        assigned.append(found)
    return assigned


def sample_ratio(observed: Mapping[str, int], weights: Mapping[str, float]) -> SampleRatio:
    """Whether users are shared out as intended.

    Args:
        observed: variant -> its users; a variant that has none counts too.
        weights: variant -> its share, as ``assign`` takes them.

    Raises:
        ConfigError: weights that are no shares, or a variant seen that has none.

    >>> round(sample_ratio({"a": 60, "b": 40}, {"a": 1, "b": 1}).p_value, 4)       # χ² = 10²/50 + 10²/50 = 4
    0.0455
    """
    _check(weights)
    if stray := sorted(variant for variant, users in observed.items() if users and not weights.get(variant)):
        raise ConfigError(f"users were seen in {stray}, which have no weight", hint=f"weights: {dict(weights)}")
    users, total = sum(observed.values()), sum(weights.values())
    expected = {variant: users * weight / total for variant, weight in weights.items()}
    found = {variant: int(observed.get(variant, 0)) for variant in weights}
    statistic = sum((found[each] - due) ** 2 / due for each, due in expected.items() if due > 0)
    arms = sum(due > 0 for due in expected.values())
    p_value = chi_squared_tail(statistic, arms - 1) if arms > 1 else 1.0
    return SampleRatio(found, expected, p_value, p_value < MISMATCH)


def _check(weights: Mapping[str, float]) -> None:
    if not weights or not all(0 <= weight < math.inf for weight in weights.values()) or not any(weights.values()):
        raise ConfigError(
            f"weights are {dict(weights)}", hint="give each variant a share, such as control=1 treatment=1"
        )
