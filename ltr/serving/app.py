"""The HTTP application: every request that is valid and authorised is answered, whatever fails.

    POST /rerank /explain /search             ours (``native``); /rerank takes TEI's too
    POST /v1/rerank /v2/rerank /elastic/rerank    other services' (``dialects``)
    GET  /health/live /health/ready /metrics /version /openapi.json
    GET  / /page/<file>                        the page to try it at
    POST /admin/{reload,rollback,off,on}       where there are admin keys

What is asked is judged in this order: path and method (404, 405), key (401), body (413, 408, 400), values (422). After that it
is 200 and a permutation of what was sent; only a search that retrieves nothing to order is 503.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request as HTTPRequest
from starlette.responses import Response
from starlette.routing import Route

from ltr import __version__
from ltr.serving import native, openapi
from ltr.serving.access import Keys, header
from ltr.serving.answer import Answer, Reason
from ltr.serving.asked import ACTIONS, Action, Answering, Control, ControlError, Told
from ltr.serving.bodies import RefusedError, parse_json, read_body
from ltr.serving.dialects import DIALECTS, TEI, Dialect
from ltr.serving.door import HANDLERS, Door, json, visit_of
from ltr.serving.native import Signed
from ltr.serving.page_files import INDEX, PageFile, read_files
from ltr.serving.request import Request
from ltr.serving.rerank import degraded
from ltr.serving.searching import Unsearchable
from ltr.serving.settings import Settings

__all__ = ["app"]

Handler = Callable[[HTTPRequest], Awaitable[Response]]
Render = Callable[[Answer, Signed], Any]


class Ask(Protocol):
    """A way of ``Answering`` to answer."""

    async def __call__(self, request: Request, *, deadline: float) -> Answer: ...


EXAMPLES: Final = 6

_log = logging.getLogger(__name__)


def app(answering: Answering, settings: Settings, *, told: Told = Told(), control: Control | None = None) -> Starlette:  # noqa: B008 (frozen)
    """The application around a loaded bundle.

    Args:
        answering: answers in time.
        settings: limits, keys, and whether there is a page.
        told: who is told of requests and answers.
        control: what an admin may do; without it, and without admin keys, there is no /admin.

    Returns:
        The application; while its ``state.draining`` is set, /health/ready says so.
    """
    service = _Service(answering, settings, told)
    routes = [Route(path, handler, methods=[method]) for method, path, handler in service.routes(control)]
    made = Starlette(
        routes=routes,
        middleware=[Middleware(Door, told=told, endpoints={route.path for route in routes})],
        exception_handlers=dict(HANDLERS),
    )
    # A path with a slash too many is another path, and the caller's to correct.
    made.router.redirect_slashes = False
    made.state.draining = False
    return made


@dataclass(frozen=True)
class _Service:
    answering: Answering
    settings: Settings
    told: Told
    files: dict[str, PageFile] = field(default_factory=read_files)

    def routes(self, control: Control | None) -> list[tuple[str, str, Handler]]:
        """Method, path and handler, those first that are asked most."""
        settings = self.settings
        keys, admins = Keys(settings.keys), Keys(settings.admin_keys)
        admin = control is not None and bool(settings.admin_keys)
        keyed: list[tuple[str, str, Handler]] = [
            ("POST", "/rerank", self.rerank),
            *(("POST", path, self.foreign(dialect)) for path, dialect in DIALECTS.items()),
            ("POST", "/search", self.search),
            ("POST", "/explain", self.explain),
            ("GET", "/metrics", self.metrics),
            ("GET", "/version", self.version),
            ("GET", "/openapi.json", _document(settings, admin=admin)),
        ]
        routes = [(method, path, _guarded(keys, handler)) for method, path, handler in keyed]
        routes += [("GET", "/health/live", self.live), ("GET", "/health/ready", self.ready)]
        if settings.page:
            routes += [("GET", "/", self.page), ("GET", "/page/{name}", self.page)]
        if control is not None and admin:
            routes += [("POST", f"/admin/{action}", _guarded(admins, _acting(control, action))) for action in ACTIONS]
        return routes

    async def rerank(self, http: HTTPRequest) -> Response:
        """Ours, and TEI's, which has the same path."""
        value = await self._value(http)
        if isinstance(value, dict) and "texts" in value and "candidates" not in value:
            return await self._translated(http, value, TEI)
        request = native.parse(value, limit=self.settings.max_candidates)
        return await self._reranked(http, value, request, native.render)

    def foreign(self, dialect: Dialect) -> Handler:
        """Another service's."""

        async def handler(http: HTTPRequest) -> Response:
            return await self._translated(http, await self._value(http), dialect)

        return handler

    async def explain(self, http: HTTPRequest) -> Response:
        """Ours, with features and contributions."""
        value = await self._value(http)
        request = native.parse_explain(value, limit=self.settings.max_candidates)
        deadline = self._deadline(http, value, self.settings.people_ms)
        response, answer = await self._answered(http, request, self.answering.explain, deadline, native.render)
        self._tell_after(http, None, answer)
        return response

    async def search(self, http: HTTPRequest) -> Response:
        """Retrieve and rerank."""
        value = await self._value(http)
        search = native.parse_search(value, limit=self.settings.max_candidates)
        deadline = self._deadline(http, value, self.settings.people_ms)
        try:
            found = await self.answering.search(
                search.asked.query, depth=search.depth, request=search.of, deadline=deadline
            )
        except Unsearchable as error:
            raise RefusedError(503, f"no candidates were retrieved ({error.reason})") from error
        asked = search.of(found.retrieved)
        self._tell_after(http, asked, found.answer, retrieve=found.seconds, shown=search.size)
        return _sent(native.render_search(search, found, self.answering.serving, self._signed(http)), found.answer)

    async def live(self, _http: HTTPRequest) -> Response:
        """Whether the process answers at all."""
        return json({"live": True})

    async def ready(self, http: HTTPRequest) -> Response:
        """Whether it should be sent requests, and facts for who watches it."""
        facts = self.answering.state()
        ready = not facts.get("rerank", {}).get("blocked") and not http.app.state.draining
        return json({"ready": ready, **facts}, status=200 if ready else 503)

    async def metrics(self, _http: HTTPRequest) -> Response:
        """For Prometheus."""
        if self.told.metrics is None:
            return Response(b"", media_type="text/plain")
        content, media_type = self.told.metrics.render()
        return Response(content, headers={"content-type": media_type})

    async def page(self, http: HTTPRequest) -> Response:
        """The page and its files."""
        file = self.files.get(http.path_params.get("name", INDEX))
        if file is None:
            raise RefusedError(404, "there is nothing here")
        asked = header(http.scope["headers"], b"if-none-match")
        if asked is not None and file.etag.encode() in asked:
            return Response(status_code=304, headers=file.headers)
        return Response(file.content, headers={**file.headers, "content-type": file.media_type})

    async def _value(self, http: HTTPRequest) -> Any:
        settings = self.settings
        headers = http.scope["headers"]
        return parse_json(await read_body(headers, http.receive, most=settings.max_body, seconds=settings.body_s))

    async def _translated(self, http: HTTPRequest, value: Any, dialect: Dialect) -> Response:
        request, shape = dialect.parse(value, known=self._known, limit=self.settings.max_candidates)

        def render(answer: Answer, signed: Signed) -> Any:
            return dialect.render(answer, shape, signed)

        return await self._reranked(http, value, request, render, shown=shape.top_n)

    async def _reranked(
        self, http: HTTPRequest, value: Any, request: Request, render: Render, *, shown: int | None = None
    ) -> Response:
        deadline = self._deadline(http, value, self.settings.deadline_ms)
        response, answer = await self._answered(http, request, self.answering.rerank, deadline, render)
        self._tell_after(http, request, answer, shown=shown)
        return response

    async def _answered(
        self, http: HTTPRequest, request: Request, ask: Ask, deadline: float, render: Render
    ) -> tuple[Response, Answer]:
        """The answer; the order received, whatever goes wrong from here on."""
        try:
            answer = await ask(request, deadline=deadline)
            return _sent(render(answer, self._signed(http)), answer), answer
        except Exception:
            _log.exception("a valid request could not be answered")
            answer = degraded(request, Reason.INTERNAL)
            return _sent(render(answer, self._signed(http)), answer), answer

    def _tell_after(
        self,
        http: HTTPRequest,
        request: Request | None,
        answer: Answer,
        *,
        retrieve: float | None = None,
        shown: int | None = None,
    ) -> None:
        """Tell of an answer once it is sent; without its request, it is not one to keep."""
        told, visit, path = self.told, visit_of(http.scope), http.scope["path"]

        def tell() -> None:
            if told.metrics is not None:
                told.metrics.answered(path, answer, time.monotonic() - visit.arrived, retrieve=retrieve)
            if told.answer_log is not None and request is not None:
                told.answer_log.write(visit.request_id, request, answer, shown=shown)

        visit.after = tell

    def _deadline(self, http: HTTPRequest, value: Any, usual: float) -> float:
        given = native.deadline_ms(value, usual=usual, most=self.settings.most_ms)
        return visit_of(http.scope).arrived + given / 1_000

    def _known(self, product_id: str) -> bool:
        return bool(self.answering.serving.bundle.state.rows([product_id])[0] >= 0)

    def _signed(self, http: HTTPRequest) -> Signed:
        visit = visit_of(http.scope)
        took_ms = round((time.monotonic() - visit.arrived) * 1_000, 3)
        return Signed(visit.request_id, self.answering.serving.model[:12], took_ms)

    async def version(self, _http: HTTPRequest) -> Response:
        """What answers, and queries to try it with."""
        serving = self.answering.serving
        state = serving.bundle.state
        told = {
            "ltr": __version__,
            "bundle": serving.bundle.path.name,
            "model": serving.model,
            "created": serving.manifest.get("created"),
            "state": {"version": state.version, "as_of": state.as_of, "products": len(state)},
            "examples": self._examples(),
        }
        return json(told)

    def _examples(self) -> list[str]:
        """Queries that the bundle was proven by, to try it with."""
        golden = self.answering.serving.bundle.golden
        queries = [] if golden is None else golden["query"].unique(maintain_order=True).to_list()
        return [query for query in queries if query.strip()][:EXAMPLES]


def _sent(value: Any, answer: Answer) -> Response:
    return json(value, headers={"X-Degraded": answer.reason.value} if answer.degraded else None)


def _guarded(keys: Keys, handler: Handler) -> Handler:
    async def guarded(http: HTTPRequest) -> Response:
        if not keys.allow(http.scope["headers"]):
            raise RefusedError(401, "this needs a key that is valid here", {"WWW-Authenticate": "Bearer"})
        return await handler(http)

    return guarded


def _acting(control: Control, action: Action) -> Handler:
    async def acting(_http: HTTPRequest) -> Response:
        try:
            return json(await control.do(action))
        except ControlError as error:
            raise RefusedError(409, str(error)) from error

    return acting


def _document(settings: Settings, *, admin: bool) -> Handler:
    made = json(openapi.document(settings, admin=admin)).body

    async def document(_http: HTTPRequest) -> Response:
        return Response(made, media_type="application/json")

    return document
