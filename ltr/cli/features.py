"""``ltr features EXPERIMENT -o FILE``: the pairs that a ranker is fitted on, for any other program."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.text import Text

from ltr.cli.output import cache_home, console, counted, warn
from ltr.errors import ConfigError

__all__ = ["features"]

_SVMLIGHT = (".svm", ".svmlight", ".txt", ".train", ".test")


def features(
    experiment: Annotated[str, typer.Argument(help="A name under experiments/, or a path.")],
    output: Annotated[
        Path, typer.Option("--output", "-o", help="FILE.parquet, or FILE.svm for SVMlight with qid; plain or .gz.")
    ],
    override: Annotated[
        list[str] | None, typer.Option("--set", help="KEY=VALUE, such as features.set=features/lexical.toml.")
    ] = None,
) -> None:
    """Write the judged pairs with their features. SVMlight names the features by number, and takes a missing one as nan."""
    import polars as pl

    from ltr import experiment as experiments
    from ltr import letor
    from ltr.config import read_experiment
    from ltr.experiment.assemble import assemble, learnt
    from ltr.experiment.preflight import groups_of
    from ltr.lines import whole

    extension = Path(output.name.removesuffix(".gz")).suffix
    if output.suffix != ".parquet" and extension not in _SVMLIGHT:
        raise ConfigError(f"{output} does not tell its format", hint="end it in .parquet, .svm or .svm.gz")
    path = experiments.find(experiment, root=Path())
    assembled = assemble(read_experiment(path, overrides=override), base=path.parent, cache=cache_home())
    for warning in assembled.audit.warnings:
        warn(warning)
    names = list(assembled.feature_set.names)
    if assembled.feature_set.learnt:
        # Cross-fitted over all queries: no row knows its own query's judgments.
        everything = assembled.dataset.queries["query_id"].to_list()
        assembled = learnt(assembled, everything, groups_of(assembled.dataset, assembled.experiment.split.group))
    judged = assembled.pairs.filter(pl.col("grade").is_not_null())
    if output.suffix == ".parquet":
        columns = ["query_id", "query", "product_id", "grade", "weight", *names]
        try:
            with whole(output) as draft:
                judged.select(columns).write_parquet(draft)
        except (OSError, pl.exceptions.PolarsError) as error:
            raise ConfigError(f"{output} could not be written: {error}", hint="choose another place") from error
    else:
        letor.write_letor(judged, output, features=names)
    console().print(
        Text(
            f"{output}: {counted(judged.height, 'pair')} of {counted(judged['query_id'].n_unique(), 'query')}, "
            f"{counted(len(names), 'feature')}"
        )
    )
