"""The daemon as a whole, without its edge: the real operations, loop and SQLite store over the memory plugin's host.

Random requests, at random moments random crashes, reboots, failures and meddling; then the dust settles, and the host
is what was accepted, no more and no less.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from attrs import evolve, field, frozen
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from twisted.internet.defer import Deferred, execute
from twisted.python.failure import Failure

from quantumd.core.errors import Fault, ServiceUnavailable
from quantumd.core.intent import Limits
from quantumd.core.model import Attachment, Device, Event, Form, Key, Kind, Network, Port
from quantumd.core.state import State
from quantumd.core.transaction import check
from quantumd.plugins.memory import _asked
from quantumd.service.convergence import Convergence
from quantumd.service.quantum import Quantum
from quantumd.store.sqlite import SQLiteStore
from tests.core.support import uuid
from tests.service.support import ADMIN, Plugin, Turns, result

T = TypeVar("T")

NETWORKS = st.integers(1, 2).map(uuid)
PORTS = st.integers(11, 13).map(uuid)
IDS = st.sampled_from(["vif1", "vif2", "vif3"])
FORMS = st.one_of(
    st.builds(lambda ident: Form(id=ident), IDS),
    st.builds(lambda ident, name: Form(id=ident, device=Device(name=name)), IDS, st.sampled_from(["tap1", "tap2"])),
    st.builds(lambda ident: Form(id=ident, device=Device(create="tap")), IDS),
)
LIMITS = Limits(networks=2, ports_per_network=4)

#: Where a write costs nothing, if there is such a place: no test here cuts the power.
MEMORY = "/dev/shm" if Path("/dev/shm").is_dir() else None

#: What happens, and how often of all.
HAPPENINGS = [
    *["requests"] * 6,
    *["wait"] * 4,
    *["crash"] * 4,
    *["move", "meddle"] * 2,
    *["reboot", "restart", "fail", "disk", "backend", "dust"],
]

#: Longer than the longest pause and the time between two audits.
DUST = 70.0


@frozen
class Wanted:
    """What was accepted, in the plainest form: networks by id, ports and what is plugged into them."""

    networks: dict[str, tuple[str, Any]] = field(factory=dict)
    ports: dict[str, str] = field(factory=dict)
    plugged: dict[str, Form] = field(factory=dict)

    @classmethod
    def of(cls, state: State) -> Wanted:
        """What a state says is to stay."""
        return cls(
            {one.id: (one.name, dict(one.options)) for one in state.networks.values() if not one.going},
            {one.id: one.network_id for one in state.ports.values() if not one.going},
            {one.port_id: one.form for one in state.attachments.values() if not one.going},
        )

    def after(self, verb: str, record: Network | Port | Attachment) -> Wanted:
        """What is to stay when the request was accepted with this record."""
        networks, ports, plugged = dict(self.networks), dict(self.ports), dict(self.plugged)
        match verb, record:
            case (("create" | "update"), Network()):
                networks[record.id] = (record.name, dict(record.options))
            case "create", Port():
                ports[record.id] = record.network_id
            case "plug", Attachment():
                ports[record.port_id] = record.network_id
                plugged[record.port_id] = record.form
            case "delete", Network():
                networks.pop(record.id, None)
                ports = {ident: home for ident, home in ports.items() if home != record.id}
            case "delete", Port():
                ports.pop(record.id, None)
            case "unplug", Attachment():
                plugged.pop(record.port_id, None)
            case _:
                raise AssertionError(f"{verb} gave {record}")
        return Wanted(networks, ports, plugged)


def differing(one: dict[str, Any], other: dict[str, Any]) -> set[str]:
    """The keys of which the two have different values."""
    return {key for key in one.keys() | other.keys() if one.get(key) != other.get(key)}


class Worker:
    """Does the store's writing when the clock is turned, and tells of it at a later turn, so that a crash can come
    before and between; ``broken``: it cannot write."""

    def __init__(self, clock: Turns) -> None:
        self.clock = clock
        self.broken = False

    def run(self, work: Callable[[], T]) -> Deferred[T]:
        """See IWorker."""
        done: Deferred[T] = Deferred()
        self.clock.callLater(0, self._work, work, done)
        return done

    def _work(self, work: Callable[[], T], done: Deferred[T]) -> None:
        if self.broken:
            done.errback(OSError(28, "No space left on device"))
        else:
            execute(work).addBoth(lambda found: self.clock.callLater(0, done.callback, found))

    def stop(self) -> None:
        """See IWorker."""


class Life:
    """One run of the daemon, from its start to its end, clean or not."""

    def __init__(self, path: Path, boot: int, host: dict[Key, Any], delay: float, batches: int) -> None:
        self.clock = Turns()
        self.worker = Worker(self.clock)
        self.store = SQLiteStore(self.clock, path, f"boot-{boot}", self.worker)
        self.plugin = Plugin(self.clock, delay=delay)
        self.plugin.batches = batches
        self.plugin.host = host
        self.convergence = Convergence(self.store, self.plugin, self.clock)
        self.quantum = Quantum(self.store, self.plugin, LIMITS, self.convergence.wake)
        self.told: list[Event] = []
        self.do(self.store.start())
        self.store.listen(lambda _, events: self.told.extend(events))
        self.do(Deferred.fromCoroutine(self.convergence.start()))

    def do(self, deferred: Deferred[T]) -> T:
        """What it fires with, and no more work than it takes."""
        fired: list[object] = []
        deferred.addBoth(lambda found: (fired.append(None), found)[1])
        while not fired:
            self.clock.step()
        return result(deferred)

    def pass_time(self, seconds: float) -> None:
        """Let that much time pass, and do all that is due."""
        end = self.clock.seconds() + seconds
        self.clock.advance(0)
        while self.clock.calls and self.clock.calls[0].getTime() <= end:
            self.clock.advance(self.clock.calls[0].getTime() - self.clock.seconds())
        self.clock.advance(max(0.0, end - self.clock.seconds()))

    def stop(self) -> None:
        """End as the daemon does when it is told to."""
        stopped = Deferred.fromCoroutine(self.convergence.stop())
        self.pass_time(5)
        result(stopped)
        self.worker.broken = False
        self.do(self.store.stop())
        assert self.clock.getDelayedCalls() == []

    def crash(self) -> None:
        """End without another instruction. What the kernel does with a dead process' file and lock is done here."""
        self.store._database.close()


class DaemonMachine(RuleBasedStateMachine):
    """See the module."""

    def __init__(self) -> None:
        super().__init__()
        self.place = tempfile.TemporaryDirectory(prefix="quantumd-machine-", dir=MEMORY)
        self.path = Path(self.place.name) / "state.sqlite"
        self.host: dict[Key, Any] = {}
        self.boot = 1
        self.wanted = Wanted()
        self.newest_event = 0
        self.life = Life(self.path, self.boot, self.host, 0.0, 1000)

    @initialize()
    def begin(self) -> None:
        """A network with two ports, so that there is something to begin with."""
        for call in (
            lambda: self.life.quantum.create_network(ADMIN, {"name": "blue", "id": uuid(1)}),
            lambda: self.life.quantum.create_port(ADMIN, uuid(1), {"id": uuid(11)}),
            lambda: self.life.quantum.create_port(ADMIN, uuid(1), {"id": uuid(12)}),
        ):
            self.ask("create", call)

    # --- requests

    def ask(self, verb: str, call: Callable[[], Deferred[Any]]) -> None:
        """Make a request and take down what was accepted; a refusal leaves everything as it was."""
        try:
            record = self.life.do(call())
        except Fault:
            return
        self.wanted = self.wanted.after(verb, record)

    def request(self, data: st.DataObject) -> tuple[str, Callable[[], Deferred[Any]]]:
        """Some request."""
        quantum, network, port = self.life.quantum, data.draw(NETWORKS), data.draw(PORTS)
        known = self.wanted.ports.get(port)
        home = known if known is not None else network
        form = data.draw(FORMS)
        verbs: dict[str, tuple[str, Callable[[], Deferred[Any]]]] = {
            "plug": ("plug", lambda: quantum.plug(ADMIN, home, port, form)),
            "plug anywhere": ("plug", lambda: quantum.plug_anywhere(ADMIN, network, form)),
            "unplug": ("unplug", lambda: quantum.unplug(ADMIN, home, port)),
            "create network": ("create", lambda: quantum.create_network(ADMIN, {"name": "blue", "id": network})),
            "create port": ("create", lambda: quantum.create_port(ADMIN, network, {"id": port})),
            "rename": ("update", lambda: quantum.update_network(ADMIN, network, {"name": form.id})),
            "delete port": ("delete", lambda: quantum.delete_port(ADMIN, home, port)),
            "delete network": ("delete", lambda: quantum.delete_network(ADMIN, network)),
        }
        return verbs[data.draw(st.sampled_from([*verbs, *["plug", "plug anywhere", "unplug"] * 2]))]

    @rule(what=st.sampled_from(HAPPENINGS), data=st.data())
    def happens(self, what: str, data: st.DataObject) -> None:
        """One of the methods below. They are no rules of their own, since each run would leave some out altogether."""
        getattr(self, what)(data)

    def requests(self, data: st.DataObject) -> None:
        """Some requests, each as soon as the one before was answered."""
        for _ in range(data.draw(st.integers(1, 4))):
            self.ask(*self.request(data))

    def move(self, data: st.DataObject) -> None:
        """Unplug here and at once plug there."""
        here, there = data.draw(PORTS), data.draw(PORTS)
        form, source, destination = (
            self.wanted.plugged.get(here),
            self.wanted.ports.get(here),
            self.wanted.ports.get(there),
        )
        if form is not None and source is not None and destination is not None:
            self.ask("unplug", lambda: self.life.quantum.unplug(ADMIN, source, here))
            self.ask("plug", lambda: self.life.quantum.plug(ADMIN, destination, there, form))

    def wait(self, data: st.DataObject) -> None:
        """Time passes."""
        self.life.pass_time(data.draw(st.sampled_from([0.0, 0.1, 0.7, 5.0, 31.0])))

    # --- what may happen to it

    def crash(self, data: st.DataObject) -> None:
        """The process dies some steps after a request; maybe it was answered, and maybe not."""
        steps = data.draw(st.sampled_from([2, 1, 3, 2, 4, 6, 9, 14]))
        verb, call = self.request(data)
        before = self.wanted
        answer: list[Any] = []
        call().addBoth(answer.append)
        for _ in range(steps):
            if self.life.clock.calls and self.life.clock.calls[0].getTime() <= self.life.clock.seconds():
                self.life.clock.step()
        self.life.crash()
        self.start_again(data)
        if answer and not isinstance(answer[0], Failure):
            self.wanted = before.after(verb, answer[0])
        elif not answer and Wanted.of(self.life.store.state) != before:
            # Stored, but not answered: whoever asked has to look, and finds all of it or nothing.
            self.wanted = self.one_more(before)

    def one_more(self, before: Wanted) -> Wanted:
        """What is wanted now, which differs from before in no more than what one request can change."""
        now = Wanted.of(self.life.store.state)
        gone = before.networks.keys() - now.networks.keys()
        assert len(differing(before.networks, now.networks)) <= 1
        assert len([port for port in differing(before.ports, now.ports) if before.ports.get(port) not in gone]) <= 1
        assert len(differing(before.plugged, now.plugged)) <= 1
        return now

    def reboot(self, data: st.DataObject) -> None:
        """The machine dies, and everything on the host that was not on its disk."""
        self.life.crash()
        self.host.clear()
        self.boot += 1
        self.start_again(data)

    def restart(self, data: st.DataObject) -> None:
        """The daemon is stopped and started, as for an upgrade."""
        self.life.stop()
        self.start_again(data)

    def start_again(self, data: st.DataObject) -> None:
        """The next life."""
        delay, batches = data.draw(st.sampled_from([0.0, 0.0, 0.5])), data.draw(st.sampled_from([1, 1000]))
        self.take_down_events()
        self.life = Life(self.path, self.boot, self.host, delay, batches)

    def fail(self, data: st.DataObject) -> None:
        """Changes of these fail from now on."""
        self.life.plugin.fail = data.draw(st.sampled_from(["", "blue", "vif1", "vif*", "*"]))

    def disk(self, data: st.DataObject) -> None:
        """The disk is full, or no longer."""
        self.life.worker.broken = data.draw(st.booleans())

    def backend(self, data: st.DataObject) -> None:
        """The backend goes away in the middle of something, or comes back."""
        where = data.draw(st.sampled_from(["look", "work", "nothing"]))
        self.life.plugin.broken_look = ServiceUnavailable("It is away") if where == "look" else None
        self.life.plugin.broken_work = ServiceUnavailable("It is away") if where == "work" else None

    def meddle(self, data: st.DataObject) -> None:
        """Somebody removes or changes what is on the host, or leaves something with our mark there."""
        lost = Key(Kind.ATTACHMENT, 10_000)
        key = data.draw(st.sampled_from([*sorted(self.host, key=str), lost]))
        made = self.host.get(key)
        if made is None:
            self.host[lost] = next(iter(self.host.values()), None) or _Strange()
        elif data.draw(st.booleans()):
            del self.host[key]
        else:
            self.host[key] = evolve(made, asked="otherwise") if not isinstance(made, _Strange) else made
        self.life.convergence.notify(data.draw(st.sampled_from([None, [key], []])))

    # --- what has to hold

    @invariant()
    def what_was_accepted_is_there_and_nothing_else(self) -> None:
        state = self.life.store.state
        assert check(state) == []
        assert Wanted.of(state) == self.wanted

    def take_down_events(self) -> None:
        """Events are numbered without a gap, and none has the number of another."""
        for event in self.life.told:
            assert event.seq > self.newest_event
            self.newest_event = event.seq

    def dust(self, _: st.DataObject) -> None:
        """A rest in between."""
        self.settle()

    def settle(self) -> None:
        """All faults end, the dust settles, and the host is what was accepted."""
        life = self.life
        life.plugin.fail = ""
        life.plugin.broken_look = life.plugin.broken_work = None
        life.worker.broken = False
        life.pass_time(DUST)
        state = life.store.state
        keys = list(state.every_key())
        assert Wanted.of(state) == self.wanted
        assert len(keys) == len(self.wanted.networks) + len(self.wanted.ports) + len(self.wanted.plugged), "some go"
        assert set(self.host) == set(keys)
        for key in keys:
            record = state.get(key)
            assert record is not None
            assert record.fault is None
            assert str(record.status) in ("Active", "Attached/UP"), record
            assert self.host[key].asked == _asked(record)
        assert life.convergence.backlog == 0

    def teardown(self) -> None:
        """However it went, it comes to rest, and to nothing when everything is taken back."""
        try:
            self.settle()
            for port, home in list(self.wanted.ports.items()):
                if port in self.wanted.plugged:
                    self.ask("unplug", lambda port=port, home=home: self.life.quantum.unplug(ADMIN, home, port))
            for ident in list(self.wanted.networks):
                self.ask("delete", lambda ident=ident: self.life.quantum.delete_network(ADMIN, ident))
            self.settle()
            assert self.wanted == Wanted()
            assert self.host == {}
            self.take_down_events()
            self.life.stop()
        finally:
            self.place.cleanup()


@frozen
class _Strange:
    """Something on the host that bears our mark and that nobody remembers."""

    asked: object = None
    plugin: dict[str, Any] = field(factory=dict)


DaemonTests = DaemonMachine.TestCase
DaemonTests.settings = settings(
    max_examples=int(os.environ.get("QUANTUMD_EXAMPLES", "60")),
    stateful_step_count=30,
    deadline=None,
    derandomize=True,
    database=None,
    phases=[Phase.generate] if "QUANTUMD_EXAMPLES" in os.environ else list(Phase),
    suppress_health_check=list(HealthCheck),
)
