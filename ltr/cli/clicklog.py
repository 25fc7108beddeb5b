"""What the verbs over click logs share: the log read, its impressions kept as long as the verb runs."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ltr.cli.output import cache_home
from ltr.errors import ConfigError, DataError

if TYPE_CHECKING:
    from ltr.judgments.impressions import Log

__all__ = ["FILTER", "LOGS", "MAPPING", "opened_log"]

# What an empty log is told of.
_REASONS = 4

LOGS = Annotated[
    list[Path], typer.Argument(help="UBI JSON lines, or tables by --mapping; files and directories.", metavar="LOG")
]
MAPPING = Annotated[Path | None, typer.Option(help="TOML that says how a log of another make is read.")]
FILTER = Annotated[
    list[str] | None,
    typer.Option(
        "--filter",
        help="NAME=VALUE, such as max_searches_per_hour=100, internal_pattern=^staff, max_clicks_per_search=off.",
    ),
]


@contextmanager
def opened_log(
    paths: list[Path], mapping: Path | None, *, filtered: list[str] | None = None, strict: bool = False
) -> Iterator[Log]:
    """Read a log; the Parquet that it becomes lies in the cache until the end.

    Raises DataError with the reasons where no impression is left.
    """
    from ltr.judgments.filters import filters
    from ltr.judgments.impressions import read_log
    from ltr.judgments.mapping import read_mapping

    how = read_mapping(mapping) if mapping else None
    chosen = filters(dict(_named(text) for text in filtered or []), where="--filter")
    with tempfile.TemporaryDirectory(dir=cache_home(), prefix="log-") as directory:
        log = read_log(paths, mapping=how, filters=chosen, directory=Path(directory), strict=strict)
        if not log.report.impressions:
            raise DataError(f"nothing is left of the log: {'; '.join(log.report.sentences()[:_REASONS])}")
        yield log


def _named(text: str) -> tuple[str, str | list[str]]:
    name, equals, value = text.partition("=")
    if not equals:
        raise ConfigError(f"--filter {text!r} is not NAME=VALUE", hint="for example --filter max_position=50")
    return name, value.split(",") if name == "internal" else value
