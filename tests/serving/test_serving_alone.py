"""What `pip install 'ltr[serve]'` brings is enough to serve, and nothing that fits rankers is among it."""

import json
import re
from importlib import metadata

import pytest
from packaging.requirements import Requirement

from made.service import environment, serving

TRAINING = {
    "lightgbm", "matplotlib", "mlflow", "onnx", "optuna", "scipy", "sentence_transformers", "torch", "transformers", "xgboost",
}  # fmt: skip

# Read by each Python that starts: whatever the extra does not bring is not there.
ABSENT = """
import sys

class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in NAMES:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Absent())
"""


def folded(name):
    return re.sub(r"[-_.]+", "-", name).lower()


def closure(extra):
    """The distributions that an extra of ltr brings here, its dependencies' dependencies among them."""
    found, waiting = set(), [("ltr", extra)]
    while waiting:
        name, wanted = waiting.pop()
        if (name, wanted) in found:
            continue
        found.add((name, wanted))
        for line in metadata.requires(name) or []:
            required = Requirement(line)
            if required.marker is None or required.marker.evaluate({"extra": wanted}):
                waiting += [(folded(required.name), extra) for extra in ("", *required.extras)]
    return {name for name, _ in found}


def absent():
    """Modules of the distributions that are installed and that the extra does not bring."""
    brought = closure("serve") | closure("")
    return {
        module
        for module, distributions in metadata.packages_distributions().items()
        if not {folded(name) for name in distributions} & brought
    }


def test_the_extra_brings_no_library_that_fits_rankers():
    assert not {folded(name) for name in TRAINING} & closure("serve")
    assert {"bm25s", "numba", "numpy", "onnxruntime", "polars", "starlette", "tokenizers", "uvicorn"} <= closure(
        "serve"
    )


@pytest.mark.parametrize("of", ["small_bundle", "counted_bundle"])
def test_a_bundle_is_served_where_nothing_else_is_installed(of, request, tmp_path_factory):
    home = tmp_path_factory.mktemp("alone")
    names = absent()
    assert names >= TRAINING | {"pytest", "hypothesis"}
    (home / "sitecustomize.py").write_text(f"NAMES = {sorted(names)!r}\n{ABSENT}", encoding="utf-8")
    env = environment(home, PYTHONPATH=str(home))
    with serving(request.getfixturevalue(of), env=env) as service:
        asked = {"query": "red shoes", "depth": 20, "deadline_ms": 10_000}
        status, found = service.ask("POST", "/search", asked)
        assert status == 200, found
        assert found["candidates"] > 1
        assert not found["degraded"], json.dumps(found)
        ids = [one["product_id"] for one in found["results"]]
        status, told = service.ask("POST", "/explain", {"query": "red shoes", "candidates": ids, "deadline_ms": 10_000})
        assert status == 200
        assert all("contributions" in one for one in told["results"])
        assert service.ask("GET", "/version")[0] == 200
        assert service.end() == 0


def test_an_import_that_the_extra_does_not_bring_fails_there(tmp_path):
    import subprocess
    import sys

    (tmp_path / "sitecustomize.py").write_text(f"NAMES = {sorted(absent())!r}\n{ABSENT}", encoding="utf-8")
    env = environment(tmp_path, PYTHONPATH=str(tmp_path))
    for name in sorted(TRAINING):
        code = f"import {name}"
        ended = subprocess.run([sys.executable, "-P", "-c", code], env=env, capture_output=True, text=True)
        assert f"No module named '{name}'" in ended.stderr
