"""One HTTP request as quantumd sees it: its body bounded, its path and headers taken apart."""

from __future__ import annotations

from io import BytesIO
from typing import TYPE_CHECKING, cast
from urllib.parse import quote, unquote_to_bytes

import orjson
from twisted.internet.interfaces import ITCPTransport
from twisted.python.failure import Failure
from twisted.web import server
from twisted.web.http import HTTPChannel

import quantumd
from quantumd.api import faults
from quantumd.api.access import NOBODY
from quantumd.api.media import Format, problem_type, split_suffix
from quantumd.api.metrics import NO_ROUTE
from quantumd.core.errors import BadRequest, FieldError

if TYPE_CHECKING:
    from quantumd.api.site import ApiSite

SERVER = f"quantumd/{quantumd.__version__}"

#: The one path that ends like a suffix and has none.
_WHOLE = "openapi.json"


class ApiRequest(server.Request):
    """``segments`` is the path in pieces, decoded and without its suffix; None where nothing can be there.

    ``oversized``: the body was longer than allowed, and was thrown away. ``operation`` is the name of the route.
    """

    defaultContentType = None
    operation = NO_ROUTE
    caller = NOBODY
    oversized = False
    content: BytesIO
    segments: list[str] | None = None
    suffix: Format | None = None
    _began = 0.0

    # --- what comes in

    def gotLength(self, _: int | None) -> None:
        """The headers are there, and the body may begin. It is kept in memory, as it cannot be long."""
        self.content = BytesIO()

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
        """All of the request is there."""
        self._began = self._api.clock.seconds()
        super().requestReceived(command, _origin_form(path), version)

    def process(self) -> None:
        """Answer it."""
        self._take_path_apart()
        super().process()

    def getRequestHostname(self) -> bytes:
        """Not what the client calls this host: nothing in an answer depends on it, and the router takes no odd ones."""
        return b"localhost"

    def text_header(self, name: bytes) -> str | None:
        """The header as text, whatever its bytes are; of several, all with commas between."""
        values = self.text_headers(name)
        return ",".join(values) if values else None

    def text_headers(self, name: bytes) -> list[str]:
        """All headers of this name as text."""
        return [value.decode("latin-1") for value in self.requestHeaders.getRawHeaders(name, [])]

    @property
    def query(self) -> bytes:
        """What follows the question mark."""
        return self.uri.partition(b"?")[2]

    @property
    def resource_path(self) -> str:
        """The path, in its one form, with the suffix that was asked for."""
        suffix = "" if self.suffix is None else f".{self.suffix.value}"
        return "/" + "/".join(quote(segment, safe="") for segment in self.segments or ()) + suffix

    def _take_path_apart(self) -> None:
        try:
            segments = [_decoded(segment) for segment in self.path[1:].split(b"/")]
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
            self.setHeader(b"Content-Type", media_type.encode())
        self.setHeader(b"Cache-Control", b"no-store")

    def finish(self) -> None:
        """The answer is complete."""
        site, seconds = self._api, self._api.clock.seconds() - self._began
        super().finish()
        site.requests.answered(self.operation, self.code, seconds)

    def processingFailed(self, reason: Failure) -> Failure:
        """Something went wrong outside of the routes: answer as for any other fault of ours, never in HTML."""
        body = self._api.app.failed(self, reason)
        self.write(body)
        self.finish()
        return reason

    @property
    def _api(self) -> ApiSite:
        return cast("ApiChannel", self.channel).site


class ApiChannel(HTTPChannel):
    """A connection that answers what is no HTTP with a problem too."""

    site: ApiSite
    transport: ITCPTransport

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
        head = (
            f"HTTP/1.1 400 {faults.reason(400).decode()}\r\nServer: {SERVER}\r\nConnection: close\r\n"
            f"Content-Type: {problem_type(Format.JSON)}\r\nContent-Length: {len(body)}\r\n"
            "Cache-Control: no-store\r\n\r\n"
        )
        self.transport.write(head.encode() + body)
        self.loseConnection()


def _origin_form(target: bytes) -> bytes:
    """The request target as path and query, whichever of its forms it came in (RFC 9112, 3.2)."""
    if target.startswith(b"/"):
        return target
    scheme, mark, rest = target.partition(b"://")
    if not mark or scheme.lower() not in (b"http", b"https"):
        return b"/" + target  # "*", or the authority of a CONNECT: nothing is there
    starts = [at for at in (rest.find(b"/"), rest.find(b"?")) if at >= 0]
    path = rest[min(starts) :] if starts else b""
    return path if path.startswith(b"/") else b"/" + path


def _decoded(segment: bytes) -> str:
    """A segment of a path. Raises ValueError where it is no UTF-8, or has a slash of its own in it."""
    text = unquote_to_bytes(segment).decode("utf-8")
    if "/" in text:
        raise ValueError("an encoded slash")
    return text
