"""The parts of experiment.toml that say what is searched: the data, how it is split, the candidates and who retrieves them."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from ltr.config_clicks import Frozen, Seed, Share

__all__ = ["CandidatesConfig", "DataConfig", "RetrievalConfig", "SplitConfig"]


class DataConfig(Frozen):
    """[data]: where catalogue and judgments come from; the keys beyond source serve "files", "elasticsearch" and "shop"."""

    source: str
    products: str | None = None
    judgments: str | None = None
    columns: dict[str, str] = {}  # ours -> the catalogue's own name, such as product_id = "sku"
    judgment_columns: dict[str, str] = {}  # query_id, query, product_id, grade, weight -> the file's own names
    fields: dict[str, Literal["text", "keyword", "number", "boolean", "time", "vector"]] = {}
    title: str | None = None
    dev: str | None = None  # svmlight: the file of the dev side, and that of the test side, for split.by = "given"
    test: str | None = None
    first_feature: Literal[0, 1] = 1  # svmlight: the number of the first feature
    path: str | None = None  # a directory with the source's files, instead of LTR_DATA_HOME and the cache
    url: Annotated[str | None, Field(repr=False)] = (
        None  # elasticsearch: copied from there; None = LTR_ELASTICSEARCH_URL
    )
    index: str | None = None  # elasticsearch: the index, alias or data stream that is copied
    size: Annotated[int, Field(ge=100, le=200_000)] = 5_000  # products of the demo shop
    queries: Annotated[int, Field(ge=20, le=100_000)] = 1_200  # queries of the demo shop
    seed: Seed = 7


class SplitConfig(Frozen):
    """[split]: shares of queries, or folds; seeded; ``group`` keeps queries together by a column of the queries.

    With ``by = "given"`` the test side is the one that the data name (the queries' column ``split``).
    """

    by: Literal["query", "given"] = "query"
    test: Share = 0.2
    dev: Share = 0.1
    seed: Seed = 7
    folds: Annotated[int, Field(ge=2, le=50)] | None = None
    repeats: Annotated[int, Field(ge=1, le=100)] = 1  # folds again under the next seeds; a query's values are averaged
    group: str | None = None
    also: list[str] = []  # columns of the queries: one further table each, split with that column kept together

    @model_validator(mode="after")
    def _leave_something_to_fit(self) -> SplitConfig:
        if self.repeats > 1 and self.folds is None:
            raise ValueError("repeats needs folds, such as folds = 5")
        if self.by == "given" and (self.folds is not None or self.group or self.also):
            raise ValueError("by = 'given' takes the data's own test side: leave out folds, group and also")
        if self.folds is not None and not 0 < self.dev <= 0.8:
            raise ValueError(
                f"dev = {self.dev:g} must be above 0 and at most 0.8, with folds too: it settles the rounds"
            )
        if self.folds is None and not (self.test > 0 and self.dev > 0 and self.test + self.dev <= 0.8):
            raise ValueError(f"test = {self.test:g} and dev = {self.dev:g} must be above 0 and together at most 0.8")
        return self


class CandidatesConfig(Frozen):
    """[candidates]: rerank each query's judged products, or the top ``depth`` of the retriever."""

    origin: Annotated[Literal["judgments", "retrieval"], Field(alias="from")] = "judgments"
    depth: Annotated[int, Field(ge=1, le=10_000)] = 100


class RetrievalConfig(Frozen):
    """[retrieval]: BM25 over weighted fields, and one field's vectors, fused; in this process, or by a search engine.

    The keys from url on are for engine = "elasticsearch" (OpenSearch too).
    """

    engine: Literal["embedded", "elasticsearch"] = "embedded"
    fields: dict[str, Annotated[float, Field(gt=0)]] = {}  # empty = the dataset's own default
    combine: Literal["sum", "best"] = "sum"  # of the fields' scores
    vector: str | None = None  # a text field whose vectors join the lexical order by reciprocal rank fusion
    url: Annotated[str | None, Field(repr=False)] = (
        None  # None = data.url, LTR_ELASTICSEARCH_URL, http://localhost:9200
    )
    index: str | None = None  # None = data.index, else the experiment's name
    body: str | None = None  # a file with the shop's own search body, {{query}} in it; None = a multi_match of fields
    id_field: str | None = None  # a keyword field that is the product_id; None = _id
    nested: dict[str, str] = {}  # field -> the nested object that it is in
    analyzer: str = "standard"  # of text fields, for `ltr index`: one that the server has
    timeout_s: Annotated[float, Field(gt=0, le=600)] = 10.0

    @model_validator(mode="after")
    def _speak_to_an_engine(self) -> RetrievalConfig:
        if self.engine == "embedded":
            for key in ("url", "index", "body", "id_field", "nested"):
                if getattr(self, key):
                    raise ValueError(f'{key} is for a search engine: set engine = "elasticsearch", or leave it out')
        if self.body is not None and self.fields:
            raise ValueError("body and fields both say what is searched: give one of them")
        return self
