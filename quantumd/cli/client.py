"""The REST API over a unix socket or TCP, with nothing but ``http.client``."""

from __future__ import annotations

import errno
import http.client
import json
import socket
from collections.abc import Container, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NamedTuple
from urllib.parse import urlencode

from quantumd.cli.endpoint import Endpoint
from quantumd.cli.errors import Refused, Unreachable

#: The longest that the API waits for a resource to settle, in seconds.
LONGEST_WAIT = 60
_PROBLEM = "application/problem+json"


class Reply(NamedTuple):
    """An answer that is no fault: its HTTP status, and its body as text (of JSON, where it is not a metric page)."""

    status: int
    text: str

    @property
    def json(self) -> Any:
        """The body, parsed; :class:`Unreachable` where it is no JSON."""
        try:
            return json.loads(self.text)
        except ValueError:
            raise _not_ours(self.status, "something that is not JSON") from None

    def part(self, key: str) -> Any:
        """What is under the one key that every body of the API has; :class:`Unreachable` where it is not there."""
        body = self.json
        if not isinstance(body, dict) or key not in body:
            raise _not_ours(self.status, f"JSON without {key!r}")
        return body[key]


class Client:
    """One connection to the daemon, opened at the first request and kept.

    ``timeout`` is how many seconds to wait for a connection, and for an answer beyond what it was asked to wait.
    """

    def __init__(self, endpoint: Endpoint, token: str | None = None, timeout: float = 30) -> None:
        self.endpoint = endpoint
        self._token = token
        self.timeout = timeout
        self._connection: http.client.HTTPConnection | None = None

    def get(self, path: str, query: Mapping[str, str] | None = None, *, wait: int | None = None) -> Reply:
        """GET; ``query`` is what follows the question mark, ``wait`` the seconds to wait for it to settle."""
        return self.request("GET", path + _query(query), wait=wait)

    def request(
        self,
        method: str,
        path: str,
        body: object = None,
        *,
        wait: int | None = None,
        good: Container[int] = range(200, 300),
    ) -> Reply:
        """Send one request and read its answer; ``good`` are the HTTP statuses that are no fault.

        Raises :class:`Refused` for a fault, :class:`Unreachable` where there is no answer or none of quantumd's.
        """
        headers = self._headers()
        if wait is not None:
            headers["Prefer"] = f"wait={wait}"
        payload = None
        if body is not None:
            payload = json.dumps(body).encode()
            headers["Content-Type"] = "application/json"
        with self._explained():
            connection = self._connect(self.timeout + (wait or 0))
            connection.request(method, self.endpoint.prefix + path, payload, headers)
            response = connection.getresponse()
            text = response.read().decode("utf-8", "replace")
        return self._judged(response, text, good)

    def lines(self, path: str, headers: Mapping[str, str]) -> Iterator[str]:
        """The lines of a stream, without their ends, as they come, for as long as it lasts.

        The request is made before this returns. A stream that breaks off raises :class:`Unreachable`.
        """
        with self._explained():
            connection = self._connect(self.timeout)
            connection.request("GET", self.endpoint.prefix + path, None, self._headers() | dict(headers))
            response = connection.getresponse()
            if response.status != http.client.OK:
                self._judged(response, response.read().decode("utf-8", "replace"), ())
            if connection.sock is not None:  # None where the daemon said that it closes after this answer
                connection.sock.settimeout(None)  # silence is no fault in here
        return self._read_lines(response)

    def close(self) -> None:
        """Close the connection; the next request opens another."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _read_lines(self, response: http.client.HTTPResponse) -> Iterator[str]:
        with self._explained():
            while line := response.readline():
                yield line.decode("utf-8", "replace").rstrip("\r\n")

    def _judged(self, response: http.client.HTTPResponse, text: str, good: Container[int]) -> Reply:
        """The answer, if it is none of a fault's. What a fault is called stands in its body: the number may vary."""
        kind = response.headers.get_content_type()
        if response.status in good:
            return Reply(response.status, text)
        if kind == _PROBLEM:
            problem = Reply(response.status, text).json
            if isinstance(problem, dict):
                raise _refusal(problem, response.status, with_token=self._token is not None)
        raise _not_ours(response.status, kind)

    def _headers(self) -> dict[str, str]:
        headers = {"Accept": f"application/json, {_PROBLEM}, */*;q=0.1", "User-Agent": "quantumctl"}
        if self._token is not None:
            headers["Authorization"] = f"Bearer {self._token}"
        return headers

    def _connect(self, timeout: float) -> http.client.HTTPConnection:
        if self._connection is None:
            self._connection = _connection(self.endpoint, self.timeout)
            self._connection.connect()
        if self._connection.sock is not None:
            self._connection.sock.settimeout(timeout)
        self._connection.timeout = timeout  # for the connection that is made anew after a "Connection: close"
        return self._connection

    @contextmanager
    def _explained(self) -> Iterator[None]:
        """Turn what the network does into words."""
        try:
            yield
        except TimeoutError:
            self.close()
            raise Unreachable(f"quantumd at {self.endpoint.text} did not answer in time") from None
        except (ConnectionResetError, BrokenPipeError, http.client.HTTPException) as error:
            self.close()
            raise Unreachable(
                f"the connection to quantumd at {self.endpoint.text} broke off ({_words(error)}); "
                "was the daemon stopped, or is something else listening there?"
            ) from None
        except OSError as error:
            self.close()
            raise Unreachable(_unreachable(self.endpoint, error)) from None


class _UnixConnection(http.client.HTTPConnection):
    """HTTP over a unix socket."""

    def __init__(self, path: str, timeout: float) -> None:
        super().__init__("localhost", timeout=timeout)
        self._path = path

    def connect(self) -> None:
        """Connect to the path; the host is for the Host header alone."""
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


def _connection(endpoint: Endpoint, timeout: float) -> http.client.HTTPConnection:
    if endpoint.scheme == "unix":
        return _UnixConnection(endpoint.address, timeout)
    if endpoint.scheme == "https":
        return http.client.HTTPSConnection(endpoint.address, endpoint.port, timeout=timeout)
    return http.client.HTTPConnection(endpoint.address, endpoint.port, timeout=timeout)


def _query(query: Mapping[str, str] | None) -> str:
    # A byte of the command line that was no UTF-8 goes out as it came in: it is the daemon that judges names.
    return f"?{urlencode(query, errors='surrogateescape')}" if query else ""


def _refusal(problem: Mapping[str, Any], status: int, *, with_token: bool) -> Refused:
    name = str(problem.get("type", "")).rpartition("/")[2] or str(problem.get("title", f"HTTP {status}"))
    detail = str(problem.get("detail") or problem.get("title") or "the daemon does not say why")
    if name == "Unauthorized" and not with_token:
        detail += " (no token was sent: use $QUANTUMD_TOKEN or --token)"
    errors = problem.get("errors")
    lines = [
        f"{error.get('path')}: {error.get('message')}"
        for error in (errors if isinstance(errors, list) else [])
        if isinstance(error, dict) and str(error.get("message")) not in detail
    ]
    return Refused(name, detail, lines)


def _not_ours(status: int, what: str) -> Unreachable:
    return Unreachable(f"the answer ({status}, {what}) is none of quantumd's; is the endpoint right?")


def _words(error: BaseException) -> str:
    return (isinstance(error, OSError) and error.strerror) or str(error) or type(error).__name__


def _unreachable(endpoint: Endpoint, error: OSError) -> str:
    tried = f"cannot reach quantumd at {endpoint.text}: {_words(error)}"
    if error.errno in (errno.EACCES, errno.EPERM):
        return f"{tried}; become root or a member of the socket's group, or go over TCP with --endpoint and --token"
    return f"{tried}; start it with 'twistd -n quantumd', or say where it is with --endpoint or $QUANTUMD_ENDPOINT"
