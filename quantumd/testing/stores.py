"""The tests that every :class:`~quantumd.interfaces.IStateStore` passes.

::

    class MyPlace(StorePlace):
        ...

    MyStoreTests = make_state_store_tests(MyPlace)
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Sequence
from typing import TypeVar

from attrs import evolve
from twisted.internet.defer import Deferred, gatherResults
from twisted.trial.unittest import TestCase
from zope.interface.verify import verifyObject

from quantumd.core.errors import AttachmentsPlugged, Fault, NetworkNotFound, ServiceUnavailable
from quantumd.core.model import Attachment, Event, Form, Key, Network, Port
from quantumd.core.state import State
from quantumd.core.transaction import Transaction, check
from quantumd.interfaces import IStateStore

T = TypeVar("T")


class StorePlace(ABC):
    """A scratch place for the state of one test."""

    @abstractmethod
    def make_store(self) -> IStateStore:
        """Make a new store object on this place. The second one of a test is the first one's daemon restarted."""

    @abstractmethod
    def break_down(self) -> None:
        """From now on writing fails."""

    @abstractmethod
    def mend(self) -> None:
        """Writing works again."""

    @abstractmethod
    def close(self) -> None:
        """Take everything down; the stores have been stopped."""


def add_network(ident: str) -> Callable[[Transaction], Network]:
    """A transform that makes a network, or raises AttachmentsPlugged (as good as any) where its id is taken."""

    def transform(tx: Transaction) -> Network:
        if ident in tx.state.networks:
            raise AttachmentsPlugged(f"{ident} is there")
        network = Network(
            serial=tx.serial(), id=ident, name=ident, tenant_id="default", created_at=tx.now, updated_at=tx.now
        )
        tx.put(network)
        tx.emit("created", network)
        return network

    return transform


def rename_network(ident: str, name: str) -> Callable[[Transaction], Network]:
    """A transform that changes a network, or raises NetworkNotFound."""

    def transform(tx: Transaction) -> Network:
        network = _find(tx, ident)
        network = evolve(network, name=name, revision=network.revision + 1, updated_at=tx.now)
        tx.put(network)
        tx.emit("updated", network)
        return network

    return transform


def drop_network(ident: str) -> Callable[[Transaction], None]:
    """A transform that drops a network and all that is in it, or raises NetworkNotFound."""

    def transform(tx: Transaction) -> None:
        network = _find(tx, ident)
        for attachment in tx.state.attachments_of(ident):
            tx.drop(attachment)
        for port in tx.state.ports_of(ident):
            tx.drop(port)
        tx.emit("deleted", network)
        tx.drop(network)

    return transform


def add_attachment(network_id: str, ident: str) -> Callable[[Transaction], Attachment]:
    """A transform that makes a port with something plugged into it, or raises NetworkNotFound."""

    def transform(tx: Transaction) -> Attachment:
        _find(tx, network_id)
        serial = tx.serial()
        port = Port(serial=serial, id=f"p{serial}", network_id=network_id, created_at=tx.now, updated_at=tx.now)
        tx.put(port)
        attachment = Attachment(
            serial=tx.serial(),
            network_id=network_id,
            port_id=port.id,
            form=Form(id=ident, reference="\u20ac \U0001f600"),
            created_at=tx.now,
            updated_at=tx.now,
            data={"device": f"tap{serial}", "deep": {"list": [1, 2.5, None, True]}},
        )
        tx.put(attachment)
        tx.emit("created", attachment)
        return attachment

    return transform


def _find(tx: Transaction, ident: str) -> Network:
    network = tx.state.networks.get(ident)
    if network is None:
        raise NetworkNotFound(f"{ident} is not there")
    return network


class _StateStoreTests(TestCase):
    """See :func:`make_state_store_tests`."""

    timeout = 60
    make_place: Callable[[], StorePlace]

    async def setUp(self) -> None:  # type: ignore[override]  # trial takes coroutines, unittest does not
        self.place = type(self).make_place()
        self.addCleanup(self.place.close)
        self.store = await self.started()

    async def started(self) -> IStateStore:
        store = self.place.make_store()
        await store.start()
        self.addCleanup(store.stop)
        return store

    async def restarted(self) -> IStateStore:
        await self.store.stop()
        self.store = await self.started()
        return self.store

    async def refused(self, answer: Deferred[T]) -> Fault:
        try:
            await answer
        except Fault as fault:
            return fault
        raise AssertionError("was accepted")

    def test_interface(self) -> None:
        """It provides IStateStore and begins empty."""
        verifyObject(IStateStore, self.store)
        self.assertEqual(State(), self.store.state)

    async def test_commit(self) -> None:
        """The transform's result is the Deferred's, and what it made is visible when that fires."""
        network = await self.store.commit(add_network("a"))
        self.assertEqual(network, self.store.state.networks["a"])
        self.assertRegex(network.created_at, r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z$")
        self.assertEqual(1, network.serial)

    async def test_refusal(self) -> None:
        """A transform that raises has changed nothing, whatever it did before."""

        def torn(tx: Transaction) -> None:
            add_network("a")(tx)
            raise NetworkNotFound("no")

        before = self.store.state
        self.assertIsInstance(await self.refused(self.store.commit(torn)), NetworkNotFound)
        self.assertIs(before, self.store.state)
        self.assertEqual(1, (await self.store.commit(add_network("b"))).serial)

    async def test_bug(self) -> None:
        """So has one that raises something else, which comes out as it is."""
        bug = ZeroDivisionError()

        def buggy(tx: Transaction) -> None:
            add_network("a")(tx)
            raise bug

        await self.assertFailure(self.store.commit(buggy), ZeroDivisionError)
        self.assertEqual(State(), self.store.state)

    async def test_no_change(self) -> None:
        """A transform that only looks is answered in its turn, and nobody is told."""
        told: list[object] = []
        self.store.listen(lambda keys, events: told.append(keys))
        order: list[str] = []
        made = self.store.commit(add_network("a")).addCallback(lambda _: order.append("made"))
        looked = self.store.commit(lambda tx: sorted(tx.state.networks)).addCallback(lambda found: order.extend(found))
        await gatherResults([made, looked])
        self.assertEqual(["made", "a"], order)
        self.assertEqual(1, len(told))

    async def test_busy(self) -> None:
        """It is busy for as long as something is accepted and not written."""
        self.assertFalse(self.store.busy)
        made = self.store.commit(add_network("a"))
        self.assertEqual(self.store.busy, not made.called)
        await made
        self.assertFalse(self.store.busy)

    async def test_order(self) -> None:
        """What comes together is judged one after the other, each on top of those before it, and answered in order."""
        order: list[str] = []

        def note(what: str) -> Callable[[object], None]:
            return lambda _: order.append(what)

        answers = [
            self.store.commit(add_network("a")).addCallback(note("made")),
            self.store.commit(add_network("a")).addCallbacks(note("twice"), note("refused")),
            self.store.commit(rename_network("a", "b"), durable=False).addCallback(note("renamed")),
            self.store.commit(drop_network("a")).addCallback(note("dropped")),
            self.store.commit(rename_network("a", "c")).addCallbacks(note("renamed again"), note("not there")),
            self.store.commit(add_network("a")).addCallback(note("made again")),
        ]
        await gatherResults(answers)
        self.assertEqual(["made", "refused", "renamed", "dropped", "not there", "made again"], order)
        self.assertEqual("a", self.store.state.networks["a"].name)

    async def test_commit_when_answered(self) -> None:
        """Whoever is answered, or listens, may commit again at once; those who were there before are answered first."""
        order: list[str] = []
        again: list[Deferred[None]] = []

        def first(_: object) -> None:
            order.append("first")
            again.append(self.store.commit(lambda tx: None).addCallback(lambda _: order.append("again")))

        answers = [
            self.store.commit(add_network("a")).addCallback(first),
            self.store.commit(add_network("b")).addCallback(lambda _: order.append("second")),
        ]
        await gatherResults(answers)
        await gatherResults(again)
        self.assertEqual(["first", "again"], [word for word in order if word != "second"])
        self.assertIn("second", order)

    async def test_listeners(self) -> None:
        """Listeners hear the keys and events of what is visible, before it is answered; a bad one harms nobody."""
        heard: list[tuple[set[Key], list[tuple[str, int]]]] = []
        order: list[str] = []

        def bad(keys: Collection[Key], events: Sequence[Event]) -> None:
            raise ZeroDivisionError

        def good(keys: Collection[Key], events: Sequence[Event]) -> None:
            order.append("heard")
            self.assertTrue(all(self.store.state.get(key) for key in keys))
            heard.append((set(keys), [(event.action, event.seq) for event in events]))

        self.store.listen(bad)
        self.store.listen(good)
        await self.store.commit(add_network("a")).addCallback(lambda _: order.append("answered"))
        self.assertEqual(["heard", "answered"], order)
        attachment = await self.store.commit(add_attachment("a", "vif"), durable=False)
        port = self.store.state.ports[attachment.port_id]
        network = self.store.state.networks["a"]
        self.assertEqual([({network.key}, [("created", 1)]), ({port.key, attachment.key}, [("created", 2)])], heard)
        self.assertEqual(2, len(self.flushLoggedErrors(ZeroDivisionError)))

    async def test_events(self) -> None:
        """Events can be followed from any that was told, and from before the first; from no other."""
        self.assertEqual([], list(self.store.events(0) or ()))
        for ident in "abc":
            await self.store.commit(add_network(ident))
        told = self.store.events(0)
        assert told is not None
        self.assertEqual([(1, "a"), (2, "b"), (3, "c")], [(event.seq, event.network_id) for event in told])
        self.assertEqual([3], [event.seq for event in self.store.events(2) or ()])
        self.assertEqual([], list(self.store.events(3) or ()))
        self.assertIsNone(self.store.events(4))
        self.assertIsNone(self.store.events(-1))

    async def test_many_events(self) -> None:
        """The last 10,000 are kept, over a restart too; one that asks for older ones is told so."""

        def tell(tx: Transaction) -> None:
            for _ in range(1500):
                tx.emit("status", tx.state.networks["a"])

        await self.store.commit(add_network("a"))
        for _ in range(10):
            await self.store.commit(tell, durable=False)
        await self.store.commit(rename_network("a", "b"))
        for store in (self.store, await self.restarted()):
            last = store.state.next_event - 1
            self.assertEqual(15002, last)
            kept = store.events(last - 9999)
            assert kept is not None
            self.assertEqual(list(range(last - 9998, last + 1)), [event.seq for event in kept])
            self.assertEqual("updated", kept[-1].action)
            for gone in (0, 1, 500):
                self.assertIsNone(store.events(gone))

    async def test_restart(self) -> None:
        """Everything is there again, whatever it holds; no number is given a second time."""
        await self.store.commit(add_network("a"))
        await self.store.commit(add_network("b"))
        await self.store.commit(add_attachment("a", "vif"), durable=False)
        await self.store.commit(drop_network("b"))
        last = await self.store.commit(add_attachment("a", "last"))
        await self.store.commit(lambda tx: tx.drop(last))
        before, events = self.store.state, self.store.events(1)
        store = await self.restarted()
        self.assertEqual(before, store.state)
        self.assertEqual([], check(store.state))
        self.assertEqual(events, store.events(1))
        self.assertEqual(last.serial + 1, (await store.commit(add_network("c"))).serial)

    async def test_failing_write(self) -> None:
        """Where writing fails, everybody who shared the write hears so, and nothing has changed."""
        await self.store.commit(add_network("a"))
        before = self.store.state
        told: list[object] = []
        self.store.listen(lambda keys, events: told.append(keys))
        self.place.break_down()
        answers = [self.store.commit(rename_network("a", "b")), self.store.commit(add_network("b"))]
        for answer in answers:
            fault = await self.refused(answer)
            self.assertIsInstance(fault, ServiceUnavailable)
            self.assertIn("nothing was accepted", fault.detail)
        self.assertTrue(self.flushLoggedErrors(), "the log has what happened")
        self.assertIs(before, self.store.state)
        self.assertEqual([], told)
        self.place.mend()
        self.assertEqual("c", (await self.store.commit(rename_network("a", "c"))).name)
        self.assertEqual("c", (await self.restarted()).state.networks["a"].name)

    async def test_stop(self) -> None:
        """Stopping finishes what was accepted, and accepts no more."""
        answers = [self.store.commit(add_network(ident)) for ident in "abc"]
        stopped = self.store.stop()
        late = await self.refused(self.store.commit(add_network("d")))
        self.assertIsInstance(late, ServiceUnavailable)
        self.assertEqual(["a", "b", "c"], [network.id for network in await gatherResults(answers)])
        await stopped
        self.store = await self.started()
        self.assertEqual({"a", "b", "c"}, set(self.store.state.networks))


def make_state_store_tests(make_place: Callable[[], StorePlace]) -> type[TestCase]:
    """Tests for the store that ``make_place()`` makes stores of; called once for each test."""
    return type("StateStoreTests", (_StateStoreTests,), {"make_place": staticmethod(make_place)})
