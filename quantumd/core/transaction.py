"""The transaction that makes the next state from one, and keeps its indices.

Alone in here is it known how an index follows from the records; :func:`check` holds that, and what else is true of a
sound state, against a state that is there.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, TypeVar

from attrs import evolve
from rpds import HashTrieMap

from quantumd.core.claims import Claim, claims
from quantumd.core.model import Attachment, Event, FaultRecord, Key, Kind, Network, Port, Record, Stored, Token
from quantumd.core.state import STANDINGS, Allocation, Counted, State

_K = TypeVar("_K")

#: How many serials share one piece of a network's free ports.
_PIECE = 64

_NETWORK, _PORT, _ATTACHMENT = Kind.NETWORK, Kind.PORT, Kind.ATTACHMENT  # as in model
_PLACES = {standing: place for place, standing in enumerate(STANDINGS)}


class Transaction:
    """Makes the next state from one. Remembers what it touched, so that a store writes those rows and no others.

    ``now`` is the time that records and events are stamped with (RFC 3339, UTC).
    """

    def __init__(self, state: State, now: str) -> None:
        self.now = now
        self.touched: dict[Key, Stored | None] = {}
        self.events: list[Event] = []
        self._state = state
        # Whether nobody else has that state: it was made here and was not handed out yet.
        self._own = False

    @property
    def state(self) -> State:
        """What the state is now. A value: what comes later in the transaction does not show in it."""
        self._own = False
        return self._state

    def get(self, key: Key) -> Record | None:
        """As :meth:`State.get <quantumd.core.state.State.get>`, and costs less in between changes."""
        return self._state.get(key)

    def serial(self) -> int:
        """A number that no record had before."""
        serial = self._state.next_serial
        self._change(next_serial=serial + 1)
        return serial

    def put(self, record: Record) -> None:
        """Add the record, or replace the one with its key."""
        self.touched[record.key] = record
        state = self._state
        if isinstance(record, Network):
            before = state.networks.get(record.id)
            allocated, owned = state.allocated, state.tenant_networks
            if before is None or before.data != record.data:
                allocated = _free(allocated, before)
                for item in record.data.items():
                    allocated = allocated.insert(item, record.id)
            if before is None:
                owned = _with(owned, record.tenant_id, record.id)
            self._change(
                networks=state.networks.insert(record.id, record),
                allocated=allocated,
                live_networks=state.live_networks + _birth(before, record),
                tenant_networks=owned,
                used=_use(state.used, record.tenant_id, "networks", _birth(before, record)),
                standing=_stand(state.standing, _NETWORK, before, record),
            )
        elif isinstance(record, Port):
            index, old = state.network_ports, state.ports.get(record.id)
            if old is None:
                index = _with(index, record.network_id, record.id)
            self._change(
                ports=state.ports.insert(record.id, record),
                network_ports=index,
                live_ports=_count(state.live_ports, record.network_id, _birth(old, record)),
                used=_use(state.used, self._tenant(record), "ports", _birth(old, record)),
                standing=_stand(state.standing, _PORT, old, record),
            )
            self.refile(record)
        else:
            self._put_attachment(record)

    def drop(self, record: Record) -> None:
        """Take the record out. Its children must be gone."""
        self.touched[record.key] = None
        state = self._state
        if isinstance(record, Network):
            assert not state.network_ports.get(record.id)
            assert not state.network_attachments.get(record.id)
            self._change(
                networks=state.networks.remove(record.id),
                allocated=_free(state.allocated, record),
                live_networks=state.live_networks + _birth(record, None),
                tenant_networks=_without(state.tenant_networks, record.tenant_id, record.id),
                used=_use(state.used, record.tenant_id, "networks", _birth(record, None)),
                standing=_stand(state.standing, _NETWORK, record, None),
            )
        elif isinstance(record, Port):
            assert not state.claimed.get(("port", record.id))
            self._change(
                ports=state.ports.remove(record.id),
                network_ports=_without(state.network_ports, record.network_id, record.id),
                live_ports=_count(state.live_ports, record.network_id, _birth(record, None)),
                used=_use(state.used, self._tenant(record), "ports", _birth(record, None)),
                standing=_stand(state.standing, _PORT, record, None),
            )
            self.refile(record)
        else:
            self._change(
                attachments=state.attachments.remove(record.serial),
                network_attachments=_without(state.network_attachments, record.network_id, record.serial),
                claimed=_release(state.claimed, claims(record), record.serial),
                used=self._used_by(record, None),
                standing=_stand(state.standing, _ATTACHMENT, record, None),
            )
            self.refile(state.ports.get(record.port_id))

    def put_token(self, token: Token) -> None:
        """Add the token; one is never changed."""
        self.touched[token.key] = token
        state = self._state
        tokens, digests = state.tokens.insert(token.id, token), state.digests.insert(token.digest, token.id)
        self._change(tokens=tokens, digests=digests)

    def drop_token(self, token: Token) -> None:
        """Take the token out."""
        self.touched[token.key] = None
        state = self._state
        self._change(tokens=state.tokens.remove(token.id), digests=state.digests.remove(token.digest))

    def emit(self, action: str, record: Record, status: str | None = None, detail: str | None = None) -> None:
        """Tell the world of what happened to the record; ``status`` where it is not the record's own."""
        port_id: str | None = None
        attachment_id: str | None = None
        if isinstance(record, Network):
            kind, network_id = Kind.NETWORK, record.id
        elif isinstance(record, Port):
            kind, network_id, port_id = Kind.PORT, record.network_id, record.id
        else:
            kind, network_id, port_id, attachment_id = Kind.ATTACHMENT, record.network_id, record.port_id, record.id
        network = self._state.networks.get(network_id)
        assert network is not None, "a network's last event goes before the network"
        event = Event(
            seq=self._state.next_event,
            kind=kind,
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
        self._tell(event)

    def emit_leftover(self, what: str) -> None:
        """Tell the world that something which belonged to nothing was removed."""
        self._tell(
            Event(
                seq=self._state.next_event,
                kind=Kind.LEFTOVER,
                action="removed",
                at=self.now,
                tenant_id="",
                network_id="",
                status="",
                detail=what,
            )
        )

    def _tell(self, event: Event) -> None:
        self._change(next_event=event.seq + 1)
        self.events.append(event)

    def fault(self, name: str, message: str, before: FaultRecord | None) -> FaultRecord:
        """A fault as of now; the same one as before keeps its time."""
        if before is not None and (before.name, before.message) == (name, message):
            return before
        return FaultRecord(name, message, self.now)

    def _tenant(self, record: Port | Attachment) -> str | None:
        """Whose it is; None only where a damaged file has it on no network."""
        network = self._state.networks.get(record.network_id)
        return None if network is None else network.tenant_id

    def _used_by(self, before: Attachment | None, after: Attachment | None) -> HashTrieMap[Counted, int]:
        record = before if after is None else after
        assert record is not None
        used, tenant, step = self._state.used, self._tenant(record), _birth(before, after)
        used = _use(used, tenant, "attachments", step)
        return _use(used, tenant, "tunnels", step) if record.form.tunnel is not None else used

    def _put_attachment(self, record: Attachment) -> None:
        state = self._state
        before = state.attachments.get(record.serial)
        index, claimed = state.network_attachments, state.claimed
        if before is None:
            index = _with(index, record.network_id, record.serial)
            claimed = _claim(claimed, claims(record), record.serial)
        elif claims(before) != claims(record):
            claimed = _release(claimed, claims(before), record.serial)
            claimed = _claim(claimed, claims(record), record.serial)
        self._change(
            attachments=state.attachments.insert(record.serial, record),
            network_attachments=index,
            claimed=claimed,
            used=self._used_by(before, record),
            standing=_stand(state.standing, _ATTACHMENT, before, record),
        )
        if before is None or before.going is not record.going:
            self.refile(state.ports.get(record.port_id))

    def refile(self, port: Port | None) -> None:
        """Bring the index of free ports up to date with what became of this one."""
        if port is None:
            return
        state, entry = self._state, (port.serial, port.id)
        latest = state.latest(port.id)
        takes = port.id in state.ports and not state.ports[port.id].going and (latest is None or latest.going)
        free, pieces = state.free, state.free_pieces
        for leaving in (False, True):
            where = (port.network_id, leaving, port.serial // _PIECE)
            listed = free.get(where, ())
            if (entry in listed) is (takes and leaving is (latest is not None)):
                continue
            after = _toggled(listed, entry)
            free = free.insert(where, after) if after else free.remove(where)
            if not (listed and after):
                home, piece = where[:2], where[2]
                there = _toggled(pieces.get(home, ()), piece)
                pieces = pieces.insert(home, there) if there else pieces.remove(home)
        if free is not state.free:
            self._change(free=free, free_pieces=pieces)

    def _change(self, **fields: Any) -> None:
        """Replace these fields of the state. One that nobody else has is changed in its place: a record touches several
        maps, and a copy of all of them each time was a tenth of what a request costs."""
        if self._own:
            for name, value in fields.items():
                object.__setattr__(self._state, name, value)
        else:
            self._state, self._own = evolve(self._state, **fields), True


def build(records: Iterable[Record], next_serial: int, next_event: int, tokens: Iterable[Token] = ()) -> State:
    """The state of these records and tokens, indices and all, as a store reads it at start.

    Each map is made at once, of all that there is: to put 20,000 records one after the other takes twice as long.
    """
    networks: dict[str, Network] = {}
    ports: dict[str, Port] = {}
    attachments: dict[int, Attachment] = {}
    for record in sorted(records, key=lambda record: record.serial):
        if isinstance(record, Network):
            networks[record.id] = record
        elif isinstance(record, Port):
            ports[record.id] = record
        else:
            attachments[record.serial] = record
    claimed: defaultdict[Claim, list[int]] = defaultdict(list)
    for serial, attachment in attachments.items():
        for claim in claims(attachment):
            claimed[claim].append(serial)
    issued = {token.id: token for token in tokens}
    every: list[Record] = [*networks.values(), *ports.values(), *attachments.values()]
    state = State(
        networks=HashTrieMap(networks),
        ports=HashTrieMap(ports),
        attachments=HashTrieMap(attachments),
        tokens=HashTrieMap(issued),
        next_serial=next_serial,
        next_event=next_event,
        network_ports=_grouped((port.network_id, port.id) for port in ports.values()),
        network_attachments=_grouped((one.network_id, serial) for serial, one in attachments.items()),
        claimed=HashTrieMap({claim: tuple(serials) for claim, serials in claimed.items()}),
        allocated=HashTrieMap({item: network.id for network in networks.values() for item in network.data.items()}),
        live_networks=sum(not network.going for network in networks.values()),
        live_ports=HashTrieMap(Counter(port.network_id for port in ports.values() if not port.going)),
        tenant_networks=_grouped((network.tenant_id, network.id) for network in networks.values()),
        used=HashTrieMap(Counter(_counted(networks, every))),
        standing=_standing(every),
        digests=HashTrieMap({token.digest: token.id for token in issued.values()}),
    )
    tx = Transaction(state, now="")
    for port in ports.values():
        tx.refile(port)
    return tx.state


def _grouped(pairs: Iterable[tuple[str, _K]]) -> HashTrieMap[str, HashTrieMap[_K, None]]:
    groups: defaultdict[str, dict[_K, None]] = defaultdict(dict)
    for home, member in pairs:
        groups[home][member] = None
    return HashTrieMap({home: HashTrieMap(members) for home, members in groups.items()})


def _counted(networks: Mapping[str, Network], records: Iterable[Record]) -> Iterator[Counted]:
    """What each of the records that stay counts as, for its tenant and for all together."""
    for record in records:
        if record.going:
            continue
        home = networks.get(record.id if isinstance(record, Network) else record.network_id)
        kinds = ["networks" if isinstance(record, Network) else "ports" if isinstance(record, Port) else "attachments"]
        if isinstance(record, Attachment) and record.form.tunnel is not None:
            kinds.append("tunnels")
        for whose in {home.tenant_id if home is not None else None, None}:
            yield from ((whose, kind) for kind in kinds)


def check(state: State) -> list[str]:
    """Every broken invariant, in words; an empty list for a sound state."""
    wrong = []
    if build(state.every_record(), state.next_serial, state.next_event, state.tokens.values()) != state:
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
    serials = [record.serial for record in state.every_record()]
    if len(set(serials)) != len(serials) or any(serial >= state.next_serial for serial in serials):
        wrong.append("serials are not unique, or not below the next one")
    return wrong


def _toggled(listed: tuple[Any, ...], item: object) -> tuple[Any, ...]:
    """What is listed, in order, without the item if it was there, else with it."""
    if item in listed:
        return tuple(other for other in listed if other != item)
    return tuple(sorted((*listed, item)))


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


def _stand(standing: tuple[int, ...], kind: Kind, before: Record | None, after: Record | None) -> tuple[int, ...]:
    """Count the one instead of the other."""
    if before is not None and after is not None and before.status is after.status:
        return standing
    counts = list(standing)
    if before is not None:
        counts[_PLACES[kind, before.status]] -= 1
    if after is not None:
        counts[_PLACES[kind, after.status]] += 1
    return tuple(counts)


def _standing(records: Iterable[Record]) -> tuple[int, ...]:
    counts: Counter[tuple[Kind, str]] = Counter((record.key.kind, record.status) for record in records)
    return tuple(counts[one] for one in STANDINGS)


def _free(index: HashTrieMap[Allocation, str], network: Network | None) -> HashTrieMap[Allocation, str]:
    for item in network.data.items() if network is not None else ():
        index = index.remove(item)
    return index


def _with(
    index: HashTrieMap[str, HashTrieMap[_K, None]], home: str, member: _K
) -> HashTrieMap[str, HashTrieMap[_K, None]]:
    members: HashTrieMap[_K, None] = index.get(home, HashTrieMap())
    return index.insert(home, members.insert(member, None))


def _without(
    index: HashTrieMap[str, HashTrieMap[_K, None]], home: str, member: _K
) -> HashTrieMap[str, HashTrieMap[_K, None]]:
    members = index[home].remove(member)
    return index.insert(home, members) if members else index.remove(home)
