"""A season: how long a shop is watched, and what happens there besides shoppers reading lists."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Final

import numpy as np

from ltr.errors import ConfigError, suggestion
from ltr.simulation.users import Floats

__all__ = ["SCHEMES", "START", "SWING", "Season"]

START: Final = datetime(2026, 1, 1, tzinfo=UTC)
SCHEMES: Final = ("shuffle", "swap")
# How much more attractive a rising product is on the last day than on the first.
SWING: Final = 2.0
_SHARES: Final = ("randomised", "bots", "trending", "new", "missing")


@dataclass(frozen=True)
class Season:
    """The days of a simulation; all shares are from 0 to 1.

    Args:
        days: how many.
        start: midnight of the first, with its time zone.
        page: positions that a search shows.
        randomised: the share of searches whose list is randomised, with the ``propensity`` of each product's place logged.
        scheme: how: ``shuffle`` the first ``top`` (each place with propensity 1/top), or ``swap`` neighbours among them
            with odds ½ (FairPairs: Radlinski & Joachims, AAAI 2006; the pairs begin at place 1 or 2).
        top: the places that are randomised.
        bots: the share of searches made by bots; half of those click on nothing, half on everything.
        trending: the share of products that rise or fall over the season, by the factor SWING.
        new: the share of products that appear on some day after the first.
        missing: the share of events that the log loses, each by itself.
    """

    days: int = 1
    start: datetime = START
    page: int = 20
    randomised: float = 0.05
    scheme: str = "shuffle"
    top: int = 10
    bots: float = 0.01
    trending: float = 0.1
    new: float = 0.05
    missing: float = 0.0

    def __post_init__(self) -> None:
        """Refuse what cannot be."""
        for name in ("days", "page", "top"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} is {getattr(self, name)}", hint="give 1 or more")
        for name in _SHARES:
            if not 0 <= getattr(self, name) <= 1:
                raise ConfigError(f"{name} is {getattr(self, name)}", hint="it is a share, from 0 to 1")
        if self.scheme not in SCHEMES:
            raise ConfigError(
                f"scheme {self.scheme!r} is unknown", hint=suggestion(self.scheme, SCHEMES, noun="schemes")
            )
        if self.start.tzinfo is None:
            raise ConfigError(f"start {self.start.isoformat()} has no time zone", hint="end it in Z, or +01:00")
        try:
            self.date(self.days)
        except OverflowError as error:
            raise ConfigError(f"{self.days} days are too many", hint="give fewer") from error

    def date(self, day: int) -> date:
        """The date of a day, 0 being the first, in UTC."""
        return (self.start.astimezone(UTC) + timedelta(days=day)).date()

    def midnight_ms(self, day: int) -> int:
        """When a day begins, in milliseconds since 1970."""
        return int(self.start.timestamp()) * 1_000 + day * 86_400_000

    def trend(self, direction: Floats, day: int) -> Floats:
        """The factor on attraction on a day of products that rise (1), fall (−1) or do neither (0).

        >>> Season(days=3).trend(np.array([1.0, 0.0, -1.0]), 2).round(3)
        array([1.414, 1.   , 0.707])
        """
        place = day / (self.days - 1) - 0.5 if self.days > 1 else 0.0
        return np.asarray(SWING ** (direction * place), dtype=np.float64)
