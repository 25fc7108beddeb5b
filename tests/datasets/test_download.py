import errno
import hashlib
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from ltr.datasets.download import Remote, cache_home, fetch, locate
from ltr.errors import ConfigError, DownloadError

CONTENT = bytes(range(256)) * 12_000  # 3 MB: more than one chunk
SHA256 = hashlib.sha256(CONTENT).hexdigest()


class Server(ThreadingHTTPServer):
    """One file, served whole or in ranges, well or badly."""

    content = CONTENT
    etag: str | None = '"one"'
    ranges = True  # False = Range is ignored
    cut: int | None = None  # bytes after which the connection is closed
    status = 200
    asked: list

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_port}/file.bin"


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        server = self.server
        server.asked.append(dict(self.headers))
        if server.status != 200:
            return self.send_error(server.status)
        wanted = self.headers.get("Range") if server.ranges else None
        if wanted and self.headers.get("If-Range", server.etag) != server.etag:
            wanted = None
        start = int(wanted.removeprefix("bytes=").removesuffix("-")) if wanted else 0
        if start >= len(server.content):
            return self.send_error(416)
        body = server.content[start:]
        self.send_response(206 if wanted else 200)
        if wanted:
            self.send_header("Content-Range", f"bytes {start}-{len(server.content) - 1}/{len(server.content)}")
        if server.etag:
            self.send_header("ETag", server.etag)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body[: server.cut])
        return None

    def log_message(self, *_arguments):
        pass


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with Server(("127.0.0.1", 0), Handler) as running:
        running.asked = []
        thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield running
        running.shutdown()
        thread.join()


def get(server, directory, sha256=SHA256):
    return fetch("file.bin", server.url, sha256, directory=directory, quiet=True, timeout=5)


def cut_off(server, directory, sha256=SHA256, *, after=1_500_000):
    server.cut = after
    with pytest.raises(
        DownloadError, match=f"cut off after {after:,} of {len(CONTENT):,} bytes; .* goes on from there"
    ):
        get(server, directory, sha256)
    server.cut = None
    server.asked.clear()


def names(directory):
    return sorted(path.name for path in directory.iterdir())


def test_a_file_arrives_whole_and_is_fetched_once(server, tmp_path):
    path = get(server, tmp_path / "new" / "folder")
    assert path.read_bytes() == CONTENT
    assert names(path.parent) == ["file.bin", "file.bin.sha256"]
    assert (path.parent / "file.bin.sha256").read_text() == f"{SHA256}  file.bin\n"  # what sha256sum -c reads
    assert get(server, path.parent) == path
    assert len(server.asked) == 1


def test_a_cut_download_goes_on_where_it_stopped(server, tmp_path):
    cut_off(server, tmp_path)
    assert (tmp_path / "file.bin.part").stat().st_size == 1_500_000
    assert not (tmp_path / "file.bin").exists()
    assert get(server, tmp_path).read_bytes() == CONTENT
    assert server.asked[0]["Range"] == "bytes=1500000-"
    assert names(tmp_path) == ["file.bin", "file.bin.sha256"]


def test_a_server_that_ignores_range_restarts_the_file(server, tmp_path):
    cut_off(server, tmp_path)
    server.ranges = False
    assert get(server, tmp_path).read_bytes() == CONTENT


def test_a_file_that_changed_between_two_attempts_is_not_spliced(server, tmp_path):
    cut_off(server, tmp_path, None)
    server.content, server.etag = CONTENT[::-1], '"two"'
    assert get(server, tmp_path, None).read_bytes() == CONTENT[::-1]


@pytest.mark.parametrize("etag", [None, 'W/"one"'])
def test_without_checksum_and_version_a_part_is_not_continued(server, tmp_path, etag):
    server.etag = etag
    cut_off(server, tmp_path, None)
    assert get(server, tmp_path, None).read_bytes() == CONTENT
    assert "Range" not in server.asked[0]


def test_a_part_that_is_already_whole_is_taken(server, tmp_path):
    (tmp_path / "file.bin.part").write_bytes(CONTENT)
    assert get(server, tmp_path).read_bytes() == CONTENT


def test_a_part_that_is_something_else_is_found_out_and_removed(server, tmp_path):
    (tmp_path / "file.bin.part").write_bytes(b"?" * 100)
    with pytest.raises(DownloadError, match=f"expected {SHA256}; what came was deleted; run the command again"):
        get(server, tmp_path)
    assert get(server, tmp_path).read_bytes() == CONTENT


def test_a_wrong_checksum_leaves_nothing_behind(server, tmp_path):
    with pytest.raises(DownloadError, match=f"SHA-256 {SHA256}, expected {'0' * 64}.*has changed at its source"):
        get(server, tmp_path, "0" * 64)
    assert not (tmp_path / "file.bin").exists()
    assert not (tmp_path / "file.bin.part").exists()


def test_without_a_published_checksum_the_first_download_is_trusted_and_held_to(server, tmp_path):
    path = get(server, tmp_path, None)
    path.unlink()
    server.content = CONTENT[::-1]
    with pytest.raises(DownloadError, match=f"expected {SHA256}"):
        get(server, tmp_path, None)


def test_a_downloaded_file_that_was_changed_is_refused(server, tmp_path):
    path = get(server, tmp_path)
    path.write_bytes(b"damaged")
    with pytest.raises(
        DownloadError, match=f"has changed since it was downloaded .*recorded {SHA256}.*delete it and file.bin.sha256"
    ):
        get(server, tmp_path)


def test_a_file_put_there_by_hand_is_taken_as_it_is(server, tmp_path):
    (tmp_path / "file.bin").write_bytes(b"my own sample")
    assert get(server, tmp_path).read_bytes() == b"my own sample"
    assert not server.asked


@pytest.mark.parametrize("status", [404, 403, 503])
def test_a_refusal_of_the_server_is_told(server, tmp_path, status):
    server.status = status
    with pytest.raises(DownloadError, match=f"file.bin answered {status} .*; the address may have moved"):
        get(server, tmp_path)
    assert names(tmp_path) == []


def test_no_server_at_all_is_told(server, tmp_path):
    server.shutdown()
    server.server_close()
    with pytest.raises(DownloadError, match=r"cannot be reached: .*refused; check the network"):
        get(server, tmp_path)


def test_a_full_disk_is_told(server, tmp_path):
    # Linux's own full device: every write to it fails with ENOSPC.
    (tmp_path / "file.bin.part").symlink_to("/dev/full")
    with pytest.raises(DownloadError, match=r"the disk is full: .*; free some space, or set LTR_CACHE_HOME") as raised:
        get(server, tmp_path)
    assert raised.value.__cause__.errno == errno.ENOSPC
    assert not (tmp_path / "file.bin").exists()


def test_a_directory_that_cannot_be_made_is_told(server, tmp_path):
    (tmp_path / "taken").write_text("a file, not a directory")
    with pytest.raises(DownloadError, match=r"taken cannot be written to: .*; set LTR_CACHE_HOME"):
        get(server, tmp_path / "taken")


@pytest.fixture
def places(monkeypatch, tmp_path):
    """LTR_DATA_HOME and the cache, both empty."""
    monkeypatch.setenv("LTR_DATA_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("LTR_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path


def put(directory, *files):
    directory.mkdir(parents=True, exist_ok=True)
    for file in files:
        (directory / file).write_bytes(b"here")
    return directory


def test_files_are_looked_for_in_the_path_then_at_home_then_in_the_cache_then_fetched(server, places):
    files = (Remote("file.bin", server.url, SHA256), Remote("two.bin", server.url))
    cached = places / "cache" / "datasets" / "films"
    assert locate("films", files, quiet=True) == cached
    assert len(server.asked) == 2
    assert locate("films", files, quiet=True) == cached
    assert len(server.asked) == 2
    home = put(places / "home" / "films", "file.bin", "two.bin")
    assert locate("films", files) == home
    path = put(places / "mine", "file.bin", "two.bin")
    assert locate("films", files, path=path) == path


def test_the_first_complete_folder_at_home_is_taken(server, places):
    files = (Remote("file.bin", server.url), Remote("two.bin", server.url))
    put(places / "home" / "full", "file.bin")
    sample = put(places / "home" / "sample", "file.bin", "two.bin")
    assert locate("films", files, folders=("full", "sample")) == sample


def test_a_path_that_lacks_a_file_is_a_fault_of_the_configuration(places):
    path = put(places / "mine", "file.bin")
    with pytest.raises(ConfigError, match=r"\[data\] path = '.*mine' lacks two.bin; put them there"):
        locate("films", (Remote("file.bin", "http://x"), Remote("two.bin", "http://y")), path=path)


def test_without_files_and_network_the_error_says_all_there_is_to_do(server, places, monkeypatch):
    server.shutdown()
    server.server_close()
    with pytest.raises(DownloadError) as raised:
        locate("films", (Remote("file.bin", server.url), Remote("two.bin", "http://y")), folders=("full",), quiet=True)
    message = str(raised.value)
    for part in (
        f"file.bin (from {server.url}) and two.bin (from http://y)",
        f"into {places / 'cache' / 'datasets' / 'films'}",
        "a folder 'full' of a directory that LTR_DATA_HOME names",
        "[data] path",
        str(places / "home"),
    ):
        assert part in message
    monkeypatch.delenv("LTR_DATA_HOME")
    with pytest.raises(DownloadError, match=r"not under LTR_DATA_HOME \(not set\)"):
        locate("films", (Remote("file.bin", server.url),), quiet=True)


def test_the_cache_is_in_the_users_own_unless_the_variable_says_otherwise(monkeypatch, tmp_path):
    monkeypatch.delenv("LTR_CACHE_HOME", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cache_home() == tmp_path / ".cache" / "ltr"
