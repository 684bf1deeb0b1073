"""The whole state as one immutable value. :mod:`~quantumd.core.transaction` makes the next one from it.

The maps are persistent (they share what did not change), so that keeping a tentative state beside the visible one,
and going back, costs nothing, and one change costs the same however much there is.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, TypeVar

from attrs import field, frozen
from rpds import HashTrieMap

from quantumd.core.claims import Claim, claims, excludes
from quantumd.core.model import Attachment, AttachmentStatus, Key, Kind, Network, Port, Record, Status, Token

#: One item of a network's ``data``: each is that network's alone.
Allocation = tuple[str, object]
#: Each kind of record with each status that it may have.
STANDINGS: tuple[tuple[Kind, str], ...] = (
    *((kind, status) for kind in (Kind.NETWORK, Kind.PORT) for status in Status),
    *((Kind.ATTACHMENT, status) for status in AttachmentStatus),
)
#: What is counted of a tenant (None: of all together): ``networks``, ``ports``, ``attachments`` or ``tunnels``.
Counted = tuple[str | None, str]

_K = TypeVar("_K")
_V = TypeVar("_V")
_NETWORK, _PORT = Kind.NETWORK, Kind.PORT  # as in model


def _none() -> HashTrieMap[_K, None]:
    return HashTrieMap()


def _pairs(trie: HashTrieMap[_K, _V]) -> list[tuple[_K, _V]]:
    """What is in it, at once. Its own iterators take out of a copy what they give, which is 1.2 µs for each; what it
    would be pickled from is there in 0.1 µs."""
    made: Any = trie.__reduce__()
    pairs: list[tuple[_K, _V]] = made[1][0]
    return pairs


@frozen(kw_only=True)
class State:
    """Everything that was accepted. Lists are in the order of ``serial``, which is the order of creation."""

    networks: HashTrieMap[str, Network] = field(factory=HashTrieMap)
    ports: HashTrieMap[str, Port] = field(factory=HashTrieMap)
    attachments: HashTrieMap[int, Attachment] = field(factory=HashTrieMap)
    tokens: HashTrieMap[str, Token] = field(factory=HashTrieMap)
    next_serial: int = 1
    next_event: int = 1
    # Indices, kept by Transaction alone. ``live_…`` count what is not being deleted. ``free`` has those ports of a
    # network that take a plug, oldest first: with nothing in them (False), or with something on its way out (True); and
    # in small pieces, by their serials' range, since there may be many. ``free_pieces`` says which pieces there are.
    # ``used`` counts what stays, by tenant; tunnels are attachments as well. ``standing`` counts every
    # record, by :data:`STANDINGS`.
    network_ports: HashTrieMap[str, HashTrieMap[str, None]] = field(factory=HashTrieMap)
    network_attachments: HashTrieMap[str, HashTrieMap[int, None]] = field(factory=HashTrieMap)
    claimed: HashTrieMap[Claim, tuple[int, ...]] = field(factory=HashTrieMap)
    allocated: HashTrieMap[Allocation, str] = field(factory=HashTrieMap)
    live_networks: int = 0
    live_ports: HashTrieMap[str, int] = field(factory=HashTrieMap)
    free: HashTrieMap[tuple[str, bool, int], tuple[tuple[int, str], ...]] = field(factory=HashTrieMap)
    free_pieces: HashTrieMap[tuple[str, bool], tuple[int, ...]] = field(factory=HashTrieMap)
    tenant_networks: HashTrieMap[str, HashTrieMap[str, None]] = field(factory=HashTrieMap)
    used: HashTrieMap[Counted, int] = field(factory=HashTrieMap)
    standing: tuple[int, ...] = (0,) * len(STANDINGS)
    digests: HashTrieMap[str, str] = field(factory=HashTrieMap)

    def get(self, key: Key) -> Record | None:
        """The record of that key, or None; a token is none."""
        kind, ident = key
        if isinstance(ident, int):
            return self.attachments.get(ident)
        if kind is _PORT:
            return self.ports.get(ident)
        return self.networks.get(ident) if kind is _NETWORK else None

    def networks_of(self, tenant_id: str) -> list[Network]:
        """The tenant's networks, oldest first."""
        found = (self.networks[ident] for ident, _ in _pairs(self.tenant_networks.get(tenant_id, _none())))
        return sorted(found, key=lambda network: network.serial)

    def token_of(self, digest: str) -> Token | None:
        """The token whose secret has that digest."""
        ident = self.digests.get(digest)
        return None if ident is None else self.tokens[ident]

    def count(self, what: str, tenant_id: str | None = None) -> int:
        """How many networks, ports, attachments or tunnels a tenant has that stay; None: all tenants together."""
        return self.used.get((tenant_id, what), 0)

    def ports_of(self, network_id: str) -> list[Port]:
        """The network's ports, oldest first."""
        found = (self.ports[ident] for ident, _ in _pairs(self.network_ports.get(network_id, _none())))
        return sorted(found, key=lambda port: port.serial)

    def attachments_of(self, network_id: str) -> list[Attachment]:
        """The network's attachments, those being unplugged among them, oldest first."""
        serials = sorted(serial for serial, _ in _pairs(self.network_attachments.get(network_id, _none())))
        return [self.attachments[serial] for serial in serials]

    def holders(self, claim: Claim) -> list[Attachment]:
        """The attachments with that claim, oldest first; those that are not going exclude newcomers."""
        return [self.attachments[serial] for serial in self.claimed.get(claim, ())]

    def owner(self, name: str, value: object) -> str | None:
        """The id of the network whose ``data`` has that item (a bridge's name, a VLAN), or None: it is free."""
        return self.allocated.get((name, value))

    def plugged(self, port_id: str) -> Attachment | None:
        """What is plugged, or accepted to be plugged, into the port."""
        latest = self.latest(port_id)
        return None if latest is None or latest.going else latest

    def latest(self, port_id: str) -> Attachment | None:
        """What the port shows: what is plugged, else the last one that is on its way out."""
        serials = self.claimed.get(("port", port_id), ())
        return self.attachments[serials[-1]] if serials else None

    def free_port(self, network_id: str) -> Port | None:
        """The network's oldest port with nothing in it, else the oldest whose attachment is on its way out."""
        for leaving in (False, True):
            for piece in self.free_pieces.get((network_id, leaving), ()):
                _, ident = self.free[network_id, leaving, piece][0]
                return self.ports[ident]
        return None

    def has_plugged(self, network_id: str) -> bool:
        """Whether anything is plugged into the network that is not on its way out."""
        serials = self.network_attachments.get(network_id, _none())
        return any(not self.attachments[serial].going for serial in serials)

    def rivals(self, attachment: Attachment, *, going: bool) -> Iterator[tuple[Claim, Attachment]]:
        """The attachments that exclude this one: those on their way out, or those that stay."""
        for claim in claims(attachment):
            if self.claimed.get(claim) == (attachment.serial,):  # as it mostly is
                continue
            for other in self.holders(claim):
                if other.serial != attachment.serial and other.going is going and excludes(attachment, other, claim):
                    yield claim, other

    @property
    def size(self) -> int:
        """How many networks, ports and attachments there are."""
        return len(self.networks) + len(self.ports) + len(self.attachments)

    def those(self, keys: Iterable[Key]) -> Iterator[Record]:
        """The records with these keys that there are."""
        return (record for key in keys if (record := self.get(key)) is not None)

    def every_record(self) -> Iterator[Record]:
        """Every record but the tokens: each network, then what is on it."""
        for ident, network in _pairs(self.networks):
            yield network
            for port_id, _ in _pairs(self.network_ports.get(ident, _none())):
                yield self.ports[port_id]
            for serial, _ in _pairs(self.network_attachments.get(ident, _none())):
                yield self.attachments[serial]

    def every_key(self) -> Iterator[Key]:
        """The keys of every record but the tokens."""
        return (record.key for record in self.every_record())
