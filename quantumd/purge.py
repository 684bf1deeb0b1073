"""Floor 5: going away. Takes everything of ours off the host, and nothing else, with or without a state file."""

from __future__ import annotations

from collections.abc import Sequence

from quantumd.core.changes import Failed, RemoveLeftover
from quantumd.core.state import State
from quantumd.interfaces import INetworkPlugin

#: How many times it is looked whether anything is left.
_LOOKS = 5


class PurgeError(Exception):
    """Something is left. The text is one line that says what and why."""


async def purge(plugin: INetworkPlugin) -> Sequence[str]:
    """Remove whatever bears our mark, by a plugin that was not started yet; says in words what was removed.

    To a state with nothing in it, all that is ours is left over. Raises PurgeError, and what keeps the plugin from
    starting.
    """
    removed: list[str] = []
    await plugin.start(lambda _: None)
    try:
        if plugin.unavailable is not None:
            raise PurgeError(f"nothing can be removed now: {plugin.unavailable}")
        for _ in range(_LOOKS):
            observed = await plugin.discover(State(), None)
            if not observed.leftovers:
                return removed
            outcomes = await plugin.apply([RemoveLeftover(leftover) for leftover in observed.leftovers])
            failed = [outcome.message for outcome in outcomes if isinstance(outcome, Failed)]
            removed += [
                leftover.what
                for leftover, outcome in zip(observed.leftovers, outcomes, strict=True)
                if not isinstance(outcome, Failed)
            ]
        raise PurgeError("not everything could be removed: " + " ".join(failed or ["it is made again"]))
    finally:
        await plugin.stop()
