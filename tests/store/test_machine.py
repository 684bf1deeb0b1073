"""A machine that does anything to a store in any order, against a model that is a few dicts."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from attrs import define, field
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from quantumd.core.errors import Fault, ServiceUnavailable
from quantumd.core.model import Event, Record
from quantumd.core.state import State
from quantumd.core.transaction import Transaction, check
from quantumd.store.database import JUMP
from quantumd.store.errors import StoreError
from quantumd.store.grouping import Batch
from quantumd.store.sqlite import SQLiteStore
from quantumd.testing.stores import add_attachment, add_network, drop_network, rename_network

IDS = st.sampled_from("abc")


class ManualWorker:
    """Does its work when it is told to, in this thread; may be told to fail, or to do it and die before telling."""

    def __init__(self) -> None:
        self.waiting: list[tuple[Callable[[], Any], Deferred[Any]]] = []

    def run(self, work: Callable[[], Any]) -> Deferred[Any]:
        done: Deferred[Any] = Deferred()
        self.waiting.append((work, done))
        return done

    def stop(self) -> None:
        assert not self.waiting

    def work(self) -> None:
        while self.waiting:
            work, done = self.waiting.pop(0)
            try:
                result = work()
            except Exception:
                done.errback(Failure())
            else:
                done.callback(result)

    def fail(self) -> None:
        _, done = self.waiting.pop(0)
        done.errback(Failure(StoreError("no space left")))


class NotingStore(SQLiteStore):
    """Keeps what is being written."""

    writing: Batch

    def _write(self, batch: Batch) -> Deferred[None]:
        self.writing = batch
        return super()._write(batch)


@define(eq=False)
class Asked:
    """A commit, the state that it left if it was not refused, and what came of it."""

    after: State | None = None
    answers: list[object] = field(factory=list)


class StoreMachine(RuleBasedStateMachine):
    @initialize()
    def begin(self) -> None:
        self.directory = Path(tempfile.mkdtemp(prefix="quantumd-machine-"))
        self.boots = 1
        self.plugs = 0
        self.heard: list[Event] = []
        self.trouble: list[str] = []
        self.open()

    def teardown(self) -> None:
        if hasattr(self, "directory"):
            self.store._database.close()
            shutil.rmtree(self.directory)

    def open(self) -> None:
        self.clock = Clock()
        self.worker = ManualWorker()
        self.pending: list[Asked] = []
        self.store = NotingStore(self.clock, self.directory / "q.sqlite", f"boot {self.boots}", self.worker)
        self.store.listen(lambda keys, events: self.heard.extend(events))
        started = self.store.start()
        self.worker.work()
        assert started.called
        assert started.result is None, started.result
        self.committed = self.store.state

    # --- what callers do

    def ask(self, transform: Callable[[Transaction], Any], durable: bool) -> None:
        asked = Asked()
        self.pending.append(asked)

        def noting(tx: Transaction) -> Any:
            result = transform(tx)
            asked.after = tx.state
            return result

        answer = self.store.commit(noting, durable)
        answer.addBoth(lambda result: self.answered(asked, result.value if isinstance(result, Failure) else None))

    def answered(self, asked: Asked, fault: BaseException | None) -> None:
        """Answers come in order, once each. An assertion in here would be lost in the Deferred."""
        asked.answers.append(fault)
        if not self.pending or self.pending.pop(0) is not asked:
            self.trouble.append("answered out of turn, or twice")
        if fault is None:
            assert asked.after is not None
            self.committed = asked.after
        elif not isinstance(fault, Fault):
            self.trouble.append(repr(fault))

    @rule(ident=IDS, durable=st.booleans())
    def make(self, ident: str, durable: bool) -> None:
        self.ask(add_network(ident), durable)

    @rule(ident=IDS, name=st.text(max_size=3), durable=st.booleans())
    def rename(self, ident: str, name: str, durable: bool) -> None:
        self.ask(rename_network(ident, name.encode("utf-8", "replace").decode()), durable)

    @rule(ident=IDS, durable=st.booleans())
    def plug(self, ident: str, durable: bool) -> None:
        self.plugs += 1
        self.ask(add_attachment(ident, f"vif{self.plugs}"), durable)

    @rule(ident=IDS)
    def drop(self, ident: str) -> None:
        self.ask(drop_network(ident), True)

    @rule()
    def look(self) -> None:
        self.ask(lambda tx: len(tx.state.networks), True)

    # --- what happens meanwhile

    @rule()
    def turn(self) -> None:
        """The reactor goes round once."""
        self.clock.advance(0.001)

    @rule()
    def write(self) -> None:
        """The disk has written what it was given, and what gathered meanwhile."""
        for _ in range(2):
            self.clock.advance(0.001)
            self.worker.work()
        assert not self.pending
        assert self.store.state == self.committed

    @rule()
    def fail(self) -> None:
        """The disk refuses what it was given: all of that has the fault, what came after is judged anew."""
        self.clock.advance(0)
        if self.worker.waiting:
            before, pending = self.store.state, list(self.pending)
            self.worker.fail()
            assert self.store.state is before
            answers = [isinstance(asked.answers[0], ServiceUnavailable) for asked in pending if asked.answers]
            assert answers[0]
            # Behind those that failed, refusals that change nothing may have had their answers already.
            assert answers == sorted(answers, reverse=True)

    # --- ends and beginnings

    @rule(written=st.booleans(), boot=st.booleans())
    def crash(self, written: bool, boot: bool) -> None:
        """The process is killed, maybe after writing and before answering: everything answered is there."""
        answered = self.store.state
        expected = records(answered)
        if written and self.worker.waiting:
            self.worker.waiting[0][0]()
            expected.update(self.store.writing.records)
        self.store._database.close()
        self.boots += boot
        self.open()
        assert records(self.store.state) == {key: record for key, record in expected.items() if record is not None}
        assert self.store.state.next_event >= answered.next_event + (JUMP if boot else 0)
        if self.heard:
            assert self.store.events(self.heard[-1].seq) is not None

    @rule(boot=st.booleans())
    def restart(self, boot: bool) -> None:
        """It is stopped in good order: everything accepted is there."""
        stopped = self.store.stop()
        for _ in range(10):
            self.clock.advance(0.001)
            self.worker.work()
        assert stopped.called
        assert not self.pending
        before = self.store.state
        self.boots += boot
        self.open()
        assert records(before) == records(self.store.state)
        assert before.next_serial == self.store.state.next_serial

    @invariant()
    def sound(self) -> None:
        if hasattr(self, "store"):
            assert check(self.store.state) == []
            numbers = [event.seq for event in self.heard]
            assert numbers == sorted(set(numbers)), "no number is told twice"
            assert self.trouble == []


def records(state: State) -> dict[Any, Record | None]:
    return {key: state.get(key) for key in state.every_key()}


class MachineTests(SynchronousTestCase):
    def test_anything(self) -> None:
        """The machine, with failures of writing that the log tells of."""
        case = StoreMachine.TestCase("runTest")
        case.settings = settings(
            max_examples=60, stateful_step_count=30, deadline=None, suppress_health_check=list(HealthCheck)
        )
        case.runTest()
        self.flushLoggedErrors(StoreError)
