"""What a kind is: a scope, a function, its parameters, and what it reads of the catalogue.

A kind's parameters are a frozen pydantic model; what the model declares is what a feature set may write. ``Source`` says
which fields of the catalogue are read and in which form the state must hold them.

>>> TextParams(fields=("title", "overview")).sources("tokens")
(Source(form='tokens', fields=('title', 'overview')),)
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal, Protocol

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, model_validator

from ltr.features.negation import Part

if TYPE_CHECKING:
    from ltr.datasets import FieldType
    from ltr.features.columns import Columns

__all__ = [
    "FORMS",
    "HELD",
    "FieldParams",
    "Floats",
    "Form",
    "Key",
    "Kind",
    "Offsets",
    "Params",
    "PartParams",
    "Scope",
    "Source",
    "TextParams",
    "ValueParams",
    "finite",
]

Floats = NDArray[np.float32]
Offsets = NDArray[np.int64]

Scope = Literal["product", "query", "query_product", "list"]
Form = Literal["named", "matched", "tokens", "strings", "vectors", "sentences", "numbers"]

# The types of catalogue field that can be held in each form; those that are named or matched are not held, and only have to
# exist.
FORMS: Final[dict[Form, tuple[FieldType, ...]]] = {
    "named": ("text", "keyword"),
    "matched": ("text", "keyword", "number"),
    "tokens": ("text", "keyword"),
    "strings": ("text", "keyword"),
    "vectors": ("text", "keyword"),
    "sentences": ("text", "keyword"),
    "numbers": ("number", "boolean"),
}

HELD: Final = frozenset(FORMS) - {"named", "matched"}


@dataclass(frozen=True, order=True)
class Source:
    """Fields of the catalogue, read one after another as if they were one, in one form."""

    form: Form
    fields: tuple[str, ...]

    @property
    def key(self) -> str:
        """The name that the state keeps it under: title, title+overview."""
        return "+".join(self.fields)


@dataclass(frozen=True, order=True)
class Key:
    """What behaviour is counted by: nothing, or one or two of query, product and the value of a catalogue field.

    >>> Key(("query", "field"), "brand").name
    'query_brand'
    """

    parts: tuple[Literal["query", "product", "field"], ...] = ()
    field: str = ""

    @property
    def name(self) -> str:
        """As a person would call it."""
        return "_".join(self.field if part == "field" else part for part in self.parts) or "all"


class Params(BaseModel):
    """A kind without parameters; the root of those with."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    def sources(self, form: Form | None) -> tuple[Source, ...]:
        """What the state must hold, given the form that the kind reads."""
        return ()

    def encodes(self, form: Form | None) -> bool:
        """Whether the query's vector is needed, given the same."""
        return form in ("vectors", "sentences")

    @property
    def reads(self) -> dict[str, str]:
        """Other features of the set that it reads, by the parameter that names them."""
        return {}

    @property
    def counts(self) -> dict[Key, frozenset[str]]:
        """Which behaviour the state must have counted, by which keys."""
        return {}


class FieldParams(Params):
    """A kind that reads one field."""

    field: str = Field(description="a field of the catalogue")

    def sources(self, form: Form | None) -> tuple[Source, ...]:
        """The field."""
        return (Source(form, (self.field,)),) if form else ()

    @property
    def key(self) -> str:
        """What the state keeps it under."""
        return self.field


class TextParams(Params):
    """A kind that reads one text or keyword field, or several as one."""

    field: str | None = Field(None, description="a text or keyword field")
    fields: tuple[str, ...] = Field((), description="instead of field: several, read as one")

    @model_validator(mode="after")
    def _one_of_both(self) -> TextParams:
        if (self.field is None) == (not self.fields):
            raise ValueError("needs either field = '...' or fields = ['...', '...']")
        if len(set(self.fields)) != len(self.fields):
            raise ValueError(f"fields {list(self.fields)} name one field twice")
        return self

    def sources(self, form: Form | None) -> tuple[Source, ...]:
        """The field, or the fields as one."""
        return (Source(form, self.fields or (self.field or "",)),) if form else ()

    @property
    def key(self) -> str:
        """What the state keeps it under."""
        return self.field or "+".join(self.fields)


class PartParams(TextParams):
    """A kind that compares such fields with the query, or with a part of it."""

    part: Part | None = Field(
        None, description="of a query that excludes something (“without …”) only this part; else the whole"
    )


class ValueParams(Params):
    """A list kind: it compares a number field, or another feature, over the candidates."""

    field: str | None = Field(None, description="a number field")
    of: str | None = Field(None, description="instead of field: another feature of the set, not of list scope")

    @model_validator(mode="after")
    def _one_of_both(self) -> ValueParams:
        if (self.field is None) == (self.of is None):
            raise ValueError("needs either field = '...' or of = '...' (another feature)")
        return self

    def sources(self, form: Form | None) -> tuple[Source, ...]:
        """The field; another feature reads its own."""
        return (Source(form, (self.field,)),) if form and self.field else ()

    @property
    def reads(self) -> dict[str, str]:
        """The feature compared."""
        return {"of": self.of} if self.of else {}


class Compute(Protocol):
    """A kind's function; see ``ltr.features`` for what it may read and how many values it returns."""

    __name__: str
    __doc__: str | None

    def __call__(self, columns: Columns, groups: Offsets, *, params: Any) -> Floats: ...


@dataclass(frozen=True)
class Kind:
    """One entry of KINDS.

    Args:
        scope: how often a value is worked out: once a product, once a query, once a pair, or with all candidates in view.
        compute: the function; its name is the kind's name and its docstring the kind's definition.
        params: what a feature set may say.
        form: how the state must hold the field; None where no field is read.
        learnt: whether it reads the memory of judged queries, which is made anew of each split's fit side.
    """

    scope: Scope
    compute: Compute
    params: type[Params] = Params
    form: Form | None = None
    learnt: bool = False


def finite(values: NDArray[Any]) -> Floats:
    """Values as float32, NaN where one is infinite or too large for it: a feature is never infinite."""
    with np.errstate(over="ignore", invalid="ignore"):
        narrow = values.astype(np.float32)
    narrow[np.isinf(narrow)] = np.nan
    return narrow
