"""A door before a real engine, at which a test decides what comes through: faults, refusals, another server's dialect."""

from __future__ import annotations

import json
import threading
import urllib.error
import urllib.request
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

HANG_UP = object()  # a rule's answer: close the connection without a word


@dataclass(frozen=True)
class Request:
    """One request; ``path`` has its query string."""

    method: str
    path: str
    body: bytes

    @property
    def json(self):
        return json.loads(self.body) if self.body else None


@contextmanager
def front_door(url, rule):
    """The URL of a door before ``url``; yields it and the list of the requests that came.

    ``rule(request, forward)`` returns None (passed through), HANG_UP, or (status, JSON); ``forward(method, path, body)`` asks
    the engine and returns (status, JSON).
    """
    came = []

    def forward(method, path, body=None):
        data = body if isinstance(body, bytes) else json.dumps(body).encode() if body is not None else None
        asked = urllib.request.Request(url + path, data or None, method=method)
        kind = "application/x-ndjson" if path.partition("?")[0].endswith("_bulk") else "application/json"
        asked.add_header("content-type", kind)
        try:
            with urllib.request.urlopen(asked, timeout=30) as answer:
                return answer.status, json.loads(answer.read() or b"{}")
        except urllib.error.HTTPError as error:
            with error:
                return error.code, json.loads(error.read() or b"{}")

    class Door(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def answer(self):
            body = self.rfile.read(int(self.headers.get("content-length") or 0))
            request = Request(self.command, self.path, body)
            came.append(request)
            answered = rule(request, forward)
            if answered is HANG_UP:
                self.close_connection = True
                return
            status, told = answered or forward(request.method, request.path, request.body)
            data = json.dumps(told).encode()
            self.send_response(status)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(data)))
            self.end_headers()
            if request.method != "HEAD":
                self.wfile.write(data)

        do_GET = do_POST = do_PUT = do_DELETE = do_HEAD = answer

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Door)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}", came
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
