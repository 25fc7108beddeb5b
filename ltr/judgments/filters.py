"""Filters that a log passes through before it is learnt from; each counts what it takes away.

    max_searches_per_hour   a visitor who makes more in any hour of the clock is a robot (bot_rate)
    min_searches_per_click  a visitor with as many searches and never a click, cart or purchase is a scraper (bot_no_clicks)
    max_clicks_per_search   a visitor who, over FLOOD searches or more, clicks on more products a search is a scraper (bot_click_flood)
    max_session_searches    a session with more searches is no person's, or its id is shared (long_session)
    internal, internal_pattern   users, clients and sessions of one's own house, by id or by regular expression
    max_position            deeper positions are left out (beyond_max_position)

A visitor is the client, else the user, else the session; all of a visitor's searches go. Clicks on what was clicked in the
same list already are always counted and left out, the first being kept. ``None`` (in TOML "off") switches a filter off.

>>> Filters(max_searches_per_hour=None).max_position
1000
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any, Final

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from ltr.config import explain
from ltr.errors import ConfigError

__all__ = ["FLOOD", "Filters", "filters"]

# Of one search a person may click on many products.
FLOOD: Final = 5

Count = Annotated[int, Field(ge=1)]


class Filters(BaseModel):
    """What is taken out of a log; the bounds are far beyond what a shopper does."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    max_searches_per_hour: Count | None = 300
    min_searches_per_click: Count | None = 200
    max_clicks_per_search: Annotated[float, Field(gt=0)] | None = 8.0
    max_session_searches: Count | None = 1_000
    internal: tuple[str, ...] = ()
    internal_pattern: str | None = None
    max_position: Annotated[int, Field(ge=1, le=65_535)] = 1_000

    @field_validator("internal_pattern")
    @classmethod
    def _compiles(cls, pattern: str | None) -> str | None:
        if pattern is not None:
            try:
                re.compile(pattern)
            except re.error as error:
                raise ValueError(f"no regular expression: {error}") from error
        return pattern


def filters(given: Mapping[str, Any], *, where: str) -> Filters:
    """The filters that were asked for by name, the others as they are; ConfigError for a name or a value that is none.

    >>> filters({"max_position": 50}, where="--filter").max_position
    50
    """
    try:
        return Filters.model_validate({name: None if value == "off" else value for name, value in given.items()})
    except ValidationError as error:
        raise ConfigError(f"{where}: {explain(error, Filters)}") from error
