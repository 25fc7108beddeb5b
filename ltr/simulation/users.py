"""How shoppers read a result list: position-based, cascade, DBN and trust-biased users.

With a the attraction of a product (the probability of a click once it is examined) and k its position:

    pbm       P(click) = k^−η · a                                      examination falls with position alone
    trust     P(click) = k^−η · (ε⁺ₖ a + ε⁻ₖ (1 − a))                    ... and a high place is trusted:
              ε⁺ₖ = 1 − (min(k, 20) + 1) / 100,  ε⁻ₖ = .65 / min(k, 10)
    cascade   top down; after a click go on with ``continuation``, after none with ``persistence``
    dbn       top down; a click satisfies with σ·a and ends the search; the unsatisfied go on with ``persistence``

Before any of them, a share ``abandonment`` of the searches ends unread. A click leads to the cart with ``carting``·a, and a
product in the cart is bought with ``buying``.

References: Richardson, Dominowska & Ragno, WWW 2007, and Craswell et al., WSDM 2008 (position-based, cascade); Chapelle &
Zhang, WWW 2009 (DBN); Agarwal et al., WWW 2019 (trust bias); Vardasbi, Oosterhuis & de Rijke, CIKM 2020 (the values of
ε⁺ and ε⁻); Joachims, Swaminathan & Schnabel, WSDM 2017 (η = 1, noise ε⁻ = .1).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ltr.errors import ConfigError, DataError, suggestion
from ltr.measures import Scale, gain_table

__all__ = ["KINDS", "Users", "attraction_of", "examined", "shop"]

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]

KINDS: Final = ("pbm", "cascade", "dbn", "trust")
_SHARES: Final = ("continuation", "persistence", "satisfaction", "abandonment", "carting", "buying")


@dataclass(frozen=True)
class Users:
    """A population that reads result lists in one way; what the kind does not use is ignored.

    Args:
        kind: one of KINDS.
        eta: how fast examination falls with position (pbm, trust): 0 reads all, 1 is 1/k.
        continuation: of cascade users, the probability of going on after a click.
        persistence: of cascade and DBN users, that of going on otherwise (γ); None = 1 for cascade, .9 for DBN.
        satisfaction: of DBN users, σ: a click on a product of attraction a satisfies with probability σ·a.
        abandonment: the share of searches that end before anything is examined.
        carting: the probability that a click on a product of attraction 1 puts it into the cart.
        buying: the probability that what is in the cart is bought.
    """

    kind: str = "pbm"
    eta: float = 1.0
    continuation: float = 0.05
    persistence: float | None = None
    satisfaction: float = 0.9
    abandonment: float = 0.0
    carting: float = 0.25
    buying: float = 0.4

    def __post_init__(self) -> None:
        """Refuse what is no kind, and what is no probability."""
        if self.kind not in KINDS:
            raise ConfigError(f"users {self.kind!r} are unknown", hint=suggestion(self.kind, KINDS, noun="users"))
        if not 0 <= self.eta < np.inf:
            raise ConfigError(f"eta is {self.eta}", hint="0 reads every position, 1 is 1/position")
        for name in _SHARES:
            value = getattr(self, name)
            if value is not None and not 0 <= value <= 1:
                raise ConfigError(f"{name} is {value}", hint="it is a probability, from 0 to 1")

    @property
    def noise(self) -> float:
        """The noise that their attraction should have (``attraction_of``): trust brings its own, the others click on .1."""
        return 0.0 if self.kind == "trust" else 0.1

    @property
    def sequential(self) -> bool:
        """Whether what was clicked above decides what is examined."""
        return self.kind in ("cascade", "dbn")

    def examination(self, positions: int) -> Floats:
        """P(examined) at positions 1 to n of pbm and trust users: (1 − abandonment) · k^−η.

        >>> Users("pbm").examination(4)
        array([1.        , 0.5       , 0.33333333, 0.25      ])
        """
        place = np.arange(1, positions + 1, dtype=np.float64)
        return (1 - self.abandonment) * place**-self.eta

    def trusted(self, positions: int) -> tuple[Floats, Floats]:
        """P(click | examined) at positions 1 to n of a relevant (ε⁺) and of an irrelevant product (ε⁻); 1 and 0 without trust bias.

        >>> relevant, irrelevant = Users("trust").trusted(20)
        >>> relevant[[0, 19]], irrelevant[[0, 9, 19]]
        (array([0.98, 0.79]), array([0.65 , 0.065, 0.065]))
        """
        place = np.arange(1, positions + 1)
        if self.kind != "trust":
            return np.ones(positions), np.zeros(positions)
        return 1 - (np.minimum(place, 20) + 1) / 100, 0.65 / np.minimum(place, 10)

    def onward(self, attraction: Floats) -> tuple[Floats | float, float]:
        """P(next position is examined) of cascade and DBN users, after a click and after none."""
        patience = self.persistence if self.persistence is not None else (0.9 if self.kind == "dbn" else 1.0)
        if self.kind == "dbn":
            return (1 - self.satisfaction * attraction) * patience, patience
        return self.continuation, patience


def attraction_of(
    grades: ArrayLike, maximum: int, *, noise: float = 0.1, gains: str | Sequence[float] = "exponential"
) -> Floats:
    """The probability of a click on an examined product of each grade.

        a = ε + (1 − ε) · gain(grade) / gain(maximum)

    which is ε for grade 0 and 1 for the top grade. On a binary scale these are the noisy clicks of Joachims et al., WSDM
    2017 (ε⁻ = .1, ε⁺ = 1); with exponential gains on a graded one, those of Ai et al., SIGIR 2018 after Chapelle et al.,
    CIKM 2009. The ``noise`` ε is a probability; ``gains`` as ``measures.gain_table`` takes them.

    >>> attraction_of([0, 1, 2, 3, 4], 4).round(2)
    array([0.1 , 0.16, 0.28, 0.52, 1.  ])
    """
    if not 0 <= noise <= 1:
        raise ConfigError(f"noise is {noise}", hint="it is a probability, from 0 to 1")
    table = gain_table(gains, Scale(f"0-{maximum}", maximum, ()))
    given = np.asarray(grades, dtype=np.float64)
    if not ((given >= 0) & (given <= maximum) & (given == np.floor(given))).all():
        raise DataError(f"a grade is not one of 0 to {maximum}", hint="give whole grades on the scale")
    return np.asarray(noise + (1 - noise) * table[given.astype(np.int64)] / table[-1], dtype=np.float64)


def shop(
    users: Users, position: NDArray[np.uint16], attraction: Floats, sizes: NDArray[np.int64], rng: np.random.Generator
) -> tuple[Flags, Flags, Flags]:
    """What is clicked, put into the cart and bought; each list's rows stand together, top first, ``sizes`` of them."""
    clicked = _clicked(users, position, attraction, sizes[sizes > 0], rng)
    at = np.flatnonzero(clicked)
    luck = rng.random(len(at))
    carted, bought = np.zeros_like(clicked), np.zeros_like(clicked)
    carted[at] = luck < users.carting * attraction[at]
    bought[at] = luck < users.buying * users.carting * attraction[at]
    return clicked, carted, bought


def examined(users: Users, position: NDArray[np.uint16], attraction: Floats, sizes: NDArray[np.int64]) -> Floats:
    """P(examined) of each row, over all that may be clicked above it; rows as ``shop`` takes them."""
    if not users.sequential:
        return users.examination(int(position.max(initial=0)))[position - 1]
    after_click, after_none = users.onward(attraction)
    goes_on = attraction * after_click + (1 - attraction) * after_none
    # One row a list, shifted by one: what lies above position k is columns 1 to k − 1.
    above = np.ones((len(sizes), int(sizes.max(initial=0)) + 1))
    lists = np.repeat(np.arange(len(sizes)), sizes)
    above[lists, position] = goes_on
    np.cumprod(above, axis=1, out=above)
    return (1 - users.abandonment) * above[lists, position - 1]


def _clicked(
    users: Users, position: NDArray[np.uint16], attraction: Floats, sizes: NDArray[np.int64], rng: np.random.Generator
) -> Flags:
    luck = rng.random(len(position), dtype=np.float32)
    if users.sequential:
        clicked = luck < attraction
        after_click, after_none = users.onward(attraction)
        leaves = rng.random(len(position), dtype=np.float32) >= np.where(clicked, after_click, after_none)
        # Nobody has left above a row while the leavings so far are those at the list's top.
        before = np.cumsum(leaves, dtype=np.int64) - leaves
        starts = np.cumsum(sizes) - sizes
        clicked &= before == np.repeat(before[starts], sizes)
    else:
        deepest = int(position.max(initial=0))
        relevant, irrelevant = users.trusted(deepest)
        looks = np.arange(1, deepest + 1, dtype=np.float64) ** -users.eta
        slope, floor = looks * (relevant - irrelevant), looks * irrelevant
        clicked = luck < floor[position - 1] + slope[position - 1] * attraction
    if users.abandonment:
        clicked &= np.repeat(rng.random(len(sizes)) >= users.abandonment, sizes)
    return clicked
