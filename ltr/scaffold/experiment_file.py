"""experiment.toml for an index that is there, with what could be set beside as comments."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from ltr.scaffold.fields import Guess

__all__ = ["Facts", "experiment_toml"]

# Up to so many judged queries a single test side says little (ltr.experiment.few).
FEW: Final = 300


@dataclass(frozen=True)
class Facts:
    """What the file is written from.

    Args:
        name: of the experiment.
        url: of the engine, without user and password.
        secret: whether there was one in the URL that was given.
        index: an index, alias, data stream or pattern.
        documents: in the index.
        id_field: the field that is the product_id; None = _id.
        judgments: path, from the file's directory; None where nobody has judged anything yet.
        queries: how many of those are judged; None where it is not known.
        scale: of the grades.
        log: path of a click log, from the file's directory.
        language: of the texts.
        made: whether query.json is ours.
    """

    name: str
    url: str
    secret: bool
    index: str
    documents: int
    id_field: str | None
    judgments: str | None
    queries: int | None
    scale: str
    log: str | None
    language: str
    made: bool


def experiment_toml(facts: Facts, picked: Sequence[Guess], weights: Mapping[str, float]) -> str:
    """The text of the file.

    Args:
        facts: see there.
        picked: the fields that have features.
        weights: of the fields that a multi_match would search.
    """
    sections = [
        _head(facts),
        _data(facts, picked),
        _judgments(facts),
        _retrieval(facts, picked, weights),
        _split(facts),
        [
            '[features]\nset = "features.toml"    # beside this file: what each does, and what could be added, is said there'
        ],
        _ranker(facts),
        _evaluation(facts),
    ]
    return "\n\n".join("\n".join(lines) for lines in sections) + "\n"


def _head(facts: Facts) -> list[str]:
    return [
        f"# Written by `ltr init` from index {facts.index} ({facts.documents:,} documents). Edit it as you like; nothing is written",
        "# to the cluster before `ltr deploy`.",
        f"name = {_toml(facts.name)}",
        f"question = {_toml(f'Does a ranker beat the order in which {facts.index} answers?')}",
    ]


def _data(facts: Facts, picked: Sequence[Guess]) -> list[str]:
    title = next((each for each in picked if each.role == "title"), None)
    url = f"url = {_toml(facts.url)}"
    lines = [
        "[data]",
        'source = "elasticsearch"    # OpenSearch too',
        f"# {url}    # its user and password belong in LTR_ELASTICSEARCH_URL, which is read where url is left out"
        if facts.secret
        else f"{url}    # an API key belongs in LTR_ELASTICSEARCH_API_KEY",
        f"index = {_toml(facts.index)}",
        'products = "catalogue.parquet"    # the copy that `ltr train` makes once, here; remove it to copy anew',
    ]
    if title is not None:
        lines.append(f"title = {_toml(title.name)}")
    named = "_id" if facts.id_field is None else facts.id_field
    columns = f"columns query, product_id (the documents' {named}) and grade; Quepid's query,docid,rating too"
    if facts.log is None:
        lines.append(f"judgments = {_toml(facts.judgments or 'judgments.csv')}    # yours: {columns}")
    else:
        lines.append(
            f'# judgments = "judgments.csv"    # people\'s, where there are some, judge the test side: {columns}'
        )
    lines += ["", "[data.columns]", f"product_id = {_toml(named)}"]
    if title is not None and title.field.kind != "text":
        lines += ["", "[data.fields]", f'{_toml(title.name)} = "text"    # a keyword to the engine']
    return lines


def _judgments(facts: Facts) -> list[str]:
    if facts.log is None:
        return ["[judgments]", f"scale = {_toml(facts.scale)}    # binary, graded (0-4), esci, or 0-N"]
    return [
        "[judgments]",
        'source = "clicks"',
        f'log = {_toml(facts.log)}    # UBI; of another make with mapping = "mapping.toml" (README, From clicks)',
        "# features_until = 0.5    # of the log's days: features of behaviour count the first, grades follow from the rest",
    ]


def _retrieval(facts: Facts, picked: Sequence[Guess], weights: Mapping[str, float]) -> list[str]:
    body = "a start: put your own filters and fields there" if facts.made else "your own, with {{query}} in it"
    inline = ", ".join(f"{_toml(name)} = {float(weight)}" for name, weight in weights.items())
    lines = [
        "[retrieval]",
        'engine = "elasticsearch"',
        f'body = "query.json"    # {body}',
        f"# fields = {{ {inline} }}    # instead of body: a multi_match over these",
    ]
    if facts.id_field is not None:
        lines.append(f"id_field = {_toml(facts.id_field)}")
    nested = {each.name: each.field.nested for each in picked if each.field.nested is not None}
    if nested:
        lines += ["", "[retrieval.nested]    # field -> the nested object that it is in"]
        lines += [f"{_toml(name)} = {_toml(path)}" for name, path in nested.items()]
    return [
        *lines,
        "",
        "# [candidates]",
        '# from = "retrieval"    # rerank what the engine finds; without it, each query\'s judged products',
        "# depth = 100",
    ]


def _split(facts: Facts) -> list[str]:
    if facts.log is not None:
        return ["# [split]", "# test = 0.2", "# dev = 0.1"]
    few = facts.queries is not None and facts.queries <= FEW
    mark = "" if few else "# "
    return [
        f"# With {FEW} judged queries or fewer: each is tested once, and forests keep small by themselves."
        + (f" There are {facts.queries:,}." if few else ""),
        f"{mark}[split]",
        f"{mark}folds = 5",
        f"{mark}dev = 0.2",
        "# repeats = 20    # under 20 seeds, so that no figure hangs on one split",
    ]


def _ranker(facts: Facts) -> list[str]:
    if facts.log is not None:
        return ["# [ranker]", "# learning_rate = 0.1    # any parameter of LightGBM"]
    return [
        "# [ranker]",
        "# seeds = 3    # the mean of three rankers",
        "# refit = true    # once dev has settled the rounds, fit on fit and dev together",
        "# [compare.linear]    # a plain model beside the forest",
        '# objective = "listnet"',
    ]


def _evaluation(facts: Facts) -> list[str]:
    lines = ["[evaluation]", 'measures = ["nDCG@10", "RR", "AP"]']
    if facts.scale not in ("binary", "0-1") and facts.log is None:
        lines.append("# rel = 2    # RR and AP: the grade from which a product counts as relevant")
    return lines


def _toml(value: str | None) -> str:
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
