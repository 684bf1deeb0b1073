"""Where the daemon listens, as a person writes it: ``unix:PATH``, ``http://host:port`` or ``https://host:port``."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

from quantumd.cli.errors import WrongUsage

DEFAULT_SOCKET = "/run/quantumd/api.sock"
DEFAULT_URL = "http://127.0.0.1:9696"
VARIABLE = "QUANTUMD_ENDPOINT"


class Endpoint(NamedTuple):
    """A place to connect to.

    ``scheme`` is ``unix``, ``http`` or ``https``; ``address`` the socket's path or the host; ``port`` is None on a
    unix socket; ``prefix`` stands before every path (a proxy may serve the API below one); ``text`` is for messages.
    """

    scheme: str
    address: str
    port: int | None
    prefix: str
    text: str


def parse_endpoint(text: str, source: str = "--endpoint") -> Endpoint:
    """Read an endpoint; ``source`` is where it was given, for the message of :class:`WrongUsage`."""
    scheme, separator, rest = text.partition(":")
    if scheme == "unix" and rest:
        return Endpoint("unix", rest, None, "", text)
    if scheme in ("http", "https") and separator:
        try:
            url = urlsplit(text)
            port = url.port
            (url.hostname or "").encode("idna")
        except ValueError as error:
            raise WrongUsage(f"{source}: {error}") from None
        if url.username is not None or url.password is not None:
            raise WrongUsage(f"{source}: no credentials in the URL please; use --token or $QUANTUMD_TOKEN")
        if url.hostname and not url.query and not url.fragment:
            default = 443 if scheme == "https" else 80
            return Endpoint(scheme, url.hostname, port or default, url.path.rstrip("/"), text)
    raise WrongUsage(f"{source}: {text!r} is not unix:PATH, http://HOST:PORT or https://HOST:PORT")


def choose_endpoint(given: str | None, environ: Mapping[str, str]) -> Endpoint:
    """The endpoint that was given, else the environment's, else the default socket if it is there, else loopback."""
    if given is not None:
        return parse_endpoint(given)
    if environ.get(VARIABLE):
        return parse_endpoint(environ[VARIABLE], f"${VARIABLE}")
    return parse_endpoint(f"unix:{DEFAULT_SOCKET}" if _is_there(DEFAULT_SOCKET) else DEFAULT_URL)


def _is_there(path: str) -> bool:
    try:
        return Path(path).exists()
    except PermissionError:  # the directory is closed to this user, who may still be let in over TCP
        return False
