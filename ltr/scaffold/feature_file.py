"""features.toml for an index that is there: what the engine can work out first, then what ltr works out beside it.

The first part can be exported whole, so every feature of it says what a product without it has (``missing = 0``), and every number
what counts as one (``at_least = 0``). Of many fields in one role the fullest few get features; the rest is named in a comment.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from typing import Any, Final

from ltr.features.definition import COPIES
from ltr.scaffold.fields import LEFT_OUT, TEXTS, Guess
from ltr.scaffold.words import words

__all__ = ["chosen", "features_toml", "slugs", "table"]

_MOST: Final = {"title": 1, "description": 3, "text": 6, "facet": 6, "number": 10, "flag": 4, "identifier": 3}
_MOST_OTHERS: Final = 4
_NUMBERS: Final = ("price", "list_price", "rating", "rating_count", "popularity", "stock", "number")
_SKEWED: Final = ("price", "list_price", "rating_count", "popularity", "stock")
_FACETS: Final = ("brand", "category", "tags", "colour", "size", "material", "audience", "identifier", "facet")
_FILLED: Final = 0.05  # a field that hardly any product has is worth no feature
_SEARCHED: Final = ("text", "match_only_text", "search_as_you_type", "annotated_text")

Entry = dict[str, Any]


def features_toml(guesses: Sequence[Guess], *, name: str, language: str) -> str:
    """The text of the file.

    Args:
        guesses: of all fields of the index; ``chosen`` picks.
        name: of the set.
        language: the analyzer of its text.
    """
    picked = chosen(guesses)
    named = slugs(picked)
    left = [each for each in guesses if each not in picked]
    taken = set(named.values())
    lines = [
        f"# Features for {name}, written by `ltr init`; edit it as you like: features/README.md lists the kinds.",
        f"name = {_toml(name)}",
        f"analyzer = {_toml(language)}    # of ltr's own text features; the engine's are analysed as its mapping says",
        "",
        "# ---- Worked out by the engine, for whatever it retrieves. These can be exported to run inside it (ltr export): every",
        "# product has a number, 0 where the query does not match.",
        *_section(_of_engine(picked, named), taken),
        "",
        "# ---- Worked out by ltr from the copied catalogue: they serve reranking outside the engine (the service, ltr search), and",
        "# no engine can express them. `ltr export --drop-unsupported` trains again without them and says what that costs.",
        *_section(_of_ours(picked, named), taken),
        *_meaning(picked, named, language, taken),
    ]
    if left:
        told = (_printable(f"# {each.name}: {each.role}; {each.why}") for each in left)
        lines += ["", "# ---- Fields without a feature", *told]
    return "\n".join(lines) + "\n"


def chosen(guesses: Sequence[Guess]) -> list[Guess]:
    """The fields that get features: those whose role has some, the fullest of each role, weightiest roles first."""
    picked: list[Guess] = []
    for role in (*TEXTS, *_NUMBERS, "flag"):
        those = [each for each in guesses if each.role == role and _worth(each)]
        those.sort(key=lambda each: -each.sample.filled)
        picked += those[: _MOST.get(role, _MOST_OTHERS)]
    return picked


def slugs(guesses: Sequence[Guess]) -> dict[str, str]:
    """Field -> how the names of its features begin: letters, digits and _, each one's own."""
    found: dict[str, str] = {}
    for each in guesses:
        plain = re.sub(r"[^a-z0-9]+", "_", "_".join(words(each.name))).strip("_")
        slug = plain if plain[:1].isalpha() else f"field_{plain}".rstrip("_")
        taken, number = {*found.values(), "all", "about", "query"}, 2
        while slug in taken:
            slug = f"{plain or 'field'}_{number}"
            slug = slug if slug[:1].isalpha() else f"field_{slug}"
            number += 1
        found[each.name] = slug
    return found


def table(entry: Entry) -> list[str]:
    """A feature as TOML."""
    return ["", "[[feature]]", *(f"{key} = {_toml(value)}" for key, value in entry.items())]


def _worth(each: Guess) -> bool:
    if each.role in LEFT_OUT:
        return False
    return each.sample.filled >= _FILLED or each.field.fed


def _section(parts: Iterator[tuple[str, list[Entry]]], taken: set[str]) -> Iterator[str]:
    for comment, entries in parts:
        yield ""
        yield f"# {_printable(comment)}"
        for at, entry in enumerate(_unlike(entries, taken)):
            yield from table(entry)[0 if at else 1 :]


def _of_engine(picked: Sequence[Guess], named: dict[str, str]) -> Iterator[tuple[str, list[Entry]]]:
    for each in picked:
        if each.role in TEXTS and (entries := _matches(each, named[each.name])):
            yield _comment(each), entries
    together = [each.name for each in picked if each.role in TEXTS and _matched(each) and each.field.nested is None]
    if len(together) > 1:
        entry = {"name": "all_match", "kind": "match", "fields": together, "type": "cross_fields", "missing": 0}
        yield "Words of the query may be spread over the fields.", [entry]
    for each in picked:
        if each.role in _NUMBERS and each.field.kind == "number" and each.field.doc_values:
            entry = {"name": named[each.name], "kind": "number", "field": each.name}
            log = {"log": True} if _skewed(each) else {}
            below = (
                " What is below 0 counts as missing: an engine's scores are never negative."
                if each.sample.low < 0
                else ""
            )
            yield f"{_comment(each)}{below}", [{**entry, **log, "at_least": 0, "missing": 0}]
        elif _flag(each):
            yield _comment(each), [{"name": named[each.name], "kind": "number", "field": each.name, "missing": 0}]


def _matches(each: Guess, slug: str) -> list[Entry]:
    """What the engine is asked of a text."""
    entry: Entry = {"kind": "match", "field": each.name}
    found: list[Entry] = []
    if _matched(each):
        found.append({"name": f"{slug}_match", **entry})
        if each.role == "title":
            found.append({"name": f"{slug}_all", **entry, "operator": "and", "constant": True})
            found.append({"name": f"{slug}_fuzzy", **entry, "fuzziness": "AUTO"})
            found.append({"name": f"{slug}_begins", **entry, "query": "match_bool_prefix"})
        if each.role in ("title", "description") and each.field.positions:
            found.append({"name": f"{slug}_phrase_match", **entry, "query": "match_phrase", "slop": 1})
    elif each.role == "identifier" and each.field.indexed and each.field.kind == "keyword":
        found.append({"name": f"{slug}_is", **entry, "query": "term", "constant": True})
    for name, subfield in each.field.subfields.items():
        own = "_".join(words(name)) or "sub"
        own = re.sub(r"[^a-z0-9_]", "", own) or "sub"
        if subfield.type in _SEARCHED:
            found.append({"name": f"{slug}_{own}_match", **entry, "subfield": name})
        elif subfield.normalizer is not None:  # else capitals would have to be right
            found.append({"name": f"{slug}_{own}_is", **entry, "query": "term", "subfield": name, "constant": True})
    return [{**one, "missing": 0} for one in found]


def _of_ours(picked: Sequence[Guess], named: dict[str, str]) -> Iterator[tuple[str, list[Entry]]]:
    there = [each for each in picked if each.sample.filled]
    for each in there:
        slug = named[each.name]
        if each.role == "title":
            yield _comment(each), _titled(each.name, slug)
        elif each.role in ("description", "text"):
            yield (
                _comment(each),
                [
                    {"name": f"{slug}_bm25", "kind": "bm25", "field": each.name},
                    {"name": f"{slug}_coverage", "kind": "coverage", "field": each.name, "idf": True},
                ],
            )
        elif each.role in _FACETS:
            yield _comment(each), _facets(each, slug)
        elif each.role == "price" and each.field.kind == "number" and each.field.doc_values:
            yield (
                f"{each.name} beside the other products of the list.",
                [
                    {"name": f"{slug}_relative", "kind": "relative", "of": slug},
                    {"name": f"{slug}_rank", "kind": "rank_in_list", "of": slug},
                ],
            )
        elif not _flag(each) and (
            each.field.kind == "boolean" or (each.role in _NUMBERS and not each.field.doc_values)
        ):
            yield _comment(each), [{"name": slug, "kind": "number", "field": each.name, "missing": 0}]
        if each.role == "number" and each.sample.whole:
            named_in = {"name": f"{slug}_in_query", "kind": "number_in_query", "field": each.name}
            yield f"Whether the query says {each.name}.", [named_in]
    texts = [each.name for each in there if each.role in TEXTS and each.role != "identifier"]
    if len(texts) > 1:
        yield (
            "All texts as one.",
            [
                {"name": "all_bm25", "kind": "bm25", "fields": texts, "also": ["relative", "rank_in_list"]},
                {"name": "all_coverage", "kind": "coverage", "fields": texts, "idf": True, "also": ["relative"]},
            ],
        )
    title = next((each.name for each in there if each.role == "title"), None)
    if title is not None:
        yield (
            "The query alone: the same for all products, but a tree may tell long queries from short ones.",
            [
                {"name": "query_length", "kind": "query_length"},
                {"name": "query_mean_idf", "kind": "query_mean_idf", "field": title},
                {"name": "query_max_idf", "kind": "query_max_idf", "field": title},
                {"name": "query_has_digit", "kind": "query_has_digit"},
            ],
        )


def _titled(field: str, slug: str) -> list[Entry]:
    lists = ["relative", "rank_in_list"]
    return [
        {"name": f"{slug}_bm25", "kind": "bm25", "field": field, "also": lists},
        {"name": f"{slug}_coverage", "kind": "coverage", "field": field},
        {"name": f"{slug}_coverage_idf", "kind": "coverage", "field": field, "idf": True, "also": ["relative"]},
        {"name": f"{slug}_unmatched", "kind": "unmatched", "field": field},
        {"name": f"{slug}_phrase", "kind": "phrase", "field": field},
        {"name": f"{slug}_exact", "kind": "exact", "field": field},
        {"name": f"{slug}_prefix", "kind": "prefix", "field": field},
        {"name": f"{slug}_ngram", "kind": "ngram", "field": field, "also": lists},
        {"name": f"{slug}_ngram_query", "kind": "ngram", "field": field, "per": "query"},
        {"name": f"{slug}_length", "kind": "length", "field": field},
    ]


def _facets(each: Guess, slug: str) -> list[Entry]:
    found: list[Entry] = [{"name": f"{slug}_named", "kind": "keyword", "field": each.name, "per": "query"}]
    if each.role in ("brand", "category", "tags"):
        found.append({"name": f"{slug}_coverage", "kind": "coverage", "field": each.name})
    if each.role in ("brand", "category"):  # parts of compounds, and what is misspelt
        found.append({"name": f"{slug}_ngram", "kind": "ngram", "field": each.name, "per": "field"})
    return found


def _meaning(picked: Sequence[Guess], named: dict[str, str], language: str, taken: set[str]) -> Iterator[str]:
    """Features of an encoder: as they are where the default one knows the language, else to be thought about first."""
    title = next((each for each in picked if each.role == "title"), None)
    if title is None:
        return
    about = [title.name, *(each.name for each in picked if each.role == "description" and each.sample.filled)][:2]
    entries: list[Entry] = [
        {
            "name": f"{named[title.name]}_cosine",
            "kind": "cosine",
            "field": title.name,
            "also": ["relative", "rank_in_list"],
        }
    ]
    if len(about) > 1:
        entries.append(
            {"name": "about_cosine", "kind": "cosine", "fields": about, "also": ["relative", "rank_in_list"]}
        )
    lines = [line for entry in _unlike(entries, taken) for line in table(entry)]
    yield ""
    if language == "english":
        yield "# What is meant, whatever the words: the cosine of a text encoder's vectors, made here ([encoder] in experiment.toml)."
        yield from lines[1:]
        return
    yield "# What is meant, whatever the words. The default encoder reads English: for other languages name a multilingual one that"
    yield '# you have, such as [encoder] model = "paraphrase-multilingual-MiniLM-L12-v2" in experiment.toml, and take the # off.'
    yield from ("#" if not line else f"# {line}" for line in lines[1:])


def _matched(each: Guess) -> bool:
    return each.field.kind == "text" and each.field.indexed


def _flag(each: Guess) -> bool:
    return each.field.kind == "boolean" and each.field.indexed


def _skewed(each: Guess) -> bool:
    return each.role in _SKEWED or (each.sample.low >= 0 and each.sample.high > 1_000 * max(each.sample.low, 1.0))


def _unlike(entries: Sequence[Entry], taken: set[str]) -> list[Entry]:
    """Entries, and the copies that they ask for, under names that nothing has yet; those called after their field keep that."""
    found: list[Entry] = []
    for entry in entries:
        name = entry["name"]
        after_field = entry["kind"] == "number" and name in taken
        while not (after_field and name == entry["name"]) and not taken.isdisjoint(_names(name, entry)):
            name = f"{name}_too"
        taken.update(_names(name, entry))
        found.append({**entry, "name": name})
    return found


def _names(name: str, entry: Entry) -> list[str]:
    return [name, *(f"{name}_{COPIES[copy]}" for copy in entry.get("also", ()))]


def _comment(each: Guess) -> str:
    return f"{each.name}: {each.role.replace('_', ' ')}; {each.why}."


def _printable(text: str) -> str:
    """The text as a comment may hold it: names of fields may have any character."""
    return "".join(each if each.isprintable() else " " for each in text)


def _toml(value: Any) -> str:
    """A TOML value; its strings are written as JSON's, but for DEL, which only JSON takes as it is."""
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
