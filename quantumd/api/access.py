"""Who calls, and what that caller may do."""

from __future__ import annotations

import errno
import hmac
import socket
import struct
from collections.abc import Sequence
from functools import cached_property

from twisted.internet.address import IPv4Address, IPv6Address, UNIXAddress
from twisted.internet.interfaces import ITCPTransport

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


class Peer:
    """Whoever is at the other end of a connection: the same for as long as it is open, and found out but once.

    ``caller`` is what :class:`Access` makes of it where no token is sent.
    """

    def __init__(self, transport: ITCPTransport) -> None:
        self._transport = transport
        self.caller: Caller | None = None

    @cached_property
    def local(self) -> bool:
        """Whether it came to a unix socket."""
        return isinstance(self._transport.getHost(), UNIXAddress)

    @cached_property
    def origin(self) -> str:
        """Where it is, for logs: an address and port, or a process on this host."""
        if self.local:
            pid, uid, _ = self.credentials
            return f"process {pid} of uid {uid}"
        peer = self._transport.getPeer()
        return f"{peer.host} port {peer.port}" if isinstance(peer, IPv4Address | IPv6Address) else str(peer)

    @property
    def host(self) -> str:
        """The address of its machine."""
        return getattr(self._transport.getPeer(), "host", "the unix socket")

    @cached_property
    def credentials(self) -> tuple[int, int, int]:
        """Process, user and group of whoever connected to a unix socket (SO_PEERCRED of unix(7))."""
        packed = self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _UCRED.size)
        pid, uid, gid = _UCRED.unpack(packed)
        return pid, uid, gid

    @property
    def groups(self) -> Sequence[int]:
        """All supplementary groups that it had when it connected; SO_PEERCRED has but the one. Of a peer with more than
        fit, none."""
        try:
            packed = self._socket.getsockopt(socket.SOL_SOCKET, _SO_PEERGROUPS, _GROUPS * _GID.size)
        except OSError as error:
            if error.errno != errno.ERANGE:
                raise
            return []
        return [gid for (gid,) in _GID.iter_unpack(packed)]

    @property
    def _socket(self) -> socket.socket:
        handle: socket.socket = self._transport.getHandle()  # type: ignore[attr-defined]  # sockets have it
        return handle


class Access:
    """Finds out who calls. What a caller may do is decided in :mod:`~quantumd.core.access`."""

    def __init__(self, settings: ApiSettings, tokens: Tokens) -> None:
        self._settings = settings
        self._tokens = tokens

    def authenticate(self, peer: Peer, authorization: str | None) -> Caller:
        """The caller: whoever is there, with the value of the ``Authorization`` header.

        A bearer token, where one is sent, counts over what a unix socket says of its peer. Raises Unauthorized.
        """
        if self._settings.auth_mode == NONE:
            return _admin(f"anybody at {peer.host}")
        token = None if authorization is None else _bearer(authorization)
        if token is not None:
            return self._holder(token)
        if not peer.local:
            raise Unauthorized(
                "There are no credentials; send 'Authorization: Bearer TOKEN', with the token that the daemon wrote to "
                "admin.token beside its state file."
            )
        if peer.caller is None:
            peer.caller = self._user(peer)
        return peer.caller

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

    def _user(self, peer: Peer) -> Caller:
        _, uid, gid = peer.credentials
        group = self._settings.admin_gid
        member = group is not None and group in (gid, *peer.groups)
        if uid not in (ROOT, self._settings.owner_uid) and not member:
            raise Unauthorized(
                f"User id {uid} may not use this socket without a token; call as root, as the daemon's own user or as "
                "a member of [auth] unix_admin_group, or send 'Authorization: Bearer TOKEN'."
            )
        return _admin(f"uid {uid}")


def _admin(name: str) -> Caller:
    return Caller(name, DEFAULT_TENANT, Role.ADMIN)


def _bearer(authorization: str) -> str | None:
    """The bearer token (RFC 6750, 2.1); None: there is none."""
    scheme, _, token = authorization.strip().partition(" ")
    return token.strip() if scheme.lower() == "bearer" else None
