"""A measure as a value: what it may say, how it is written, and how that is read."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, Literal

from ltr.errors import MeasureError, suggestion
from ltr.measures.gains import GAINS, are_gains

__all__ = ["FAMILIES", "Family", "Measure", "parse"]


@dataclass(frozen=True)
class Family:
    """What the measures of one name may say: parameters, sorted by name, and a cutoff."""

    parameters: tuple[str, ...]
    cutoff: Literal["needed", "allowed", "refused"]


FAMILIES: Final = {
    "AP": Family(("rel",), "allowed"),
    "ERR": Family((), "allowed"),
    "Judged": Family((), "needed"),
    "P": Family(("rel",), "needed"),
    "RBP": Family(("p", "rel"), "allowed"),
    "RR": Family(("rel",), "allowed"),
    "Recall": Family(("rel",), "allowed"),
    "Success": Family(("rel",), "needed"),
    "bpref": Family(("rel",), "refused"),
    "nDCG": Family(("gains", "ideal"), "allowed"),
}

# What other tools call them; difflib does not see that 'ndcg' and 'nDCG' are near.
_ALIASES: Final = {name.casefold(): name for name in FAMILIES} | {
    "hit": "Success",
    "hitrate": "Success",
    "hr": "Success",
    "map": "AP",
    "mrr": "RR",
    "precision": "P",
    "r": "Recall",
}


@dataclass(frozen=True, eq=False, repr=False)
class Measure:
    """A measure and its parameters; None = no cutoff, the evaluation's own gains or rel, or the ideal of all judgments.

    Args:
        name: a key of FAMILIES.
        cutoff: only ranks 1 to cutoff count.
        rel: the least grade that counts as relevant.
        gains: a name of GAINS or one gain a grade.
        p: of RBP, which has always one: None becomes .8.
        ideal: "list" for the best order of what is in the list.
    """

    name: str
    cutoff: int | None = None
    rel: float | None = None
    gains: str | tuple[float, ...] | None = None
    p: float | None = None
    ideal: Literal["list"] | None = None

    def __post_init__(self) -> None:
        """Refuse what no measure of this name has."""
        if self.name not in FAMILIES:
            near = _ALIASES.get(self.name.casefold(), self.name)
            raise MeasureError(f"measure {self.name!r} is unknown", hint=suggestion(near, FAMILIES, noun="measures"))
        family = FAMILIES[self.name]
        if self.cutoff is not None and self.cutoff < 1:
            raise MeasureError(f"{self.name}@{self.cutoff}: a cutoff is at least 1", hint=f"write {self.name}@10")
        if self.cutoff is None and family.cutoff == "needed":
            raise MeasureError(f"{self.name} needs a cutoff", hint=f"write {self.name}@10")
        if self.cutoff is not None and family.cutoff == "refused":
            raise MeasureError(f"{self.name} has no cutoff", hint=f"write {self.name}")
        for parameter in _PARAMETERS:
            if getattr(self, parameter) is not None and parameter not in family.parameters:
                raise _unknown_parameter(self.name, parameter)
        if self.name == "RBP" and self.p is None:
            object.__setattr__(self, "p", 0.8)
        self._check_values()

    def _check_values(self) -> None:
        if self.rel is not None and not (math.isfinite(self.rel) and self.rel > 0):
            raise MeasureError(f"{self.name}: rel={self.rel:g} is not a grade above 0", hint="write P(rel=2)@10")
        if self.p is not None and not 0 < self.p < 1:
            raise MeasureError(f"{self.name}: p={self.p:g} is not between 0 and 1", hint="write RBP(p=0.8)")
        if self.ideal not in (None, "list"):
            raise MeasureError(
                f"{self.name}: ideal={self.ideal} is unknown", hint=suggestion(self.ideal, _IDEALS, noun="ideals")
            )
        if isinstance(self.gains, str) and self.gains not in GAINS:
            raise MeasureError(f"gains {self.gains!r} are unknown", hint=suggestion(self.gains, GAINS, noun="gains"))
        if isinstance(self.gains, tuple) and not are_gains(self.gains):
            raise MeasureError(
                f"gains {self.gains!r} are not finite and at least 0, with 0 for grade 0 and some gain above it"
            )

    def __str__(self) -> str:
        """The canonical string, which ``parse`` reads back."""
        said = ((name, getattr(self, name)) for name in _PARAMETERS)
        inside = ",".join(f"{name}={_written(value)}" for name, value in said if value is not None)
        return self.name + f"({inside})" * bool(inside) + (f"@{self.cutoff}" if self.cutoff is not None else "")

    __repr__ = __str__

    def __eq__(self, other: object) -> bool:
        return str(self) == str(other) if isinstance(other, Measure) else NotImplemented

    def __hash__(self) -> int:
        return hash(str(self))

    @property
    def slug(self) -> str:
        """The name in letters, digits, ``_``, ``-`` and ``.``, for what refuses ``@`` and brackets, such as MLflow.

        >>> parse("P(rel=2)@10").slug
        'P_rel_2_10'
        """
        return str(self).translate(str.maketrans("@(=,/", "____-", ")"))


def parse(text: str) -> Measure:
    """Read a measure: NAME, NAME@k, NAME(parameter=value)@k or NAME(parameter=value,parameter=value)@k.

    >>> parse("nDCG(gains=0/1/3)@5").gains
    (0.0, 1.0, 3.0)
    """
    found = re.fullmatch(r"(\w+)(?:\(([^()]+)\))?(?:@(\d{1,9}))?", text.strip(), flags=re.ASCII)
    pairs = [said.partition("=") for said in (found[2] or "").split(",")] if found and found[2] else []
    said = {parameter.strip(): value.strip() for parameter, _, value in pairs}
    if not found or not all(said.values()) or len(said) < len(pairs):
        raise MeasureError(f"measure {text!r} cannot be read", hint="write nDCG@10, RR, P(rel=2)@10, nDCG(gains=0/1/3)")
    name, cutoff = found[1], int(found[3]) if found[3] is not None else None
    if name not in FAMILIES:
        return Measure(name)
    values: dict[str, Any] = {}
    for parameter, value in said.items():
        if parameter not in FAMILIES[name].parameters:
            raise _unknown_parameter(name, parameter)
        try:
            values[parameter] = _PARAMETERS[parameter](value)
        except ValueError as error:
            raise MeasureError(
                f"measure {text!r}: {parameter} is not a number", hint="write rel=2, p=0.8, gains=0/1/3"
            ) from error
    return Measure(name, cutoff=cutoff, **values)


def _gains(text: str) -> str | tuple[float, ...]:
    return text if re.match(r"[a-z]", text) else tuple(map(float, text.split("/")))


_IDEALS: Final = ("judgments", "list")

# Each parameter and how it is read, in the order in which it is written. "judgments" is the ideal that goes without saying.
_PARAMETERS: Final[dict[str, Callable[[str], object]]] = {
    "gains": _gains,
    "ideal": lambda text: None if text == "judgments" else text,
    "p": float,
    "rel": float,
}


def _written(value: str | float | tuple[float, ...]) -> str:
    if isinstance(value, tuple):
        return "/".join(map(_written, value))
    if isinstance(value, str):
        return value
    return str(int(value)) if value == int(value) else repr(float(value))


def _unknown_parameter(name: str, parameter: str) -> MeasureError:
    allowed = ", ".join(FAMILIES[name].parameters)
    return MeasureError(
        f"{name} has no parameter {parameter!r}", hint=f"its parameters: {allowed}" if allowed else "it has none"
    )
