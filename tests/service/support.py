"""The daemon without its edge: operations, loop, store and the memory plugin, on a clock that a test turns."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Any, TypeVar

from attrs import evolve
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from quantumd.core.access import Caller, Role
from quantumd.core.changes import Change, Outcome, RemoveLeftover
from quantumd.core.intent import Limits
from quantumd.core.model import Attachment, Event, Form, Key, Network, Port, Record
from quantumd.core.plan import Observed
from quantumd.core.state import State
from quantumd.core.transaction import check
from quantumd.interfaces import IStateStore
from quantumd.plugins.memory import SETTINGS, MemoryPlugin
from quantumd.service.convergence import Convergence
from quantumd.service.quantum import Quantum
from quantumd.store.memory import MemoryStore

T = TypeVar("T")
R = TypeVar("R", bound=Record)

#: Who asks for everything in these tests.
ADMIN = Caller("tests", "default", Role.ADMIN)

LIMITS = Limits(networks=5000, ports_per_network=5000)

#: How many calls at one instant are a loop that never comes to rest.
_TOO_MANY = 50_000


class Turns(Clock):
    """A clock that notices work that makes itself due again and again at the same instant."""

    def __init__(self) -> None:
        super().__init__()
        self._calls = 0
        self._instant = 0.0

    def callLater(self, when: float, what: Callable[..., object], *args: Any, **kw: Any) -> Any:
        """See IReactorTime."""
        if self.seconds() != self._instant:
            self._instant, self._calls = self.seconds(), 0
        self._calls += 1
        assert self._calls < _TOO_MANY, f"it spins: {what}"
        return super().callLater(when, what, *args, **kw)

    def step(self) -> None:
        """Make one call that is due, and no other."""
        call = self.calls.pop(0)
        assert call.getTime() <= self.seconds(), "nothing is due"
        call.called = 1
        call.func(*call.args, **call.kw)


class Plugin(MemoryPlugin):
    """The memory plugin, which tells what it was asked and can be made to misbehave.

    ``verdict`` may say what comes of a change instead of doing it. While ``broken_look`` or ``broken_work`` is an
    exception, discovering or applying fails with it. A look that begins while ``gate`` is a Deferred waits for it.
    What is plugged and ``down`` has no carrier.
    """

    def __init__(self, clock: Turns, **settings: Any) -> None:
        super().__init__(clock, {**SETTINGS, **settings})
        self.looks: list[Collection[Key] | None] = []
        self.work: list[tuple[float, list[Change]]] = []
        self.verdict: Callable[[Change], Outcome | None] = lambda _: None
        self.broken_look: Exception | None = None
        self.broken_work: Exception | None = None
        self.gate: Deferred[None] | None = None
        self.down: set[Key] = set()

    def discover(self, state: State, keys: Collection[Key] | None) -> Deferred[Observed]:
        """See INetworkPlugin."""
        self.looks.append(keys)
        if self.broken_look is not None:
            return fail(self.broken_look)
        if self.gate is not None:
            return self.gate.addCallback(lambda _: self._look_around(state, keys))
        return succeed(self._look_around(state, keys))

    def _look_around(self, state: State, keys: Collection[Key] | None) -> Observed:
        found = result(super().discover(state, keys))
        seen = {key: evolve(one, up=key not in self.down) for key, one in found.seen.items()}
        return evolve(found, seen=seen)

    def apply(self, changes: Sequence[Change]) -> Deferred[Sequence[Outcome]]:
        """See INetworkPlugin."""
        self.work.append((self._clock.seconds(), list(changes)))
        if self.broken_work is not None:
            return fail(self.broken_work)
        return super().apply(changes)

    def _apply(self, change: Change, failed: set[Key]) -> Outcome:
        verdict = self.verdict(change)
        if verdict is None:
            return super()._apply(change, failed)
        if not isinstance(change, RemoveLeftover):
            failed.add(change.key)
        return verdict

    def kinds(self) -> list[list[str]]:
        """What kinds of changes each batch since the last call had."""
        kinds = [[type(change).__name__ for change in changes] for _, changes in self.work]
        self.work.clear()
        return kinds


class Daemon:
    """One run of the daemon. Another one on the same store's successor and the same plugin is its next start."""

    def __init__(
        self,
        clock: Turns | None = None,
        store: IStateStore | None = None,
        plugin: Plugin | None = None,
        limits: Limits = LIMITS,
        **settings: Any,
    ) -> None:
        self.clock = clock or Turns()
        self.store = store or MemoryStore(self.clock)
        self.plugin = plugin or Plugin(self.clock, **settings)
        self.limits = limits
        self.told: list[Event] = []
        self.convergence = Convergence(self.store, self.plugin, self.clock)
        self.quantum = Quantum(self.store, self.plugin, limits, self.convergence.wake)

    def start(self) -> Daemon:
        """Begin, and come to rest."""
        result(self.store.start())
        self.store.listen(lambda _, events: self.told.extend(events))
        result(Deferred.fromCoroutine(self.convergence.start()))
        self.rest()
        return self

    def again(self) -> Daemon:
        """The next start after a crash: the same host, and a store with everything that was committed."""
        assert isinstance(self.store, MemoryStore)
        # What was due in the process that crashed is due no more.
        for call in self.clock.getDelayedCalls():
            call.cancel()
        plugin = Plugin(self.clock)
        plugin.host = self.plugin.host
        return Daemon(self.clock, self.store.successor(), plugin, self.limits).start()

    def rest(self, seconds: float = 0) -> None:
        """Let that much time pass, and do all that is due."""
        end = self.clock.seconds() + seconds
        self.clock.advance(0)
        while (due := [call.getTime() for call in self.clock.getDelayedCalls() if call.getTime() <= end]) and due:
            self.clock.advance(max(0.0, min(due) - self.clock.seconds()))
        self.clock.advance(max(0.0, end - self.clock.seconds()))

    @property
    def state(self) -> State:
        """What is committed."""
        return self.store.state

    def actions(self) -> list[tuple[str, str, str]]:
        """What was told since the last call: kind, action and status."""
        told = [(str(event.kind), event.action, event.status) for event in self.told]
        self.told.clear()
        return told

    def now_is(self, record: R) -> R:
        """The record as it is now."""
        found = self.state.get(record.key)
        assert isinstance(found, type(record)), f"{record.key} is gone"
        return found

    def network(self, name: str = "blue", **body: Any) -> Network:
        """Accept a network."""
        return result(self.quantum.create_network(ADMIN, {"name": name, **body}))

    def port(self, network: Network) -> Port:
        """Accept a port."""
        return result(self.quantum.create_port(ADMIN, network.id, {}))

    def plug(self, port: Port, form: Form | str) -> Attachment:
        """Accept an attachment."""
        form = Form(id=form) if isinstance(form, str) else form
        return result(self.quantum.plug(ADMIN, port.network_id, port.id, form))

    def unplug(self, port: Port) -> Attachment:
        """Accept that it goes."""
        return result(self.quantum.unplug(ADMIN, port.network_id, port.id))

    def delete(self, network: Network) -> Network:
        """Accept that it goes."""
        return result(self.quantum.delete_network(ADMIN, network.id))


def result(deferred: Deferred[T]) -> T:
    """What the Deferred has fired with; raises what it failed with."""
    found: list[Any] = []
    deferred.addBoth(found.append)
    assert found, "it has not fired"
    if isinstance(found[0], Failure):
        found[0].raiseException()
    return found[0]  # type: ignore[no-any-return]


class DaemonCase(SynchronousTestCase):
    """Tests of a running daemon, which is held against what was asked of it in the end."""

    def setUp(self) -> None:
        self.daemon = Daemon().start()

    def settled(self, daemon: Daemon | None = None) -> None:
        """Check that everything is as it was asked for."""
        daemon = daemon or self.daemon
        state = daemon.state
        self.assertEqual(check(state), [])
        self.assertEqual(set(daemon.plugin.host), set(state.every_key()))
        for key in state.every_key():
            record = state.get(key)
            assert record is not None
            self.assertIn(str(record.status), ("Active", "Attached/UP"))
            self.assertIsNone(record.fault)
        self.assertEqual(daemon.convergence.backlog, 0)
