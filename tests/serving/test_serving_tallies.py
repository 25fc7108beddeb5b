"""Numbers of several processes: those of the dead stay, nothing is counted twice, and no disk is too full to count."""

import json
import os
import resource
import signal
import subprocess
import sys

import pytest

from ltr.serving.tallies import Tallies

COUNT = """
import sys
from pathlib import Path
from ltr.serving.tallies import Tallies
directory, *values = sys.argv[1:]
tallies = Tallies(len(values), Path(directory), kind="test")
for at, value in enumerate(values):
    tallies.values[at] += float(value)
print(tallies.shared, flush=True)
sys.stdin.read()
"""


@pytest.fixture
def counting(tmp_path):
    """Start a process that counts, and wait until it has; it lives until it is killed."""
    started = []

    def start(*values, limits=None):
        process = subprocess.Popen(
            [sys.executable, "-c", COUNT, str(tmp_path), *map(str, values)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            preexec_fn=limits,
        )
        started.append(process)
        process.shared = process.stdout.readline().strip() == "True"
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


def killed(process):
    process.send_signal(signal.SIGKILL)
    process.wait()


def folds(directory):
    return [path.name for path in directory.iterdir() if ".dead-" in path.name]


def test_all_processes_are_added_up_and_the_living_are_told_apart(tmp_path, counting):
    one, _other = counting(1, 10), counting(2, 20)
    killed(one)
    own = Tallies(2, tmp_path, kind="test")
    own.values[0] += 4
    read = own.read()
    assert read.sums == [1 + 2 + 4, 10 + 20]
    assert sorted(read.living) == [[2, 20], [4, 0]]


def test_files_do_not_become_more_with_each_process_that_lived(tmp_path, counting):
    for number in range(1, 6):
        killed(counting(number))
    own = Tallies(1, tmp_path, kind="test")
    assert own.read().sums == [1 + 2 + 3 + 4 + 5]
    assert len(list(tmp_path.iterdir())) == 2  # its own, and one of all the dead
    assert len(folds(tmp_path)) == 1
    assert own.read().living == [[0]]


def test_a_crash_in_the_midst_of_folding_counts_nothing_twice(tmp_path, counting):
    dead = counting(7)
    killed(dead)
    (name,) = (path.name for path in tmp_path.iterdir())
    (tmp_path / "test.dead-1").write_text(json.dumps({"of": [name], "sums": [7.0]}))
    own = Tallies(1, tmp_path, kind="test")
    assert own.read().sums == [7]
    assert folds(tmp_path) == ["test.dead-2"]
    assert not (tmp_path / name).exists()


def test_a_number_that_lives_on_in_another_process_is_no_sign_of_life(tmp_path, counting):
    dead = counting(3)
    killed(dead)
    (name,) = (path.name for path in tmp_path.iterdir())
    (tmp_path / name).rename(tmp_path / name.replace(str(dead.pid), str(os.getpid())))
    own = Tallies(1, tmp_path, kind="test")
    assert own.read() == ([3], [[0]])


def test_numbers_of_another_kind_and_other_files_are_left_alone(tmp_path, counting):
    counting(3)
    others = ["counter_12.db", "test-x-y", "test-1-abc", "test.dead-", "other-1-abc"]
    for name in others:
        (tmp_path / name).write_bytes(b"")
    own = Tallies(2, tmp_path, kind="another")
    assert own.read().sums == [0, 0]
    assert {path.name for path in tmp_path.iterdir()} >= set(others)


def test_where_nothing_can_be_written_a_process_counts_for_itself(tmp_path, counting):
    def no_files():
        resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))

    assert counting(1).shared
    assert not counting(2, limits=no_files).shared
    assert not list(tmp_path.glob("*.draft"))


def test_a_directory_that_is_not_there_or_goes_is_survived(tmp_path, caplog):
    gone = tmp_path / "gone"
    own = Tallies(1, gone, kind="test")
    assert "numbers are not shared" in caplog.text
    gone.mkdir()
    there = Tallies(1, gone, kind="test")
    for path in gone.iterdir():
        path.unlink()
    gone.rmdir()
    for tallies in (own, there):
        tallies.values[0] += 2
        assert tallies.read() == ([2], [[2]])


def test_two_may_read_and_fold_at_once(tmp_path, counting):
    living = counting(5)
    for _ in range(10):
        killed(counting(1))
    readers = [Tallies(1, tmp_path, kind="test") for _ in range(3)]
    assert [reader.read().sums for reader in readers] == [[15], [15], [15]]
    killed(living)
    assert readers[0].read() == ([15], [[0], [0], [0]])
