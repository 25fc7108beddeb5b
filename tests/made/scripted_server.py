"""A local HTTP server that answers what it is told to, in turn, and remembers what it was asked.

An answer is (status, body): JSON if the body is no string. RESET breaks the connection off, ``Late`` answers after a while.
The last answer is given for all further requests.
"""

import json
import socket
import struct
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

RESET = "reset"


@dataclass(frozen=True)
class Late:
    seconds: float
    answer: tuple[int, Any]


@dataclass
class Request:
    method: str
    path: str
    headers: dict[str, str]
    body: bytes


@dataclass
class Scripted:
    url: str
    asked: list[Request] = field(default_factory=list)


@contextmanager
def scripted(*answers):
    """Serve on a free port of the loopback interface; an answer may be a function of the request."""
    turn, lock = iter(answers), threading.Lock()
    last = [None]

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def answer(self):
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            request = Request(self.command, self.path, {k.lower(): v for k, v in self.headers.items()}, body)
            with lock:
                told.asked.append(request)
                last[0] = chosen = next(turn, last[0])
            chosen = chosen(request) if callable(chosen) else chosen
            if isinstance(chosen, Late):
                time.sleep(chosen.seconds)
                chosen = chosen.answer
            if chosen == RESET:
                self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                self.close_connection = True
                return
            status, content = chosen
            data = content.encode() if isinstance(content, str) else json.dumps(content).encode()
            try:
                self.send_response(status)
                self.send_header("Content-Type", "text/html" if isinstance(content, str) else "application/json")
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(data)
            except OSError:
                self.close_connection = True

        do_GET = do_POST = do_PUT = do_DELETE = do_HEAD = answer

        def log_message(self, *_):
            pass

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, request, client_address):
            pass  # a client that speaks TLS, or has gone

        def shutdown_request(self, request):
            # After SO_LINGER 0, close alone sends the reset; a shutdown would end the connection in order first.
            request.close()

    server = Server(("127.0.0.1", 0), Handler)
    told = Scripted(f"http://127.0.0.1:{server.server_port}")
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield told
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
