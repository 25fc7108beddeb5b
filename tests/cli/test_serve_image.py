"""Dockerfile, compose.yaml and .dockerignore say what the code says."""

import re
from pathlib import Path

from ltr.serving.settings import KEYS, Settings

ROOT = Path(__file__).parents[2]
IMAGE = (ROOT / "Dockerfile").read_text(encoding="utf-8")
COMPOSE = (ROOT / "compose.yaml").read_text(encoding="utf-8")
ASSIGNED = dict(
    re.findall(r"^(\w+) \??:?= ?(.*)$", (ROOT / "Makefile").read_text(encoding="utf-8"), flags=re.MULTILINE)
)


def test_the_image_is_installed_by_the_same_uv_from_the_same_lock():
    assert f"uv=={ASSIGNED['UV_VERSION']}" in IMAGE
    assert IMAGE.count("constraint requirements.lock") == 2


def test_the_image_takes_the_files_that_it_is_made_of_and_no_others():
    copied = {
        name for line in re.findall(r"^COPY (?!--from)(.*) \S+$", IMAGE, flags=re.MULTILINE) for name in line.split()
    }
    ignored, *allowed = (ROOT / ".dockerignore").read_text(encoding="utf-8").split()
    assert ignored == "*"
    assert {name.removeprefix("!") for name in allowed if name.startswith("!")} == copied
    assert all((ROOT / name).exists() for name in copied)


def test_the_image_compiles_the_loops_that_a_service_may_run():
    compiled = set(re.findall(r"ltr\.(?:features|rankers)\.\w+", IMAGE))
    wanted = {
        f"ltr.{path.parent.name}.{path.stem}"
        for room in ("features", "rankers")
        for path in (ROOT / "ltr" / room).glob("*.py")
        if re.search(
            r"^from ltr\.loops import|^from ltr import loops", path.read_text(encoding="utf-8"), flags=re.MULTILINE
        )
    }
    assert compiled == wanted


def test_ports_and_names_of_keys_are_those_of_the_service():
    port = Settings().port
    assert f"EXPOSE {port}\n" in IMAGE
    assert f"http://127.0.0.1:{port}/health/ready" in IMAGE
    assert f'"127.0.0.1:{port}:{port}"' in COMPOSE
    assert f"{KEYS}_FILE: /run/secrets/" in COMPOSE


def test_the_container_is_closed_and_its_user_nobody_in_particular():
    assert "\nUSER ltr\n" in IMAGE
    service = COMPOSE.partition("\n  ltr:\n")[2].partition("\n\n")[0]
    for line in ("read_only: true", "cap_drop: [ALL]", '"no-new-privileges:true"', "mem_limit: ", "profiles: [serve]"):
        assert line in service
