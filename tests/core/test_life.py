"""The pure floor as a whole: random requests and random fates of what is tried, against a host that is a dict."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from quantumd.core import intent
from quantumd.core.changes import (
    Attach,
    Blocked,
    Change,
    Detach,
    Done,
    EnsureNetwork,
    EnsurePort,
    Failed,
    Leftover,
    Outcome,
    RemoveLeftover,
    RemoveNetwork,
    RemovePort,
)
from quantumd.core.claims import claims, excludes
from quantumd.core.errors import AlreadyAttached, AttachmentsPlugged, Fault, IdInUse, NotFound, OverLimit, PortInUse
from quantumd.core.intent import Limits, matching
from quantumd.core.model import Attachment, Device, Form, Json, Key, Network, Port, Record, Tunnel
from quantumd.core.outcome import settle
from quantumd.core.plan import Observed, Seen, closure, make_plan
from quantumd.core.state import State
from quantumd.core.transaction import Transaction, check
from tests.core.support import uuid

NETWORKS = st.integers(1, 3).map(uuid)
PORTS = st.integers(11, 14).map(uuid)
#: Where a port is looked for: mostly where it is.
STRAY = st.sampled_from([None] * 7 + [uuid(3)])
DEVICES = st.sampled_from([None, "d1", "d2"])
FORMS = st.one_of(
    st.builds(
        lambda ident, device: Form(id=ident, device=device and Device(name=device)),
        st.sampled_from(["a", "b", "c", "d1"]),
        DEVICES,
    ),
    st.builds(
        lambda ident, vlan: Form(id=ident, type="bridge", device=Device(name="d1"), vlan=vlan),
        st.sampled_from(["a", "up"]),
        st.sampled_from([None, 5, 6]),
    ),
    st.builds(
        lambda ident, remote, vni: Form(
            id=ident, type="tunnel", tunnel=Tunnel(kind="vxlan", remote=f"192.0.2.{remote}", vni=vni)
        ),
        st.sampled_from(["a", "t1", "t2"]),
        st.integers(1, 2),
        st.integers(7, 8),
    ),
)
LIMITS = Limits(networks=2, ports_per_network=3)


def judge(state: State, change: Any) -> Json:
    """A plugin that allocates a number for each network and finds late devices by the attachment's id."""
    if isinstance(change, EnsureNetwork):
        return change.network.data or {"tag": next(tag for tag in range(99) if state.owner("tag", tag) is None)}
    if isinstance(change, Attach) and change.attachment.form.device is None and change.attachment.form.tunnel is None:
        return {"device": change.attachment.id}
    return {}


def asked(record: Record) -> object:
    """What a host has of a record when it is as it should be."""
    if isinstance(record, Network):
        return (record.name, record.options)
    return record.options if isinstance(record, Port) else record.form


class Life(RuleBasedStateMachine):
    """Holds every step against the invariants, and every refusal against a naive reading of the contract."""

    def __init__(self) -> None:
        super().__init__()
        self.state = State()
        self.host: dict[Key, object] = {}
        self.on_host: dict[Key, Attachment] = {}
        self.step = 0
        self.newest: dict[Key, tuple[int, str]] = {}

    # --- requests

    def accept(self, transform: Callable[[Transaction], Any], expected: type[Fault] | None) -> None:
        """Carry the request into the state, and compare what comes of it with what is expected."""
        self.step += 1
        tx = Transaction(self.state, f"t{self.step:06d}")
        try:
            record = transform(tx)
        except Fault as fault:
            assert expected is not None, fault.detail
            assert isinstance(fault, expected), f"{fault!r} instead of {expected}"
            return
        assert expected is None, f"accepted, instead of {expected}"
        assert tx.state.get(record.key) == record
        self.commit(tx)

    def commit(self, tx: Transaction) -> None:
        """Make the transaction's state the state, if it is sound."""
        assert check(tx.state) == []
        assert [event.seq for event in tx.events] == list(range(self.state.next_event, tx.state.next_event))
        deleted = [event for event in tx.events if event.action == "deleted"]
        assert len(deleted) == sum(record is None for record in tx.touched.values())
        for key, record in tx.touched.items():
            assert tx.state.get(key) == record
            if record is None:
                del self.newest[key]
                continue
            before = self.newest.get(key)
            if before is not None:
                assert record.revision >= before[0]
                assert (record.revision > before[0]) == (record.updated_at > before[1])
            else:
                assert record.revision in (1, 2), "a port that is made for a plug is plugged into at once"
            self.newest[key] = (record.revision, record.updated_at)
        if tx.touched:
            self.state = tx.state

    def live(self, network_id: str, port_id: str | None = None) -> type[Fault] | None:
        network = self.state.networks.get(network_id)
        if network is None or network.going:
            return NotFound
        if port_id is not None:
            port = self.state.ports.get(port_id)
            if port is None or port.going or port.network_id != network_id:
                return NotFound
        return None

    def there(self, network_id: str, port_id: str | None = None) -> type[Fault] | None:
        if network_id not in self.state.networks:
            return NotFound
        port = self.state.ports.get(port_id or "")
        return NotFound if port_id is not None and (port is None or port.network_id != network_id) else None

    def staying(self) -> list[Attachment]:
        return [attachment for attachment in self.state.attachments.values() if not attachment.going]

    def taken(self, network_id: str, port_id: str, form: Form) -> type[Fault] | None:
        """What a plug of the form comes up against among the attachments that stay."""
        fresh = Attachment(serial=0, network_id=network_id, port_id=port_id, form=form, created_at="", updated_at="")
        if form.device is None and form.tunnel is None:
            fresh = Attachment(
                serial=0,
                network_id=network_id,
                port_id=port_id,
                form=form,
                data={"device": form.id},
                created_at="",
                updated_at="",
            )
        for other in self.staying():
            if any(claim in claims(other) and excludes(fresh, other, claim) for claim in claims(fresh)):
                return AlreadyAttached
        return None

    def home(self, port_id: str, stray: str | None) -> str:
        """The network that a request about the port names."""
        port = self.state.ports.get(port_id)
        return stray or (port.network_id if port is not None else uuid(1))

    @initialize()
    def some_networks(self) -> None:
        for number in (1, 2):
            self.create_network(uuid(number), "blue")
            for ident in (uuid(10 + number), uuid(12 + number)):
                self.create_port(uuid(number), ident)

    @rule(ident=NETWORKS, name=st.sampled_from(["blue", "red"]))
    def create_network(self, ident: str, name: str) -> None:
        known = self.state.networks.get(ident)
        expected: type[Fault] | None = None
        if known is not None:
            expected = IdInUse if known.going or known.created_with["name"] != name else None
        elif sum(not network.going for network in self.state.networks.values()) >= LIMITS.networks:
            expected = OverLimit
        self.accept(lambda tx: intent.create_network(tx, judge, LIMITS, {"id": ident, "name": name}, "t"), expected)

    @rule(ident=NETWORKS, mtu=st.sampled_from([None, 68, 1500]))
    def update_network(self, ident: str, mtu: int | None) -> None:
        patch = {"options": {"mtu": mtu}}
        self.accept(lambda tx: intent.update_network(tx, judge, ident, patch, matching(None)), self.live(ident))

    @rule(ident=NETWORKS, mercy=st.integers(0, 1))
    def delete_network(self, ident: str, mercy: int) -> None:
        if mercy:
            return
        expected = self.there(ident)
        if expected is None and any(attachment.network_id == ident for attachment in self.staying()):
            expected = AttachmentsPlugged
        self.accept(lambda tx: intent.delete_network(tx, judge, ident, matching(None)), expected)

    @rule(home=NETWORKS, ident=PORTS)
    def create_port(self, home: str, ident: str) -> None:
        expected = self.live(home)
        known = self.state.ports.get(ident)
        if expected is None and known is not None:
            expected = IdInUse if known.going or known.network_id != home else None
        elif expected is None and sum(not port.going for port in self.state.ports_of(home)) >= LIMITS.ports_per_network:
            expected = OverLimit
        self.accept(lambda tx: intent.create_port(tx, judge, LIMITS, home, {"id": ident}), expected)

    @rule(ident=PORTS, stray=STRAY)
    def delete_port(self, ident: str, stray: str | None) -> None:
        home = self.home(ident, stray)
        expected = self.there(home, ident)
        if expected is None and any(attachment.port_id == ident for attachment in self.staying()):
            expected = AttachmentsPlugged
        self.accept(lambda tx: intent.delete_port(tx, judge, home, ident, matching(None)), expected)

    @rule(ident=PORTS, stray=STRAY, form=FORMS)
    def plug(self, ident: str, stray: str | None, form: Form) -> None:
        home = self.home(ident, stray)
        expected = self.live(home, ident)
        if expected is None:
            occupant = next((other for other in self.staying() if other.port_id == ident), None)
            if occupant is not None:
                expected = None if occupant.form == form else PortInUse
            else:
                expected = self.taken(home, ident, form)
        self.accept(lambda tx: intent.plug(tx, judge, home, ident, form, matching(None)), expected)

    @rule(home=NETWORKS, form=FORMS)
    def plug_anywhere(self, home: str, form: Form) -> None:
        expected = self.live(home)
        same = any(other.network_id == home and other.form == form for other in self.staying())
        if expected is None and not same:
            expected = self.taken(home, "", form)
            ports = [port for port in self.state.ports_of(home) if not port.going]
            occupied = {other.port_id for other in self.staying()}
            full = all(port.id in occupied for port in ports) and len(ports) >= LIMITS.ports_per_network
            expected = expected or (OverLimit if full else None)
        self.accept(lambda tx: intent.plug_anywhere(tx, judge, LIMITS, home, form), expected)

    @rule(ident=PORTS, stray=STRAY)
    def unplug(self, ident: str, stray: str | None) -> None:
        home = self.home(ident, stray)
        expected = self.there(home, ident)
        if expected is None and all(other.port_id != ident for other in self.state.attachments.values()):
            expected = NotFound
        self.accept(lambda tx: intent.unplug(tx, judge, home, ident, matching(None)), expected)

    @rule(here=PORTS, there=PORTS)
    def move(self, here: str, there: str) -> None:
        """Unplug here and at once plug there."""
        plugged = self.state.plugged(here)
        if plugged is not None:
            self.unplug(here, None)
            self.plug(there, None, plugged.form)

    # --- what comes of them

    def keys(self) -> list[Key]:
        """The keys of all records, in an order that is the same in each run."""
        records = [record for key in self.state.every_key() if (record := self.state.get(key)) is not None]
        return [record.key for record in sorted(records, key=lambda record: record.serial)]

    def observe(self, keys: set[Key] | None) -> Observed:
        seen = {}
        for key in self.state.every_key() if keys is None else keys:
            record = self.state.get(key)
            if record is not None and key in self.host:
                seen[key] = Seen(True, () if self.host[key] == asked(record) else ("it is otherwise",))
        stray = [key for key in self.host if self.state.get(key) is None] if keys is None else []
        return Observed(seen, tuple(Leftover(str(key), {"key": key}) for key in stray))

    def apply(self, change: Change, failed: set[Key], fails: bool) -> Outcome:
        """Do it to the host, if nothing that it builds on failed. One that comes too early is a bug of the plan."""
        if isinstance(change, RemoveLeftover):
            if fails:
                return Failed("by chance")
            self.host.pop(change.leftover.handle["key"])
            return Done()
        built_on = {change.network.key} if isinstance(change, EnsurePort | Attach) else set()
        built_on |= {change.port.key} if isinstance(change, Attach) else set()
        if isinstance(change, RemoveNetwork):
            built_on = {port.key for port in self.state.ports_of(change.network.id)}
        if built_on & failed:
            failed.add(change.key)
            return Blocked()
        if fails:
            failed.add(change.key)
            return Failed("by chance")
        if isinstance(change, RemoveNetwork | RemovePort | Detach):
            inside = [key for key in self.host if self.is_in(key, change.key)]
            assert not inside, f"{inside} are still in {change.key}"
            del self.host[change.key]
            return Done()
        if isinstance(change, Attach):
            for key, other in self.on_host.items():
                if key in self.host and key != change.key and self.state.get(key) is not None:
                    common = [claim for claim in claims(change.attachment) if claim in claims(other)]
                    assert not any(excludes(change.attachment, other, claim) for claim in common), "a rival is plugged"
            self.on_host[change.key] = change.attachment
        assert built_on <= set(self.host), "what it builds on is not there"
        record = self.state.get(change.key)
        assert record is not None
        self.host[change.key] = asked(record)
        return Done()

    def is_in(self, key: Key, parent: Key) -> bool:
        record = self.state.get(key)
        return (isinstance(record, Port | Attachment) and record.network_id == parent.ident) or (
            isinstance(record, Attachment) and record.port_id == parent.ident
        )

    def round(self, keys: list[Key], busy: set[Key], looks: bool, luck: Callable[[], bool]) -> None:
        """Discover, plan, apply, record; ``looks``: at everything."""
        covered = closure(self.state, keys)
        observed = self.observe(None if looks else covered)
        plan = make_plan(self.state, observed, keys, busy)
        planned = [change.key for change in plan.changes if not isinstance(change, RemoveLeftover)]
        assert len({*planned, *plan.settled, *plan.blocked}) == len(planned) + len(plan.settled) + len(plan.blocked)
        assert busy.isdisjoint(planned)
        assert set(planned) | set(plan.settled) <= covered
        revisions = {key: record.revision for key in covered if (record := self.state.get(key)) is not None}
        failed: set[Key] = set()
        outcomes: dict[Key, Outcome] = dict(plan.settled)
        for change in plan.changes:
            outcome = self.apply(change, failed, luck())
            if not isinstance(change, RemoveLeftover):
                outcomes[change.key] = outcome
        self.step += 1
        tx = Transaction(self.state, f"t{self.step:06d}")
        for key, outcome in outcomes.items():
            settle(tx, key, revisions[key], outcome)
        for key, touched in tx.touched.items():
            assert touched is None or self.newest[key] == (touched.revision, touched.updated_at)
        self.commit(tx)

    @rule(data=st.data(), looks=st.booleans())
    def audit(self, data: st.DataObject, looks: bool) -> None:
        """A round for everything, in which some things fail."""
        self.round(self.keys(), set(), looks, lambda: data.draw(st.integers(0, 7)) == 7)

    @rule(data=st.data())
    def converge(self, data: st.DataObject) -> None:
        """A round for some of the records, beside another that keeps some of them busy."""
        keys = self.keys()
        if keys:
            some = data.draw(st.lists(st.sampled_from(keys), unique=True, min_size=1, max_size=6))
            busy = data.draw(st.lists(st.sampled_from(keys), unique=True, max_size=2))
            self.round(some, set(busy), False, lambda: data.draw(st.integers(0, 7)) == 7)

    @rule(data=st.data())
    def drift(self, data: st.DataObject) -> None:
        """Somebody changes or removes what is on the host, or a crash left something there."""
        if self.host:
            key = data.draw(st.sampled_from([key for key in self.keys() if key in self.host]))
            if data.draw(st.booleans()):
                self.host[key] = "otherwise"
            else:
                del self.host[key]

    @rule()
    def reboot(self) -> None:
        """Everything that was made is gone."""
        self.host.clear()

    @invariant()
    def nothing_on_the_host_is_forgotten(self) -> None:
        assert all(self.state.get(key) is not None for key in self.host)

    def teardown(self) -> None:
        """When nothing fails any more, a few rounds make the host what was asked for, and nothing more is done."""
        rounds, before = 0, None
        while before is not self.state:
            before = self.state
            self.round(self.keys(), set(), True, lambda: False)
            rounds += 1
            assert rounds < 30, "it never comes to rest"
        records = [self.state.get(key) for key in self.keys()]
        assert self.host == {record.key: asked(record) for record in records if record is not None}
        for record in records:
            assert record is not None
            assert record.fault is None
            assert str(record.status) in ("Active", "Attached/UP")


LifeTests = Life.TestCase
LifeTests.settings = settings(
    max_examples=int(os.environ.get("QUANTUMD_EXAMPLES", "200")),
    stateful_step_count=40,
    deadline=None,
    derandomize=True,
    database=None,
    phases=[Phase.generate] if "QUANTUMD_EXAMPLES" in os.environ else list(Phase),
    suppress_health_check=list(HealthCheck),
)
