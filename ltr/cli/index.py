"""``ltr index EXPERIMENT``: a catalogue into an index, searched under its alias when it is whole."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ltr.cli.output import cache_home, console, facts_table, print_json
from ltr.errors import ConfigError, suggestion

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from ltr.config import Experiment
    from ltr.datasets import Dataset

__all__ = ["index"]


def index(
    experiment: Annotated[str, typer.Argument(help="A name under experiments/, or a path.")],
    url: Annotated[
        str | None,
        typer.Option(help="The engine. Default: the experiment's, LTR_ELASTICSEARCH_URL, http://localhost:9200."),
    ] = None,
    name: Annotated[
        str | None, typer.Option("--index", help="The name to search. Default: the experiment's.", metavar="NAME")
    ] = None,
    analyzer: Annotated[
        str | None, typer.Option(help="Of text, one that the server has. Default: that of [retrieval].")
    ] = None,
    shards: Annotated[int, typer.Option(min=1, max=1024, help="Primary shards; each has statistics of its own.")] = 1,
    replicas: Annotated[int, typer.Option(min=0, max=100, help="Copies of each shard, made when all is in.")] = 0,
    vectors: Annotated[
        bool | None,
        typer.Option(help="The vectors of [retrieval] vector too. Default: where the experiment names a field."),
    ] = None,
    resume: Annotated[
        bool, typer.Option(help="Go on with an index that was begun, rather than begin it again.")
    ] = True,
    remove_old: Annotated[
        bool, typer.Option("--remove-old", help="Remove the alias's earlier indexes when it has moved.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Index an experiment's catalogue; searches see it when it is whole, and until then what was there before.

    Run again after it was broken off, it goes on where it stopped.
    """
    from ltr import datasets
    from ltr import experiment as experiments
    from ltr.config import read_experiment
    from ltr.engine import connect, indexing

    path = experiments.find(experiment, root=Path())
    config = read_experiment(path)
    if config.data.source == "svmlight":
        raise ConfigError(f"{path} has feature files and no catalogue", hint="give an experiment with a catalogue")
    if vectors and config.retrieval.vector is None:
        raise ConfigError(
            f"{path} names no field whose vectors are searched", hint="set [retrieval] vector, or leave out --vectors"
        )
    engine = connect(url or config.engine_url, timeout_s=config.retrieval.timeout_s)
    # Asked before the catalogue is loaded and encoded, which may take minutes.
    version = ".".join(map(str, engine.probe.version))
    start = time.perf_counter()
    dataset = datasets.load(config.data, base=path.parent, judged=False)
    rows, notes = _vectors(config, dataset, base=path.parent) if vectors is not False else ({}, {})
    found = indexing.index(
        engine,
        name or config.index,
        dataset.products,
        fields=dataset.fields,
        analyzer=analyzer or config.retrieval.analyzer,
        vectors=rows,
        shards=shards,
        replicas=replicas,
        resume=resume,
        remove_old=remove_old,
        notes=notes,
    )
    seconds = time.perf_counter() - start
    if as_json:
        told = {"alias": found.alias, "index": found.index, "documents": found.documents, "sent": found.sent}
        others = {"replaced": found.replaced, "kept": found.kept, "removed": found.removed}
        print_json({"url": engine.url, **told, **{key: list(each) for key, each in others.items()}, "seconds": seconds})
        return
    there = found.documents - found.sent
    facts = {
        "engine": f"{engine.probe.flavour} {version} at {engine.url}",
        "searched as": f"{found.alias}, which is {found.index} now",
        "documents": f"{found.documents:,}"
        + (f": {found.sent:,} sent, {there:,} there already" if found.sent and there else "")
        + (", all there already" if there and not found.sent else ""),
        "vectors": ", ".join(f"{field}: {each.shape[1]} dimensions" for field, each in rows.items()),
        "replaced": ", ".join(found.replaced),
        "kept": f"{', '.join(found.kept)} (--remove-old would remove them)" if found.kept else "",
        "removed": ", ".join(found.removed),
        "seconds": f"{seconds:.1f}",
    }
    console().print(facts_table(facts))


def _vectors(
    config: Experiment, dataset: Dataset, *, base: Path
) -> tuple[dict[str, NDArray[np.float32]], dict[str, object]]:
    """The vectors of the field that is searched by them, as the state of features has them, and what made them."""
    import numpy as np

    from ltr.experiment.assemble import encoder_of
    from ltr.features.terms import read

    field = config.retrieval.vector
    if field is None:
        return {}, {}
    texts = [name for name, kind in dataset.fields.items() if kind == "text"]
    if field not in texts:
        raise ConfigError(
            f"[retrieval] vector = {field!r} is not a text field of the catalogue",
            hint=suggestion(field, texts, noun="text fields"),
        )
    encoder = encoder_of(config, base=base, cache=cache_home())
    cells = read(dataset.products, (field,))
    rows = np.array(encoder.encode([". ".join(each) for each in cells]), dtype=np.float32)
    # A product without a text has no vector, rather than that of no text.
    rows[[not any(map(str.strip, each)) for each in cells]] = 0
    return {field: rows}, {"encoder": encoder.name, "encoder_digest": encoder.digest}
