"""Where a log is read from and written to: several files, packed and damaged ones, strict reading, disks that are full."""

import gzip
import json

import pytest

from ltr.errors import DataError
from ltr.judgments import gathering, impressions
from ltr.judgments.impressions import read_log
from made.ubi import LIST, event, search


def test_packed_files_and_directories_of_several_are_one_log(tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "ubi_queries.ndjson").write_text(json.dumps(search()))
    lines = "\n".join(json.dumps(each) for each in [*LIST, event()])
    (tmp_path / "in" / "ubi_events.ndjson.gz").write_bytes(gzip.compress(lines.encode()))
    (tmp_path / "in" / "empty.jsonl").touch()
    (tmp_path / "in" / "notes.txt").write_text("no log")
    found = read_log(tmp_path / "in", directory=tmp_path / "out")
    assert (found.report.read, found.report.kept, found.report.noted) == (5, 5, {"empty_file": 1})
    several = read_log(sorted((tmp_path / "in").glob("ubi*")), directory=tmp_path / "out2")
    assert several.scan().collect().equals(found.scan().collect())


def test_a_damaged_file_is_counted_and_what_came_before_is_kept(log):
    packed = gzip.compress("\n".join(json.dumps(each) for each in LIST).encode())
    _, report = log(packed[:-12], name="log.ndjson.gz")
    assert report.dropped["file_unreadable"] == 1
    assert "cut short" in report.examples["file_unreadable"][0]


def test_strict_turns_the_report_into_an_error_and_writes_nothing(log, tmp_path):
    with pytest.raises(DataError, match="1 of 4 records are faulty: 1: the line breaks off"):
        log([*LIST, "{"], strict=True)
    assert not list(tmp_path.glob("out*/*"))


def test_strict_accepts_what_a_healthy_log_has(log):
    lines = [*LIST, event(), event(second=4), event("hover"), event("impression", product="p4", position=5_000)]
    _, report = log(lines, strict=True)
    assert report.dropped == {"other_action": 1, "beyond_max_position": 1, "repeated_click": 1}


def test_what_is_no_log_is_an_error(tmp_path):
    with pytest.raises(DataError, match="does not exist"):
        read_log(tmp_path / "nothing.ndjson", directory=tmp_path / "out")
    with pytest.raises(DataError, match="no log is given"):
        read_log([], directory=tmp_path / "out")
    (tmp_path / "in").mkdir()
    with pytest.raises(DataError, match="holds no log"):
        read_log(tmp_path / "in", directory=tmp_path / "out")
    (tmp_path / "in" / "log.xls").touch()
    with pytest.raises(DataError, match="give a mapping"):
        read_log(tmp_path / "in" / "log.xls", directory=tmp_path / "out")
    (tmp_path / "in" / "log.ndjson").touch()
    (tmp_path / "in" / "log.parquet").touch()
    with pytest.raises(DataError, match="do not make one log"):
        read_log([tmp_path / "in" / "log.ndjson", tmp_path / "in" / "log.parquet"], directory=tmp_path / "out")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "part.parquet").touch()
    with pytest.raises(DataError, match="holds Parquet files already"):
        read_log(tmp_path / "in" / "log.ndjson", directory=tmp_path / "full")


def test_a_directory_that_cannot_be_written_is_an_error(tmp_path):
    (tmp_path / "log.ndjson").write_text(json.dumps(event()))
    (tmp_path / "file").touch()
    with pytest.raises(DataError, match="could not be written"):
        read_log(tmp_path / "log.ndjson", directory=tmp_path / "file" / "out")


def test_what_was_written_goes_where_the_reading_ends_early(tmp_path, monkeypatch):
    (tmp_path / "log.ndjson").write_text(json.dumps(event()))

    def interrupted(*_):
        (tmp_path / "out" / "part-00000.parquet").touch()
        raise KeyboardInterrupt

    monkeypatch.setattr(impressions, "_written", interrupted)
    with pytest.raises(KeyboardInterrupt):
        read_log(tmp_path / "log.ndjson", directory=tmp_path / "out")
    assert not list((tmp_path / "out").iterdir())


def test_an_action_lines_id_reaches_its_record_in_the_next_block(tmp_path):
    pairs = [
        ({"index": {"_id": str(at % 50)}}, event("impression", f"s{at % 50}", second=at % 50)) for at in range(100)
    ]
    lines = [json.dumps(line) for pair in pairs for line in pair]
    (tmp_path / "log.ndjson").write_text("\n".join(lines))
    blocks = gathering.blocks
    for size in (len(lines[1]), 700, 5_000):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(gathering, "blocks", lambda path, size=size: blocks(path, size=size))
            found = read_log(tmp_path / "log.ndjson", directory=tmp_path / str(size))
        assert found.report.dropped == {"duplicate_id": 50}
