"""README, Makefile and command line in lock-step."""

import re
import subprocess
from pathlib import Path

import pytest
from typer.main import get_command

from ltr.cli.application import app

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
SHELL = "\n".join(re.findall(r"```sh\n(.*?)```", README, flags=re.DOTALL))
VERBS = get_command(app).commands
TARGETS = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), flags=re.MULTILINE))


@pytest.mark.parametrize("verb", sorted(VERBS))
def test_every_verb_is_in_the_readme_and_has_help(verb):
    assert f"ltr {verb}" in README
    assert VERBS[verb].help


def test_every_verb_and_target_that_the_readme_names_is_there():
    assert set(re.findall(r"^ltr ([a-z-]+)", SHELL, flags=re.MULTILINE)) <= VERBS.keys()
    assert set(re.findall(r"make ([a-z-]+)", README)) - {"alone"} <= TARGETS


def test_every_target_is_listed_by_make_alone():
    listed = subprocess.run(["make", "-s"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert {line.split()[0] for line in listed.splitlines()} == TARGETS


def test_the_map_names_every_room():
    rooms = {path.stem for path in (ROOT / "ltr").iterdir() if path.suffix == ".py" or path.is_dir()}
    rooms = {room.split("_")[0] for room in rooms if not room.startswith("_")}
    unnamed = {room for room in rooms if f"ltr/{room}" not in README}
    assert unnamed <= {"errors", "frames", "config", "lines", "progress"}


def test_the_lock_names_no_address():
    assert "://" not in (ROOT / "requirements.lock").read_text(encoding="utf-8")
