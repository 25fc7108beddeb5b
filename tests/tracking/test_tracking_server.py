"""Where a tracking server is: addresses without secrets, and a quick answer when it cannot be written to."""

from __future__ import annotations

import socket
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from ltr.errors import TrackingError
from ltr.tracking import masked, opened_by
from ltr.tracking.server import artifacts_beside, check_reachable, database_file


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("https://ltr:s3cret@mlflow.example/x", "https://***@mlflow.example/x"),
        ("postgresql+psycopg2://u:p@ss:w/rd@db:5432/mlflow", "postgresql+psycopg2://***@db:5432/mlflow"),
        ("refused 'http://u:s3cret@a' and 'http://u:s3cret@b'", "refused 'http://***@a' and 'http://***@b'"),
        ("https://mlflow.example?api_key=s3cret&x=1", "https://mlflow.example?api_key=***&x=1"),
        ("sqlite:///mlflow.db", "sqlite:///mlflow.db"),
        ("mail me@example.org", "mail me@example.org"),
    ],
)
def test_credentials_are_masked(text: str, shown: str) -> None:
    assert masked(text) == shown


def test_what_opens_the_ui_is_a_command_or_an_address(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert opened_by("sqlite:///mlflow.db") == f"mlflow ui --backend-store-uri sqlite:///{tmp_path}/mlflow.db"
    assert opened_by("https://u:p@mlflow.example") == "https://***@mlflow.example"
    assert opened_by("sqlite:////a b/mlflow.db") == "mlflow ui --backend-store-uri 'sqlite:////a b/mlflow.db'"


@pytest.mark.parametrize(
    ("uri", "file"),
    [
        ("sqlite:///x.db", "x.db"),
        ("sqlite:////a/x.db", "/a/x.db"),
        ("sqlite:////a/x%20y.db?timeout=3", "/a/x y.db"),
        ("sqlite:///file:x.db?mode=ro&uri=true", "x.db"),
        ("sqlite:///:memory:", None),
        ("http://mlflow.example", None),
    ],
)
def test_the_file_of_a_sqlite_uri(uri: str, file: str | None) -> None:
    assert database_file(uri) == (Path(file).absolute() if file else None)


def test_files_are_kept_beside_the_database() -> None:
    assert artifacts_beside(Path("/a b/mlflow.db"), "shop") == "file:///a%20b/mlruns/shop"


def test_a_database_that_can_be_written_is_reachable(tmp_path: Path) -> None:
    check_reachable(f"sqlite:///{tmp_path}/new/mlflow.db")
    assert (tmp_path / "new").is_dir()
    check_reachable("http://not-asked-here.invalid")


def test_a_locked_database_is_told_at_once(tmp_path: Path) -> None:
    file = tmp_path / "mlflow.db"
    with closing(sqlite3.connect(file, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(TrackingError, match="database is locked; another program is writing"):
            check_reachable(f"sqlite:///{file}", timeout=0.05)


def test_a_file_that_is_no_database_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "mlflow.db"
    file.write_text("not a database " * 100)
    with pytest.raises(TrackingError, match="file is not a database; move the file away"):
        check_reachable(f"sqlite:///{file}")


@pytest.mark.parametrize("path", ["file/mlflow.db", "folder"])
def test_a_place_that_cannot_be_written_is_refused(tmp_path: Path, path: str) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "folder").mkdir()
    with pytest.raises(TrackingError, match=r"cannot be written: .*; set tracking\.uri to a file"):
        check_reachable(f"sqlite:///{tmp_path}/{path}")


@pytest.fixture
def closed_port() -> Iterator[int]:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        yield int(listener.getsockname()[1])


def test_a_database_server_that_is_down_is_told_without_its_password(closed_port: int) -> None:
    with pytest.raises(TrackingError, match=r"no database answers at postgresql://\*\*\*@127\.0\.0\.1") as raised:
        check_reachable(f"postgresql://ltr:s3cret@127.0.0.1:{closed_port}/mlflow")
    assert "s3cret" not in str(raised.value)
