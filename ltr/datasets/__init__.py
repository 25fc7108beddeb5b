"""Datasets: a catalogue, its queries and their judgments, from wherever they are.

The contract: each module has one function ``load(config: DataConfig, *, base: Path, quiet: bool) -> Dataset``; ``base``
is the directory that relative paths start from (that of experiment.toml). ``load`` here picks the module by ``config.source``.
``files`` and ``elasticsearch`` also take the scale that the experiment names, so that a grade off it is refused with its line.
"""

from __future__ import annotations

import importlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

from ltr.errors import ConfigError, suggestion
from ltr.frames import check

if TYPE_CHECKING:
    import polars as pl

    from ltr.config import DataConfig

__all__ = ["SOURCES", "Dataset", "FieldType", "load"]

FieldType = Literal["text", "keyword", "number", "boolean", "time", "vector"]

SOURCES: Final = {
    "elasticsearch": "ltr.datasets.elasticsearch",
    "esci": "ltr.datasets.esci",
    "files": "ltr.datasets.files",
    "msrd": "ltr.datasets.msrd",
    "shop": "ltr.datasets.shop",
    "svmlight": "ltr.datasets.svmlight",
}


@dataclass(frozen=True)
class Dataset:
    """What a source yields; the frames obey ``ltr.frames``.

    Args:
        name: the source.
        products: text fields are String, keyword fields String or List(String), numbers Float64; null = missing.
        queries: context columns beyond query_id and query may serve split.group.
        judgments: may name products that the catalogue lacks; the experiment counts and warns.
        fields: catalogue field -> type, in the catalogue's order, without product_id.
        title: the text field that names a product to a person.
        text_fields: field -> weight of the default lexical retrieval.
        scale: the grade scale, a key of measures.SCALES or '0-N'.
        gains: the default gains, a key of measures.GAINS.
        feature_table: the feature set of data whose features are made already, as its TOML would say it.
        complete: True where a pair that is not listed is known to have grade 0 (a simulated truth).
        notes: what a person should know about this data, one sentence each.
    """

    name: str
    products: pl.DataFrame
    queries: pl.DataFrame
    judgments: pl.DataFrame
    fields: dict[str, FieldType]
    title: str
    text_fields: dict[str, float]
    scale: str
    gains: str
    complete: bool = False
    feature_table: dict[str, Any] | None = None
    notes: tuple[str, ...] = field(default=())

    def __post_init__(self) -> None:
        """Enforce the frames' laws."""
        for name in ("products", "queries", "judgments"):
            object.__setattr__(self, name, check(getattr(self, name), name, where=f"{self.name} {name}"))


def load(
    config: DataConfig, *, base: Path, quiet: bool = False, scale: str | None = None, judged: bool = True
) -> Dataset:
    """Load the source that the configuration names; ``judged = False`` where judgments may be absent, since clicks teach."""
    if config.source not in SOURCES:
        raise ConfigError(
            f"[data] source {config.source!r} is unknown", hint=suggestion(config.source, SOURCES, noun="sources")
        )
    module = importlib.import_module(SOURCES[config.source])
    yours = config.source in ("elasticsearch", "files")
    named: dict[str, Any] = {"scale": scale, "needs_judgments": judged} if yours else {}
    dataset: Dataset = module.load(config, base=base, quiet=quiet, **named)
    return dataset
