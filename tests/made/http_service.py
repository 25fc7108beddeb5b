"""The application asked in this process, over ASGI as a server speaks it: no socket, and one event loop that is kept."""

import asyncio
import json
from dataclasses import replace

import httpx

from ltr.serving.answering import Answering
from ltr.serving.app import app
from ltr.serving.asked import Told
from ltr.serving.settings import Settings

# A shared machine may pause for longer than a shop would wait.
PATIENT = Settings(deadline_ms=60_000.0, people_ms=60_000.0, most_ms=60_000.0)
KEY, OTHER_KEY, ADMIN_KEY = "first-of-two-keys", "second-of-two-keys", "the-key-of-an-admin"


class Service:
    """An application and its caller.

    `answering` replaces what answers: a function of the loaded bundle's Answering, for faults.
    """

    def __init__(self, serving, *, settings=PATIENT, told=None, control=None, answering=lambda real: real, **changes):
        self.settings = replace(settings, **changes)
        self.runner = asyncio.Runner()
        self.real = Answering(serving, self.settings)
        self.app = app(answering(self.real), self.settings, told=told or Told(), control=control)
        self.client = httpx.AsyncClient(transport=httpx.ASGITransport(self.app), base_url="http://shop")

    def __enter__(self):
        return self

    def __exit__(self, *_error):
        self.runner.run(self.client.aclose())
        self.real.close()
        self.runner.close()

    def ask(self, method, path, **keys):
        """What httpx.request takes; the answer."""
        return self.runner.run(self.client.request(method, path, **keys))

    def get(self, path, **keys):
        return self.ask("GET", path, **keys)

    def post(self, path, value=None, **keys):
        """Ask with a JSON value."""
        return self.ask("POST", path, content=json.dumps(value).encode(), **keys)

    def send(self, path, body, **keys):
        """Ask with any bytes."""
        return self.ask("POST", path, content=body, **keys)

    def exchange(self, path, messages, *, headers=(), method="POST", stays=False):
        """Ask by ASGI messages, each perhaps a number of seconds to wait; what was sent back, and how many were read.

        A caller who has sent everything hangs up, or stays.
        """
        return self.runner.run(_exchange(self.app, path, messages, headers, method, stays))


async def _exchange(application, path, messages, headers, method, stays):
    waiting, sent, read = list(messages), [], 0
    scope = {
        "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": method, "scheme": "http",
        "path": path, "raw_path": path.encode(errors="replace"), "query_string": b"", "root_path": "", "headers": list(headers),
        "server": ("shop", 80), "client": ("127.0.0.1", 1),
    }  # fmt: skip

    async def receive():
        nonlocal read
        while waiting:
            message = waiting.pop(0)
            if isinstance(message, dict):
                read += 1
                return message
            await asyncio.sleep(message)
        if stays:
            await asyncio.Event().wait()
        return {"type": "http.disconnect"}

    async def send(message):
        sent.append(message)

    await application(scope, receive, send)
    return sent, read
