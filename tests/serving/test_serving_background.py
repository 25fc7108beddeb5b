"""Work behind the back of who gives it: in order, within bounds, and never in the way."""

import os
import threading
import time

from ltr.serving.background import Background, write_all


def until(true, within_s=10.0):
    """Wait for something that another thread brings about."""
    end = time.monotonic() + within_s
    while not true():
        assert time.monotonic() < end, "it did not come about"
        time.sleep(0.005)


def test_work_is_done_in_the_order_given_and_all_of_it_before_closing():
    done = []
    behind = Background(lambda items: done.extend(items) or 0, name="test", most=1_000, nap_s=0.01)
    assert all(behind.put(number) for number in range(500))
    assert behind.close()
    assert done == list(range(500))
    assert behind.dropped == 0


def test_work_that_does_not_fit_is_let_go_and_counted_and_room_comes_back():
    gate, done = threading.Event(), []
    behind = Background(lambda items: gate.wait() and (done.extend(items) or 0), name="test", most=10)
    assert behind.put("first", weight=4)
    assert behind.put("second", weight=6)
    assert not behind.put("third")
    assert behind.dropped == 1
    gate.set()
    until(lambda: behind.put("fourth", weight=10))
    behind.close()
    assert done == ["first", "second", "fourth"]


def test_work_that_fails_is_counted_and_the_thread_goes_on():
    done = []

    def take(items):
        if "bad" in items:
            raise ValueError("bad")
        done.extend(items)
        return items.count("lost")

    behind = Background(take, name="test", most=10)
    for item in ("bad", "lost", "good"):
        behind.put(item)
        until(lambda: not behind._held)
    assert behind.close()
    assert done == ["lost", "good"]
    assert behind.dropped == 2


def test_closing_does_not_wait_longer_than_it_is_told_for_work_that_hangs():
    gate = threading.Event()
    behind = Background(lambda _items: gate.wait() and 0, name="test", most=10)
    behind.put("hangs")
    began = time.monotonic()
    assert not behind.close(0.05)
    assert time.monotonic() - began < 5
    assert not behind.put("too late")
    assert behind.dropped == 1
    gate.set()
    assert behind.close()


def test_nobody_who_gives_work_waits_for_it():
    gate = threading.Event()
    behind = Background(lambda _items: gate.wait() and 0, name="test", most=1_000)
    began = time.monotonic()
    for number in range(10_000):
        behind.put(number)
    assert time.monotonic() - began < 5
    assert behind.dropped == 9_000
    gate.set()
    assert behind.close()


def test_many_threads_may_give_work():
    done = []
    behind = Background(lambda items: done.extend(items) or 0, name="test", most=100_000)
    threads = [threading.Thread(target=lambda: [behind.put(n) for n in range(1_000)]) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    behind.close()
    assert sorted(done) == sorted(list(range(1_000)) * 4)


def test_one_without_work_has_no_thread_and_closes_at_once():
    before = threading.active_count()
    behind = Background(lambda _items: 0, name="test", most=1)
    assert threading.active_count() == before
    assert behind.close()


def test_writing_goes_on_where_the_system_took_a_part_and_ends_where_it_takes_no_more(tmp_path):
    data = bytes(range(256)) * 1_000
    reading, writing = os.pipe()
    read = []
    thread = threading.Thread(target=lambda: read.append(b"".join(iter(lambda: os.read(reading, 7_000), b""))))
    thread.start()
    assert write_all(writing, data) == len(data)
    os.close(writing)
    thread.join()
    assert read == [data]
    assert write_all(writing, data) == 0  # closed
    os.close(reading)
    full = os.open("/dev/full", os.O_WRONLY)
    assert write_all(full, data) == 0
    os.close(full)
