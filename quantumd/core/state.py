"""The whole state as one immutable value, and the transaction that makes the next one from it.

The maps are persistent (they share what did not change), so that keeping a tentative state beside the visible one,
and going back, costs nothing, and one change costs the same however much there is.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator
from typing import TypeVar

from attrs import evolve, field, frozen
from rpds import HashTrieMap

from quantumd.core.claims import Claim, claims, excludes
from quantumd.core.model import Attachment, Event, FaultRecord, Key, Kind, Network, Port, Record, Stored, Token

#: One item of a network's ``data``: each is that network's alone.
Allocation = tuple[str, object]
#: What is counted of a tenant (None: of all together): ``networks``, ``ports``, ``attachments`` or ``tunnels``.
Counted = tuple[str | None, str]

_K = TypeVar("_K")


def _none() -> HashTrieMap[_K, None]:
    return HashTrieMap()


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
    # network that take a plug, oldest first: with nothing in them (False), or with something on its way out (True).
    # ``used`` counts what stays, by tenant; tunnels are attachments as well.
    network_ports: HashTrieMap[str, HashTrieMap[str, None]] = field(factory=HashTrieMap)
    network_attachments: HashTrieMap[str, HashTrieMap[int, None]] = field(factory=HashTrieMap)
    claimed: HashTrieMap[Claim, tuple[int, ...]] = field(factory=HashTrieMap)
    allocated: HashTrieMap[Allocation, str] = field(factory=HashTrieMap)
    live_networks: int = 0
    live_ports: HashTrieMap[str, int] = field(factory=HashTrieMap)
    free: HashTrieMap[tuple[str, bool], tuple[tuple[int, str], ...]] = field(factory=HashTrieMap)
    tenant_networks: HashTrieMap[str, HashTrieMap[str, None]] = field(factory=HashTrieMap)
    used: HashTrieMap[Counted, int] = field(factory=HashTrieMap)
    digests: HashTrieMap[str, str] = field(factory=HashTrieMap)

    def get(self, key: Key) -> Record | None:
        """The record of that key, or None; a token is none."""
        if key.kind is Kind.NETWORK:
            return self.networks.get(str(key.ident))
        if key.kind is Kind.PORT:
            return self.ports.get(str(key.ident))
        return self.attachments.get(int(key.ident)) if key.kind is Kind.ATTACHMENT else None

    def networks_of(self, tenant_id: str) -> list[Network]:
        """The tenant's networks, oldest first."""
        found = (self.networks[ident] for ident in self.tenant_networks.get(tenant_id, _none()))
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
        found = (self.ports[ident] for ident in self.network_ports.get(network_id, _none()))
        return sorted(found, key=lambda port: port.serial)

    def attachments_of(self, network_id: str) -> list[Attachment]:
        """The network's attachments, those being unplugged among them, oldest first."""
        return [self.attachments[serial] for serial in sorted(self.network_attachments.get(network_id, _none()))]

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
            for _, ident in self.free.get((network_id, leaving), ()):
                return self.ports[ident]
        return None

    def has_plugged(self, network_id: str) -> bool:
        """Whether anything is plugged into the network that is not on its way out."""
        serials = self.network_attachments.get(network_id, _none())
        return any(not self.attachments[serial].going for serial in serials)

    def rivals(self, attachment: Attachment, *, going: bool) -> Iterator[tuple[Claim, Attachment]]:
        """The attachments that exclude this one: those on their way out, or those that stay."""
        for claim in claims(attachment):
            for other in self.holders(claim):
                if other.serial != attachment.serial and other.going is going and excludes(attachment, other, claim):
                    yield claim, other

    def every_key(self) -> Iterator[Key]:
        """The keys of every record."""
        yield from (Key(Kind.NETWORK, ident) for ident in self.networks)
        yield from (Key(Kind.PORT, ident) for ident in self.ports)
        yield from (Key(Kind.ATTACHMENT, serial) for serial in self.attachments)


class Transaction:
    """Makes the next state from one. Remembers what it touched, so that a store writes those rows and no others.

    ``now`` is the time that records and events are stamped with (RFC 3339, UTC).
    """

    def __init__(self, state: State, now: str) -> None:
        self.state = state
        self.now = now
        self.touched: dict[Key, Stored | None] = {}
        self.events: list[Event] = []

    def serial(self) -> int:
        """A number that no record had before."""
        serial = self.state.next_serial
        self.state = evolve(self.state, next_serial=serial + 1)
        return serial

    def put(self, record: Record) -> None:
        """Add the record, or replace the one with its key."""
        self.touched[record.key] = record
        state = self.state
        if isinstance(record, Network):
            before = state.networks.get(record.id)
            allocated, owned = state.allocated, state.tenant_networks
            if before is None or before.data != record.data:
                allocated = _free(allocated, before)
                for item in record.data.items():
                    allocated = allocated.insert(item, record.id)
            if before is None:
                members = owned.get(record.tenant_id, _none()).insert(record.id, None)
                owned = owned.insert(record.tenant_id, members)
            self.state = evolve(
                state,
                networks=state.networks.insert(record.id, record),
                allocated=allocated,
                live_networks=state.live_networks + _birth(before, record),
                tenant_networks=owned,
                used=_use(state.used, record.tenant_id, "networks", _birth(before, record)),
            )
        elif isinstance(record, Port):
            index, old = state.network_ports, state.ports.get(record.id)
            if old is None:
                members = index.get(record.network_id, _none()).insert(record.id, None)
                index = index.insert(record.network_id, members)
            self.state = evolve(
                state,
                ports=state.ports.insert(record.id, record),
                network_ports=index,
                live_ports=_count(state.live_ports, record.network_id, _birth(old, record)),
                used=_use(state.used, self._tenant(record), "ports", _birth(old, record)),
            )
            self._file(record)
        else:
            self._put_attachment(record)

    def drop(self, record: Record) -> None:
        """Take the record out. Its children must be gone."""
        self.touched[record.key] = None
        state = self.state
        if isinstance(record, Network):
            assert not state.network_ports.get(record.id)
            assert not state.network_attachments.get(record.id)
            self.state = evolve(
                state,
                networks=state.networks.remove(record.id),
                allocated=_free(state.allocated, record),
                live_networks=state.live_networks + _birth(record, None),
                tenant_networks=_without(state.tenant_networks, record.tenant_id, record.id),
                used=_use(state.used, record.tenant_id, "networks", _birth(record, None)),
            )
        elif isinstance(record, Port):
            assert not state.claimed.get(("port", record.id))
            self.state = evolve(
                state,
                ports=state.ports.remove(record.id),
                network_ports=_without(state.network_ports, record.network_id, record.id),
                live_ports=_count(state.live_ports, record.network_id, _birth(record, None)),
                used=_use(state.used, self._tenant(record), "ports", _birth(record, None)),
            )
            self._file(record)
        else:
            self.state = evolve(
                state,
                attachments=state.attachments.remove(record.serial),
                network_attachments=_without(state.network_attachments, record.network_id, record.serial),
                claimed=_release(state.claimed, claims(record), record.serial),
                used=self._used_by(record, None),
            )
            self._file(state.ports.get(record.port_id))

    def put_token(self, token: Token) -> None:
        """Add the token; one is never changed."""
        self.touched[token.key] = token
        state = self.state
        tokens, digests = state.tokens.insert(token.id, token), state.digests.insert(token.digest, token.id)
        self.state = evolve(state, tokens=tokens, digests=digests)

    def drop_token(self, token: Token) -> None:
        """Take the token out."""
        self.touched[token.key] = None
        state = self.state
        self.state = evolve(state, tokens=state.tokens.remove(token.id), digests=state.digests.remove(token.digest))

    def emit(self, action: str, record: Record, status: str | None = None, detail: str | None = None) -> None:
        """Tell the world of what happened to the record; ``status`` where it is not the record's own."""
        port_id: str | None = None
        attachment_id: str | None = None
        if isinstance(record, Network):
            network_id = record.id
        elif isinstance(record, Port):
            network_id, port_id = record.network_id, record.id
        else:
            network_id, port_id, attachment_id = record.network_id, record.port_id, record.id
        network = self.state.networks.get(network_id)
        assert network is not None, "a network's last event goes before the network"
        event = Event(
            seq=self.state.next_event,
            kind=record.key.kind,
            action=action,
            at=self.now,
            tenant_id=network.tenant_id,
            network_id=network_id,
            port_id=port_id,
            attachment_id=attachment_id,
            status=status or str(record.status),
            fault=record.fault,
            detail=detail,
        )
        self.state = evolve(self.state, next_event=event.seq + 1)
        self.events.append(event)

    def fault(self, name: str, message: str, before: FaultRecord | None) -> FaultRecord:
        """A fault as of now; the same one as before keeps its time."""
        if before is not None and (before.name, before.message) == (name, message):
            return before
        return FaultRecord(name, message, self.now)

    def _tenant(self, record: Port | Attachment) -> str | None:
        """Whose it is; None only where a damaged file has it on no network."""
        network = self.state.networks.get(record.network_id)
        return None if network is None else network.tenant_id

    def _used_by(self, before: Attachment | None, after: Attachment | None) -> HashTrieMap[Counted, int]:
        record = before if after is None else after
        assert record is not None
        used, tenant, step = self.state.used, self._tenant(record), _birth(before, after)
        used = _use(used, tenant, "attachments", step)
        return _use(used, tenant, "tunnels", step) if record.form.tunnel is not None else used

    def _put_attachment(self, record: Attachment) -> None:
        state = self.state
        before = state.attachments.get(record.serial)
        index, claimed = state.network_attachments, state.claimed
        if before is None:
            members = index.get(record.network_id, _none()).insert(record.serial, None)
            index = index.insert(record.network_id, members)
            claimed = _claim(claimed, claims(record), record.serial)
        elif claims(before) != claims(record):
            claimed = _release(claimed, claims(before), record.serial)
            claimed = _claim(claimed, claims(record), record.serial)
        self.state = evolve(
            state,
            attachments=state.attachments.insert(record.serial, record),
            network_attachments=index,
            claimed=claimed,
            used=self._used_by(before, record),
        )
        if before is None or before.going is not record.going:
            self._file(state.ports.get(record.port_id))

    def _file(self, port: Port | None) -> None:
        """Bring the index of free ports up to date with what became of this one."""
        if port is None:
            return
        state, entry = self.state, (port.serial, port.id)
        latest = state.latest(port.id)
        takes = port.id in state.ports and not state.ports[port.id].going and (latest is None or latest.going)
        free = state.free
        for leaving in (False, True):
            where = (port.network_id, leaving)
            listed = free.get(where, ())
            place = bisect_left(listed, entry)
            there = place < len(listed) and listed[place] == entry
            wanted = takes and leaving is (latest is not None)
            if there is wanted:
                continue
            rest = listed[place + 1 :] if there else (entry, *listed[place:])
            after = listed[:place] + rest
            free = free.insert(where, after) if after else free.remove(where)
        if free is not state.free:
            self.state = evolve(state, free=free)


def build(records: Iterable[Record], next_serial: int, next_event: int, tokens: Iterable[Token] = ()) -> State:
    """The state of these records and tokens, indices and all, as a store reads it at start."""
    tx = Transaction(State(next_serial=next_serial, next_event=next_event), now="")
    for record in sorted(records, key=lambda record: record.serial):
        tx.put(record)
    for token in tokens:
        tx.put_token(token)
    return tx.state


def check(state: State) -> list[str]:
    """Every broken invariant, in words; an empty list for a sound state."""
    wrong = []
    records = (record for key in state.every_key() if (record := state.get(key)))
    if build(records, state.next_serial, state.next_event, state.tokens.values()) != state:
        wrong.append("the indices do not match the records")
    for port in state.ports.values():
        network = state.networks.get(port.network_id)
        if network is None:
            wrong.append(f"port {port.id} is on no network")
        elif network.going and not port.going:
            wrong.append(f"port {port.id} stays on a network that goes")
    for attachment in state.attachments.values():
        home = state.ports.get(attachment.port_id)
        if home is None or home.network_id != attachment.network_id:
            wrong.append(f"attachment {attachment.serial} is in no port of its network")
        elif home.going and not attachment.going:
            wrong.append(f"attachment {attachment.serial} stays in a port that goes")
        if not attachment.going:
            rivals = [other.serial for _, other in state.rivals(attachment, going=False)]
            if rivals:
                wrong.append(f"attachments {attachment.serial} and {rivals} exclude each other")
            if state.plugged(attachment.port_id) is not attachment:
                wrong.append(f"attachment {attachment.serial} stays, but its port has a newer one")
    if len(state.allocated) != sum(len(network.data) for network in state.networks.values()):
        wrong.append("two networks have been allocated the same")
    serials = [record.serial for key in state.every_key() if (record := state.get(key))]
    if len(set(serials)) != len(serials) or any(serial >= state.next_serial for serial in serials):
        wrong.append("serials are not unique, or not below the next one")
    return wrong


def _claim(
    index: HashTrieMap[Claim, tuple[int, ...]], wanted: list[Claim], serial: int
) -> HashTrieMap[Claim, tuple[int, ...]]:
    for claim in wanted:
        index = index.insert(claim, tuple(sorted((*index.get(claim, ()), serial))))
    return index


def _release(
    index: HashTrieMap[Claim, tuple[int, ...]], held: list[Claim], serial: int
) -> HashTrieMap[Claim, tuple[int, ...]]:
    for claim in held:
        rest = tuple(other for other in index[claim] if other != serial)
        index = index.insert(claim, rest) if rest else index.remove(claim)
    return index


def _birth(before: Record | None, after: Record | None) -> int:
    """What this change adds to the number of records that are not being deleted."""
    return (after is not None and not after.going) - (before is not None and not before.going)


def _count(counts: HashTrieMap[str, int], home: str, step: int) -> HashTrieMap[str, int]:
    if step == 0:
        return counts
    total = counts.get(home, 0) + step
    return counts.insert(home, total) if total else counts.remove(home)


def _use(used: HashTrieMap[Counted, int], tenant_id: str | None, what: str, step: int) -> HashTrieMap[Counted, int]:
    """Count for the tenant, and for all together."""
    if step == 0:
        return used
    for whose in {tenant_id, None}:
        total = used.get((whose, what), 0) + step
        used = used.insert((whose, what), total) if total else used.remove((whose, what))
    return used


def _free(index: HashTrieMap[Allocation, str], network: Network | None) -> HashTrieMap[Allocation, str]:
    for item in network.data.items() if network is not None else ():
        index = index.remove(item)
    return index


def _without(
    index: HashTrieMap[str, HashTrieMap[_K, None]], home: str, member: _K
) -> HashTrieMap[str, HashTrieMap[_K, None]]:
    members = index[home].remove(member)
    return index.insert(home, members) if members else index.remove(home)
