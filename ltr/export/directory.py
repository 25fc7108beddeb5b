"""An export as one directory, written whole or not at all, and verified by digest when it is read.

    DIRECTORY/
      export.json       what it is, what it needs, the requests that put it into an engine, and the SHA-256 of every file
      featureset.json   plugin: the body of the feature set
      model.json        the body of the model
      rescore.json      the part of a search that uses it; {{query}} is what the shopper typed
      parity/golden.parquet   rows, the ranker's scores, and what each generation of the engine scores (``ltr.export.parity``)

Engines refuse to change a model, so its name holds a digest of the content: <name>-<10 hexadecimal digits>.
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import tempfile
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

import polars as pl

from ltr import __version__
from ltr.bundle_manifest import digests, read_manifest
from ltr.errors import ExportError, suggestion
from ltr.export import native, parity, plugin, splits
from ltr.export.emulation import Trees
from ltr.export.emulation import read as read_trees
from ltr.features import clauses
from ltr.lines import write_bytes

if TYPE_CHECKING:
    from ltr.bundle import Bundle
    from ltr.features.definition import FeatureSet
    from ltr.rankers.forest import Forest

__all__ = ["FORMAT", "KINDS", "LICENCES", "Export", "check_before_fitting", "read", "write"]

FORMAT: Final = 1
KINDS: Final = ("native", "plugin")
LICENCES: Final = {
    "plugin": "no licence: the engine needs the LTR plugin (o19s for Elasticsearch; OpenSearch has its own)",
    "native": "Elasticsearch 8.15 or later with an Enterprise licence, without which it refuses the model; a trial works",
}

_NAME: Final = re.compile(r"[a-z0-9]([a-z0-9_.-]{0,51}[a-z0-9])?")
# What an engine takes in one request (http.max_content_length).
_LARGEST: Final = 100 * 2**20
_AGAIN: Final = "export it again"
_NO_CANDIDATES: Final = "the bundle has no golden rows of its own: all are drawn from its thresholds"


@dataclass(frozen=True)
class Export:
    """An export that was read: bodies as they are sent, golden rows, trees.

    Args:
        path: the directory.
        about: export.json.
        featureset: the feature set's body; None for native, whose model holds its queries.
        model: the model's body.
        rescore: the part of a search that uses the model.
        golden: rows and expected scores.
    """

    path: Path
    about: dict[str, Any]
    featureset: dict[str, Any] | None
    model: dict[str, Any]
    rescore: dict[str, Any]
    golden: pl.DataFrame

    @property
    def kind(self) -> Literal["plugin", "native"]:
        """Which road it is for."""
        return "plugin" if self.about["kind"] == "plugin" else "native"

    @property
    def name(self) -> str:
        """What all versions of it are called."""
        return str(self.about["name"])

    @property
    def version(self) -> str:
        """What the engine calls this feature set and this model: the name and a digest of the content."""
        return str(self.about["version"])

    @property
    def features(self) -> tuple[str, ...]:
        """The features, in order."""
        return tuple(self.about["features"])

    @property
    def shift(self) -> float:
        """What the scores have more than the ranker's."""
        return float(self.about["shift"])

    @cached_property
    def trees(self) -> Trees:
        """The exported document as the engine's evaluator has it."""
        return _trees(self.kind, self.model, self.features)


def write(
    bundle: Bundle,
    to: str,
    directory: Path,
    *,
    name: str | None = None,
    shift: bool = True,
    candidates: pl.DataFrame | None = None,
) -> Export:
    """Convert a bundle's ranker and features, prove it, and write the directory; one that was exported there is replaced.

    Args:
        bundle: what is exported.
        to: one of KINDS.
        directory: where it goes.
        name: what the engine calls it, without the digest; None = the experiment's name.
        shift: for the plugin: whether scores are moved to 0 and above.
        candidates: lists for the golden rows, query_id and the features; None = the bundle's own (``Bundle.golden``).

    Raises:
        ExportError: what cannot be expressed, feature by feature, or exactly; a check that failed; a disk that is full.
    """
    if to not in KINDS:
        raise ExportError(f"an export is for {to!r}", hint=suggestion(to, KINDS, noun="kinds"))
    name = bundle.experiment.name[:53].rstrip("_.-") if name is None else name
    _check_name(name)
    check_features(bundle.feature_set, booleans=bundle.facts.booleans)
    forest = splits.forest_for(bundle.ranker)
    made = _plugin(bundle, forest, name, shift=shift) if to == "plugin" else _native(bundle, forest, name)
    texts = {file: _json(document) for file, document in made.documents.items()}
    if (size := len(texts["model.json"].encode())) > _LARGEST:
        raise ExportError(
            f"the model is {size / 2**20:.0f} MB, more than an engine takes in one request (100 MB)",
            hint="fit fewer or smaller trees",
        )
    trees = _trees(to, json.loads(texts["model.json"]), bundle.feature_set.names)
    candidates = bundle.golden if candidates is None else candidates
    golden = parity.pack(trees, bundle.ranker.predict, candidates)
    experiment = bundle.experiment
    about = {
        "format": FORMAT,
        "ltr": __version__,
        "kind": to,
        "name": name,
        "version": made.version,
        "features": list(bundle.feature_set.names),
        "licence": LICENCES[to],
        "index": experiment.index if experiment.retrieval.engine == "elasticsearch" else None,
        "search": _first_pass(bundle),
        "requests": [{"method": method, "path": path, "file": file} for method, path, file in made.requests],
        "bundle": _digest(read_manifest(bundle.path)["files"]["model"]),
        "ranker": {"library": forest.library, "version": forest.version, "objective": forest.objective},
        "trees": len(trees.roots),
        "nodes": len(trees.feature),
        "bytes": size,
        "shift": made.shift,
        "warnings": list(made.warnings),
        "notes": [] if candidates is not None else [_NO_CANDIDATES],
    }

    def fill(draft: Path) -> None:
        for file, body in texts.items():
            write_bytes(body.encode() + b"\n", draft / file)
        (draft / "parity").mkdir()
        golden.write_parquet(draft / "parity" / "golden.parquet")
        told = about | {"files": digests(draft)}
        (draft / "export.json").write_text(
            json.dumps(told | {"digest": _digest(told)}, indent=2) + "\n", encoding="utf-8"
        )
        report = parity.check(read(draft))
        if not report.passed:
            raise ExportError(f"the export does not score as the ranker does ({report}); nothing was written")

    _replaced(directory, fill)
    return read(directory)


@dataclass(frozen=True)
class _Made:
    """What is sent: the version's name, bodies by file, and the requests that send them."""

    version: str
    documents: dict[str, dict[str, Any]]
    requests: list[tuple[str, str, str]]
    shift: float = 0.0
    warnings: Sequence[str] = ()


def _plugin(bundle: Bundle, forest: Forest, name: str, *, shift: bool) -> _Made:
    text = _json(plugin.definition(forest, shift=shift))
    asked = plugin.features(
        bundle.feature_set, nested=bundle.experiment.retrieval.nested, booleans=bundle.facts.booleans
    )
    version = f"{name}-{_digest(['plugin', text, asked])[:10]}"
    place = f"/_ltr/_featureset/{version}"
    return _Made(
        version,
        {
            "featureset.json": plugin.feature_set(version, asked),
            "model.json": plugin.body(version, text),
            "rescore.json": plugin.rescore(version, window=bundle.experiment.candidates.depth),
        },
        [("PUT", place, "featureset.json"), ("POST", f"{place}/_createmodel", "model.json")],
        plugin.shift_of(forest) if shift else 0.0,
        plugin.warnings(text),
    )


def _native(bundle: Bundle, forest: Forest, name: str) -> _Made:
    asked = native.extractors(
        bundle.feature_set, nested=bundle.experiment.retrieval.nested, booleans=bundle.facts.booleans
    )
    model = native.body(native.ensemble(forest), asked)
    version = f"{name}-{_digest(['native', model])[:10]}"
    rescore = native.rescore(version, window=bundle.experiment.candidates.depth)
    request = ("PUT", f"/_ml/trained_models/{version}", "model.json")
    return _Made(version, {"model.json": model, "rescore.json": rescore}, [request])


def check_before_fitting(bundle: Bundle, directory: Path, *, name: str | None = None) -> None:
    """Refuse a name, a directory or a ranker that no other features would mend: fitting takes minutes."""
    if name is not None:
        _check_name(name)
    _check_place(directory)
    splits.forest_for(bundle.ranker)


def check_features(feature_set: FeatureSet, *, booleans: Collection[str] = ()) -> None:
    """Refuse, in one message, every feature that no engine expresses."""
    if lacking := clauses.unsupported(feature_set, booleans=booleans):
        alike: dict[str, list[str]] = {}
        for feature, reason in lacking.items():
            alike.setdefault(reason, []).append(feature)
        listed = "".join(f"\n  {', '.join(names)}: {reason}" for reason, names in alike.items())
        remedy = (
            "ltr export --drop-unsupported fits the experiment again without them and says what that costs"
            if len(lacking) < len(feature_set.names)
            else "none would be left: train on a set that an engine can express, such as features/movie_engine.toml"
        )
        raise ExportError(
            f"no engine expresses {len(lacking)} of the {len(feature_set.names)} features of {feature_set.name!r}:{listed}\n{remedy}"
        )


def read(directory: Path) -> Export:
    """Read an export after checking every file against its digest.

    Raises:
        ExportError: there is none, it is cut short or changed, or of a newer format.
    """
    path = directory / "export.json"
    if not path.is_file():
        raise ExportError(
            f"{str(directory)!r} holds no export.json", hint="give a directory that `ltr export` has written"
        )
    try:
        about = json.loads(path.read_text(encoding="utf-8"))
        number, promised = int(about["format"]), about.pop("digest")
        if number > FORMAT:
            raise ExportError(f"{path} has format {number}, newer than {FORMAT}", hint="use a newer release of ltr")
        if promised != _digest(about):
            raise ExportError(f"{path} is not what was written", hint=_AGAIN)
        found = {file: digest for file, digest in digests(directory).items() if file != "export.json"}
        for file in sorted(found.keys() | about["files"].keys()):
            if file not in found:
                raise ExportError(f"{directory / file} is missing", hint=_AGAIN)
            if about["files"].get(file) != found[file]:
                raise ExportError(f"{directory / file} is not what was written", hint=_AGAIN)
        bodies = {
            file: json.loads((directory / f"{file}.json").read_text(encoding="utf-8"))
            for file in ("featureset", "model", "rescore")
            if f"{file}.json" in found
        }
        golden = pl.read_parquet(directory / "parity" / "golden.parquet")
        return Export(directory, about, bodies.get("featureset"), bodies["model"], bodies["rescore"], golden)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, pl.exceptions.PolarsError) as error:
        raise ExportError(f"{directory} cannot be read as an export ({error!r})", hint=_AGAIN) from error


def _first_pass(bundle: Bundle) -> dict[str, Any] | None:
    """The search whose hits the ranker was fitted to order: the shop's own body, or its fields; vectors are not in it."""
    from ltr.retrieval.candidates import multi_match

    fields = bundle.facts.retrieval_fields
    if bundle.facts.body is not None or not fields:
        return bundle.facts.body
    return multi_match(fields, bundle.experiment.retrieval.combine)


def _trees(kind: str, model: Mapping[str, Any], features: tuple[str, ...]) -> Trees:
    document = json.loads(model["model"]["model"]["definition"]) if kind == "plugin" else model
    return read_trees(kind, document, features)


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)


def _digest(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def _check_name(name: str) -> None:
    if not _NAME.fullmatch(name):
        raise ExportError(
            f"name {name!r} is not one that engines take",
            hint="give another (--name): a-z, 0-9, -, _ and ., at most 53, a letter or digit first and last",
        )


def _check_place(directory: Path) -> None:
    if directory.exists() and not (directory / "export.json").is_file() and (
        not directory.is_dir() or any(directory.iterdir())
    ):  # fmt: skip
        raise ExportError(f"{str(directory)!r} is there already and no export", hint="give another directory")


def _replaced(directory: Path, fill: Callable[[Path], None]) -> None:
    """Fill a draft beside the directory, then let it take the directory's place."""
    _check_place(directory)
    try:
        directory.parent.mkdir(parents=True, exist_ok=True)
        work = Path(tempfile.mkdtemp(prefix=f".{directory.name}-", dir=directory.parent))
    except OSError as error:
        raise ExportError(
            f"cannot write under {str(directory.parent)!r}: {error.strerror}", hint="choose a writable directory"
        ) from error
    try:
        draft, old = work / "new", work / "old"
        draft.mkdir()
        fill(draft)
        try:
            if directory.exists():
                directory.rename(old)
            draft.rename(directory)
        except BaseException:
            # Ctrl-C too: what was there stays there.
            if old.exists() and not directory.exists():
                old.rename(directory)
            raise
    except (OSError, pl.exceptions.PolarsError) as error:
        raise ExportError(
            f"the export could not be written to {str(directory)!r}: {getattr(error, 'strerror', None) or error}",
            hint="free some space, then export again",
        ) from error
    finally:
        shutil.rmtree(work, ignore_errors=True)
