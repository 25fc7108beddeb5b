"""The room's contract: saved rankers come back whole, and what is not one is refused before a library reads it."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest

from ltr import rankers
from ltr.errors import RankerError
from ltr.rankers import saved

SAVED = saved.Saved("lightgbm", "4.6.0", ("price", "title_bm25"), 12, "tree\nend of trees\n")


def test_what_is_written_is_read_back(tmp_path: Path) -> None:
    saved.write(SAVED, tmp_path / "ranker")
    assert saved.read(tmp_path / "ranker") == SAVED


def test_equal_rankers_give_equal_bytes(tmp_path: Path) -> None:
    for name in ("a", "b"):
        saved.write(SAVED, tmp_path / name)
    for file in ("ranker.txt", "ranker.json"):
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes()


@pytest.mark.parametrize("file", ["ranker.txt", "ranker.json"])
def test_an_absent_file_is_named(tmp_path: Path, file: str) -> None:
    saved.write(SAVED, tmp_path)
    (tmp_path / file).unlink()
    with pytest.raises(RankerError, match=rf"{file} cannot be read: No such file.*; fit it again"):
        rankers.restore(tmp_path)


def test_a_truncated_text_is_refused_before_lightgbm_sees_it(tmp_path: Path) -> None:
    saved.write(SAVED, tmp_path)
    (tmp_path / "ranker.txt").write_text(SAVED.text[:-4])
    with pytest.raises(RankerError, match=r"ranker\.txt is not the text that was saved"):
        rankers.restore(tmp_path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"library": "lightgbn"}, "library 'lightgbn' is unknown; did you mean 'lightgbm'"),
        ({"format": 99}, "has format 99, newer than 1; use a newer release"),
        ({"format": None}, "is not a ranker's header"),
        ({"features": None}, "is not a ranker's header"),
    ],
)
def test_a_header_that_is_not_ours_is_refused(tmp_path: Path, change: dict[str, object], message: str) -> None:
    saved.write(SAVED, tmp_path)
    path = tmp_path / "ranker.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(RankerError, match=message):
        rankers.restore(tmp_path)


@pytest.mark.parametrize("text", ["", "[]", '{"library": 3}', "{"])
def test_json_that_is_no_header_is_refused(tmp_path: Path, text: str) -> None:
    saved.write(SAVED, tmp_path)
    (tmp_path / "ranker.json").write_text(text)
    with pytest.raises(RankerError, match="is not a ranker's header"):
        rankers.restore(tmp_path)


def test_fitted_carries_what_was_kept_out() -> None:
    class Constant:
        features = ("price",)

        def predict(self, matrix: np.ndarray) -> np.ndarray:
            return np.zeros(len(matrix))

        def importance(self) -> dict[str, float]:
            return {"price": 0.0}

        def save(self, directory: Path) -> None: ...

    fitted = rankers.Fitted(Constant(), 1, [0.5], 0.1)
    assert fitted.dropped == {}
    with pytest.raises(dataclasses.FrozenInstanceError):
        fitted.rounds = 2  # type: ignore[misc]
