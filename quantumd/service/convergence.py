"""The loop that makes the host match what was accepted: discover, plan, apply, record; for as long as the daemon runs.

It works on keys. A request, a notification of the plugin, a pause that is over and the audit each make keys *dirty*;
a round takes the dirty keys, looks at just those on the host, plans, and applies the plan as one batch. An audit
looks at everything, and makes dirty what it finds amiss. There is no other path: start, restart, repair and late
devices are rounds and audits like any other.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Coroutine, Iterable, Iterator, Sequence
from itertools import islice
from typing import Any

from attrs import define, evolve
from twisted.internet.defer import Deferred, DeferredList
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.internet.task import deferLater
from twisted.logger import Logger
from twisted.python.failure import Failure

from quantumd.core.changes import Blocked, Change, Done, Failed, Outcome, RemoveLeftover
from quantumd.core.model import AttachmentStatus, Key, Status
from quantumd.core.outcome import settle
from quantumd.core.plan import ABSENT, Observed, Plan, closure, make_plan
from quantumd.core.state import State, Transaction
from quantumd.interfaces import INetworkPlugin, IStateStore
from quantumd.service.pauses import Pauses

#: Seconds from the end of one audit to the beginning of the next.
AUDIT = 30.0
#: How many keys one round takes, and how many an audit plans before it lets the reactor breathe.
SLICE = 500

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
        self._audit_due = False
        self._auditing = False
        self._busy: set[Key] = set()
        self._rounds: set[Deferred[None]] = set()
        self._blocked: defaultdict[Key, set[Key]] = defaultdict(set)
        self._pauses = Pauses(clock, self._due)
        self._next: IDelayedCall | None = None
        self._next_audit: IDelayedCall | None = None
        self._running = False

    @property
    def backlog(self) -> int:
        """How many records are not yet as they should be, as far as is known: dirty, being applied, or failing."""
        return len(self._dirty) + len(self._busy) + len(self._pauses)

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
        """Finish the batches that are being applied, begin no other, and stop the plugin."""
        self._running = False
        self._pauses.stop()
        for call in (self._next, self._next_audit):
            if call is not None and call.active():
                call.cancel()
        await DeferredList(list(self._rounds))
        await self._plugin.stop()

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
        """See to a round at the next turn of the reactor, so that what comes together goes together."""
        if self._running and (self._next is None or not self._next.active()):
            self._next = self._clock.callLater(0, self._begin)

    def _begin(self) -> None:
        if not self._running or self._auditing or self._plugin.unavailable is not None:
            return
        if self._audit_due:
            # Alone, since what another batch makes meanwhile would look like a leftover.
            if not self._rounds:
                self._audit_due = False
                self._auditing = True
                self._run(set(), self._audit())
            return
        while len(self._rounds) < self._plugin.batches:
            keys = dict(islice(((k, forced) for k, forced in self._dirty.items() if k not in self._busy), SLICE))
            if not keys:
                return
            for key in keys:
                del self._dirty[key]
            self._run(set(keys), self._round(keys))

    def _run(self, keys: set[Key], work: Coroutine[Deferred[Any], Any, None]) -> None:
        self._busy |= keys
        round_ = Deferred.fromCoroutine(work)
        self._rounds.add(round_)

        def broke(reason: Failure) -> None:
            # The backend went away, the disk is full, or a plugin has a bug: nothing is lost, all is tried again.
            self._log.failure("A round failed; its records are tried again", failure=reason)
            for key in keys:
                self._pauses.failed(key, ABSENT)
            if not keys:
                self._plan_audit(1.0)

        def finished(_: object) -> None:
            self._rounds.discard(round_)
            self._busy.difference_update(keys)
            self._auditing = False
            self._schedule()

        round_.addErrback(broke).addBoth(finished)

    # --- one round

    async def _round(self, keys: dict[Key, bool]) -> None:
        state = self._store.state
        observed = await self._plugin.discover(state, closure(state, keys))
        fresh = [key for key, forced in keys.items() if forced or not self._pauses.unchanged(key, observed.of(key))]
        plan = make_plan(state, observed, fresh, self._busy.difference(keys))
        await self._carry_out(state, observed, plan)
        for key in keys:
            if state.get(key) is None:
                self._pauses.clear(key)
                self._release(key)

    async def _audit(self) -> None:
        state = self._store.state
        observed = await self._plugin.discover(state, None)
        if observed.leftovers:
            await self._carry_out(state, observed, make_plan(state, observed, ()))
        calm = evolve(observed, leftovers=())
        keys = (key for key in state.every_key() if key not in self._pauses)
        while some := list(islice(keys, SLICE)):
            plan = make_plan(state, calm, some)
            await self._record(list(self._tries(state, plan, ())))
            self.notify([change.key for change in plan.changes if not isinstance(change, RemoveLeftover)])
            self.notify(plan.blocked)
            await deferLater(self._clock, 0)
        self.progress.audits += 1
        self._plan_audit(self._audit_period)

    def _plan_audit(self, seconds: float) -> None:
        if self._next_audit is not None and self._next_audit.active():
            self._next_audit.cancel()
        if self._running:
            self._next_audit = self._clock.callLater(seconds, self.notify, None)

    async def _carry_out(self, state: State, observed: Observed, plan: Plan) -> None:
        for key, blocker in plan.blocked.items():
            self._block(key, blocker)
        mended = {change.key for change in plan.changes if not isinstance(change, RemoveLeftover)} - self._busy
        self._busy |= mended
        try:
            outcomes: Sequence[Outcome] = await self._plugin.apply(plan.changes) if plan.changes else ()
            await self._record(list(self._tries(state, plan, outcomes)), observed)
        finally:
            self._busy -= mended

    def _tries(self, state: State, plan: Plan, outcomes: Sequence[Outcome]) -> Iterator[_Try]:
        for key, outcome in plan.settled.items():
            record = state.get(key)
            if record is not None:
                yield _Try(key, record.revision, outcome)
        for change, outcome in zip(plan.changes, outcomes, strict=False):
            self._count(change, outcome)
            if isinstance(change, RemoveLeftover):
                continue
            record = state.get(change.key)
            if record is None:
                continue
            found = getattr(change, "found", ())
            repaired = found and isinstance(outcome, Done) and record.status in _WELL and record.fault is None
            yield _Try(change.key, record.revision, outcome, "; ".join(found) if repaired else None)

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

    async def _record(self, tries: list[_Try], observed: Observed | None = None) -> None:

        def record(tx: Transaction) -> None:
            for one in tries:
                settle(tx, one.key, one.revision, one.outcome, one.repaired)

        # Not durable: after a crash of the machine, the host tells all of this again.
        await self._store.commit(record, durable=False)
        for one in tries:
            if one.repaired is not None:
                self.progress.repaired += 1
                self._log.info("Repaired {key}: {found}", key=one.key, found=one.repaired)
            if isinstance(one.outcome, Failed):
                self._pauses.failed(one.key, (observed or Observed()).of(one.key))
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


def _what(change: Change) -> str:
    if isinstance(change, RemoveLeftover):
        return f"removing {change.leftover.what}"
    return f"{type(change).__name__} of {change.key.kind} {change.key.ident}"
