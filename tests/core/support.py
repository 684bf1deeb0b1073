"""A state and nothing else: requests go in, outcomes are recorded, and every step is held against the invariants."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from attrs import evolve

from quantumd.core import intent
from quantumd.core.changes import Done, Outcome, RecordChange
from quantumd.core.intent import Limits, matching
from quantumd.core.model import Attachment, Device, Event, Form, Json, Network, Port, Record, Tunnel
from quantumd.core.outcome import settle
from quantumd.core.state import State
from quantumd.core.transaction import Transaction, check

T = TypeVar("T")
R = TypeVar("R", bound=Record)

LIMITS = Limits(networks=100, ports_per_network=100)


def uuid(number: int) -> str:
    """A lower-case UUID that ends in this number."""
    return f"00000000-0000-4000-8000-{number:012x}"


def allow(_: State, __: RecordChange) -> Json:
    """A plugin that has no objections and allocates nothing."""
    return {}


def tap(ident: str, name: str | None = None) -> Form:
    """A tap to be made."""
    return Form(id=ident, device=Device(create="tap", name=name))


def named(ident: str, device: str) -> Form:
    """A device that is somebody else's."""
    return Form(id=ident, device=Device(name=device))


def uplink(ident: str, device: str, vlan: int | None = None) -> Form:
    """A bridging device."""
    return Form(id=ident, type="bridge", device=Device(name=device), vlan=vlan)


def vxlan(ident: str, remote: str, vni: int = 7, local: str | None = None, port: int = 4789) -> Form:
    """A tunnel."""
    return Form(id=ident, type="tunnel", tunnel=Tunnel(kind="vxlan", remote=remote, vni=vni, local=local, port=port))


class World:
    """What was accepted so far. ``judge`` stands for the plugin; ``events`` are all that were told."""

    def __init__(self, judge: intent.Judge = allow, limits: Limits = LIMITS) -> None:
        self.state = State()
        self.judge = judge
        self.limits = limits
        self.events: list[Event] = []
        self.clock = 0

    @property
    def now(self) -> str:
        """The time of the last transaction."""
        return f"2026-01-01T00:{self.clock // 60:02d}:{self.clock % 60:02d}Z"

    def transact(self, transform: Callable[[Transaction], T]) -> T:
        """Carry the transform into the state, as a store does; where it raises, nothing changes."""
        self.clock += 1
        tx = Transaction(self.state, self.now)
        result = transform(tx)
        assert check(tx.state) == []
        assert [event.seq for event in tx.events] == list(range(self.state.next_event, tx.state.next_event))
        for key, record in tx.touched.items():
            assert tx.state.get(key) == record
        self.state = tx.state
        self.events += tx.events
        return result

    def told(self) -> list[tuple[str, str, str]]:
        """What was told since the last call: kind, action and status of each event."""
        told = [(str(event.kind), event.action, event.status) for event in self.events]
        self.events.clear()
        return told

    def network(self, name: str = "blue", tenant: str = "default", **body: Any) -> Network:
        """Operation 3."""
        asked = {"name": name, **body}
        return self.transact(lambda tx: intent.create_network(tx, self.judge, self.limits, asked, tenant))

    def rename(self, network: Network, tags: list[str] | None = None, **patch: Any) -> Network:
        """Operation 4."""
        return self.transact(lambda tx: intent.update_network(tx, self.judge, network.id, patch, matching(tags)))

    def delete_network(self, network: Network, tags: list[str] | None = None) -> Network:
        """Operation 5."""
        return self.transact(lambda tx: intent.delete_network(tx, self.judge, network.id, matching(tags)))

    def port(self, network: Network, **body: Any) -> Port:
        """Operation 8."""
        return self.transact(lambda tx: intent.create_port(tx, self.judge, self.limits, network.id, body))

    def delete_port(self, port: Port, tags: list[str] | None = None) -> Port:
        """Operation 9."""
        return self.transact(lambda tx: intent.delete_port(tx, self.judge, port.network_id, port.id, matching(tags)))

    def plug(self, port: Port, form: Form | str, tags: list[str] | None = None) -> Attachment:
        """Operation 11."""
        form = Form(id=form) if isinstance(form, str) else form
        return self.transact(lambda tx: intent.plug(tx, self.judge, port.network_id, port.id, form, matching(tags)))

    def plug_anywhere(self, network: Network, form: Form | str) -> Attachment:
        """Operation 14."""
        form = Form(id=form) if isinstance(form, str) else form
        return self.transact(lambda tx: intent.plug_anywhere(tx, self.judge, self.limits, network.id, form))

    def unplug(self, port: Port, tags: list[str] | None = None) -> Attachment:
        """Operation 12."""
        return self.transact(lambda tx: intent.unplug(tx, self.judge, port.network_id, port.id, matching(tags)))

    def settle(self, record: Record, outcome: Outcome | None = None, repaired: str | None = None) -> None:
        """Record what came of a try at the record as it was given."""
        result = outcome or Done()
        self.transact(lambda tx: settle(tx, record.key, record.revision, result, repaired))

    def now_is(self, record: R) -> R:
        """The record as it is now."""
        found = self.state.get(record.key)
        assert isinstance(found, type(record))
        return found

    def alter(self, record: Record, **fields: Any) -> None:
        """Put the record with these fields, past all judgement."""
        self.transact(lambda tx: tx.put(evolve(self.now_is(record), **fields)))
