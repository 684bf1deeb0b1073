"""The Klein application: takes each request through the order of judgement, and writes what comes of it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from functools import cache, lru_cache, partial
from hashlib import blake2b
from typing import Any, cast

import orjson
from klein import Klein
from twisted.internet.defer import CancelledError, Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web.iweb import IRequest
from werkzeug.exceptions import HTTPException

from quantumd.api import faults
from quantumd.api.access import CHALLENGE, Access
from quantumd.api.connections import AtOnce
from quantumd.api.gate import Gate
from quantumd.api.headers import last_event_of, tags_of, wait_of
from quantumd.api.jsonxml import to_xml
from quantumd.api.kept import KeptReplies
from quantumd.api.media import (
    REPRESENTATIONS,
    Format,
    acceptable,
    body_format,
    format_of,
    media_type_of,
    problem_format,
    problem_type,
)
from quantumd.api.operations import Call, Handler, Reply
from quantumd.api.parsing import parse
from quantumd.api.queries import QueryJudge
from quantumd.api.ratelimit import RateLimit
from quantumd.api.request import ApiRequest
from quantumd.api.route import Route
from quantumd.api.routes import EVENTS, ROUTES
from quantumd.api.schemas import Body
from quantumd.api.validation import BodyJudge
from quantumd.core.access import authorize
from quantumd.core.errors import (
    BadRequest,
    Fault,
    FieldError,
    InternalError,
    MethodNotAllowed,
    NotAcceptable,
    NotFound,
    OverLimit,
    ServiceUnavailable,
    TooManyRequests,
    Unauthorized,
)
from quantumd.core.state import State
from quantumd.interfaces import INetworkPlugin

#: The body of an answer whose status and headers are set, now or later.
_Answer = bytes | Deferred[bytes]

_PUBLIC = {route.path.split("/")[1] for route in ROUTES if route.public}
_NOTHING = "There is nothing at this path; GET / names what there is."
#: How many paths are remembered, with what the router said of each.
_PATHS = 256
#: How many errors are told in the one sentence for people; all of them are in ``errors``.
_TOLD = 3


class App:
    """What stands between a request and its handler.

    ``handlers`` has one for each route, by name. What the plugin takes is asked of it once ``gate`` is open.
    """

    _log = Logger()

    def __init__(
        self,
        handlers: Mapping[str, Handler],
        state: Callable[[], State],
        plugin: INetworkPlugin,
        access: Access,
        limit: RateLimit,
        at_once: AtOnce,
        gate: Gate,
        status_codes: str,
    ) -> None:
        self._handlers = handlers
        self._state = state
        self._plugin = plugin
        self._access = access
        self._limit = limit
        self._at_once = at_once
        self._gate = gate
        self._status_codes = status_codes
        self._body = cache(self._judge_of_body)
        self._query = cache(self._judge_of_query)
        self._kept = KeptReplies()
        self.klein = Klein()
        self.klein.url_map.merge_slashes = False
        for route in ROUTES:
            self._add(route)
        # The router is asked here, and not through Klein's resource: that one makes a dozen objects for each request
        # (adapters, Deferreds, callbacks), which took longer than everything that is judged here.
        # What it says of a path depends on nothing else, and the same few are asked for again and again.
        self._match = lru_cache(_PATHS)(self.klein.url_map.bind("localhost").match)

    def take(self, request: ApiRequest) -> None:
        """Answer the request, now or later."""
        try:
            answer = self._find(request)
        except Exception:
            answer = self.failed(request, Failure())
        if isinstance(answer, bytes):
            request.complete(answer)
            return
        request.pending = answer
        answer.addErrback(lambda failure: self.failed(request, failure)).addCallback(request.complete)

    def _find(self, request: ApiRequest) -> _Answer:
        """The answer of whatever is at the path."""
        self._admit(request)
        if request.segments is None:
            raise NotFound(_NOTHING)
        endpoint, ids = self._match("/" + "/".join(request.segments), request.method.decode("latin-1"))
        return cast("_Answer", self.klein.execute_endpoint(endpoint, cast(IRequest, request), **ids))

    def _admit(self, request: ApiRequest) -> None:
        """The first judgement, before it is known whether there is anything at the path: who calls, and how often."""
        if request.segments is not None and request.segments[0] in _PUBLIC:
            return
        request.caller = self._access.authenticate(request.peer, request.text_header(b"Authorization"))
        seconds = self._limit.admit(request.caller.name)
        if seconds:
            request.told["Retry-After"] = str(seconds)
            raise TooManyRequests(f"These are more requests than this daemon takes of one caller; wait {seconds} s.")
        request.admitted = self._at_once.begin(request.caller)
        if not request.admitted:
            request.told["Retry-After"] = "1"
            raise TooManyRequests(
                "This caller has as many requests under way as this daemon takes of one; end some (event streams?)."
            )

    def over(self, request: ApiRequest) -> None:
        """The request is over, one way or the other."""
        if request.admitted:
            request.admitted = False
            self._at_once.end(request.caller)

    def _refuse(self, request: ApiRequest, fault: Fault) -> bytes:
        """Answer with the fault; returns the body."""
        request.fault = fault.name
        if isinstance(fault, Unauthorized):
            request.told["WWW-Authenticate"] = CHALLENGE
            self._log.warn(
                "{ident}: refused {method} {path} to {caller} from {origin}: {why}",
                ident=request.ident,
                method=request.method.decode("latin-1"),
                path=request.resource_path,
                caller=request.caller.name,
                origin=request.peer.origin,
                why=fault.detail,
            )
        elif isinstance(fault, ServiceUnavailable):
            request.told["Retry-After"] = str(faults.RETRY_AFTER)
        form = problem_format(request.text_header(b"Accept"), request.suffix)
        members = faults.problem(fault, self._status_codes)
        return request.answer(members["status"], problem_type(form), faults.problem_body(members, form))

    def failed(self, request: ApiRequest, failure: Failure) -> bytes:
        """Answer with what a handler, or the search for one, raised."""
        error = failure.value
        if request.gone and isinstance(error, CancelledError):
            return b""
        if isinstance(error, Fault):
            fault = error
        elif isinstance(error, HTTPException) and error.code in (404, 405):
            fault = _unrouted(request, error)
        else:
            ident = request.ident
            self._log.failure(
                "internal error {ident} in {operation}", failure, ident=ident, operation=request.operation
            )
            fault = InternalError(f"quantumd failed to answer this; its log says why, under the id {ident}.")
        if request.gone:
            return b""
        if request.startedWriting:
            request.channel.loseConnection()
            return b""
        return self._refuse(request, fault)

    def _add(self, route: Route) -> None:
        handler = partial(self._take, route)
        handler.__name__ = route.name  # type: ignore[attr-defined]  # Klein wants it
        self.klein.route(route.path, methods=[route.method], endpoint=route.name)(handler)

    def _take(self, route: Route, request: ApiRequest, **ids: str) -> bytes | Awaitable[bytes]:
        request.operation = route.name
        if route.asks_plugin and not self._gate.is_open:
            return self._judge_later(route, request, ids)
        return self._judge(route, request, ids)

    async def _judge_later(self, route: Route, request: ApiRequest, ids: Mapping[str, str]) -> bytes:
        await self._gate.passed()
        answer = self._judge(route, request, ids)
        return answer if isinstance(answer, bytes) else await answer

    def _judge(self, route: Route, request: ApiRequest, ids: Mapping[str, str]) -> bytes | Awaitable[bytes]:
        if route.media_type is not None and request.suffix is not None:
            raise NotFound("This is to be had in one format only; leave the suffix out of the path.")
        if not route.public:
            authorize(self._state(), request.caller, route.right)
        if route.target is not None:
            route.target(self._state(), request.caller, ids)
        if request.oversized:
            raise OverLimit("The body has more bytes than [limits] body_bytes allows.")
        content = request.content.read() if route.body is not None else b""
        form = _body_format(request) if content else Format.JSON
        media_type = _media_type(route, request)
        asked = (request.caller, request.uri, media_type)
        kept = self._kept.find(self._state(), asked) if route.lists else None
        if kept is not None:
            return _answer(route, request, media_type, kept)
        call = self._read(route, request, ids, content, form)
        reply = self._handlers[route.name](call)
        if route.lists and isinstance(reply, Reply):
            reply = _encoded(route, media_type, reply)
            self._kept.keep(asked, reply)
        if isinstance(reply, Reply) and reply.stream is None:
            return _answer(route, request, media_type, reply)
        if isinstance(reply, Deferred):
            return reply.addCallback(partial(_answer, route, request, media_type))
        return _answer_later(route, request, media_type, reply)

    def _read(self, route: Route, request: ApiRequest, ids: Mapping[str, str], content: bytes, form: Format) -> Call:
        """The request as its handler takes it. Raises BadRequest with everything that is wrong with it."""
        query_judge = self._query if self._gate.is_open else self._judge_of_query
        query, errors = query_judge(route).read(request.query)
        body, detail = None, "The request is not valid"
        if route.body is not None:
            declared, judge = self._body(route)
            try:
                if content or not declared.optional:
                    body = _parsed(declared, content, form)
                    errors += judge.errors(body)
            except BadRequest as malformed:
                errors += malformed.errors
        last_event = None
        if route.media_type == EVENTS:
            try:
                last_event = last_event_of(request.text_header(b"Last-Event-ID"))
            except BadRequest as malformed:
                errors += malformed.errors
        if errors:
            told = "; ".join(f"{error.path} {error.message}" for error in errors[:_TOLD])
            more = f"; and {len(errors) - _TOLD} more" if len(errors) > _TOLD else ""
            raise BadRequest(f"{detail}; correct it and send it again: {told}{more}.", errors)
        return Call(
            caller=request.caller,
            path=request.resource_path if route.lists else "",
            ids=ids,
            query=query,
            body=body,
            tags=tags_of(request.text_headers(b"If-Match")) if route.matches else None,
            wait=wait_of(request.text_headers(b"Prefer")) if route.waits else None,
            last_event=last_event,
        )

    def _judge_of_body(self, route: Route) -> tuple[Body, BodyJudge]:
        assert route.body is not None
        body = route.body(self._plugin.capabilities)
        return body, BodyJudge(body)

    def _judge_of_query(self, route: Route) -> QueryJudge:
        return QueryJudge(route.query(self._plugin.capabilities))


def _body_format(request: ApiRequest) -> Format:
    content_type, coding = request.text_header(b"Content-Type"), request.text_header(b"Content-Encoding")
    return body_format(content_type, coding, request.suffix)


def _parsed(declared: Body, content: bytes, form: Format) -> Any:
    if not content:
        raise BadRequest("There is no body.", [FieldError(declared.key, "is missing: there is no body")])
    return parse(content, form, declared.anything)


def _media_type(route: Route, request: ApiRequest) -> str:
    """The media type of the reply. Raises NotAcceptable."""
    if route.media_type is None and request.suffix is not None:
        return media_type_of(request.suffix)
    offers = REPRESENTATIONS if route.media_type is None else (route.media_type,)
    found = acceptable(request.text_header(b"Accept"), offers)
    if found is None and request.segments != ["openapi.json"]:
        raise NotAcceptable(f"Accept has none of what there is: {', '.join(offers)}; ask for one of these.")
    return found or offers[0]


def _encoded(route: Route, media_type: str, reply: Reply) -> Reply:
    """The reply with its body in bytes."""
    if reply.body is None or isinstance(reply.body, bytes):
        return reply
    xml = format_of(media_type) is Format.XML
    body = to_xml(reply.body, route.root) if xml else orjson.dumps(reply.body, default=dict)
    headers = reply.headers
    if reply.status == 200 and "ETag" not in headers:  # what has no revision has its content for a tag
        headers = {**headers, "ETag": f'"{blake2b(body, digest_size=8).hexdigest()}"'}
    return Reply(status=reply.status, body=body, headers=headers)


def _answer(route: Route, request: ApiRequest, media_type: str, reply: Reply) -> bytes:
    if reply.body is None:
        return request.answer(reply.status, None, b"")
    reply = _encoded(route, media_type, reply)
    body = reply.body
    assert isinstance(body, bytes)
    request.answer(reply.status, media_type, body)
    request.tell(reply.headers)
    return body


async def _answer_later(route: Route, request: ApiRequest, media_type: str, reply: Reply | Awaitable[Reply]) -> bytes:
    if not isinstance(reply, Reply):
        return _answer(route, request, media_type, await reply)
    assert reply.stream is not None
    request.begin(reply.status, media_type)
    if request.method != b"HEAD":
        await reply.stream(request)
    return b""


def _unrouted(request: ApiRequest, error: HTTPException) -> Fault:
    """The fault for what the router says; 404 and 405 are all that it can."""
    if error.code == 405:
        verbs = ", ".join(sorted(getattr(error, "valid_methods", None) or ()))
        request.told["Allow"] = verbs
        return MethodNotAllowed(f"This resource does not take this method; it takes {verbs}.")
    return NotFound(_NOTHING)
