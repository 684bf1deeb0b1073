"""What outlives a process: time, chance, and the disk. All of it follows from one seed."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any
from zlib import crc32

from attrs import define, field
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.internet.task import Clock
from zope.interface import implementer

from quantumd.core.model import Attachment, Event, Key, Kind, Network, Port, Stored, Token
from quantumd.core.state import State
from quantumd.core.transaction import build
from quantumd.interfaces import IStateStore
from quantumd.store.codec import decode, encode
from quantumd.store.database import JUMP
from quantumd.store.grouping import Batch, GroupCommitStore
from quantumd.store.history import KEPT

KINDS: dict[Kind, type[Stored]] = {
    Kind.NETWORK: Network,
    Kind.PORT: Port,
    Kind.ATTACHMENT: Attachment,
    Kind.TOKEN: Token,
}


class Injected(Exception):
    """A failure that the simulation made up."""


@define
class Counts:
    """What a run went through, for the summary."""

    requests: int = 0
    accepted: int = 0
    refused: int = 0
    unanswered: int = 0
    crashes: int = 0
    reboots: int = 0
    restarts: int = 0
    disk_faults: int = 0
    backend_faults: int = 0
    change_faults: int = 0
    disturbances: int = 0
    steps: int = 0
    repairs: int = 0

    def add(self, other: Counts) -> None:
        """Add up."""
        for name in self.__slots__:
            if not name.startswith("__"):
                setattr(self, name, getattr(self, name) + getattr(other, name))

    @property
    def faults(self) -> int:
        """All that was injected."""
        return (
            self.crashes
            + self.reboots
            + self.restarts
            + self.disk_faults
            + self.backend_faults
            + self.change_faults
            + self.disturbances
        )


class World:
    """One run's clock, chance and record of what happened. A violation ends the run."""

    def __init__(self, seed: int, *, keep_trace: bool = False) -> None:
        self.random = Random(seed)
        self.clock = Clock()
        self.clock.advance(1_000_000_000)
        self.counts = Counts()
        self.trace: list[str] | None = [] if keep_trace else None
        self.digest = 0

    @property
    def now(self) -> float:
        """Seconds."""
        return self.clock.seconds()

    def chance(self, probability: float) -> bool:
        """Whether something of that probability happens."""
        return self.random.random() < probability

    def note(self, what: str) -> None:
        """Write down that something happened; two runs of a seed note the same."""
        line = f"{self.now - 1_000_000_000:.4f} {what}"
        self.digest = crc32(line.encode(), self.digest)
        if self.trace is not None:
            self.trace.append(line)

    def run_until(self, condition: Callable[[], bool], seconds: float) -> bool:
        """Let time pass, from one thing that happens to the next, until the condition holds; False: it did not."""
        end = self.now + seconds
        while not condition():
            calls = self.clock.getDelayedCalls()
            if not calls or calls[0].getTime() > end:
                self.clock.advance(max(0.0, end - self.now))
                return condition()
            self.counts.steps += 1
            self.clock.advance(max(0.0, calls[0].getTime() - self.now))
        return True


@implementer(IReactorTime)
class ProcessClock:
    """The clock of one process: when that is killed, nothing that it meant to do is done."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._calls: set[IDelayedCall] = set()
        self.dead = False

    def seconds(self) -> float:
        """See IReactorTime."""
        return self._world.now

    def callLater(self, delay: float, callable: Callable[..., Any], *args: Any, **kwargs: Any) -> IDelayedCall:  # noqa: A002
        """See IReactorTime."""

        def run() -> None:
            self._calls.discard(call)
            if not self.dead:
                callable(*args, **kwargs)

        call = self._world.clock.callLater(delay, run)
        self._calls.add(call)
        if len(self._calls) > 200:
            self._calls = {one for one in self._calls if one.active()}
        return call

    def getDelayedCalls(self) -> list[IDelayedCall]:
        """See IReactorTime."""
        return [call for call in self._calls if call.active()]

    def kill(self) -> None:
        """The process ends here and now."""
        self.dead = True
        for call in self._calls:
            if call.active():
                call.cancel()
        self._calls.clear()

    async def pause(self, longest: float) -> None:
        """Take a while, of any length up to that."""
        done: Deferred[None] = Deferred()
        self.callLater(self._world.random.random() ** 3 * longest, done.callback, None)
        await done


@define
class Disk:
    """A state file: what is on stable storage, and what the system has been told since."""

    rows: dict[Key, str] = field(factory=dict)
    events: dict[int, str] = field(factory=dict)
    next_serial: int = 1
    next_event: int = 1
    boot: int = 0
    unsynced: list[Batch] = field(factory=list)
    broken: bool = False

    def write(self, batch: Batch) -> None:
        """Take a batch; a durable one, and all before it, to stable storage."""
        self.unsynced.append(batch)
        if batch.durable:
            self._sync(len(self.unsynced))

    def lose_power(self, kept: int) -> None:
        """Keep that many of the batches which were not synchronised."""
        self._sync(kept)
        self.unsynced.clear()

    def load(self, boot: int) -> tuple[State, list[Event]]:
        """What the next process finds."""
        self._sync(len(self.unsynced))
        if self.boot and self.boot != boot:
            self.next_event += JUMP
        self.boot = boot
        records, tokens = [], []
        for key, body in self.rows.items():
            record = decode(KINDS[key.kind], body)
            if isinstance(record, Token):
                tokens.append(record)
            else:
                records.append(record)
        state = build(records, self.next_serial, self.next_event, tokens)
        return state, [decode(Event, self.events[seq]) for seq in sorted(self.events)[-KEPT:]]

    def _sync(self, count: int) -> None:
        for batch in self.unsynced[:count]:
            for key, record in batch.records.items():
                if record is None:
                    self.rows.pop(key, None)
                else:
                    self.rows[key] = encode(record)
            self.events.update((event.seq, encode(event)) for event in batch.events)
            self.next_serial, self.next_event = batch.next_serial, batch.next_event
        del self.unsynced[:count]


@implementer(IStateStore)
class SimulatedStore(GroupCommitStore):
    """The real judging and grouping, on the simulated disk."""

    def __init__(self, world: World, clock: ProcessClock, disk: Disk, boot: int) -> None:
        super().__init__(clock)
        self._world = world
        self._process = clock
        self._disk = disk
        self._boot = boot

    def start(self) -> Deferred[None]:
        """See IStateStore."""
        return Deferred.fromCoroutine(self._start())

    def stop(self) -> Deferred[None]:
        """See IStateStore."""
        return self._finish()

    async def _start(self) -> None:
        await self._process.pause(0.05)
        self._begin(*self._disk.load(self._boot))

    def _write(self, batch: Batch) -> Deferred[None]:
        return Deferred.fromCoroutine(self._to_disk(batch))

    async def _to_disk(self, batch: Batch) -> None:
        await self._process.pause(0.03)
        if self._disk.broken:
            self._world.counts.disk_faults += 1
            self._world.note("disk: a write fails")
            raise Injected("no space left on device")
        self._disk.write(batch)
        await self._process.pause(0.01)

    def _soon(self, call: Callable[[], None]) -> None:
        self._clock.callLater(0, call)
