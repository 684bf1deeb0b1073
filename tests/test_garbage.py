"""What stays is set aside from the collector, and found again when it has gone."""

from __future__ import annotations

import gc
import weakref

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from quantumd.garbage import Garbage


class Cycle:
    """Is garbage once nobody has it, and only a collector finds out."""

    def __init__(self) -> None:
        self.self = self


class GarbageTests(SynchronousTestCase):
    """The collector of this very process, put back as it was."""

    def setUp(self) -> None:
        self.addCleanup(gc.set_threshold, *gc.get_threshold())
        self.addCleanup(gc.unfreeze)
        self.records = 10_000
        self.clock = Clock()
        self.garbage = Garbage(lambda: self.records, self.clock)

    def start(self) -> None:
        self.garbage.start()
        self.addCleanup(self.garbage.stop)

    def test_what_was_loaded_is_set_aside(self) -> None:
        self.start()
        self.assertLess(len(gc.get_objects()), 1000)
        self.assertGreater(gc.get_freeze_count(), 10_000)

    def test_nothing_is_looked_for_while_it_is_loaded(self) -> None:
        self.addCleanup(gc.enable)
        self.garbage.hold()
        self.assertFalse(gc.isenabled())
        self.start()
        self.assertTrue(gc.isenabled())

    def test_it_is_set_aside_again_when_there_is_much_more(self) -> None:
        self.start()
        before = gc.get_freeze_count()
        more = [Cycle() for _ in range(5000)]
        self.records = 12_000
        self.clock.advance(10)
        self.assertLess(gc.get_freeze_count(), before + len(more))
        self.records = 14_000
        self.clock.advance(10)
        self.assertGreaterEqual(gc.get_freeze_count(), before + len(more))

    def test_what_was_set_aside_is_looked_at_when_much_has_gone(self) -> None:
        cycle = Cycle()
        alive = weakref.ref(cycle)
        self.start()
        del cycle
        gc.collect()
        self.assertIsNotNone(alive(), "it is aside")
        self.records = 100
        self.clock.advance(10)
        gc.collect()
        self.assertIsNone(alive())

    def test_it_ends(self) -> None:
        self.start()
        self.garbage.stop()
        self.assertEqual([], self.clock.getDelayedCalls())

    def test_nothing_is_begun_before(self) -> None:
        self.garbage.stop()
        self.assertEqual([], self.clock.getDelayedCalls())
