import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import ltr
from ltr.loops import compiled


def run(code, package, **environment):
    command = [sys.executable, "-W", "error", "-c", code]
    found = subprocess.run(
        command, cwd=package.parent, env={**os.environ, "PYTHONPATH": str(package.parent), **environment},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert found.returncode == 0, found.stderr
    return found.stdout.strip()


@pytest.fixture
def package(tmp_path):
    target = tmp_path / "site" / "ltr"
    shutil.copytree(Path(ltr.__file__).parent, target, ignore=shutil.ignore_patterns("__pycache__"))
    return target


def test_an_installation_that_nothing_can_be_written_to_compiles_its_loops_for_the_process(package, tmp_path):
    # A file where a directory of the cache would be: whoever runs this, even root, cannot write there.
    for room in ("features", "rankers"):
        (package / room / "__pycache__").write_text("")
    (tmp_path / "home").write_text("")
    nowhere = str(tmp_path / "home" / "cache")
    code = "from ltr.loops import compiled\nfrom ltr.rankers import shap\nprint(shap._integrate.signatures != [])"
    environment = {"HOME": nowhere, "XDG_CACHE_HOME": nowhere, "PYTHONDONTWRITEBYTECODE": "1"}
    environment.pop("NUMBA_CACHE_DIR", None)
    assert run(code, package, **environment) == "True"
    assert list(tmp_path.rglob("*.nbi")) == []


def test_loops_that_are_kept_damaged_are_compiled_again(package, tmp_path):
    cache = tmp_path / "cache"
    code = "from ltr.rankers import shap\nprint(len(shap._integrate.signatures))"
    assert run(code, package, NUMBA_CACHE_DIR=str(cache)) == "1"
    kept = list(cache.rglob("*.nbi"))
    assert kept
    for index in kept:
        index.write_bytes(b"torn")
    assert run(code, package, NUMBA_CACHE_DIR=str(cache)) == "1"


def test_a_fault_of_the_loop_itself_is_raised():
    def wrong(out):
        out[0] = "text"

    with pytest.raises(Exception, match="setitem"):
        compiled("void(f8[::1])")(wrong)


def test_a_loop_without_a_signature_is_compiled_for_what_it_is_first_given():
    @compiled(kept=False)
    def doubled(values):
        return 2 * values

    assert doubled(np.float64(1.5)) == 2 * 1.5
    assert len(doubled.signatures) == 1
