"""Who calls, what that caller may do, and what it sees. The one place where this is decided.

Rights are judged before anything is looked for, and against the accepted state, so that a token that was revoked opens
nothing any more from that moment on, not even for a request that had begun.
"""

from __future__ import annotations

from enum import Enum, StrEnum, auto

from attrs import frozen

from quantumd.core.errors import NotFound, Unauthorized
from quantumd.core.intent import find_network, no_network
from quantumd.core.model import Network, Token
from quantumd.core.state import State

#: The tenant of what an admin makes without naming one.
DEFAULT_TENANT = "default"


class Role(StrEnum):
    """What a caller is to its tenant; an admin is one to every tenant."""

    ADMIN = "admin"
    MEMBER = "member"
    READER = "reader"


class Right(Enum):
    """What a request needs."""

    READ = auto()
    WRITE = auto()
    ADMINISTER = auto()


_RIGHTS = {
    Role.ADMIN: frozenset(Right),
    Role.MEMBER: frozenset((Right.READ, Right.WRITE)),
    Role.READER: frozenset((Right.READ,)),
}


@frozen
class Caller:
    """Who calls: ``name`` is for limits and logs, ``tenant_id`` is whose a new network is when the request says
    nothing, ``token_id`` is the stored token that it came with, if it did. Without a role it may nothing."""

    name: str
    tenant_id: str
    role: Role | None
    token_id: str | None = None

    def sees(self, tenant_id: str) -> bool:
        """Whether what belongs to that tenant is there for this caller."""
        return self.role is Role.ADMIN or (self.role is not None and self.tenant_id == tenant_id)


def authorize(state: State, caller: Caller, right: Right) -> None:
    """Raises Unauthorized where the caller lacks the right, or its token was revoked."""
    if caller.token_id is not None and caller.token_id not in state.tokens:
        raise Unauthorized("This token was revoked; ask an admin for another one.")
    if caller.role is None or right not in _RIGHTS[caller.role]:
        needed = Role.ADMIN if right is Right.ADMINISTER else Role.MEMBER
        raise Unauthorized(f"The role of this caller ({caller.role}) may not do this; use a token of a {needed}.")


def authorize_tenant(caller: Caller, tenant_id: str) -> None:
    """Raises Unauthorized where the caller may not name that tenant in a request."""
    if not caller.sees(tenant_id):
        raise Unauthorized("A caller that is no admin has to do with its own tenant only; leave tenant_id out.")


def visible_network(state: State, caller: Caller, network_id: str) -> Network:
    """The network, also while it is being deleted. Raises NetworkNotFound, in the same words whether there is none or
    it is another tenant's."""
    network = find_network(state, network_id)
    if not caller.sees(network.tenant_id):
        raise no_network(network_id)
    return network


def visible_networks(state: State, caller: Caller) -> list[Network]:
    """The networks that are there for the caller, oldest first. Costs what there is of them, not of all."""
    if caller.role is Role.ADMIN:
        return sorted(state.networks.values(), key=lambda network: network.serial)
    return state.networks_of(caller.tenant_id)


def find_token(state: State, token_id: str) -> Token:
    """The token. Raises NotFound."""
    token = state.tokens.get(token_id)
    if token is None:
        raise NotFound(f"There is no token {token_id}; GET /tokens lists those that there are.")
    return token
