"""Elastic's minimal server from Maven Central, and the Java that runs it.

The zip is taken from Maven's own repository where somebody has fetched it before, else by ``mvn`` (as its settings and
mirrors say); either way it must have the checksum. Unzipped beside its place and renamed, it is there whole or not at all.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import tempfile
import zipfile
from pathlib import Path
from typing import Final

from ltr.errors import EngineError

__all__ = ["VERSION", "fetched", "java_home"]

VERSION: Final = "8.19.21"
_SHA256: Final = "215d5f3dbf0609a149f6218a9e47b6ae2df34ebbff3c5754e35f15a5e5393c8a"
_GROUP: Final = "org.elasticsearch.distribution.integ-test-zip"
_ZIP: Final = f"elasticsearch-{VERSION}.zip"
_OLDEST_JAVA: Final = 17
_FETCH_S: Final = 600


def fetched(cache: Path) -> Path:
    """The distribution in the cache, fetched and unzipped where it is not there yet."""
    place = cache / f"elasticsearch-{VERSION}"
    if place.is_dir():
        return place
    cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".elasticsearch-", dir=cache) as draft:
        _unzip(_found() or _by_maven(Path(draft)), Path(draft) / "unzipped")
        try:
            (Path(draft) / "unzipped" / place.name).rename(place)
        except OSError:
            # Another process was first.
            if not place.is_dir():
                raise
    return place


def java_home() -> Path:
    """The home of a Java that is new enough: that of JAVA_HOME, else of the path.

    Raises:
        EngineError: there is none.
    """
    wanted = f"install Java {_OLDEST_JAVA} or later (on Debian and Ubuntu: apt install default-jdk-headless), or set JAVA_HOME"
    given = os.environ.get("JAVA_HOME")
    program = str(Path(given) / "bin" / "java") if given else "java"
    try:
        told = subprocess.run(
            [program, "-XshowSettings:properties", "-version"], capture_output=True, text=True, check=True
        ).stderr
    except (OSError, subprocess.CalledProcessError) as error:
        raise EngineError(f"Elasticsearch needs Java, and {program!r} cannot be run", hint=wanted) from error
    version = re.search(r"java\.specification\.version = (?:1\.)?(\d+)", told)
    place = re.search(r"java\.home = (.+)", told)
    if not version or not place or int(version[1]) < _OLDEST_JAVA:
        found = f"is Java {version[1]}" if version else "does not say what it is"
        raise EngineError(f"Elasticsearch {VERSION} needs Java {_OLDEST_JAVA}, and {program!r} {found}", hint=wanted)
    return Path(place[1].strip())


def _found() -> Path | None:
    """The zip that Maven has fetched before, None where it has not, or another."""
    path = Path.home().joinpath(".m2", "repository", *_GROUP.split("."), "elasticsearch", VERSION, _ZIP)
    try:
        return path if _sha256(path) == _SHA256 else None
    except OSError:
        return None


def _by_maven(draft: Path) -> Path:
    program = shutil.which("mvn")
    if program is None:
        raise EngineError(
            "Elasticsearch is fetched by Maven, and there is no mvn",
            hint="install it (on Debian and Ubuntu: apt install maven), or set LTR_ELASTICSEARCH_URL to an engine of yours",
        )
    command = [
        program, "--quiet", "--batch-mode", "--strict-checksums", "dependency:copy",
        f"-Dartifact={_GROUP}:elasticsearch:{VERSION}:zip", f"-DoutputDirectory={draft}",
        # A repository of its own, gone with the draft: nothing is left behind in anybody's home.
        f"-Dmaven.repo.local={draft / 'repository'}",
    ]  # fmt: skip
    try:
        done = subprocess.run(
            command, cwd=draft, capture_output=True, text=True, check=False, timeout=_FETCH_S, stdin=subprocess.DEVNULL
        )
    except subprocess.TimeoutExpired as error:
        raise EngineError(
            f"mvn did not fetch Elasticsearch within {_FETCH_S} s", hint="check the network and Maven's mirrors"
        ) from error
    path = draft / _ZIP
    if done.returncode or not path.is_file():
        lines = [line for line in (done.stdout + done.stderr).splitlines() if line.startswith("[ERROR]")]
        raise EngineError(
            f"mvn could not fetch Elasticsearch {VERSION}: {(lines or ['it gives no reason'])[0][:400]}",
            hint="check the network and Maven's mirrors",
        )
    if (found := _sha256(path)) != _SHA256:
        raise EngineError(
            f"mvn fetched {_ZIP} with SHA-256 {found}, expected {_SHA256}",
            hint="check Maven's mirrors; nothing was kept",
        )
    return path


def _unzip(path: Path, place: Path) -> None:
    with zipfile.ZipFile(path) as archive:
        for info in archive.infolist():
            made = Path(archive.extract(info, place))
            # zipfile forgets modes; whoever runs the server, perhaps another user than ours, reads all of it.
            made.chmod(0o755 if info.is_dir() or info.external_attr >> 16 & 0o100 else 0o644)
    for folder in (place, *(path for path in place.rglob("*") if path.is_dir())):
        folder.chmod(0o755)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
