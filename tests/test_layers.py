"""The floor plan, enforced: who may import whom, how long a module may be, what it may be called."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import ltr

PACKAGE = Path(ltr.__file__).parent

# Lowest first; a room may import the rows below its own, and the siblings named.
ROWS = [
    {"client", "errors", "text", "measures", "frames", "lines", "loops", "progress"},
    {"config", "datasets", "engine", "letor", "trec"},
    {"judgments", "encoders", "rankers", "evaluation"},
    {"features", "retrieval", "simulation"},
    {"bundle", "export"},
    {"serving", "deployment", "tracking", "drift", "refresh", "scaffold"},
    {"experiment"},
    {"lifecycle"},
    {"cli"},
]
SIBLINGS = {
    "frames": {"errors"},
    "lines": {"errors"},
    "measures": {"errors"},
    "text": {"errors"},
    "datasets": {"config", "engine", "letor", "trec"},
    "export": {"bundle"},
}
# A third-party package and the one room that may import it.
OWNERS = {
    "bm25s": "retrieval",
    "elastic_transport": "engine",
    "elasticsearch": "engine",
    "lightgbm": "rankers",
    "matplotlib": "tracking",
    "mlflow": "tracking",
    "onnxruntime": "encoders",
    "optuna": "rankers",
    "orjson": "serving",
    "prometheus_client": "serving",
    "scipy": "evaluation",
    "sentence_transformers": "encoders",
    "starlette": "serving",
    "torch": "encoders",
    "transformers": "encoders",
    "typer": "cli",
    "uvicorn": "serving",
    "uvloop": "serving",
    "xgboost": "rankers",
}
BANNED = {"base", "common", "core", "helper", "helpers", "manager", "misc", "util", "utils"}
# A subpackage may be split over modules called room or room_part.
MODULES = sorted(PACKAGE.rglob("*.py"))


def room(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py").split("_")[0]


def imports(path: Path) -> set[str]:
    """Dotted names that a module imports at run time, `from a import b` as a.b."""
    found = set()
    tree = ast.parse(path.read_text(encoding="utf-8"))
    typing_only = {
        id(child)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and getattr(node.test, "id", "") == "TYPE_CHECKING"
        for child in ast.walk(node)
    }
    for node in ast.walk(tree):
        if id(node) in typing_only:
            continue
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_a_room_imports_only_what_stands_below_it(path):
    if path.parent == PACKAGE and path.name == "__init__.py":
        return  # every public room by name, lazily
    own = room(path)
    level = next(number for number, row in enumerate(ROWS) if own in row)
    allowed = {"errors", "progress", own} | SIBLINGS.get(own, set()) | set().union(*ROWS[:level])
    used = {name.split(".")[1].split("_")[0] for name in imports(path) if name.startswith("ltr.")} - {""}
    assert used <= allowed, f"{own} may not import {sorted(used - allowed)}"


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_a_heavy_package_is_imported_by_its_owner_alone(path):
    packages = {name.split(".")[0] for name in imports(path)}
    assert {OWNERS[package] for package in packages & OWNERS.keys()} <= {room(path)}


def test_every_room_of_the_package_has_its_place_in_the_plan():
    rooms = {room(path) for path in MODULES if path != PACKAGE / "__init__.py"}
    assert rooms <= set().union(*ROWS)


def test_modules_are_short_and_named_for_an_idea():
    long = {str(path): count for path in MODULES if (count := len(path.read_text(encoding="utf-8").splitlines())) > 400}
    assert not long
    assert not {path.stem for path in MODULES} & BANNED


def test_public_names_are_sorted_few_and_there():
    assert ltr.__all__ == sorted(ltr.__all__)
    assert len(ltr.__all__) <= 20
    for name in ltr.__all__:
        assert getattr(ltr, name).__name__ == f"ltr.{name}"
    with pytest.raises(AttributeError, match="no attribute 'bundel'"):
        ltr.bundel  # noqa: B018


def loaded_by(statement: str) -> set[str]:
    """Top-level packages that a fresh interpreter has loaded after a statement."""
    code = f"{statement}; import sys; print(*{{name.split('.')[0] for name in sys.modules}})"
    return set(subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout.split())


def test_import_ltr_loads_no_heavy_package_and_not_even_polars():
    assert not loaded_by("import ltr") & (OWNERS.keys() | {"polars", "numpy", "numba", "bm25s", "pydantic", "rich"})


def test_what_serving_stands_on_loads_no_training_library():
    loaded = loaded_by("import ltr.bundle, ltr.features.compute, ltr.retrieval, ltr.encoders, ltr.rankers")
    assert not loaded & {"torch", "mlflow", "lightgbm", "xgboost", "sentence_transformers", "transformers", "optuna"}
