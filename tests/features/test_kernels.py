import importlib
import subprocess
import sys

import pytest

from ltr.errors import MissingExtraError


def test_kernels_without_numba_say_which_extra_brings_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "numba", None)
    monkeypatch.delitem(sys.modules, "ltr.features.kernels", raising=False)
    with pytest.raises(MissingExtraError, match=r"numba is not installed; pip install 'ltr\[serve\]'"):
        importlib.import_module("ltr.features.kernels")


def test_numba_is_loaded_by_the_first_feature_that_needs_it_and_not_before():
    code = "import ltr.features.compute, ltr.features.state, sys; print('numba' in sys.modules)"
    found = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert found.stdout.strip() == "False"
