"""Group commit: judging at once, writing together. What every store shares, whatever it writes to.

Two states are kept: the visible one, which is what has been written, and the tentative one, on which everything that
came since is judged, one request after the other. A write costs much the same for one request or a hundred, so groups
are to be large: what comes while one is being written gathers for the next, which begins only after those of this one
have their answers, and may ask again.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Generic, TypeVar

from attrs import define, field, frozen
from twisted.internet.defer import Deferred, fail, maybeDeferred, succeed
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from quantumd.core.errors import ServiceUnavailable
from quantumd.core.model import Event, Key, Stored
from quantumd.core.state import State
from quantumd.core.transaction import Transaction
from quantumd.interfaces import Listener
from quantumd.store.history import History
from quantumd.store.tables import serialized

T = TypeVar("T")

_CLOSED = "The state is not open, because quantumd is starting or stopping; nothing was accepted, try again later."


@frozen(kw_only=True)
class Batch:
    """What one write puts on disk. ``records`` has the last of each record that changed, None where it is gone;
    ``durable``: it is to be on stable storage; ``oldest_event``: events below that number are no longer needed."""

    records: Mapping[Key, Stored | None]
    events: Sequence[Event]
    next_serial: int
    next_event: int
    durable: bool
    oldest_event: int


@define(eq=False)
class _Request(Generic[T]):
    """One commit on its way. ``made`` is the transaction that holds its changes; None: it changes nothing."""

    transform: Callable[[Transaction], T]
    durable: bool
    result: Any = None
    refusal: Exception | None = None
    made: Transaction | None = None
    answer: Deferred[T] = field(factory=Deferred)


@define(eq=False)
class _Group:
    """The requests that share one write."""

    requests: list[_Request[Any]]
    keys: Collection[Key] = ()
    events: Sequence[Event] = ()


class GroupCommitStore:
    """Judges, queues and answers. A store on top of it says how to write (:meth:`_write`) and when to begin
    (:meth:`_soon`; :attr:`_gathering` has what came so far), and opens and closes it."""

    _log = Logger()

    def __init__(self, clock: IReactorTime) -> None:
        self._clock = clock
        self.state = State()
        self._tentative = self.state
        self._history = History()
        self._listeners: list[Listener] = []
        self._open = False
        self._gathering: list[_Request[Any]] = []
        self._due = False
        self._writing = False
        self._written: deque[_Group] = deque()
        self._answering = False
        self._drained: list[Deferred[None]] = []
        #: Why the last write failed; None: it did not.
        self.trouble: str | None = None

    def _write(self, batch: Batch) -> Deferred[None]:
        """Write all of the batch or nothing of it; called for one batch at a time."""
        raise NotImplementedError

    def _soon(self, call: Callable[[], None]) -> None:
        """Call that when those that come together have come."""
        raise NotImplementedError

    # --- what a store offers

    def commit(self, transform: Callable[[Transaction], T], durable: bool = True) -> Deferred[T]:
        """See :class:`~quantumd.interfaces.IStateStore`."""
        if not self._open:
            return fail(ServiceUnavailable(_CLOSED))
        request = _Request(transform, durable)
        self._judge(request)
        self._gathering.append(request)
        self._see_to_the_next()
        return request.answer

    @property
    def busy(self) -> bool:
        """See :class:`~quantumd.interfaces.IStateStore`."""
        return self._writing or bool(self._gathering)

    def listen(self, listener: Listener) -> None:
        """See :class:`~quantumd.interfaces.IStateStore`."""
        self._listeners.append(listener)

    def events(self, after: int) -> Sequence[Event] | None:
        """See :class:`~quantumd.interfaces.IStateStore`."""
        return self._history.after(after)

    def backup(self) -> Deferred[bytes]:
        """See :class:`~quantumd.interfaces.IStateStore`: all that is visible, whatever it is written to."""
        return maybeDeferred(serialized, self.state, self._history.kept)

    # --- for the stores on top of it

    def _begin(self, state: State, events: Sequence[Event]) -> None:
        """Accept commits on top of what was read."""
        self.state = self._tentative = state
        self._history = History(events, state.next_event)
        self._open = True

    def _finish(self) -> Deferred[None]:
        """Accept no more, and fire when all that was accepted is written and answered."""
        self._open = False
        if not self._gathering and not self._writing and not self._answering:
            return succeed(None)
        drained: Deferred[None] = Deferred()
        self._drained.append(drained)
        return drained

    # --- the way of a request

    def _judge(self, request: _Request[Any]) -> None:
        at = datetime.fromtimestamp(self._clock.seconds(), UTC).isoformat(timespec="microseconds")
        tx = Transaction(self._tentative, at.removesuffix("+00:00") + "Z")
        request.made = request.refusal = None
        try:
            request.result = request.transform(tx)
        except Exception as refusal:
            # It is answered in its turn, like everything: what it was judged on is not visible yet, and may fail.
            request.refusal = refusal
            return
        if tx.state is not self._tentative:
            request.made = tx
            self._tentative = tx.state

    def _see_to_the_next(self) -> None:
        if self._gathering and not self._writing and not self._due:
            self._due = True
            self._soon(self._advance)

    def _advance(self) -> None:
        self._due = False
        while self._gathering and not self._writing:
            requests, self._gathering = self._gathering, []
            made = [request.made for request in requests if request.made is not None]
            if not made:
                self._written.append(_Group(requests))
                continue
            self._writing = True
            records: dict[Key, Stored | None] = {}
            for tx in made:
                records.update(tx.touched)
            batch = Batch(
                records=records,
                events=[event for tx in made for event in tx.events],
                next_serial=made[-1].state.next_serial,
                next_event=made[-1].state.next_event,
                durable=any(request.durable for request in requests if request.made is not None),
                oldest_event=self._history.oldest,
            )
            after = made[-1].state
            self._write(batch).addCallbacks(
                self._succeeded, self._failed, callbackArgs=(requests, batch, after), errbackArgs=(requests,)
            )
        self._answer()

    def _succeeded(self, _: None, requests: list[_Request[Any]], batch: Batch, after: State) -> None:
        self.trouble = None
        self.state = after
        self._history.extend(batch.events)
        self._over(_Group(requests, batch.records.keys(), batch.events))

    def _failed(self, reason: Failure, requests: list[_Request[Any]]) -> None:
        self._log.failure("The state cannot be written", failure=reason)
        self.trouble = reason.getErrorMessage()
        detail = (
            f"The state cannot be written ({reason.getErrorMessage()}); nothing was accepted. See to the disk that "
            "the state file is on, and try again."
        )
        for request in requests:
            request.refusal = ServiceUnavailable(detail)
        self._tentative = self.state
        for request in self._gathering:
            self._judge(request)
        self._over(_Group(requests))

    def _over(self, group: _Group) -> None:
        self._writing = False
        self._written.append(group)
        self._answer()
        self._see_to_the_next()

    def _answer(self) -> None:
        # Whoever is answered may commit again, which must not answer others before their turn.
        if self._answering:
            return
        self._answering = True
        while self._written:
            group = self._written.popleft()
            if group.keys or group.events:
                self._tell(group)
            for request in group.requests:
                if request.refusal is not None:
                    request.answer.errback(request.refusal)
                else:
                    request.answer.callback(request.result)
        self._answering = False
        if not self._gathering and not self._writing:
            drained, self._drained = self._drained, []
            for waiting in drained:
                waiting.callback(None)

    def _tell(self, group: _Group) -> None:
        for listener in list(self._listeners):
            try:
                listener(group.keys, group.events)
            except Exception:
                self._log.failure("A listener failed; what was committed stays committed")
