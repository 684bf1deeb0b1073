"""Floor 5: the daemon's listening sockets, from Twisted endpoint strings."""

from __future__ import annotations

import os
import re
import socket
import stat
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

from attrs import frozen
from twisted.internet.endpoints import serverFromString
from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import IListeningPort, IProtocolFactory, IStreamServerEndpoint

from quantumd.config import ConfigError

#: The interfaces of these types where none is named, as Twisted has it.
_ANYWHERE = {"tcp": "0.0.0.0", "tcp6": "::", "ssl": "0.0.0.0"}  # noqa: S104 - what Twisted takes for none

#: How many connections may wait to be taken, where an endpoint does not say. Twisted's own 50 are over in a few
#: milliseconds in which the reactor has other things to do, and a client of a unix socket that has set a timeout is
#: refused then (EAGAIN, connect(2)). The kernel takes somaxconn, 4096, at the most (listen(2)).
_BACKLOG = 1024
_WITH_BACKLOG = {*_ANYWHERE, "unix"}


class ListenError(Exception):
    """A socket cannot be had. The text is one line: which, why, what to do."""


@frozen
class _Address:
    """An endpoint string taken apart: ``tcp:9696:interface=::1`` is tcp, 9696 and {"interface": "::1"}."""

    kind: str
    first: str
    named: Mapping[str, str]


def make_endpoint(reactor: Any, text: str) -> IStreamServerEndpoint:
    """The endpoint that the text describes, or ConfigError. Nothing listens yet."""
    try:
        address = _parse(text)
        backlog = f":backlog={_BACKLOG}" if address.kind in _WITH_BACKLOG and "backlog" not in address.named else ""
        endpoint: IStreamServerEndpoint = serverFromString(reactor, text + backlog)
        if address.kind in _ANYWHERE and not 0 <= int(address.first) <= 65535:
            raise ValueError("a TCP port is from 0 to 65535")
        if address.kind == "unix" and not address.first:
            raise ValueError("a unix socket needs a path")
    except Exception as error:  # the parsers of the endpoint types raise whatever they run into
        raise ConfigError(
            f"[quantumd] listen = {text}: not a Twisted endpoint ({error}); it should look like "
            "tcp:9696:interface=127.0.0.1 or unix:/run/quantumd/api.sock:mode=660"
        ) from error
    return endpoint


async def listen(reactor: Any, text: str, factory: IProtocolFactory, gid: int | None = None) -> IListeningPort:
    """Listen there, or raise ListenError.

    The directory of a unix socket is made where there is none, and a socket that a dead process left is removed. Its
    group becomes ``gid``, if there is one, so that the mode can let members of that group in.
    """
    address = _parse(text)
    if address.kind == "unix":
        _clear(text, Path(address.first))
    try:
        port: IListeningPort = await make_endpoint(reactor, text).listen(factory)
        if address.kind == "unix" and gid is not None:
            os.chown(address.first, -1, gid)
    except CannotListenError as error:
        raise _refused(text, error.socketError) from error
    except OSError as error:
        raise _refused(text, error) from error
    return port


def probe(text: str) -> None:
    """Raise ListenError where it can be known that nobody can listen there now. Leaves nothing behind.

    For a daemon that is about to fork: afterwards there is nobody left to tell.
    """
    address = _parse(text)
    if address.kind == "unix":
        _clear(text, Path(address.first))
    elif address.kind in _ANYWHERE:
        interface = address.named.get("interface", _ANYWHERE[address.kind])
        try:
            family = socket.AF_INET6 if ":" in interface else socket.AF_INET
            with closing(socket.socket(family, socket.SOCK_STREAM)) as probing:
                probing.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                probing.bind((interface, int(address.first)))
        except OSError as error:
            raise _refused(text, error) from error


def _parse(text: str) -> _Address:
    kind, *parts = (re.split(r"(?<!\\)=", part, maxsplit=1) for part in re.split(r"(?<!\\):", text))
    plain = [_unquoted(part[0]) for part in parts if len(part) == 1]
    named = {part[0]: _unquoted(part[1]) for part in parts if len(part) == 2}
    first = plain[0] if plain else named.get("port", named.get("address", ""))
    return _Address(kind[0], first, named)


def _unquoted(text: str) -> str:
    return re.sub(r"\\(.)", r"\1", text)


def _clear(text: str, path: Path) -> None:
    """Make the way free for a unix socket, if it is nobody's."""
    try:
        path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        if path.exists():
            if not stat.S_ISSOCK(path.stat().st_mode):
                raise ListenError(f"cannot listen on {text}: {path} is there and is no socket; remove it, or {_ELSE}")
            if _answers(path):
                raise ListenError(f"cannot listen on {text}: another process listens there; stop it, or {_ELSE}")
            path.unlink()
        # Twisted's own lock beside the socket names a process, and another one may have got its number since.
        path.with_name(path.name + ".lock").unlink(missing_ok=True)
    except OSError as error:
        raise _refused(text, error) from error


def _answers(path: Path) -> bool:
    with closing(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)) as caller:
        caller.setblocking(False)
        try:
            caller.connect(str(path))
        except ConnectionRefusedError:
            return False
        except BlockingIOError:
            return True  # its backlog is full
        return True


_ELSE = "set 'listen' in [quantumd] to another address"


def _refused(text: str, error: Exception) -> ListenError:
    why = getattr(error, "strerror", None) or str(error)
    return ListenError(f"cannot listen on {text} ({why}): stop whatever has that address, or {_ELSE}")
