"""Templates and choices: what the demo shop's merchants and shoppers write with.

>>> fill("{whose} {colour} {type}[, {material}]", {"whose": "men's", "type": "boots"})
"men's boots"
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import TypeVar

import numpy as np

__all__ = ["fill", "one", "slots_of", "usual", "weighted"]

_Choice = TypeVar("_Choice")


def fill(template: str, slots: Mapping[str, str]) -> str:
    """The template with its slots filled: one without a value vanishes, a [bracket] that holds such a one wholly."""
    kept = re.sub(r"\[(.*?)\]", lambda part: part[1] if slots_of(part[1]) <= slots.keys() else "", template)
    return " ".join(re.sub(r"\{(\w+)\}", lambda slot: slots.get(slot[1], ""), kept).split())


def slots_of(template: str) -> set[str]:
    """The names of a template's slots."""
    return set(re.findall(r"\{(\w+)\}", template))


def one(choices: Sequence[_Choice], rng: np.random.Generator) -> _Choice:
    """Any of the choices, each as likely."""
    return choices[int(rng.integers(len(choices)))]


def usual(choices: Sequence[_Choice], share: float, rng: np.random.Generator) -> _Choice:
    """The first choice with that probability at least, else any."""
    return choices[0] if rng.random() < share else one(choices, rng)


def weighted(choices: Iterable[_Choice], weights: Sequence[float], rng: np.random.Generator) -> _Choice:
    """One of the choices, as likely as its weight."""
    share = np.asarray(weights, dtype=np.float64)
    return list(choices)[int(rng.choice(len(share), p=share / share.sum()))]
