"""Connections as a server of ours keeps them: over real sockets, around the smallest of applications."""

import asyncio
import contextlib
import os
import socket

import pytest
import uvloop

from ltr.serving import connections
from ltr.serving.connections import MAX_HEAD, Server, configured

ASK = b"POST /rerank HTTP/1.1\r\nHost: here\r\nContent-Length: 4\r\n\r\n"


async def application(scope, receive, send):
    """Answers with the body that it got, when it has it all."""
    if scope["type"] == "lifespan":
        while (await receive())["type"] != "lifespan.shutdown":
            await send({"type": "lifespan.startup.complete"})
        await send({"type": "lifespan.shutdown.complete"})
        return
    body = b""
    while (message := await receive())["type"] == "http.request":
        body += message["body"]
        if not message["more_body"]:
            break
    head = {"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % len(body))]}
    await send(head)
    await send({"type": "http.response.body", "body": body})


@contextlib.asynccontextmanager
async def served(*, head_s=30.0, grace_s=5, awake=True):
    """A server that runs, and a way to connect to it."""
    listener = socket.create_server(("127.0.0.1", 0))
    listener.setblocking(False)
    server = Server(configured(application), listener, head_s=head_s, grace_s=grace_s)
    running = asyncio.create_task(server.serve())
    while not server.started:
        await asyncio.sleep(0.01)
    if awake:
        await server.wake()
    writers = []

    async def connect():
        reader, writer = await asyncio.open_connection(*listener.getsockname())
        writers.append(writer)
        return reader, writer

    try:
        yield server, connect, running
    finally:
        server.stop()
        for writer in writers:
            writer.close()
        await running
        listener.close()


def run(work):
    return uvloop.run(asyncio.wait_for(work(), 30))


async def answer(reader):
    head = await reader.readuntil(b"\r\n\r\n")
    length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
    return head.lower(), await reader.readexactly(length)


def test_a_connection_is_kept_for_the_next_request_and_closed_with_an_answer_at_rest():
    async def work():
        async with served() as (server, connect, _):
            reader, writer = await connect()
            for _ in range(2):
                writer.write(ASK + b"1234")
                head, body = await answer(reader)
                assert body == b"1234"
                assert b"connection: close" not in head
            server.rest()
            writer.write(ASK + b"5678")
            head, body = await answer(reader)
            assert body == b"5678"
            assert b"connection: close" in head
            assert await reader.read() == b""

    run(work)


def test_who_connects_to_a_server_at_rest_is_answered_when_it_wakes():
    async def work():
        async with served(awake=False) as (server, connect, _):
            reader, writer = await connect()
            writer.write(ASK + b"1234")
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(answer(reader), 0.3)
            await server.wake()
            await server.wake()  # twice is once
            writer.write(b"")
            head = await reader.readuntil(b"\r\n\r\n")
            assert b"connection: close" not in head.lower()

    run(work)


def test_two_servers_take_turns_on_one_socket_and_nobody_is_refused():
    async def work():
        async with served() as (first, connect, _):
            second = Server(configured(application), first._listener, head_s=30, grace_s=5)
            running = asyncio.create_task(second.serve())
            while not second.started:
                await asyncio.sleep(0.01)
            asked = 0

            async def ask():
                nonlocal asked
                while not done:
                    reader, writer = await connect()
                    writer.write(ASK + b"1234")
                    assert (await answer(reader))[1] == b"1234"
                    writer.close()
                    asked += 1

            done = False
            asking = [asyncio.create_task(ask()) for _ in range(4)]
            for _ in range(10):
                await second.wake()
                first.rest()
                await asyncio.sleep(0.02)
                await first.wake()
                second.rest()
                await asyncio.sleep(0.02)
            done = True
            await asyncio.gather(*asking)
            assert asked > 20
            second.stop()
            await running

    run(work)


def test_going_to_rest_and_waking_leaves_nothing_open():
    async def work():
        async with served() as (server, _connect, _):
            counts = []
            for _ in range(4):
                for _ in range(10):
                    server.rest()
                    await server.wake()
                await asyncio.sleep(0.05)
                counts.append(len(os.listdir("/proc/self/fd")))
            assert counts[0] == counts[-1]

    run(work)


def test_a_stop_waits_for_the_request_that_has_begun_and_for_no_idle_connection():
    async def work():
        async with served() as (server, connect, running):
            idle = await connect()
            reader, writer = await connect()
            writer.write(ASK + b"12")
            await asyncio.sleep(0.2)
            server.stop()
            assert await idle[0].read() == b""
            writer.write(b"34")
            head, body = await answer(reader)
            assert body == b"1234"
            assert b"connection: close" in head
            await running

    run(work)


def test_a_stop_waits_no_longer_than_its_grace():
    async def work():
        async with served(grace_s=1) as (server, connect, running):
            _, writer = await connect()
            writer.write(ASK + b"12")
            await asyncio.sleep(0.2)
            server.stop()
            await asyncio.wait_for(running, 10)

    run(work)


def test_who_leaves_waits_until_the_last_has_been_answered():
    async def work():
        async with served() as (server, connect, running):
            reader, writer = await connect()
            writer.write(ASK + b"1234")
            await answer(reader)
            leaving = asyncio.create_task(server.leave(20))
            await asyncio.sleep(0.5)
            assert not leaving.done()
            writer.write(ASK + b"1234")
            assert b"connection: close" in (await answer(reader))[0]
            await leaving
            await running

    run(work)


def test_who_leaves_waits_for_silence_only_so_long():
    async def work():
        async with served() as (server, connect, running):
            reader, _ = await connect()
            await asyncio.sleep(0.1)
            await server.leave(0.2)
            await running
            assert await reader.read() == b""

    run(work)


@pytest.mark.parametrize("begun", [b"", b"1"], ids=["the first", "a later one"])
def test_a_request_whose_head_does_not_end_is_hung_up_on(begun):
    async def work():
        async with served(head_s=0.3) as (_, connect, _running):
            reader, writer = await connect()
            if begun:
                writer.write(ASK + b"1234")
                await answer(reader)
                await asyncio.sleep(0.8)  # idle for as long as it likes
            writer.write(b"POST /rerank HTTP/1.1\r\nHost: ")
            assert await asyncio.wait_for(reader.read(), 5) == b""

    run(work)


def test_a_head_that_arrives_in_small_pieces_is_read():
    async def work():
        async with served() as (_, connect, _running):
            reader, writer = await connect()
            for at in range(len(ASK)):
                writer.write(ASK[at : at + 1])
                await writer.drain()
                await asyncio.sleep(0.002)
            writer.write(b"1234")
            assert (await answer(reader))[1] == b"1234"

    run(work)


def test_a_head_without_end_is_refused():
    async def work():
        async with served() as (server, connect, _running):
            reader, writer = await connect()
            writer.write(b"GET / HTTP/1.1\r\n")
            with contextlib.suppress(ConnectionError):
                for at in range(MAX_HEAD // 1_000 + 2):
                    writer.write(b"x-%d: " % at + b"y" * 1_000 + b"\r\n")
                    await writer.drain()
                    await asyncio.sleep(0)
            assert (await reader.readline()).startswith(b"HTTP/1.1 400")
            await asyncio.sleep(0.1)
            assert server.connections == 0

    run(work)


def test_a_body_larger_than_a_head_may_be_is_no_head():
    async def work():
        async with served() as (_, connect, _running):
            reader, writer = await connect()
            body = b"x" * (3 * MAX_HEAD)
            writer.write(ASK.replace(b"4\r\n\r\n", b"%d\r\n\r\n" % len(body)) + body)
            assert (await answer(reader))[1] == body

    run(work)


def test_a_client_that_has_gone_leaves_no_connection_behind():
    async def work():
        async with served() as (server, connect, _running):
            for sent in (b"", ASK, ASK + b"12", ASK + b"1234", b"\x16\x03\x01nonsense\r\n\r\n"):
                _, writer = await connect()
                writer.write(sent)
                await writer.drain()
                writer.transport.abort()
            while server.connections:
                await asyncio.sleep(0.05)

    run(work)


def test_a_client_that_does_not_read_its_answer_is_let_go(monkeypatch):
    monkeypatch.setattr(connections, "KEEP_ALIVE_S", 0.3)

    async def work():
        async with served() as (server, connect, _running):
            _, writer = await connect()
            writer.transport.pause_reading()
            body = b"x" * 30_000_000
            writer.write(ASK.replace(b"4\r\n\r\n", b"%d\r\n\r\n" % len(body)))
            writer.write(body)
            await writer.drain()
            while not server.connections:
                await asyncio.sleep(0.05)
            while server.connections:
                await asyncio.sleep(0.05)

    run(work)


def test_each_second_who_wants_to_know_is_told():
    async def work():
        async with served() as (server, _connect, _running):
            told = asyncio.Event()
            server.each_second = told.set
            await told.wait()

    run(work)
