"""Lists that are kept as bytes: never older than the state, and never another's."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from quantumd.api.kept import KeptReplies
from quantumd.api.operations import Reply
from quantumd.core.state import State


class KeptRepliesTests(SynchronousTestCase):
    """What is found again, and what is not."""

    def setUp(self) -> None:
        self.kept = KeptReplies(room=10)
        self.state = State()
        self.assertIsNone(self.kept.find(self.state, "mine"))

    def test_found_while_the_state_is_the_same(self) -> None:
        reply = Reply(body=b"12345")
        self.kept.keep("mine", reply)
        self.assertIs(self.kept.find(self.state, "mine"), reply)
        self.assertIsNone(self.kept.find(self.state, "another's"))

    def test_forgotten_with_the_state(self) -> None:
        self.kept.keep("mine", Reply(body=b"12345"))
        self.assertIsNone(self.kept.find(State(), "mine"))
        self.assertIsNone(self.kept.find(self.state, "mine"))

    def test_bounded(self) -> None:
        self.kept.keep("mine", Reply(body=b"123456"))
        self.kept.keep("yours", Reply(body=b"123456"))
        self.assertIsNotNone(self.kept.find(self.state, "mine"))
        self.assertIsNone(self.kept.find(self.state, "yours"))
        self.kept.find(State(), "mine")
        self.kept.keep("yours", Reply(body=b"123456"))
