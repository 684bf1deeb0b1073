"""The loop that makes the host match what was accepted: discover, plan, apply, record; for as long as the daemon runs.

It works on keys. A request, a notification of the plugin, a pause that is over and the audit each make keys *dirty*;
a round takes the dirty keys, looks at just those on the host, plans, and applies the plan as one batch. An audit
looks at everything, and makes dirty what it finds amiss. There is no other path: start, restart, repair and late
devices are rounds and audits like any other.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Coroutine, Iterable, Iterator
from itertools import islice
from typing import Any

from attrs import define, evolve
from twisted.internet.defer import CancelledError, Deferred, DeferredList
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.internet.task import deferLater
from twisted.logger import Logger
from twisted.python.failure import Failure

from quantumd.core.changes import (
    Attach,
    Blocked,
    Change,
    Done,
    EnsureNetwork,
    EnsurePort,
    Failed,
    Outcome,
    RecordChange,
    RemoveLeftover,
)
from quantumd.core.errors import Fault
from quantumd.core.model import AttachmentStatus, Key, Record, Status
from quantumd.core.outcome import settle, stands
from quantumd.core.plan import ABSENT, Observed, Plan, closure, make_plan
from quantumd.core.state import State
from quantumd.core.transaction import Transaction
from quantumd.interfaces import INetworkPlugin, IStateStore
from quantumd.service.pauses import Pauses

#: Seconds from the end of one audit to the beginning of the next.
AUDIT = 30.0
#: How many keys one round takes, and how many an audit goes through before it lets the reactor breathe.
SLICE = 500
#: Seconds that a round waits at most for what is being written at present, and is about to be asked of it.
GATHER = 0.01
#: Seconds after which a round or an audit that is still under way is told of in the log.
LATE = 10.0
#: Seconds that a batch has to end when the daemon stops.
GRACE = 3.0

_LATE = (
    "{work} has been under way for {seconds:.0f} s, and others wait for it: the host is slow to answer, or does not. "
    "See what keeps it busy; ending quantumd leaves everything plugged, and its next start goes on."
)
_WELL = frozenset((Status.ACTIVE, AttachmentStatus.UP, AttachmentStatus.DOWN))


@define
class Progress:
    """Counts since the start, for metrics and for people."""

    applied: int = 0
    failed: int = 0
    repaired: int = 0
    leftovers: int = 0
    audits: int = 0


@define
class _Try:
    """One outcome, and the revision of the record that was tried."""

    key: Key
    revision: int
    outcome: Outcome
    repaired: str | None = None


class Convergence:
    """Runs one plugin over one store. Everything it does is on the reactor of ``clock``."""

    _log = Logger()

    def __init__(self, store: IStateStore, plugin: INetworkPlugin, clock: IReactorTime, audit: float = AUDIT) -> None:
        self._store = store
        self._plugin = plugin
        self._clock = clock
        self._audit_period = audit
        self.progress = Progress()
        # The value: whether the key is to be tried even where its last try failed and nothing has changed since.
        self._dirty: dict[Key, bool] = {}
        self._busy: set[Key] = set()
        self._rounds: set[Deferred[None]] = set()
        self._blocked: defaultdict[Key, set[Key]] = defaultdict(set)
        self._pauses = Pauses(clock, self._due)
        self._audit_due = False
        self._auditing = False
        # While an audit looks at the host and removes leftovers, no round begins: what it makes would be a leftover.
        self._holding = False
        # What rounds have seen since the audit under way looked: they know better. Empty when there is none.
        self._seen_since: set[Key] = set()
        self._next: IDelayedCall | None = None
        self._next_audit: IDelayedCall | None = None
        self._running = False

    @property
    def backlog(self) -> int:
        """How many records are not yet as they should be, as far as is known: to be looked at, being applied, failing,
        or blocked by one of those."""
        return len(self._busy.union(self._dirty, self._pauses, *self._blocked.values()))

    @property
    def retrying(self) -> int:
        """How many records failed and are tried again."""
        return len(self._pauses)

    async def start(self) -> None:
        """Start the plugin and begin with an audit. Raises what keeps the plugin from starting."""
        await self._plugin.start(self.notify)
        self._running = True
        self.notify(None)

    async def stop(self) -> None:
        """Finish the batches that are being applied, begin no other, and stop the plugin.

        A batch that takes longer than :data:`GRACE` is abandoned, as in a crash: the next start mends what it left.
        """
        self._running = False
        for call in (self._next, self._next_audit):
            if call is not None and call.active():
                call.cancel()
        rounds = DeferredList(list(self._rounds))
        late = self._clock.callLater(GRACE, self._abandon)
        await rounds
        if late.active():
            late.cancel()
        self._pauses.stop()
        await self._plugin.stop()

    def _abandon(self) -> None:
        for round_ in list(self._rounds):
            round_.cancel()

    def wake(self, keys: Iterable[Key]) -> None:
        """Something was asked of these records: try them now, whatever came of earlier tries."""
        for key in keys:
            self._pauses.clear(key)
            self._dirty[key] = True
        self._schedule()

    def notify(self, keys: Iterable[Key] | None) -> None:
        """The host may have changed for these records (None: for any, or the backend came or went)."""
        if keys is None:
            self._audit_due = True
        else:
            for key in keys:
                self._dirty.setdefault(key, False)
        self._schedule()

    def _due(self, key: Key) -> None:
        self._dirty[key] = True
        self._schedule()

    # --- which round comes next

    def _schedule(self) -> None:
        """See to a round, at the next turn of the reactor, or a little later when there is more to come: a round and
        its commit cost much the same for one request or for many."""
        if not self._running:
            return
        wait = GATHER if self._store.busy else 0.0
        if self._next is None or not self._next.active():
            self._next = self._clock.callLater(wait, self._begin)
        elif not wait:
            self._next.reset(0)

    def _begin(self) -> None:
        while self._running and not self._holding and self._plugin.unavailable is None:
            # An audit that has looked has no more use for the plugin.
            if len(self._rounds) - self._auditing >= self._plugin.batches:
                return
            if self._audit_due and not self._auditing:
                self._audit_due = False
                self._auditing = self._holding = True
                self._run(set(), self._audit())
                continue
            keys = dict(islice(((k, forced) for k, forced in self._dirty.items() if k not in self._busy), SLICE))
            if not keys:
                return
            for key in keys:
                del self._dirty[key]
            held = set(keys)
            self._busy |= held
            self._run(held, self._round(keys, held))

    def _run(self, held: set[Key], work: Coroutine[Deferred[Any], Any, None]) -> None:
        """Run a round or an audit; ``held`` are the keys that it keeps busy, to which it may add."""
        round_ = Deferred.fromCoroutine(work)
        self._rounds.add(round_)
        late = self._clock.callLater(LATE, self._log.warn, _LATE, seconds=LATE, work=_of(held))

        def broke(reason: Failure) -> None:
            # The backend went away, the disk is full, or a plugin has a bug: nothing is lost, all is tried again.
            if isinstance(reason.value, Fault):
                self._log.warn("A round failed and is tried again: {reason}", reason=reason.getErrorMessage())
            elif not isinstance(reason.value, CancelledError):
                self._log.failure("A round failed; its records are tried again", failure=reason)
            for key in held:
                self._pauses.failed(key, ABSENT)
            if not held:
                self._plan_audit(1.0)

        def finished(_: object) -> None:
            if late.active():
                late.cancel()
            self._rounds.discard(round_)
            self._busy -= held
            self._schedule()

        round_.addErrback(broke).addBoth(finished)

    # --- one round

    async def _round(self, keys: dict[Key, bool], held: set[Key]) -> None:
        state = self._store.state
        covered = closure(state, keys)
        observed = await self._plugin.discover(state, covered) if covered else Observed()
        self._put_off(state, covered, keys)
        fresh = [key for key, forced in keys.items() if forced or not self._pauses.unchanged(key, observed.of(key))]
        plan = make_plan(state, observed, fresh, self._busy.difference(keys))
        await self._carry_out(state, observed, plan, held)
        for key in plan.settled:
            # While this round held what was in order, others were blocked on it.
            self._release(key)
        for key in keys:
            if state.get(key) is None:
                self._pauses.clear(key)
                self._release(key)

    def _put_off(self, state: State, covered: set[Key], keys: dict[Key, bool]) -> None:
        """Take those keys out for whose records more was asked while the plugin looked, and look at them again."""
        now = self._store.state
        if now is state:
            return
        moved = {key for key in covered if _revision(now, key) != _revision(state, key)}
        for key in [key for key in keys if moved and not moved.isdisjoint(closure(state, [key]))]:
            self._dirty[key] = keys.pop(key) or self._dirty.get(key, False)

    async def _audit(self) -> None:
        try:
            state = self._store.state
            self._seen_since = set(self._busy)
            observed = await self._plugin.discover(state, None)
            if observed.leftovers:
                await self._carry_out(state, observed, make_plan(state, observed, ()), set())
                # One of them may have been what others failed for.
                self._dirty.update(dict.fromkeys(self._pauses, True))
            self._holding = False
            self._schedule()
            calm = evolve(observed, leftovers=())
            records = state.every_record()
            while some := list(islice(records, SLICE)):
                await self._go_through(state, calm, list(self._amiss(some, calm)))
                await deferLater(self._clock, 0)
            self.progress.audits += 1
            self._plan_audit(self._audit_period)
        finally:
            self._auditing = self._holding = False
            self._seen_since = set()

    def _amiss(self, records: Iterable[Record], observed: Observed) -> Iterator[Key]:
        """The keys of those that are not as they say, or that others wait for, but what is known better."""
        for record in records:
            key = record.key
            if (not stands(record, observed.of(key)) or key in self._blocked) and not self._known_better(key):
                yield key

    async def _go_through(self, state: State, observed: Observed, keys: Collection[Key]) -> None:
        """Plan for these of the records that an audit saw; the rounds carry it out."""
        if not keys:
            return
        plan = make_plan(state, observed, keys)
        settled = [one for one in _settled(state, plan) if not self._known_better(one.key)]
        await self._take_note(settled, observed)
        self.notify(change.key for change in plan.changes if not isinstance(change, RemoveLeftover))
        self.notify(plan.blocked)

    def _known_better(self, key: Key) -> bool:
        """Whether the audit under way leaves the record to the rounds: they tried it, or saw it later."""
        return key in self._pauses or key in self._busy or key in self._seen_since

    def _plan_audit(self, seconds: float) -> None:
        if self._next_audit is not None and self._next_audit.active():
            self._next_audit.cancel()
        if self._running:
            self._next_audit = self._clock.callLater(seconds, self.notify, None)

    async def _carry_out(self, state: State, observed: Observed, plan: Plan, held: set[Key]) -> None:
        held.update(change.key for change in plan.changes if not isinstance(change, RemoveLeftover))
        self._busy |= held
        if self._auditing:
            self._seen_since.update(held, plan.settled)
        for key, blocker in plan.blocked.items():
            self._block(key, blocker)
        # What needs nothing does not wait for what takes long.
        await self._take_note(_settled(state, plan), observed)
        if not plan.changes:
            return
        outcomes = await self._plugin.apply(plan.changes)
        tries = []
        for change, outcome in zip(plan.changes, outcomes, strict=True):
            self._count(change, outcome)
            if not isinstance(change, RemoveLeftover):
                tries.append(_tried(state, change, outcome))
        await self._commit(tries)
        self._conclude(tries, observed)
        removed = [
            change.leftover.what
            for change, outcome in zip(plan.changes, outcomes, strict=True)
            if isinstance(change, RemoveLeftover) and isinstance(outcome, Done)
        ]
        if removed:
            await self._store.commit(lambda tx: _tell_of_leftovers(tx, removed), durable=False)

    def _count(self, change: Change, outcome: Outcome) -> None:
        if isinstance(outcome, Failed):
            self.progress.failed += 1
            self._log.warn("{change} failed: {message}", change=_what(change), message=outcome.message)
        elif not isinstance(outcome, Blocked):
            self.progress.applied += 1
            if isinstance(change, RemoveLeftover):
                self.progress.leftovers += 1
                self._log.info("Removed {what}, which belonged to nothing", what=change.leftover.what)

    # --- what came of it

    async def _take_note(self, settled: list[_Try], observed: Observed) -> None:
        """Record what needed no change. Mostly the state has all of it already, and there is nothing to wait for."""
        trial = Transaction(self._store.state, now="")
        _settle_all(trial, settled)
        if trial.touched or trial.events:
            await self._commit(settled)
        self._conclude(settled, observed)

    async def _commit(self, tries: list[_Try]) -> None:
        # Not durable: after a crash of the machine, the host tells all of this again.
        await self._store.commit(lambda tx: _settle_all(tx, tries), durable=False)

    def _conclude(self, tries: list[_Try], observed: Observed) -> None:
        """Say what became of them, and see to what they mean for the next tries."""
        for one in tries:
            if one.repaired is not None:
                self.progress.repaired += 1
                self._log.info("Repaired {key}: {found}", key=one.key, found=one.repaired)
            if isinstance(one.outcome, Failed):
                self._pauses.failed(one.key, observed.of(one.key))
            elif isinstance(one.outcome, Blocked):
                self._wait_for_parent(one.key, tries)
            else:
                self._pauses.clear(one.key)
                self._release(one.key)

    def _block(self, key: Key, blocker: Key) -> None:
        """Try ``key`` again when ``blocker`` has gone or works."""
        self._blocked[blocker].add(key)
        if blocker not in self._busy and blocker not in self._dirty and blocker not in self._pauses:
            # It has moved on since the plan's state: let both be planned anew.
            self.notify([blocker])

    def _wait_for_parent(self, key: Key, tries: list[_Try]) -> None:
        """Try ``key`` again when what it builds on, which failed in the same batch, works."""
        failed = {one.key for one in tries if isinstance(one.outcome, Failed | Blocked)}
        parents = (closure(self._store.state, [key]) - {key}) & failed
        for parent in parents:
            self._blocked[parent].add(key)
        if not parents:
            self._pauses.failed(key, ABSENT)

    def _release(self, key: Key) -> None:
        waiting = self._blocked.pop(key, None)
        if waiting:
            self.notify(waiting)


def _revision(state: State, key: Key) -> int | None:
    record = state.get(key)
    return None if record is None else record.revision


def _settle_all(tx: Transaction, tries: list[_Try]) -> None:
    for one in tries:
        settle(tx, one.key, one.revision, one.outcome, one.repaired)


def _settled(state: State, plan: Plan) -> list[_Try]:
    """What the plan found to need no change."""
    found = ((key, state.get(key), outcome) for key, outcome in plan.settled.items())
    return [_Try(key, record.revision, outcome) for key, record, outcome in found if record is not None]


def _tried(state: State, change: RecordChange, outcome: Outcome) -> _Try:
    record = state.get(change.key)
    assert record is not None
    found = change.found if isinstance(change, EnsureNetwork | EnsurePort | Attach) else ()
    # What was never well, or what a change of its network makes necessary, is no repair.
    well = record.status in _WELL and record.fault is None and change.network.status in _WELL
    repaired = "; ".join(found) if found and well and isinstance(outcome, Done) else None
    return _Try(record.key, record.revision, outcome, repaired)


def _tell_of_leftovers(tx: Transaction, removed: list[str]) -> None:
    for what in removed:
        tx.emit_leftover(what)


def _of(held: Collection[Key]) -> str:
    """What a round with these keys is, in words."""
    return f"A round of {len(held)} records" if held else "An audit of the host"


def _what(change: Change) -> str:
    if isinstance(change, RemoveLeftover):
        return f"removing {change.leftover.what}"
    return f"{type(change).__name__} of {change.key.kind} {change.key.ident}"
