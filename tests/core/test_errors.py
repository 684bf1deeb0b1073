from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from quantumd.core import errors
from quantumd.core.errors import Fault, FieldError, all_faults, raise_first


def refuse(fault: Fault) -> None:
    raise fault


class FaultTests(SynchronousTestCase):
    def test_every_fault_of_the_contract_is_there(self) -> None:
        self.assertEqual(
            set(all_faults()),
            {
                "BadRequest",
                "Unauthorized",
                "NetworkNotFound",
                "PortNotFound",
                "AttachmentNotFound",
                "NotFound",
                "MethodNotAllowed",
                "NotAcceptable",
                "PreconditionFailed",
                "UnsupportedMediaType",
                "IdInUse",
                "OverLimit",
                "AttachmentsPlugged",
                "AlreadyAttached",
                "PortInUse",
                "ServiceUnavailable",
                "InternalError",
                "PluginFault",
                "TooManyRequests",
            },
        )

    def test_every_fault_says_what_it_is(self) -> None:
        for name, fault in all_faults().items():
            with self.subTest(name):
                self.assertEqual(fault.name, name)
                self.assertEqual(fault.__name__, name)
                self.assertTrue(fault.title)
                self.assertTrue(fault.description.endswith("."))

    def test_the_order_of_judgement(self) -> None:
        """The contract's fine print, as ranks; what shares a place in it is ordered by another sentence of it."""
        order = [
            errors.Unauthorized,
            errors.NotFound,
            errors.UnsupportedMediaType,
            errors.NotAcceptable,
            errors.BadRequest,
            errors.PreconditionFailed,
            errors.IdInUse,
            errors.AttachmentsPlugged,
            errors.PortInUse,
            errors.AlreadyAttached,
            errors.OverLimit,
            errors.PluginFault,
            errors.ServiceUnavailable,
        ]
        ranks = [fault.rank for fault in order]
        self.assertEqual(ranks, sorted(ranks))
        self.assertEqual(len(set(ranks)), len(ranks))

    def test_a_fault_carries_its_detail_and_fields(self) -> None:
        fault = errors.BadRequest("Mend the name.", [FieldError("network.name", "is missing")])
        self.assertEqual(str(fault), "Mend the name.")
        self.assertEqual(fault.detail, "Mend the name.")
        self.assertEqual(fault.errors, (FieldError("network.name", "is missing"),))


class RaiseFirstTests(SynchronousTestCase):
    def test_nothing_is_wrong(self) -> None:
        ran = []
        raise_first(lambda: ran.append(1), lambda: ran.append(2))
        self.assertEqual(ran, [1, 2])

    def test_the_lowest_rank_is_raised_whatever_the_order_of_the_checks(self) -> None:
        late, early = errors.PluginFault("no"), errors.IdInUse("taken")
        for checks in ((late, early), (early, late)):
            with self.assertRaises(errors.IdInUse):
                raise_first(*(lambda fault=fault: refuse(fault) for fault in checks))

    def test_of_equals_the_first_is_raised(self) -> None:
        with self.assertRaises(errors.OverLimit) as caught:
            raise_first(lambda: refuse(errors.OverLimit("one")), lambda: refuse(errors.OverLimit("two")))
        self.assertEqual(caught.exception.detail, "one")

    def test_what_is_no_fault_is_a_bug_and_comes_through(self) -> None:
        def bug() -> None:
            raise KeyError("bug")

        with self.assertRaises(KeyError):
            raise_first(lambda: refuse(errors.OverLimit("one")), bug)
