"""The channel between the supervisor and a worker, over real sockets."""

import asyncio
import socket

import pytest

from ltr.serving.control import MAX_LINE, Channel, Outcome, told


def over(work):
    """Do some work with both ends of a channel."""

    async def whole():
        ours, theirs = socket.socketpair()
        near, far = await Channel.over(ours), await Channel.over(theirs)
        try:
            return await work(near, far)
        finally:
            near.close()
            far.close()

    return asyncio.run(whole())


def test_messages_arrive_whole_and_in_order():
    messages = [{"do": "wake", "id": 1}, {"start": {"bundle": "/bundles/été\n", "keys": ["k" * 50_000]}}, {}]

    async def work(near, far):
        for message in messages:
            near.send(message)
        return [await far.receive() for _ in messages]

    assert over(work) == messages


@pytest.mark.parametrize(
    "line",
    [b"nonsense\n", b"[1]\n", b'{"do": "wake"', b'"wake"\n', b"\xff\n", b"9" * (MAX_LINE + 1) + b"\n", b"\n"],
    ids=["no JSON", "a list", "cut off", "a text", "no UTF-8", "too long", "nothing"],
)
def test_nonsense_is_as_good_as_a_closed_channel(line):
    async def work():
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        channel = await Channel.over(theirs)
        writing = asyncio.create_task(asyncio.get_running_loop().sock_sendall(ours, line))
        await asyncio.sleep(0)
        if not line.endswith(b"\n"):
            await writing
            ours.close()
        received = await channel.receive()
        writing.cancel()
        channel.close()
        ours.close()
        return received

    assert asyncio.run(work()) is None


def test_a_channel_whose_other_end_has_gone_is_told_nothing_and_says_so():
    async def work(near, far):
        far.close()
        received = await near.receive()
        near.send({"do": "wake"})
        near.close()
        near.send({"do": "wake"})
        return received

    assert over(work) is None


def test_what_was_sent_before_hanging_up_arrives():
    async def work(near, far):
        near.send({"failed": "x" * 200_000})
        receiving = asyncio.create_task(far.receive())
        await near.sent()
        return await receiving

    assert over(work) == {"failed": "x" * 200_000}


def test_an_outcome_comes_back_as_it_was():
    outcome = Outcome(False, "a reload is under way", {"products": 24, "as_of": None})
    message = told(outcome, 3)
    assert message["id"] == 3
    assert Outcome(**message["answer"]) == outcome
