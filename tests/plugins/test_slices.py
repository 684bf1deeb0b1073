"""Work on many records lets the reactor do something else."""

from __future__ import annotations

import time
from itertools import pairwise

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater
from twisted.trial.unittest import TestCase

from quantumd.plugins import slices
from quantumd.plugins.slices import in_slices


class SlicesTests(TestCase):
    async def test_others_have_their_turn(self) -> None:
        """All items come, in order; what was to be done comes in between, and soon, where they take time."""
        taken: list[int] = []
        turns: list[int] = []

        async def work() -> None:
            async for some in in_slices(reactor, range(1000)):
                taken.extend(some)
                time.sleep(0.001)

        working = Deferred.fromCoroutine(work())
        while not working.called:
            turns.append(len(taken))
            await deferLater(reactor, 0)
        await working
        self.assertEqual(taken, list(range(1000)))
        steps = [after - before for before, after in pairwise(turns)]
        self.assertGreater(len(turns), 5)
        self.assertLessEqual(max(steps), 100)

    async def test_few(self) -> None:
        """Few items come at once; none take nothing."""
        for count in (0, 1, 50):
            found = [some async for some in in_slices(reactor, range(count))]
            self.assertEqual([list(range(count))] if count else [], found)

    async def test_turns_that_nobody_needs(self) -> None:
        """What takes no time takes no turn of the reactor."""
        self.patch(slices, "perf_counter", lambda: 0.0)
        turn = deferLater(reactor, 0)
        found = [some async for some in in_slices(reactor, range(200))]
        self.assertEqual((200, False), (sum(map(len, found)), turn.called))
        await turn
