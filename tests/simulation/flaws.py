"""Flaws to give the daemon, one at a time, to see that the simulation finds them. The process is spoiled for good."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from twisted.internet.defer import Deferred, succeed

from quantumd.core.plan import Observed
from quantumd.core.state import State
from quantumd.core.transaction import Transaction
from quantumd.store.grouping import Batch, GroupCommitStore
from tests.simulation.host import SimulatedPlugin
from tests.simulation.world import SimulatedStore


def answer_before_writing() -> None:
    """What is accepted is answered before it is on the disk."""
    write = SimulatedStore._write

    def hasty(self: SimulatedStore, batch: Batch) -> Deferred[None]:
        write(self, batch).addErrback(lambda _: None)
        return succeed(None)

    SimulatedStore._write = hasty  # type: ignore[method-assign]


def write_nothing_durably() -> None:
    """Nothing is taken to stable storage before it is answered."""
    commit = GroupCommitStore.commit

    def lazy(self: GroupCommitStore, transform: Callable[[Transaction], Any], durable: bool = True) -> Deferred[Any]:
        return commit(self, transform, durable=False)

    GroupCommitStore.commit = lazy  # type: ignore[method-assign]


def leave_leftovers() -> None:
    """What belongs to no record stays on the host."""
    SimulatedPlugin._leftovers = lambda *_: ()  # type: ignore[method-assign]


def let_leftovers_overtake() -> None:
    """Rounds go on while an audit removes what it saw no record for."""
    discover = SimulatedPlugin.discover

    def freeing(self: SimulatedPlugin, state: State, keys: Any) -> Deferred[Observed]:
        self.loop._holding = False
        return discover(self, state, keys)

    SimulatedPlugin.discover = freeing  # type: ignore[method-assign]


FLAWS: Mapping[str, Callable[[], None]] = {
    flaw.__name__.replace("_", "-"): flaw
    for flaw in (
        answer_before_writing,
        write_nothing_durably,
        leave_leftovers,
        let_leftovers_overtake,
    )
}
