from __future__ import annotations

from collections.abc import Iterable

from twisted.internet.defer import CancelledError
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from quantumd.core.changes import RecordChange
from quantumd.core.errors import (
    AttachmentNotFound,
    BadRequest,
    Fault,
    NetworkNotFound,
    PluginFault,
    PortNotFound,
    PreconditionFailed,
    ServiceUnavailable,
)
from quantumd.core.intent import etag
from quantumd.core.model import Form, Json, Key
from quantumd.core.state import State
from quantumd.core.transaction import Transaction
from quantumd.service.quantum import Quantum
from quantumd.store.memory import MemoryStore
from tests.core.support import uuid
from tests.service.support import ADMIN, LIMITS, Plugin, Turns, result


class LateStore(MemoryStore):
    """A store that writes when the clock is turned."""

    def _soon(self, call):  # type: ignore[no-untyped-def]
        self._clock.callLater(1, call)


class Judging(Plugin):
    """A plugin with a mind of its own."""

    refusal: Fault | None = None
    away: str | None = None

    @property
    def unavailable(self) -> str | None:
        return self.away

    def judge(self, state: State, change: RecordChange) -> Json:
        if self.refusal is not None:
            raise self.refusal
        return super().judge(state, change)


class QuantumCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Turns()
        self.store = LateStore(self.clock)
        result(self.store.start())
        self.plugin = Judging(self.clock)
        self.woken: list[set[Key]] = []
        self.quantum = Quantum(self.store, self.plugin, LIMITS, self.wake)

    def wake(self, keys: Iterable[Key]) -> None:
        self.woken.append(set(keys))

    def done(self, deferred):  # type: ignore[no-untyped-def]
        """The answer, when it was written; what it woke is forgotten."""
        self.clock.advance(1)
        try:
            return result(deferred)
        finally:
            self.woken.clear()


class AcceptTests(QuantumCase):
    def test_the_answer_comes_when_it_is_stored_and_visible(self) -> None:
        accepted = self.quantum.create_network(ADMIN, {"name": "blue"})
        self.assertNoResult(accepted)
        self.assertEqual((len(self.quantum.state.networks), self.woken), (0, []))
        self.clock.advance(1)
        network = result(accepted)
        self.assertEqual(self.quantum.find_network(ADMIN, network.id), network)
        self.assertEqual(self.woken, [{network.key}])

    def test_a_caller_that_hangs_up_has_asked_all_the_same(self) -> None:
        accepted = self.quantum.create_network(ADMIN, {"name": "blue"})
        accepted.cancel()
        self.failureResultOf(accepted, CancelledError)
        self.clock.advance(1)
        self.assertEqual(len(self.quantum.state.networks), 1)
        self.assertEqual(len(self.woken), 1)

    def test_a_refusal_that_nobody_hears_is_no_unhandled_error(self) -> None:
        accepted = self.quantum.delete_network(ADMIN, uuid(1))
        accepted.cancel()
        self.failureResultOf(accepted, CancelledError)
        self.clock.advance(1)
        del accepted
        self.assertEqual(self.flushLoggedErrors(), [])

    def test_a_refusal_wakes_nothing(self) -> None:
        with self.assertRaises(NetworkNotFound):
            self.clock.advance(1)
            self.done(self.quantum.create_port(ADMIN, uuid(1), {}))
        self.assertEqual(self.woken, [])

    def test_a_request_is_judged_on_what_was_accepted_before_it_is_stored(self) -> None:
        ident = uuid(1)
        created = self.quantum.create_network(ADMIN, {"name": "blue", "id": ident})
        plugged = self.quantum.plug_anywhere(ADMIN, ident, Form(id="vif"))
        refused = self.quantum.delete_network(ADMIN, ident)
        self.clock.advance(1)
        attachment = result(plugged)
        unplugged = self.quantum.unplug(ADMIN, ident, attachment.port_id)
        deleted = self.quantum.delete_network(ADMIN, ident)
        self.clock.advance(1)
        for accepted in (created, unplugged, deleted):
            result(accepted)
        with self.assertRaises(Fault):
            result(refused)

    def test_a_write_that_fails_is_a_refusal_of_all_that_shared_it(self) -> None:
        self.store.broken = OSError("No space left on device")
        accepted = [self.quantum.create_network(ADMIN, {"name": name}) for name in ("blue", "red")]
        self.clock.advance(1)
        for one in accepted:
            with self.assertRaises(ServiceUnavailable):
                result(one)
        self.assertEqual((len(self.quantum.state.networks), self.woken), (0, []))
        self.flushLoggedErrors(OSError)

    def test_what_is_touched_is_woken(self) -> None:
        network = self.done(self.quantum.create_network(ADMIN, {"name": "blue"}))
        accepted = self.quantum.plug_anywhere(ADMIN, network.id, Form(id="vif"))
        self.clock.advance(1)
        attachment = result(accepted)
        port = self.quantum.find_port(ADMIN, network.id, attachment.port_id)
        self.assertEqual(self.woken.pop(), {attachment.key, port.key})
        self.quantum.plug_anywhere(ADMIN, network.id, Form(id="vif"))
        self.clock.advance(1)
        self.assertEqual(self.woken.pop(), {attachment.key}, "a repeat says that somebody waits")
        self.quantum.update_network(ADMIN, network.id, {"options": {"mtu": 1400}})
        self.clock.advance(1)
        self.assertEqual(self.woken.pop(), {network.key, attachment.key})


class JudgeTests(QuantumCase):
    def test_a_backend_that_is_away_is_the_last_that_is_said(self) -> None:
        network = self.done(self.quantum.create_network(ADMIN, {"name": "blue", "id": uuid(1)}))
        self.plugin.away = "It is away"
        for operation, fault in [
            (self.quantum.create_network(ADMIN, {"name": "red"}), ServiceUnavailable),
            (self.quantum.update_network(ADMIN, network.id, {"name": "red"}), ServiceUnavailable),
            (self.quantum.update_network(ADMIN, network.id, {"name": "red"}, ["stale"]), PreconditionFailed),
            (self.quantum.create_port(ADMIN, network.id, {}), ServiceUnavailable),
            (self.quantum.plug_anywhere(ADMIN, network.id, Form(id="vif")), ServiceUnavailable),
            (self.quantum.delete_network(ADMIN, network.id), ServiceUnavailable),
            (self.quantum.delete_network(ADMIN, uuid(9)), NetworkNotFound),
        ]:
            self.clock.advance(1)
            with self.subTest(fault.name), self.assertRaises(fault):
                result(operation)
        self.assertEqual(self.done(self.quantum.create_network(ADMIN, {"name": "blue", "id": uuid(1)})), network)
        self.plugin.refusal = PluginFault("no")
        with self.assertRaises(PluginFault):
            self.done(self.quantum.create_port(ADMIN, network.id, {}))

    def test_a_refusal_of_the_plugin_is_the_callers_answer(self) -> None:
        self.plugin.refusal = BadRequest("network.options.mtu: too large")
        with self.assertRaises(BadRequest):
            self.done(self.quantum.create_network(ADMIN, {"name": "blue"}))

    def test_what_the_plugin_allocates_is_committed(self) -> None:
        network = self.done(self.quantum.create_network(ADMIN, {"name": "blue"}))
        self.assertEqual(self.quantum.state.owner("bridge", network.data["bridge"]), network.id)

    def test_a_bug_in_a_plugin_is_no_refusal(self) -> None:
        self.plugin.judge = lambda *_: 1 / 0  # type: ignore[assignment,method-assign]
        with self.assertRaises(ZeroDivisionError):
            self.done(self.quantum.create_network(ADMIN, {"name": "blue"}))
        del self.plugin.judge
        self.done(self.quantum.create_network(ADMIN, {"name": "blue"}))


class ReadTests(QuantumCase):
    def test_finding(self) -> None:
        network = self.done(self.quantum.create_network(ADMIN, {"name": "blue"}))
        port = self.done(self.quantum.create_port(ADMIN, network.id, {}))
        with self.assertRaises(AttachmentNotFound):
            self.quantum.find_attachment(ADMIN, network.id, port.id)
        attachment = self.done(self.quantum.plug(ADMIN, network.id, port.id, Form(id="vif")))
        self.assertEqual(self.quantum.find_attachment(ADMIN, network.id, port.id), attachment)
        with self.assertRaises(PortNotFound):
            self.quantum.find_port(ADMIN, network.id, uuid(9))
        with self.assertRaises(NetworkNotFound):
            self.quantum.find_network(ADMIN, uuid(9))

    def test_tags_go_through(self) -> None:
        network = self.done(self.quantum.create_network(ADMIN, {"name": "blue"}))
        port = self.done(self.quantum.create_port(ADMIN, network.id, {}))
        attachment = self.done(self.quantum.plug(ADMIN, network.id, port.id, Form(id="vif")))
        port = self.quantum.find_port(ADMIN, network.id, port.id)
        self.done(self.quantum.plug(ADMIN, network.id, port.id, Form(id="vif"), [etag(attachment)]))
        for refused in (
            self.quantum.update_network(ADMIN, network.id, {"name": "red"}, ["x"]),
            self.quantum.delete_network(ADMIN, network.id, ["x"]),
            self.quantum.delete_port(ADMIN, network.id, port.id, ["x"]),
            self.quantum.plug(ADMIN, network.id, port.id, Form(id="vif"), ["x"]),
            self.quantum.unplug(ADMIN, network.id, port.id, ["x"]),
        ):
            with self.assertRaises(PreconditionFailed):
                self.done(refused)
        self.done(self.quantum.unplug(ADMIN, network.id, port.id, [etag(attachment)]))
        port = self.quantum.find_port(ADMIN, network.id, port.id)
        self.done(self.quantum.delete_port(ADMIN, network.id, port.id, [etag(port)]))
        self.done(self.quantum.delete_network(ADMIN, network.id, [etag(network)]))


class RejudgedTests(SynchronousTestCase):
    def test_keys_are_those_of_the_judgement_that_counts(self) -> None:
        """A store judges a request again when what it was judged on could not be written."""
        woken: list[set[Key]] = []
        clock = Clock()

        class Twice(MemoryStore):
            def commit(self, transform, durable=True):  # type: ignore[no-untyped-def]
                transform(Transaction(self.state, "2026-01-01T00:00:00Z"))
                return super().commit(transform, durable)

        store = Twice(clock)
        result(store.start())
        quantum = Quantum(store, Plugin(Turns()), LIMITS, lambda keys: woken.append(set(keys)))
        network = result(quantum.create_network(ADMIN, {"name": "blue"}))
        self.assertEqual(woken, [{network.key}])
