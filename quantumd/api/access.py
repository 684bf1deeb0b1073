"""Who calls, and what that caller may do."""

from __future__ import annotations

import errno
import hmac
import socket
import struct
from collections.abc import Sequence

from twisted.internet.address import IPv4Address, IPv6Address, UNIXAddress
from twisted.web.http import Request

from quantumd.api.settings import NONE, ApiSettings
from quantumd.core.access import DEFAULT_TENANT, Caller, Role
from quantumd.core.errors import Unauthorized
from quantumd.service.tokens import Tokens, token_hash

#: What ``WWW-Authenticate`` asks for.
CHALLENGE = 'Bearer realm="quantumd"'

ROOT = 0
_UCRED = struct.Struct("3i")  # struct ucred of linux/socket.h: pid, uid, gid
_SO_PEERGROUPS = 59  # asm-generic/socket.h; a list of gid_t
_GID = struct.Struct("I")
_GROUPS = 256  # what fits into the 1024 bytes that Python's getsockopt takes


#: Whoever asks for what is open to everybody.
NOBODY = Caller("anybody", DEFAULT_TENANT, None)


class Access:
    """Finds out who calls. What a caller may do is decided in :mod:`~quantumd.core.access`."""

    def __init__(self, settings: ApiSettings, tokens: Tokens) -> None:
        self._settings = settings
        self._tokens = tokens

    def authenticate(self, request: Request) -> Caller:
        """The caller of the request.

        A bearer token, where one is sent, counts over what a unix socket says of its peer. Raises Unauthorized.
        """
        if self._settings.auth_mode == NONE:
            return _admin(f"anybody at {getattr(request.getClientAddress(), 'host', 'the unix socket')}")
        token = _bearer(request)
        if token is not None:
            return self._holder(token)
        if isinstance(request.getHost(), UNIXAddress):
            return self._peer(request)
        raise Unauthorized(
            "There are no credentials; send 'Authorization: Bearer TOKEN', with the token that the daemon wrote to "
            "admin.token beside its state file."
        )

    def _holder(self, token: str) -> Caller:
        hashed, expected = token_hash(token), self._settings.admin_token_hash
        if expected is not None and hmac.compare_digest(hashed, expected):
            return _admin("the admin token")
        holder = self._tokens.holder(hashed)
        if holder is None:
            raise Unauthorized(
                "The token is not a good one (any more); ask an admin for one, or use the one in admin.token beside "
                "the state file of the daemon."
            )
        return holder

    def _peer(self, request: Request) -> Caller:
        _, uid, gid = _credentials(request)
        group = self._settings.admin_gid
        member = group is not None and group in (gid, *_groups(_socket(request)))
        if uid not in (ROOT, self._settings.owner_uid) and not member:
            raise Unauthorized(
                f"User id {uid} may not use this socket without a token; call as root, as the daemon's own user or as "
                "a member of [auth] unix_admin_group, or send 'Authorization: Bearer TOKEN'."
            )
        return _admin(f"uid {uid}")


def origin_of(request: Request) -> str:
    """Where the request came from, for logs: an address and port, or a process on this host."""
    peer = request.getClientAddress()
    if isinstance(request.getHost(), UNIXAddress):
        pid, uid, _ = _credentials(request)
        return f"process {pid} of uid {uid}"
    return f"{peer.host} port {peer.port}" if isinstance(peer, IPv4Address | IPv6Address) else str(peer)


def _credentials(request: Request) -> tuple[int, int, int]:
    """Process, user and group of whoever connected (SO_PEERCRED of unix(7))."""
    packed = _socket(request).getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _UCRED.size)
    pid, uid, gid = _UCRED.unpack(packed)
    return pid, uid, gid


def _socket(request: Request) -> socket.socket:
    handle: socket.socket = request.channel.transport.getHandle()  # type: ignore[union-attr]
    return handle


def _admin(name: str) -> Caller:
    return Caller(name, DEFAULT_TENANT, Role.ADMIN)


def _groups(handle: socket.socket) -> Sequence[int]:
    """All supplementary groups that the peer had when it connected; SO_PEERCRED has but the one. Of a peer with more
    than fit, none."""
    try:
        packed = handle.getsockopt(socket.SOL_SOCKET, _SO_PEERGROUPS, _GROUPS * _GID.size)
    except OSError as error:
        if error.errno != errno.ERANGE:
            raise
        return []
    return [gid for (gid,) in _GID.iter_unpack(packed)]


def _bearer(request: Request) -> str | None:
    """The bearer token of the request (RFC 6750, 2.1); None: there is none."""
    header = request.getHeader(b"Authorization")
    if header is None:
        return None
    scheme, _, token = header.decode("utf-8", "replace").strip().partition(" ")
    return token.strip() if scheme.lower() == "bearer" else None
