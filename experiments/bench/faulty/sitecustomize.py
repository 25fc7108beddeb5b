"""Read by the interpreters of workers that ``faults`` starts: their encoder and scorer fail as a file says, while it says so.

The file that LTR_BENCH_FAULTS names holds "" or a part and what it suffers: ``encoder hang``, ``scorer raise`` … Nothing of the
product knows of this; what stands around encoder and scorer is what is measured.
"""

import importlib.abc
import importlib.util
import os
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

SLOW_S = 0.1


def strike(part: str) -> str:
    """Suffer what is due; what is left to the caller is returned."""
    file = Path(os.environ["LTR_BENCH_FAULTS"])
    struck, _, kind = file.read_text(encoding="utf-8").partition(" ")
    if struck != part:
        return ""
    if kind == "raise":
        raise RuntimeError(f"{part} was told to fail")
    if kind == "slow":
        time.sleep(SLOW_S)
    while kind == "hang" and file.read_text(encoding="utf-8") == f"{part} hang":
        time.sleep(0.002)
    return kind


class Encoder:
    """An encoder, and its sufferings."""

    def __init__(self, encoder: object) -> None:
        self._encoder = encoder

    def __getattr__(self, name: str) -> object:
        return getattr(self._encoder, name)

    def encode_queries(self, texts: list[str]) -> object:
        """Encode, unless it is struck."""
        strike("encoder")
        return self._encoder.encode_queries(texts)


def faulty(load: Callable[..., object]) -> Callable[..., object]:
    """What ``load`` loads, with an encoder and a scorer that can fail."""

    def loaded(path: Path, **policy: object) -> object:
        serving = load(path, **policy)

        def score(matrix: object) -> object:
            return serving.score(matrix)[:1] if strike("scorer") == "nonsense" else serving.score(matrix)

        bundle = replace(serving.bundle, encoder=Encoder(serving.bundle.encoder))
        return replace(serving, bundle=bundle, score=score)

    return loaded


class _Loaded(importlib.abc.MetaPathFinder):
    """Puts ``faulty`` around the product's ``load`` as its module is imported."""

    def find_spec(self, name: str, path: object, target: object = None) -> object:
        if name != "ltr.serving.loaded":
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(name)
        execute = spec.loader.exec_module

        def executed(module: object) -> None:
            execute(module)
            module.load = faulty(module.load)

        spec.loader.exec_module = executed
        return spec


if "LTR_BENCH_FAULTS" in os.environ:
    sys.meta_path.insert(0, _Loaded())
