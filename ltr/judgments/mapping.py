"""A log under our names: which shape it has and what its columns and actions are called, as a TOML file.

    shape = "events"           # a row an event; "shown": a row a product shown; "searches": a row a search; "ubi"
    first_position = 0         # of the top; left out, the log's own evidence decides
    time = "ms"                # numbers count s, ms, us or ns from 1970 (left out: their size tells); or a format: "%d.%m.%Y %H:%M"
    [columns]                  # ours = theirs, with dots into structures; what is called as ours needs no line
    product_id = "item.sku"
    [actions]                  # theirs = impression, click, add_to_cart, purchase, or none of them: "none"
    plp_tap = "click"

In ``searches`` product_id, position, clicked, add_to_cart, purchase, clicked_at, dwell_s, revenue and propensity are lists.
What was clicked, added or bought is told by products, by positions, or by a flag for each product shown (``clicked_by``; left
out, flags are recognised, and what is none is products). In CSV a list is a cell of JSON, or of values with ``separator``
between.

>>> LogMapping(shape="shown", columns={"product_id": "sku"}).theirs("product_id")
'sku'
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from ltr.config import explain, read_toml
from ltr.errors import ConfigError, suggestion

__all__ = ["ACTIONS", "COLUMNS", "REQUIRED", "LogMapping", "meaning", "read_mapping"]

Action = Literal["impression", "click", "add_to_cart", "purchase", "none"]

_WHO: Final = ("session_id", "user_id", "device", "variant", "team")
_EVENT: Final = ("search_id", "query", "product_id", "position", "action", "time", "event_id", "revenue", "propensity")
_SHOWN: Final = (
    *("search_id", "query", "product_id", "position", "shown_at", "clicked", "add_to_cart", "purchase"),
    *("clicked_at", "dwell_s", "revenue", "propensity"),
)

# The columns that each shape knows, and those that it cannot do without.
COLUMNS: Final[dict[str, tuple[str, ...]]] = {
    "ubi": (*_EVENT, *_WHO, "client_id", "application", "internal_id", "hits"),
    "events": (*_EVENT, *_WHO),
    "shown": (*_SHOWN, *_WHO),
    "searches": (*_SHOWN, *_WHO),
}
REQUIRED: Final[dict[str, tuple[str, ...]]] = {
    "ubi": (),
    "events": ("search_id", "query", "product_id", "action", "time"),
    "shown": ("search_id", "query", "product_id", "position", "shown_at", "clicked"),
    "searches": ("query", "product_id", "shown_at", "clicked"),
}

# Names that logs give to what counts; compared in lower case with - as _.
ACTIONS: Final[dict[str, Action]] = {
    **dict.fromkeys(("impression", "item_impression", "product_impression", "sku_impression"), "impression"),
    **dict.fromkeys(
        ("click", "click_through", "clickthrough", "item_click", "product_click", "result_click", "sku_click"), "click"
    ),
    **dict.fromkeys(("add_to_cart", "add_to_basket", "addtocart", "cart_add"), "add_to_cart"),
    **dict.fromkeys(("purchase", "buy", "product_purchase"), "purchase"),
}


class LogMapping(BaseModel):
    """How a log of another make is read."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    shape: Literal["ubi", "events", "shown", "searches"]
    first_position: Literal[0, 1] | None = None
    time: str = ""
    columns: dict[str, str] = {}
    actions: dict[str, Action] = {}
    clicked_by: Literal["product", "position", "flag"] | None = None
    separator: Annotated[str, Field(min_length=1)] = "|"

    @model_validator(mode="after")
    def _know_the_columns(self) -> LogMapping:
        known = COLUMNS[self.shape]
        for ours in self.columns:
            if ours not in known:
                raise ValueError(
                    f"[columns] has no key {ours!r} for shape {self.shape!r}; {suggestion(ours, known, noun='keys')}"
                )
        if self.clicked_by and self.shape != "searches":
            raise ValueError(f"clicked_by is for shape 'searches', not {self.shape!r}; leave it out")
        if self.time and self.time not in ("s", "ms", "us", "ns") and "%" not in self.time:
            raise ValueError(f"time = {self.time!r} is neither a unit (s, ms, us, ns) nor a format such as '%Y-%m-%d'")
        return self

    def theirs(self, ours: str) -> str:
        """The log's name of a column."""
        return self.columns.get(ours, ours)


def read_mapping(path: Path) -> LogMapping:
    """Read a mapping from TOML; ConfigError names the file, the key and the nearest key that exists."""
    try:
        return LogMapping.model_validate(read_toml(path))
    except ValidationError as error:
        raise ConfigError(f"{path}: {_told(error)}") from error


def meaning(action: str, own: dict[str, Action]) -> Action:
    """What an action counts as: as the mapping says, else by ``ACTIONS``.

    >>> meaning("Click-Through", {}), meaning("tap", {"tap": "click"}), meaning("hover", {})
    ('click', 'click', 'none')
    """
    if action in own:
        return own[action]
    return ACTIONS.get(action.casefold().replace("-", "_").replace(" ", "_"), "none")


def _told(error: ValidationError) -> str:
    told = explain(error, LogMapping)
    return told.removeprefix(": ")
