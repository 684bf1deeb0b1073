from __future__ import annotations

from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from quantumd.store.history import KEPT, SLACK, History
from tests.store.records import EVENTS


def told(history: History, seq: int) -> list[int] | None:
    events = history.after(seq)
    return None if events is None else [event.seq for event in events]


class HistoryTests(SynchronousTestCase):
    def test_gap(self) -> None:
        """A number in a gap was never told; the place where this run began can be followed from."""
        history = History([evolve(EVENTS[0], seq=seq) for seq in (3, 4)], 1_000_005)
        history.extend([evolve(EVENTS[0], seq=1_000_005)])
        self.assertEqual([4, 1_000_005], told(history, 3))
        self.assertEqual([1_000_005], told(history, 4))
        self.assertEqual([1_000_005], told(history, 1_000_004))
        self.assertEqual([], told(history, 1_000_005))
        for never in (0, 2, 5, 1_000_003, 1_000_006):
            self.assertIsNone(told(history, never), never)

    def test_beginning_is_forgotten(self) -> None:
        history = History()
        history.extend([evolve(EVENTS[0], seq=seq) for seq in range(1, KEPT + SLACK + 1)])
        self.assertEqual(KEPT + SLACK, len(told(history, 0) or ()))
        history.extend([evolve(EVENTS[0], seq=KEPT + SLACK + 1)])
        self.assertIsNone(told(history, 0))
        self.assertEqual(SLACK + 2, history.oldest)
        self.assertEqual(KEPT, len(history.kept))

    @given(st.sets(st.integers(1, 40)), st.integers(-1, 45))
    def test_any(self, numbers: set[int], seq: int) -> None:
        ordered = sorted(numbers)
        history = History([evolve(EVENTS[0], seq=number) for number in ordered], 42)
        expected = [number for number in ordered if number > seq] if seq in numbers or seq == 41 else None
        self.assertEqual(expected, told(history, seq))
