"""Your own catalogue and judgments, from Parquet, CSV, TSV or JSON Lines, with columns mapped in experiment.toml.

    [data]                  source = "files"  products = "catalogue.csv"  judgments = "ratings.csv"
    [data.columns]          product_id = "sku"  title = "name"          # ours = the catalogue's
    [data.judgment_columns] grade = "stars"                             # ours = the judgments'
    [data.fields]           ean = "keyword"                             # the types that columns.guess would get wrong

Judgments need query, product_id and grade; query_id and weight are optional. Columns under a usual name
(``mapping.ALIASES``) need no mapping, so that Quepid's ``query,docid,rating``, ESCI's examples and the movies' judgments
are read as they are. Without query_id, a query is its normalised text: ``Red  Shoe`` and ``red shoe`` are one query. A
pair is judged once, and some judged product is in the catalogue.

>>> normalise("  Red   SHOE ")
'red shoe'
"""

from __future__ import annotations

from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import polars as pl

from ltr import measures
from ltr.datasets import Dataset, FieldType
from ltr.datasets.columns import guess, text, typed
from ltr.datasets.mapping import JUDGMENTS, PRODUCTS, ROW, renamed
from ltr.datasets.tables import cells_are_text, place, read_table
from ltr.errors import ConfigError, DataError, JudgmentError, suggestion
from ltr.frames import check

if TYPE_CHECKING:
    from ltr.config import DataConfig
    from ltr.measures import Scale

__all__ = ["judged", "load", "normalise", "read_judgments", "read_products"]

# The widest scale that measures.scale knows.
_WIDEST: Final = 30
_EXAMPLES: Final = 3  # what a message names of many
_TITLES: Final = ("title", "name", "product_title", "product_name")
_PROSE: Final = frozenset({*_TITLES, "description", "product_description"})
_GAINS: Final = {"binary": "linear", "esci": "esci"}


def load(
    config: DataConfig, *, base: Path, quiet: bool = False, scale: str | None = None, needs_judgments: bool = True
) -> Dataset:
    """Load the catalogue and the judgments that ``[data]`` names.

    Args:
        config: ``[data]`` of experiment.toml.
        base: the directory that relative paths start from.
        quiet: no bars (reading shows none).
        scale: ``[judgments] scale``; None = 'esci' where the grades are its letters, else 'graded', and then the grades
            are only known to be whole numbers: who settles the scale checks them against it.
        needs_judgments: False where a click log may take their place: without a file, no query and no judgment is there.
    """
    products_path = _path(config.products, "products", base)
    judgments_path = _path(config.judgments, "judgments", base) if needs_judgments or config.judgments else None
    products, fields, nested = _catalogue(
        products_path, config.columns, config.fields, title=config.title, configured=True
    )
    title = _title(config.title, fields, products_path)
    if judgments_path is None:
        queries, judgments, on = _nothing_judged()
    else:
        queries, judgments, on = _read(judgments_path, scale, config.judgment_columns, configured=True)
        _check_known(products, judgments, products_path, judgments_path)
    name = on.name if on else scale or "graded"
    guessed = [f"{field} {kind}" for field, kind in fields.items() if field not in config.fields]
    notes = [f"Field types guessed from the values: {', '.join(guessed)}."] if guessed else []
    notes += [f"Nested columns are left out: {', '.join(nested)}."] if nested else []
    return Dataset(
        name="files",
        products=products,
        queries=queries,
        judgments=judgments,
        fields=fields,
        title=title,
        text_fields={field: 3.0 if field == title else 1.0 for field, kind in fields.items() if kind == "text"},
        scale=name,
        gains=_GAINS.get(name, "exponential"),
        notes=tuple(notes),
    )


def _nothing_judged() -> tuple[pl.DataFrame, pl.DataFrame, None]:
    text_, number = pl.String, pl.Float32
    queries = pl.DataFrame(schema={"query_id": text_, "query": text_})
    return (
        queries,
        pl.DataFrame(schema={"query_id": text_, "product_id": text_, "grade": number, "weight": number}),
        None,
    )


def read_products(
    path: Path, *, columns: Mapping[str, str] = {}, fields: Mapping[str, FieldType] = {}
) -> tuple[pl.DataFrame, dict[str, FieldType]]:
    """Read a catalogue: its frame, and the type of each of its fields.

    Nested columns (objects, lists of lists) cannot be fields and are left out.

    Args:
        path: a file in one of the formats of ``tables``.
        columns: ours -> the catalogue's own name; where the file lacks that, our name stands, and product_id is found
            under ``mapping.ALIASES``.
        fields: field -> type; the types of the others are guessed.
    """
    frame, types, _ = _catalogue(path, columns, fields, configured=False)
    return frame, types


def read_judgments(
    path: Path, *, scale: str | Scale, columns: Mapping[str, str] = {}
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Read judgments: the queries they are for, and the judgments.

    Columns that have one value for each query are kept beside it, so that ``split.group`` can name them. Of ESCI's
    examples, those of product_locale 'us' are read. Rows of Quepid's export that hold a query alone were not rated.

    Args:
        path: a file in one of the formats of ``tables``.
        scale: the scale that grades must be on; its labels (E, S, C, I) are read as grades.
        columns: query_id, query, product_id, grade, weight -> the file's own names; where the file lacks one,
            ``mapping.ALIASES`` tell.
    """
    queries, judgments, _ = _read(path, scale, columns, configured=False)
    return queries, judgments


def judged(
    frame: pl.DataFrame, scale: str | Scale | None, columns: Mapping[str, str], *, path: Path, configured: bool = False
) -> tuple[pl.DataFrame, pl.DataFrame, Scale | None]:
    """Queries, judgments and their scale, from a table with ``mapping.ROW``; checks all that may be wrong with them.

    Without a scale, letters are on ESCI's and numbers need only be whole. ``configured``: see ``mapping.renamed``.
    """
    frame = renamed(frame, columns, JUDGMENTS, path=path, configured=configured)
    if not frame.height:
        raise JudgmentError(f"{path} holds no judgment", hint="give rows of query, product_id and grade")
    frame = frame.with_columns(text(frame[name]) for name in ("query_id", "product_id") if name in frame.columns)
    frame = frame.with_columns(text(frame["query"]).fill_null(""))
    for name in ("product_id", "query_id", "grade"):
        if name in frame.columns and (row := _first(frame, pl.col(name).is_null())):
            raise JudgmentError(f"{path} {place(path, row[ROW])}: {name} is empty", hint="fill it, or remove the line")
    if "query_id" in frame.columns:
        _check_texts(frame, path)
    else:
        frame = frame.with_columns(query_id=_normalised(frame["query"]))
    on = _scale(frame, scale)
    frame = frame.with_columns(_grades(frame, on, path, configured=configured), _weights(frame, path))
    _check_pairs(frame, path)
    judgments = check(frame.select("query_id", "product_id", "grade", "weight"), "judgments", where=str(path))
    return _queries(frame), judgments, on


def normalise(query: str) -> str:
    """The query's name: its text in lower case, without blanks at its ends and with one blank between words."""
    return " ".join(query.split()).lower()


def _path(given: str | None, key: str, base: Path) -> Path:
    if not given:
        raise ConfigError(f"[data] {key} is missing", hint=f'source = "files" needs {key} = "FILE"')
    return base / Path(given).expanduser()


def _catalogue(
    path: Path,
    columns: Mapping[str, str],
    declared: Mapping[str, FieldType],
    *,
    title: str | None = None,
    configured: bool,
) -> tuple[pl.DataFrame, dict[str, FieldType], list[str]]:
    frame = renamed(read_table(path), columns, PRODUCTS, path=path, configured=configured)
    if not frame.height:
        raise DataError(f"{path} holds no product", hint="give one row a product")
    frame = frame.with_columns(text(frame["product_id"]))
    _check_ids(frame["product_id"], path)
    others = [name for name in frame.columns if name != "product_id"]
    for name in declared:
        if name not in others:
            raise DataError(
                f"{path} has no field {name!r}, which [data.fields] declares",
                hint=suggestion(name, others, noun="fields"),
            )
    strings_only = cells_are_text(path)
    prose = _PROSE | {title}
    types = {name: declared.get(name) or _guess(frame[name], prose, strings_only=strings_only) for name in others}
    fields = {name: kind for name, kind in types.items() if kind is not None}
    nested = [name for name, kind in types.items() if kind is None]
    products = typed(frame.select("product_id", *fields), fields, path=path)
    return check(products, "products", where=str(path)), fields, nested


def _check_ids(ids: pl.Series, path: Path) -> None:
    """A product has an id, which is its own."""
    if empty := ids.is_null().arg_true().to_list():
        more = f" ({len(empty):,} rows)" if len(empty) > _EXAMPLES else ""
        raise DataError(
            f"{path} {place(path, *empty[:_EXAMPLES])}: product_id is empty{more}", hint="fill or remove them"
        )
    twice = ids.filter(ids.is_duplicated()).unique(maintain_order=True)
    if twice.len():
        rows = {name: (ids == name).arg_true().to_list()[:_EXAMPLES] for name in twice.head(_EXAMPLES)}
        told = [f"{name!r} on {place(path, *of_it)}" for name, of_it in rows.items()]
        told += [f"and {twice.len() - _EXAMPLES:,} more"] if twice.len() > _EXAMPLES else []
        raise DataError(
            f"{path}: product_id occurs more than once: {', '.join(told)}",
            hint="keep one row a product, or name the column that is its own under [data.columns]",
        )


def _check_known(products: pl.DataFrame, judgments: pl.DataFrame, catalogue: Path, ratings: Path) -> None:
    """Some judged product is in the catalogue."""
    judged, known = judgments["product_id"].unique(maintain_order=True), products["product_id"]
    if judged.is_in(known.implode()).any():
        return
    alike = judged.to_frame("one").with_columns(_loose("one")).join(
        known.to_frame("other").with_columns(_loose("other")), on="loose"
    )  # fmt: skip
    one, other = alike.select("one", "other").row(0) if alike.height else (judged[0], known[0])
    raise JudgmentError(
        f"none of the {judged.len():,} judged products is in the catalogue: {ratings} names {one!r}, {catalogue} has "
        f"{other!r}",
        hint="write the ids alike in both files"
        if alike.height
        else "name the columns that hold the same ids: product_id under [data.columns] and [data.judgment_columns]",
    )


def _loose(name: str) -> pl.Expr:
    """An id without what programs change in passing: capitals, leading zeros, the .0 of a number."""
    return pl.col(name).str.to_lowercase().str.replace(r"\.0+$", "").str.strip_chars_start(" 0").alias("loose")


def _guess(column: pl.Series, prose: AbstractSet[str | None], *, strings_only: bool) -> FieldType | None:
    """The type that the values suggest, but what is called a title is text, however few or alike the products are."""
    kind = guess(column, strings_only=strings_only)
    return (
        "text"
        if kind == "keyword" and column.dtype == pl.String and {column.name, column.name.lower()} & prose
        else kind
    )


def _title(given: str | None, fields: Mapping[str, FieldType], path: Path) -> str:
    texts = [name for name, kind in fields.items() if kind == "text"]
    if given is not None:
        if given not in texts:
            raise ConfigError(
                f"[data] title = {given!r} is not a text field", hint=suggestion(given, texts, noun="text fields")
            )
        return given
    if not texts:
        raise DataError(
            f"{path} has no text field; its fields are {dict(fields)}", hint='declare one: [data.fields] title = "text"'
        )
    return next((name for name in _TITLES if name in texts), texts[0])


def _read(
    path: Path, scale: str | Scale | None, columns: Mapping[str, str], *, configured: bool
) -> tuple[pl.DataFrame, pl.DataFrame, Scale | None]:
    frame = read_table(path, lone=True).with_row_index(ROW)
    if {"docid", "rating"} <= set(frame.columns):
        frame = frame.filter(pl.col("docid").is_not_null() | pl.col("rating").is_not_null())
    if {"product_locale", "esci_label"} <= set(frame.columns):
        frame = frame.filter(pl.col("product_locale") == "us")
    return judged(frame, scale, columns, path=path, configured=configured)


def _normalised(queries: pl.Series) -> pl.Series:
    """``normalise`` over a column."""
    texts = queries.unique()
    return queries.replace_strict(texts, [normalise(query) for query in texts], return_dtype=pl.String)


def _scale(frame: pl.DataFrame, scale: str | Scale | None) -> Scale | None:
    if scale is None:
        esci = measures.SCALES["esci"]
        return esci if _labels(frame).is_in(esci.labels).any() else None
    return measures.scale(scale) if isinstance(scale, str) else scale


def _labels(frame: pl.DataFrame) -> pl.Series:
    return text(frame["grade"]).str.strip_chars().str.to_uppercase()


def _grades(frame: pl.DataFrame, on: Scale | None, path: Path, *, configured: bool) -> pl.Series:
    """Grades as numbers: labels of the scale, or whole numbers on it."""
    labels, given = _labels(frame), frame["grade"]
    numbers = (labels if given.dtype == pl.String else given).cast(pl.Float64, strict=False)
    by_label = {label.upper(): float(grade) for grade, label in enumerate(on.labels if on else ())}
    grades = labels.replace_strict(by_label, default=None, return_dtype=pl.Float64).fill_null(numbers).fill_nan(None)
    top = float(on.maximum if on else _WIDEST)
    fits = grades.is_between(0.0, top) & (grades == grades.round())
    if off := frame.filter(~fits.fill_null(False)).height:
        row = frame.filter(~fits.fill_null(False)).row(0, named=True)
        name = (
            f"scale {on.name!r} (0 to {on.maximum}: {', '.join(on.labels)})"
            if on
            else "any scale (whole numbers, 0 to 30)"
        )
        raise JudgmentError(
            f"{path} {place(path, row[ROW])}: grade {row['grade']!r} is not on {name}; {off} grades are off it",
            hint='correct them, or set the scale they are on, such as [judgments] scale = "0-10" or "esci"'
            if configured
            else "correct them; the scale is the bundle's, or what convert --scale names (0-10, esci)",
        )
    return grades.rename("grade")


def _weights(frame: pl.DataFrame, path: Path) -> pl.Series:
    """Confidence in each judgment; 1 where none is given."""
    if "weight" not in frame.columns:
        return pl.Series("weight", [1.0]).new_from_index(0, frame.height)
    given = frame["weight"]
    weights = given.cast(pl.Float64, strict=False)
    fault = (weights.is_null() & given.is_not_null()) | ~weights.is_finite() | (weights < 0)
    if fault.any():
        row = frame.filter(fault).row(0, named=True)
        raise JudgmentError(
            f"{path} {place(path, row[ROW])}: weight {row['weight']!r} is not a number from 0",
            hint="1 is full confidence",
        )
    return weights.fill_null(1.0)


def _check_texts(frame: pl.DataFrame, path: Path) -> None:
    """A query_id names one query, whatever its capitals and blanks."""
    texts = frame.with_columns(_normalised(frame["query"]).alias("norm")).unique(
        ["query_id", "norm"], keep="first", maintain_order=True
    )
    twice = texts.filter(pl.col("query_id").is_duplicated())
    if twice.height:
        one, other = twice.filter(pl.col("query_id") == twice["query_id"][0]).head(2).rows(named=True)
        raise JudgmentError(
            f"{path}: query_id {one['query_id']!r} names two queries, {one['query']!r} ({place(path, one[ROW])}) and "
            f"{other['query']!r} ({place(path, other[ROW])})",
            hint="give each query an id of its own, or leave query_id out",
        )


def _check_pairs(frame: pl.DataFrame, path: Path) -> None:
    """A product is judged once for a query."""
    pair = ["query_id", "product_id"]
    twice = frame.filter(frame.select(pair).is_duplicated())
    if twice.height:
        same = twice.filter(pl.struct(pair) == pl.struct(pl.lit(twice[name][0]).alias(name) for name in pair))
        one, other = same.head(2).rows(named=True)
        raise JudgmentError(
            f"{path}: product {one['product_id']!r} is judged twice for query {one['query']!r}: grade {one['grade']:g} "
            f"({place(path, one[ROW])}) and {other['grade']:g} ({place(path, other[ROW])}); {twice.height} rows repeat a pair",
            hint="keep one row a pair",
        )


def _queries(frame: pl.DataFrame) -> pl.DataFrame:
    """Each query once, as first written, with the columns that have one value for each query."""
    ours = {"query_id", "query", "product_id", "grade", "weight", ROW}
    extras = [name for name, dtype in frame.schema.items() if name not in ours and not dtype.is_nested()]
    counts = frame.group_by("query_id").agg(pl.col(name).n_unique() for name in extras).select(pl.col(extras).max())
    context = [name for name in extras if counts[name][0] == 1]
    queries = frame.group_by("query_id", maintain_order=True).agg(pl.col("query", *context).first())
    return check(queries, "queries")


def _first(frame: pl.DataFrame, where: pl.Expr) -> dict[str, Any] | None:
    found = frame.filter(where).head(1)
    return found.row(0, named=True) if found.height else None
