"""The words that the command line writes down a second time are the daemon's."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from quantumd.cli import terms
from quantumd.core import model


class TermsTests(SynchronousTestCase):
    """Held against the model."""

    def test_statuses(self) -> None:
        """The same statuses."""
        self.assertEqual(set(terms.NETWORK_STATUSES), set(model.Status))
        self.assertEqual(set(terms.ATTACHMENT_STATUSES), set(model.AttachmentStatus))

    def test_settled(self) -> None:
        """Every status is either settled or not, and the sets are made of statuses."""
        known = {*terms.NETWORK_STATUSES, *terms.ATTACHMENT_STATUSES}
        self.assertEqual(known - terms.UNSETTLED, {"Active", "Failed", "Attached/UP", "Attached/DOWN"})
        self.assertLessEqual(terms.FAULTY | terms.LEAVING, known)
