"""From what is asked for and what is there to what is to be done: pure, and the only place that decides it.

Start, a request, a device that appears, a repair and the audit all come through :func:`make_plan`; they differ only in
the keys that they ask about.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

from attrs import field, frozen

from quantumd.core.changes import (
    PHASES,
    Attach,
    Change,
    Detach,
    Done,
    EnsureNetwork,
    EnsurePort,
    Leftover,
    Outcome,
    RemoveLeftover,
    RemoveNetwork,
    RemovePort,
    Waiting,
)
from quantumd.core.model import Attachment, Json, Key, Kind, Network, Port
from quantumd.core.state import State


@frozen
class Seen:
    """What the host shows of one record.

    ``present``: something of it is there, so that there is something to remove. ``differences``: what is not as the
    record asks, in words for people; a present record without differences needs nothing. ``waiting_for``, of an
    attachment only: it can be neither made nor found at present, and the plugin will notify when that changes.
    ``plugin`` and ``up`` are as in :class:`~quantumd.core.changes.Done`.
    """

    present: bool
    differences: tuple[str, ...] = ()
    waiting_for: str | None = None
    plugin: Json = field(factory=dict)
    up: bool = True

    @property
    def in_order(self) -> bool:
        """Whether nothing needs to be done for it."""
        return self.present and not self.differences


ABSENT = Seen(present=False)
#: What is seen of a port of which there is nothing on the host but what is plugged into it.
PRESENT = Seen(present=True)


def same(report: Json, before: Json) -> Json:
    """The report or, where it says the same, the one before, so that there are not two of each of ten thousand."""
    return before if before == report else report


@frozen
class Observed:
    """What the host shows. A key that is missing is :data:`ABSENT`. Leftovers are looked for when everything is."""

    seen: Mapping[Key, Seen] = field(factory=dict)
    leftovers: tuple[Leftover, ...] = ()

    def of(self, key: Key) -> Seen:
        """What is seen of that record."""
        return self.seen.get(key, ABSENT)


@frozen
class Plan:
    """``changes`` are to be applied, in this order; ``settled`` needs no change and has its outcome already;
    ``blocked`` waits until the record with the other key has gone or is no longer busy."""

    changes: tuple[Change, ...] = ()
    settled: Mapping[Key, Outcome] = field(factory=dict)
    blocked: Mapping[Key, Key] = field(factory=dict)


def closure(state: State, keys: Iterable[Key]) -> set[Key]:
    """The keys and those of the records that have a part in what becomes of them.

    Those that they build on (a port's network, an attachment's port and network), and the ports that a network which
    is being deleted takes with it.
    """
    closed = set()
    for key in keys:
        record = state.get(key)
        if record is None:
            continue
        closed.add(key)
        if not isinstance(record, Network):
            closed.add(Key(Kind.NETWORK, record.network_id))
        elif record.going:
            closed.update(Key(Kind.PORT, ident) for ident in state.network_ports.get(record.id, ()))
        if isinstance(record, Attachment):
            closed.add(Key(Kind.PORT, record.port_id))
    return closed


def make_plan(state: State, observed: Observed, keys: Iterable[Key], busy: Collection[Key] = ()) -> Plan:
    """What to do about the records with these keys.

    ``observed`` covers the :func:`closure` of ``keys``; ``busy`` keys are in a batch that is being applied, and what
    builds on them is blocked. A parent that is not in order is mended in the same batch.
    """
    planner = _Planner(state, observed, frozenset(busy))
    for key in keys:
        planner.visit(key)
    changes: list[Change] = [RemoveLeftover(leftover) for leftover in observed.leftovers]
    changes += planner.changes.values()
    rank = {phase: place for place, phase in enumerate(PHASES)}
    return Plan(
        changes=tuple(sorted(changes, key=lambda change: (rank[type(change)], _serial(change)))),
        settled=planner.settled,
        blocked=planner.blocked,
    )


def _serial(change: Change) -> int:
    match change:
        case Attach() | Detach():
            return change.attachment.serial
        case EnsurePort() | RemovePort():
            return change.port.serial
        case EnsureNetwork() | RemoveNetwork():
            return change.network.serial
        case RemoveLeftover():
            return 0


class _Planner:
    def __init__(self, state: State, observed: Observed, busy: frozenset[Key]) -> None:
        self.state = state
        self.observed = observed
        self.busy = busy
        self.changes: dict[Key, Change] = {}
        self.settled: dict[Key, Outcome] = {}
        self.blocked: dict[Key, Key] = {}

    def visit(self, key: Key) -> None:
        """Decide about one record, once."""
        if key in self.changes or key in self.settled or key in self.blocked:
            return
        record = self.state.get(key)
        if record is None:
            return
        if key in self.busy:
            self.blocked[key] = key
        elif isinstance(record, Network):
            self._remove_network(key, record) if record.going else self._ensure_network(key, record)
        elif isinstance(record, Port):
            self._remove_port(key, record) if record.going else self._ensure_port(key, record)
        elif record.going:
            self._detach(key, record)
        else:
            self._attach(key, record)

    def _ensure_network(self, key: Key, network: Network) -> None:
        seen = self.observed.of(key)
        if not self._settle(key, seen):
            self.changes[key] = EnsureNetwork(network, seen.differences)

    def _remove_network(self, key: Key, network: Network) -> None:
        present = self.observed.of(key).present
        blockers = [attachment.key for attachment in self.state.attachments_of(network.id)]
        for port in self.state.ports_of(network.id):
            self.visit(port.key)
            # Its removal comes first in the batch; but a network with nothing to remove would be gone before it.
            if port.key in self.blocked or (port.key in self.changes and not present):
                blockers.append(port.key)
        if blockers:
            self.blocked[key] = blockers[0]
        elif present:
            self.changes[key] = RemoveNetwork(network)
        else:
            self.settled[key] = Done()

    def _ensure_port(self, key: Key, port: Port) -> None:
        network = self._parent(key, port.network_id)
        if network is None:
            return
        seen = self.observed.of(key)
        if not self._settle(key, seen):
            self.changes[key] = EnsurePort(port, network, seen.differences)

    def _remove_port(self, key: Key, port: Port) -> None:
        latest = self.state.latest(port.id)
        if latest is not None:
            self.blocked[key] = latest.key
        elif self.observed.of(key).present:
            self.changes[key] = RemovePort(port, self.state.networks[port.network_id])
        else:
            self.settled[key] = Done()

    def _attach(self, key: Key, attachment: Attachment) -> None:
        for _, rival in self.state.rivals(attachment, going=True):
            self.blocked[key] = rival.key
            return
        network = self._parent(key, attachment.network_id)
        if network is None:
            return
        port = self.state.ports[attachment.port_id]
        home = port.key
        self.visit(home)
        if home in self.blocked:
            self.blocked[key] = home
            return
        seen = self.observed.of(key)
        if not self._settle(key, seen):
            self.changes[key] = Attach(attachment, port, network, seen.differences)

    def _detach(self, key: Key, attachment: Attachment) -> None:
        for _, rival in self.state.rivals(attachment, going=True):
            if rival.serial < attachment.serial:
                self.blocked[key] = rival.key
                return
        if self.observed.of(key).present:
            port, network = self.state.ports[attachment.port_id], self.state.networks[attachment.network_id]
            self.changes[key] = Detach(attachment, port, network)
        else:
            self.settled[key] = Done()

    def _parent(self, key: Key, network_id: str) -> Network | None:
        """The network to build on, mended in this batch if need be; None where ``key`` must wait for it."""
        network = self.state.networks[network_id]
        above = network.key
        self.visit(above)
        if above in self.blocked:
            self.blocked[key] = above
            return None
        return network

    def _settle(self, key: Key, seen: Seen) -> bool:
        if seen.in_order:
            self.settled[key] = Done(seen.plugin, seen.up)
        elif seen.waiting_for is not None and key.kind is Kind.ATTACHMENT:
            self.settled[key] = Waiting(seen.waiting_for, seen.plugin)
        else:
            return False
        return True
