"""Who calls, and what that caller may do."""

from __future__ import annotations

import hashlib
import hmac
import socket
import struct

from attrs import frozen
from twisted.internet.address import UNIXAddress
from twisted.web.http import Request

from quantumd.api.settings import NONE, ApiSettings
from quantumd.core.errors import Unauthorized

#: What ``WWW-Authenticate`` asks for.
CHALLENGE = 'Bearer realm="quantumd"'

#: The tenant of what an admin makes without naming one.
DEFAULT_TENANT = "default"

ROOT = 0
_UCRED = struct.Struct("3i")  # struct ucred of linux/socket.h: pid, uid, gid


@frozen
class Caller:
    """Who calls: ``name`` is for limits and logs, ``tenant_id`` is whose a new network is when the request says
    nothing, ``role`` is ``admin`` (everything, of every tenant)."""

    name: str
    tenant_id: str
    role: str


#: Whoever asks for what is open to everybody.
NOBODY = Caller("anybody", DEFAULT_TENANT, "")


def token_hash(token: str) -> bytes:
    """What is kept of a token, so that whoever reads it cannot use it: the token is long and random, hence no salt."""
    return hashlib.sha256(token.encode("utf-8")).digest()


class Access:
    """Decides who may call."""

    def __init__(self, settings: ApiSettings) -> None:
        self._settings = settings

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
        expected = self._settings.admin_token_hash
        if expected is None or not hmac.compare_digest(token_hash(token), expected):
            raise Unauthorized(
                "The token is not a good one; use the one in admin.token beside the state file of the daemon."
            )
        return _admin("the admin token")

    def _peer(self, request: Request) -> Caller:
        handle: socket.socket = request.channel.transport.getHandle()  # type: ignore[union-attr]
        _, uid, _ = _UCRED.unpack(handle.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _UCRED.size))
        if uid not in (ROOT, self._settings.owner_uid):
            raise Unauthorized(
                f"User id {uid} may not use this socket without a token; call as root or as the daemon's own user, or "
                "send 'Authorization: Bearer TOKEN'."
            )
        return _admin(f"uid {uid}")


def _admin(name: str) -> Caller:
    return Caller(name, DEFAULT_TENANT, "admin")


def _bearer(request: Request) -> str | None:
    """The bearer token of the request (RFC 6750, 2.1); None: there is none."""
    header = request.getHeader(b"Authorization")
    if header is None:
        return None
    scheme, _, token = header.decode("utf-8", "replace").strip().partition(" ")
    return token.strip() if scheme.lower() == "bearer" else None
