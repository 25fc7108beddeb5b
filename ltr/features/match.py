"""The kind that the search engine works out: its own score of the query in one field, or in several.

Parameters have the names of Elasticsearch's query language, in which ``ltr.features.clauses`` writes them.
"""

from __future__ import annotations

from typing import Any, Final, Literal

from pydantic import Field, model_validator

from ltr.errors import CandidateError
from ltr.features.columns import Columns
from ltr.features.params import Floats, Kind, Offsets, TextParams, finite

__all__ = ["KINDS", "MatchParams", "match"]


class MatchParams(TextParams):
    """What the engine is asked of the field."""

    query: Literal["match", "match_phrase", "match_phrase_prefix", "match_bool_prefix", "term", "fuzzy"] = Field(
        "match", description="the engine's query"
    )
    type: Literal["best_fields", "most_fields", "cross_fields"] | None = Field(
        None, description="with fields: how their scores come together; None = best_fields"
    )
    operator: Literal["or", "and"] = Field("or", description="and: only where every term of the query is")
    fuzziness: Literal["AUTO", "1", "2"] | None = Field(None, description="edits that a term may be away")
    slop: int = Field(0, ge=0, le=100, description="places that the terms of a phrase may be moved, all together")
    subfield: str | None = Field(None, description="of the engine's field, such as shingles or raw")
    constant: bool = Field(False, description="1 where it matches, instead of the score")

    @model_validator(mode="after")
    def _make_a_query(self) -> MatchParams:
        phrase = self.query in ("match_phrase", "match_phrase_prefix")
        for key, given, fits in (
            ("operator", self.operator != "or", self.query in ("match", "match_bool_prefix")),
            ("fuzziness", self.fuzziness is not None, self.query in ("match", "match_bool_prefix", "fuzzy")),
            ("slop", self.slop != 0, phrase),
            ("fields", bool(self.fields), self.query == "match"),
            ("type", self.type is not None, bool(self.fields)),
        ):
            if given and not fits:
                raise ValueError(f"{key} does not go with query = '{self.query}'{'' if self.fields else ' and field'}")
        if self.type == "cross_fields" and self.fuzziness is not None:
            raise ValueError("fuzziness does not go with type = 'cross_fields'")
        return self

    @property
    def plain(self) -> bool:
        """Whether it is the score of one field and no more, which the embedded engine knows too."""
        return not self.fields and self == MatchParams.model_validate({"field": self.field})


def match(columns: Columns, groups: Offsets, *, params: MatchParams) -> Floats:
    """The engine's own score of a field, as delivered with the candidates in the column `match.<feature>`.

        match = score of the query in the field, by the engine that retrieved

    NaN where the engine gave none. Of the parameters but field, the embedded engine knows none: they are for Elasticsearch and
    OpenSearch, where `missing = 0` lets an exported ranker see what it was fitted on.
    """
    if params not in columns.match:
        raise CandidateError(f"the candidates come without the engine's score of field {params.key!r}")
    return finite(columns.match[params])


KINDS: Final[dict[str, Any]] = {"match": Kind("query_product", match, MatchParams, "matched")}
