"""One HTTP request as quantumd sees it: its body bounded, its path and headers taken apart."""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Mapping
from functools import cached_property
from io import BytesIO
from itertools import count
from typing import TYPE_CHECKING, cast
from urllib.parse import quote, unquote_to_bytes

import orjson
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IAddress, IDelayedCall, ITCPTransport
from twisted.internet.protocol import connectionDone
from twisted.python.failure import Failure
from twisted.web.http import HTTPChannel, Request
from twisted.web.http_headers import Headers

import quantumd
from quantumd.api import faults
from quantumd.api.access import NOBODY, Peer
from quantumd.api.connections import ASKING
from quantumd.api.media import Format, problem_type, split_suffix
from quantumd.api.metrics import NO_ROUTE
from quantumd.core.errors import BadRequest, FieldError

if TYPE_CHECKING:
    from quantumd.api.site import ApiSite

#: What follows the status line of every answer, up to the date. Nothing in here is for a browser to guess the type of,
#: run, frame or refer to.
_ALWAYS = (
    f"\r\nServer: quantumd/{quantumd.__version__}\r\n"
    "Cache-Control: no-store\r\n"
    "X-Content-Type-Options: nosniff\r\n"
    "Content-Security-Policy: default-src 'none'; frame-ancestors 'none'\r\n"
    "Referrer-Policy: no-referrer\r\n"
    "Date: "
).encode()

#: What makes the ids of requests: this run of the daemon, and a number. (Asking the system for random bytes each time
#: lets go of the interpreter, and the thread that writes the state is slow to give it back.)
_RUN = secrets.token_hex(4)
_NUMBERS = count()

#: The one path that ends like a suffix and has none.
_WHOLE = "openapi.json"


class ApiRequest(Request):
    """``segments`` is the path in pieces, decoded and without its suffix; None where nothing can be there.

    ``oversized``: the body was longer than allowed, and was thrown away. ``operation`` is the name of the route,
    ``fault`` that of the fault it was answered with, ``peer`` whoever sent it, ``ident`` what logs call it; ``gone``:
    nobody waits for the answer any more; ``pending`` fires when there is one. ``told`` are the headers of the answer,
    beside those of every answer and those that say where its body ends.
    """

    operation = NO_ROUTE
    caller = NOBODY
    fault: str | None = None
    gone = False
    ident = ""
    pending: Deferred[bytes] | None = None
    told: dict[str, str]
    admitted = False
    oversized = False
    content: BytesIO
    peer: Peer
    segments: list[str] | None = None
    suffix: Format | None = None
    _began = 0.0

    # --- what comes in

    def gotLength(self, _: int | None) -> None:
        """The headers are there, and the body may begin. It is kept in memory, as it cannot be long."""
        self.content = BytesIO()
        self.told = {}

    def handleContentChunk(self, data: bytes) -> None:
        """Keep a part of the body; of one that is too long, nothing, so that it costs nothing to send one."""
        if self.oversized:
            return
        if self.content.tell() + len(data) > self._api.body_bytes:
            self.oversized = True
            self.content = BytesIO()
        else:
            self.content.write(data)

    def requestReceived(self, command: bytes, path: bytes, version: bytes) -> None:
        """All of the request is there: answer it."""
        self._began = self._api.clock.seconds()
        self.ident = f"{_RUN}{next(_NUMBERS):08x}"
        self.peer = self._channel.peer
        self._channel.asked()
        self.content.seek(0)
        self.method, self.uri, self.clientproto = command, _origin_form(path), version
        self.path, _, self.query = self.uri.partition(b"?")
        self._take_path_apart()
        self._api.app.take(self)

    def text_header(self, name: bytes) -> str | None:
        """The header as text, whatever its bytes are; of several, all with commas between."""
        values = self.text_headers(name)
        return ",".join(values) if values else None

    def text_headers(self, name: bytes) -> list[str]:
        """All headers of this name as text."""
        return [value.decode("latin-1") for value in self.requestHeaders.getRawHeaders(name, [])]

    @property
    def resource_path(self) -> str:
        """The path, in its one form, with the suffix that was asked for."""
        suffix = "" if self.suffix is None else f".{self.suffix.value}"
        return "/" + "/".join(quote(segment, safe="") for segment in self.segments or ()) + suffix

    def _take_path_apart(self) -> None:
        try:
            segments = _decoded(self.path[1:])
        except ValueError:  # nothing can be there, which is said in the format that was asked for
            _, self.suffix = split_suffix(self.path.decode("latin-1").removesuffix("/"))
            return
        if segments[-1] == "" and len(segments) > 1:  # a trailing slash is the same resource
            segments.pop()
        if segments != [_WHOLE]:
            segments[-1], self.suffix = split_suffix(segments[-1])
        if segments == [""] or "" not in segments:
            self.segments = segments

    # --- what goes out

    def answer(self, status: int, media_type: str | None, body: bytes) -> bytes:
        """Set status and headers for this body, which the caller then writes; without a media type there is none."""
        if media_type is not None:
            self.setHeader(b"Content-Length", b"%d" % len(body))
        self.begin(status, media_type)
        return body

    def begin(self, status: int, media_type: str | None) -> None:
        """Set status and headers for a body of unknown length."""
        self.setResponseCode(status, faults.reason(status))
        if media_type is not None:
            self.told["Content-Type"] = media_type
        self.told["X-Request-Id"] = self.ident

    def tell(self, headers: Mapping[str, str]) -> None:
        """Answer with these headers too. Raises ValueError where one would end its line and begin another header."""
        for value in headers.values():
            if "\r" in value or "\n" in value:
                raise ValueError(f"{value!r} cannot be in a header")
        self.told.update(headers)

    def complete(self, body: bytes) -> None:
        """Write what is left of the answer, and end it; nothing where nobody waits for it."""
        if not self.gone:
            self.write(body)
            self.finish()

    def finish(self) -> None:
        """The answer is complete."""
        site, seconds = self._api, self._api.clock.seconds() - self._began
        super().finish()
        site.requests.answered(self.operation, self.code, seconds)
        site.over(self, answered=True)

    def connectionLost(self, reason: Failure) -> None:
        """The client went away before the answer."""
        site = self._api
        self.gone = True
        super().connectionLost(reason)
        if self.pending is not None:
            # Whatever was accepted goes on when its client hangs up; what is cancelled here only waits for it.
            self.pending.cancel()
        site.over(self, answered=False)

    @property
    def _channel(self) -> ApiChannel:
        return cast("ApiChannel", self.channel)

    @property
    def _api(self) -> ApiSite:
        return self._channel.site


class ApiChannel(HTTPChannel):
    """A connection that answers what is no HTTP with a problem too, and has so long to ask and no longer."""

    requestFactory = ApiRequest
    peer: Peer
    transport: ITCPTransport
    _under_way = False
    _deadline: IDelayedCall | None = None

    @property
    def site(self) -> ApiSite:
        """What it is a connection to."""
        return cast("ApiSite", self.factory)

    @cached_property
    def _addresses(self) -> tuple[IAddress, IAddress]:
        # Each request asks for them, and the system takes its time. A proxy's word on them comes before the first.
        return self.transport.getPeer(), self.transport.getHost()

    def getPeer(self) -> IAddress:
        """The client's address."""
        return self._addresses[0]

    def getHost(self) -> IAddress:
        """The daemon's address on this connection."""
        return self._addresses[1]

    # --- how long it may take

    def connectionMade(self) -> None:
        """Somebody connected."""
        super().connectionMade()
        self.peer = Peer(self.transport)
        self.site.connections.opened(self)

    def dataReceived(self, data: bytes) -> None:
        """A part of a request. However slowly the parts drip in, there is one time for all of them."""
        super().dataReceived(data)
        in_parts = not self._under_way and (self.requests or self._buffer)
        if in_parts and self._deadline is None:
            self._deadline = self.site.clock.callLater(ASKING, self._too_slow)

    def asked(self) -> None:
        """A whole request is there."""
        self._under_way = True
        self._forget_deadline()
        self.site.connections.asked(self)

    def requestDone(self, request: ApiRequest) -> None:
        """It was answered; the next one may be here already."""
        self._under_way = False
        self.site.connections.answered(self)
        super().requestDone(request)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """The connection is gone."""
        self._forget_deadline()
        self.site.connections.closed(self)
        super().connectionLost(reason)

    def cut(self) -> None:
        """End it at once."""
        self.transport.abortConnection()

    def _too_slow(self) -> None:
        self._deadline = None
        self.cut()

    def _forget_deadline(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    # --- what goes out

    def writeHeaders(self, version: bytes, code: bytes, reason: bytes, headers: Headers) -> None:
        """Begin the answer to the request that is under way; ``headers`` say where its body ends."""
        ends = [(name, value) for name, values in headers.getAllRawHeaders() for value in values]
        self._begin(version, code, reason, self.requests[0].told, ends)

    def _begin(
        self, version: bytes, code: bytes, reason: bytes, told: Mapping[str, str], ends: Iterable[tuple[bytes, bytes]]
    ) -> None:
        # twisted.web would take each name and value through half a dozen calls; with five of them that was a tenth of
        # what a request costs.
        own = "".join([f"{name}: {value}\r\n" for name, value in told.items()])
        pieces = [version, b" ", code, b" ", reason, _ALWAYS, self.site.date(), b"\r\n", own.encode("latin-1")]
        for name, value in ends:
            pieces += (name, b": ", value, b"\r\n")
        pieces.append(b"\r\n")
        self.transport.write(b"".join(pieces))

    # --- what is no HTTP

    def headerReceived(self, line: bytes) -> bool:
        """One header is there; False: it was refused."""
        try:
            taken: bool = super().headerReceived(line)
        except ValueError:  # a Content-Length of more digits than the interpreter takes for an integer
            self._respondToBadRequestAndDisconnect()
            return False
        return taken

    def lineLengthExceeded(self, _: bytes) -> None:
        """The request line, or a header, has no end."""
        self._respondToBadRequestAndDisconnect()

    def _respondToBadRequestAndDisconnect(self) -> None:
        fault = BadRequest(
            "This is no sound HTTP/1.1 request, or its head has more than 16 KiB; correct the client.",
            [FieldError("request", "is no sound HTTP/1.1 request")],
        )
        body = orjson.dumps(faults.problem(fault, faults.PROPOSAL))
        told = {"Connection": "close", "Content-Type": problem_type(Format.JSON)}
        self._begin(b"HTTP/1.1", b"400", faults.reason(400), told, [(b"Content-Length", b"%d" % len(body))])
        self.transport.write(body)
        self.loseConnection()


def _origin_form(target: bytes) -> bytes:
    """The request target as path and query, whichever of its forms it came in (RFC 9112, 3.2)."""
    if target.startswith(b"/"):
        return target
    scheme, mark, rest = target.partition(b"://")
    if not mark or scheme.lower() not in (b"http", b"https"):
        return b"//" + target  # "*", the authority of a CONNECT, or no path at all: nothing is there
    starts = [at for at in (rest.find(b"/"), rest.find(b"?")) if at >= 0]
    path = rest[min(starts) :] if starts else b""
    return path if path.startswith(b"/") else b"/" + path


def _decoded(path: bytes) -> list[str]:
    """The segments of a path. Raises ValueError where one is no UTF-8, or has a slash of its own in it."""
    if b"%" not in path:
        return path.decode("utf-8").split("/")
    segments = [unquote_to_bytes(segment).decode("utf-8") for segment in path.split(b"/")]
    if any("/" in segment for segment in segments):
        raise ValueError("an encoded slash")
    return segments
