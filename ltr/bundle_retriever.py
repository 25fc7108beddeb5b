"""The retriever that an experiment names, over its catalogue: embedded in this process, or a search engine's index.

A bundle carries what is needed to make it again; where the engine is and who may ask it can change after that, and are not
part of the model: ``url`` and the environment (``ltr.engine.connection``) say it anew.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from ltr.engine import template
from ltr.errors import EngineError

if TYPE_CHECKING:
    import numpy as np
    import polars as pl
    from numpy.typing import NDArray

    from ltr.config import Experiment
    from ltr.encoders import Encoder
    from ltr.features.definition import FeatureSet
    from ltr.retrieval import Retriever
    from ltr.retrieval.elastic import Elastic

__all__ = ["elastic_of", "read_body", "retriever_of", "told_of"]

_SHOWN: Final = 3


def retriever_of(
    experiment: Experiment,
    feature_set: FeatureSet,
    products: pl.DataFrame,
    *,
    fields: Mapping[str, float],
    body: Mapping[str, Any] | None,
    vectors: NDArray[np.float32] | None,
    encoder: Encoder | None,
    url: str | None = None,
) -> Retriever:
    """Build it.

    Args:
        experiment: says which engine, and how the fields' scores come together.
        feature_set: its features of kind match are scored with the candidates.
        products: the catalogue.
        fields: field -> weight of its score; not looked at where a body is given.
        body: the shop's own search body, with {{query}} in it.
        vectors: of the field that joins the lexical order, for the embedded engine; a search engine has its own.
        encoder: for the queries, where vectors join.
        url: of the search engine, instead of what the experiment and the environment say.
    """
    if experiment.retrieval.engine == "elasticsearch":
        return elastic_of(experiment, feature_set, fields=fields, body=body, encoder=encoder, url=url)
    from ltr.retrieval import embedded

    vector = experiment.state_vector
    return embedded.build(
        products,
        fields=fields,
        analyzer=feature_set.analyzer,
        match=feature_set.matched_fields,
        vectors=vectors if vector else None,
        encoder=encoder if vector else None,
        combine=experiment.retrieval.combine,
    )


def elastic_of(
    experiment: Experiment,
    feature_set: FeatureSet,
    *,
    fields: Mapping[str, float],
    body: Mapping[str, Any] | None,
    encoder: Encoder | None,
    url: str | None = None,
) -> Elastic:
    """The same where the engine is Elasticsearch or OpenSearch, which also serves whole pages (``Elastic.search``)."""
    from ltr.engine import connect
    from ltr.features.clauses import clauses, missing
    from ltr.retrieval import elastic

    config = experiment.retrieval
    return elastic.build(
        connect(url or experiment.engine_url, timeout_s=config.timeout_s),
        experiment.index,
        fields=fields,
        combine=config.combine,
        body=body,
        clauses=clauses(feature_set, nested=config.nested),
        missing=missing(feature_set),
        vector=config.vector,
        encoder=encoder if config.vector else None,
        id_field=config.id_field,
        timeout_s=config.timeout_s,
    )


def told_of(retriever: Retriever, texts: Sequence[str], product_ids: Sequence[str]) -> tuple[str, ...]:
    """What a person should know of a search engine's candidates before trusting a figure; nothing of the embedded engine's.

    Args:
        retriever: that was asked.
        texts: the queries.
        product_ids: those that were judged, each once.

    Raises:
        EngineError: the index has none of them, and is another catalogue's.
    """
    from ltr.retrieval.elastic import Elastic
    from ltr.retrieval.prepared import WORDS, bounded, cleaned

    if not isinstance(retriever, Elastic):
        return ()
    told = []
    if absent := retriever.lacking(product_ids):
        shown = ", ".join(map(repr, absent[:_SHOWN]))
        index = f"index {retriever.target.index!r}"
        if len(absent) == len(product_ids):
            raise EngineError(
                f"{index} has none of the {len(absent):,} judged products, such as {shown}",
                hint="name the index of this catalogue, or the field that has these ids: [retrieval] id_field",
            )
        told.append(f"judged products that {index} lacks: {len(absent):,} of {len(product_ids):,}, such as {shown}")
    if cut := [text for text in texts if len(bounded(text)) < len(cleaned(text))]:
        told.append(
            f"queries of more than {WORDS} words, of which the engine is asked for the first: {len(cut):,}, such as "
            f"{cut[0][:60]!r}"
        )
    return tuple(told)


def read_body(experiment: Experiment, *, base: Path) -> dict[str, Any] | None:
    """The search body that ``retrieval.body`` names, from experiment.toml's directory; None where it names none."""
    name = experiment.retrieval.body
    return None if name is None else template.read_body(base / Path(name).expanduser(), option="[retrieval] body")
