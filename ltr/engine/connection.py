"""One connection to Elasticsearch or OpenSearch.

The nodes of the official client's transport, without the client: that one refuses OpenSearch, and a version 9 of it an 8.x server.
Several hosts take turns. Statuses 429, 502, 503 and 504 and lost connections are tried again, after a wait that doubles and
is shared out by chance (exponential backoff with full jitter), so that many clients do not come back at once; every request
that ``ltr`` sends twice means the same as sent once.

    LTR_ELASTICSEARCH_URL       where the engine is, where neither option nor experiment.toml says; several with commas
    LTR_ELASTICSEARCH_API_KEY   an API key (id:key in base64, as the engine gave it), sent to every host
    LTR_ELASTICSEARCH_CA        a file of certificates that TLS is checked against

A user and a password may stand in the URL, https://user:password@host; neither they nor the key are shown again.

>>> masked("https://elastic:secret@search.shop:9200")
'https://***@search.shop:9200'
"""

from __future__ import annotations

import json
import os
import random
import re
import ssl
import time
from base64 import b64encode
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import SplitResult, quote, unquote, urlencode, urlsplit

from ltr.errors import ConfigError, EngineError, MissingExtraError

if TYPE_CHECKING:
    from elastic_transport import NodePool

__all__ = ["DEFAULT_URL", "Engine", "Probe", "bare", "connect", "masked", "path_of"]

DEFAULT_URL: Final = "http://localhost:9200"

_AGAIN: Final = frozenset({429, 502, 503, 504})
_LONGEST_WAIT_S: Final = 10.0
_PORTS: Final = {"http": 9200, "https": 443}
_START: Final = re.compile(r"[\w+.-]*:?//")
# A comma before another URL; any other may be of a password.
_NEXT: Final = re.compile(r",(?=\s*[\w+.-]*:?//)")
# Of an answer that is no JSON, such as a proxy's page, this much is quoted.
_QUOTED: Final = 200


@dataclass(frozen=True)
class Probe:
    """What a server says of itself: "elasticsearch" or "opensearch", its version, the names of its plugins and modules."""

    flavour: str
    version: tuple[int, ...]
    plugins: frozenset[str]
    modules: frozenset[str]


@dataclass(frozen=True)
class Engine:
    """A connection; get one from ``connect``. It may be used by several threads at once."""

    url: str  # without credentials, for people
    timeout_s: float
    retries: int
    _nodes: NodePool = field(repr=False)
    _headers: Mapping[str, str] = field(repr=False)

    def call(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        params: Mapping[str, Any] | None = None,
        timeout_s: float | None = None,
        allow: Collection[int] = (),
    ) -> Any:
        """Send one request and return the parsed JSON of the answer.

        Args:
            method: GET, POST, PUT, DELETE or HEAD.
            path: from ``path_of``, or fixed.
            body: JSON, or a list of JSON values, which are sent as lines (``_bulk``, ``_msearch``), or bytes that are such.
            params: of the query string; True and False are written as the engines want them.
            timeout_s: instead of the connection's, for this request.
            allow: statuses of 400 and above whose answer is returned like any other; of HEAD, None stands for it.

        Raises:
            EngineError: no answer, or one that is no JSON, or a status of 400 and above; ``status`` is that status.
        """
        status, answer = self._sent(method, path, body, params or {}, timeout_s or self.timeout_s)
        if status < 400:
            return answer
        if status in allow:
            return None if method == "HEAD" else answer
        raise EngineError(
            f"{self.url} answers {method} {_shown(path)} with {status}: {_reason(answer)}",
            hint=_advice(status),
            status=status,
        )

    @cached_property
    def probe(self) -> Probe:
        """What the server is, asked once."""
        told = self.call("GET", "/", allow=(400, 403, 404, 405))
        nodes = self.call(
            "GET",
            "/_nodes/_local",
            params={"filter_path": "nodes.*.version,nodes.*.plugins.name,nodes.*.modules.name"},
            allow=(400, 403, 404),
        )
        every: Mapping[str, Any] = (nodes.get("nodes") or {}) if isinstance(nodes, dict) else {}
        node: Mapping[str, Any] = next(iter(every.values()), {})
        version = (told.get("version") or {}) if isinstance(told, dict) else {}
        number = str(version.get("number") or node.get("version") or "0")
        numbers = tuple(int(part) for part in number.split("-")[0].split(".") if part.isdigit())
        return Probe(
            str(version.get("distribution") or "elasticsearch"),
            numbers,
            frozenset(each.get("name", "") for each in node.get("plugins", ())),
            frozenset(each.get("name", "") for each in node.get("modules", ())),
        )

    def close(self) -> None:
        """Close the sockets."""
        for node in self._nodes.all():
            node.close()

    def _sent(self, method: str, path: str, body: Any, params: Mapping[str, Any], timeout_s: float) -> tuple[int, Any]:
        from elastic_transport import ConnectionTimeout, HttpHeaders, TlsError, TransportError

        target = f"{path}?{urlencode({key: _written(value) for key, value in params.items()})}" if params else path
        data, kind = _encoded(body)
        headers = HttpHeaders(
            {**self._headers, "accept": "application/json"} | ({"content-type": kind} if data else {})
        )
        chance = random.SystemRandom()
        for attempt in range(self.retries + 1):
            last = attempt == self.retries
            node = self._nodes.get()
            try:
                answered = node.perform_request(method, target, body=data, headers=headers, request_timeout=timeout_s)
            except TlsError as error:
                raise EngineError(
                    f"{self.url} is not trusted: {_told(error)}",
                    hint="name its certificates in LTR_ELASTICSEARCH_CA, or check https:// and the host's name",
                ) from error
            except TransportError as error:
                self._nodes.mark_dead(node)
                if last:
                    late = f" within {timeout_s:g} s" if isinstance(error, ConnectionTimeout) else ""
                    raise EngineError(
                        f"{self.url} does not answer{late}: {_told(error)}",
                        hint="check the URL and that the server runs; `make elasticsearch` starts a private one",
                    ) from error
            else:
                self._nodes.mark_live(node)
                status = answered.meta.status
                if status not in _AGAIN or last:
                    return status, self._parsed(status, answered.body, method)
            time.sleep(chance.uniform(0, min(_LONGEST_WAIT_S, 0.25 * 2**attempt)))
        raise AssertionError("the last attempt returns or raises")

    def _parsed(self, status: int, data: bytes | None, method: str) -> Any:
        if not data or method == "HEAD":
            return {}
        try:
            return json.loads(data)
        except ValueError as error:
            text = data[:_QUOTED].decode("utf-8", "replace")
            if status >= 400:
                return {"error": text.strip()}
            raise EngineError(
                f"{self.url} answers with what is no JSON: {text!r}", hint="is there Elasticsearch or OpenSearch?"
            ) from error


def connect(
    url: str | None = None,
    *,
    api_key: str | None = None,
    ca: str | None = None,
    timeout_s: float = 10.0,
    retries: int = 4,
) -> Engine:
    """Connect; nothing is sent before the first call.

    Args:
        url: http:// or https://, several with commas; None = LTR_ELASTICSEARCH_URL, else ``DEFAULT_URL``.
        api_key: None = LTR_ELASTICSEARCH_API_KEY, where it is set.
        ca: a file of certificates; None = LTR_ELASTICSEARCH_CA, where it is set, else those of the system.
        timeout_s: for one attempt.
        retries: attempts after the first.

    Raises:
        ConfigError: a URL that is none, or certificates that cannot be read.
        MissingExtraError: the client's transport is not installed.
    """
    try:
        from elastic_transport import HttpHeaders, NodeConfig, NodePool, Urllib3HttpNode
    except ModuleNotFoundError as error:
        raise MissingExtraError("elastic_transport", "elasticsearch") from error
    given = url or os.environ.get("LTR_ELASTICSEARCH_URL") or DEFAULT_URL
    parts = [_split(one, given) for one in given.split(",") if one.strip()]
    if not parts:
        raise ConfigError(f"the URL {given!r} names no host", hint=f"give one such as {DEFAULT_URL}")
    key = _key(api_key or os.environ.get("LTR_ELASTICSEARCH_API_KEY") or "")
    context = _context(ca or os.environ.get("LTR_ELASTICSEARCH_CA"))
    nodes = [
        NodeConfig(
            part.scheme,
            part.hostname or "",
            part.port or _PORTS[part.scheme],
            path_prefix=part.path.rstrip("/"),
            ssl_context=context if part.scheme == "https" else None,
        )
        for part in parts
    ]
    headers = {"authorization": f"ApiKey {key}"} if key else _basic(parts[0])
    shown = ",".join(masked(part.geturl()) for part in parts)
    try:
        pool = NodePool(nodes, Urllib3HttpNode)
    except ValueError as error:  # a host's name that is none
        raise _no_url(given) from error
    return Engine(shown, timeout_s, retries, pool, HttpHeaders(headers))


def path_of(*parts: str) -> str:
    """A path of these parts, each escaped: what an index is called is never syntax.

    >>> path_of("shop/v1", "_search")
    '/shop%2Fv1/_search'
    """
    return "/" + "/".join(quote(part, safe=",*") for part in parts)


def masked(url: str) -> str:
    """A URL, or several with commas, without user and password; also where it is no URL, as with ``/`` in the password."""
    return ",".join(_masked(one.strip()) for one in _NEXT.split(url))


def bare(url: str | None) -> str | None:
    """The same, without a sign that there were any: an address that still works where the key comes from elsewhere.

    >>> bare("https://elastic:secret@search.shop:9200")
    'https://search.shop:9200'
    """
    return None if url is None else masked(url).replace("***@", "")


def _masked(url: str) -> str:
    start = _START.match(url)
    before, rest = (start[0], url[start.end() :]) if start else ("", url)
    return f"{before}***@{rest.rpartition('@')[2]}" if "@" in rest else url


def _split(url: str, given: str) -> SplitResult:
    try:
        parts = urlsplit(url.strip())
        known = parts.scheme in _PORTS and bool(parts.hostname) and (parts.port or True)
    except ValueError:
        known = False
    if not known or parts.query or parts.fragment or not re.fullmatch(r"[!-?A-~]*", parts.path):
        raise _no_url(given)
    return parts


def _no_url(given: str) -> ConfigError:
    # All that was given: a comma in a password may have cut it in two.
    return ConfigError(
        f"{masked(given)!r} is no engine's URL",
        hint=f"give one such as {DEFAULT_URL}; in a password, / , # ? and @ are written as %2F %2C %23 %3F and %40",
    )


def _key(given: str) -> str:
    key = given.strip()
    if not re.fullmatch(r"[!-~]*", key):
        raise ConfigError(
            "the API key has blanks or characters that no key has",
            hint="give it as the engine gave it, id:key in base64",
        )
    return key


def _basic(part: SplitResult) -> dict[str, str]:
    if part.username is None:
        return {}
    pair = f"{unquote(part.username)}:{unquote(part.password or '')}"
    return {"authorization": f"Basic {b64encode(pair.encode()).decode()}"}


def _context(ca: str | None) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=ca)
    except (OSError, ssl.SSLError) as error:
        raise ConfigError(f"the certificates {ca!r} cannot be read: {error}", hint="give a PEM file") from error


def _encoded(body: Any) -> tuple[bytes | None, str]:
    if body is None:
        return None, ""
    if isinstance(body, bytes):
        return body, "application/x-ndjson"
    if isinstance(body, list):
        return b"".join(_json(line) + b"\n" for line in body), "application/x-ndjson"
    return _json(body), "application/json"


def _json(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode()


def _written(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _shown(path: str) -> str:
    return path if len(path) <= 80 else path[:77] + "..."


def _told(error: Exception) -> str:
    return str(getattr(error, "message", error)).strip().split("\n")[0][:_QUOTED]


def _reason(answer: Any) -> str:
    """The innermost cause that an engine names."""
    error = answer.get("error", answer) if isinstance(answer, dict) else answer
    if not isinstance(error, dict):
        return str(error)[:_QUOTED] or "no reason given"
    causes = error.get("root_cause") or [error]
    cause = causes[0] if isinstance(causes[0], dict) else error
    deeper = error.get("caused_by")
    while isinstance(deeper, dict) and deeper.get("caused_by"):
        deeper = deeper["caused_by"]
    told = [str(each.get("reason")) for each in (cause, deeper) if isinstance(each, dict) and each.get("reason")]
    return ": ".join(dict.fromkeys(told))[: 2 * _QUOTED] or str(error.get("type") or error)[:_QUOTED]


def _advice(status: int) -> str:
    return {
        401: "set LTR_ELASTICSEARCH_API_KEY, or user and password in the URL",
        403: "ask for the privilege that it names, or take a key that has it",
        404: "check the name and the URL",
        413: "send less at once",
        429: "the server is busy: try again later",
        503: "the server is not ready: try again later",
    }.get(status, "")
