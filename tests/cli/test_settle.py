"""``--wait``."""

from __future__ import annotations

from typing import Any, cast

from twisted.trial.unittest import SynchronousTestCase

from quantumd.cli.client import Client, Reply
from quantumd.cli.errors import CommandFailed, Refused, Unreachable
from quantumd.cli.settle import Patience, Waiter

from .case import CliCase


class Clock:
    """A clock that moves only when somebody waits."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


class Script:
    """An API that answers from a list; each answer takes as long as was asked for, or as the script says."""

    def __init__(self, clock: Clock, answers: list[Any], takes: float | None = None) -> None:
        self._clock = clock
        self._answers = answers
        self._takes = takes
        self.waits: list[int] = []

    def get(self, path: str, *, wait: int) -> Any:
        self.waits.append(wait)
        self._clock.now += wait if self._takes is None else self._takes
        answer = self._answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return _Reply(answer)


class _Reply(Reply):
    def __new__(cls, resource: Any) -> Any:
        reply = super().__new__(cls, 200, "")
        reply.resource = resource
        return reply

    def part(self, key: str) -> Any:
        return self.resource


def resource(status: str, ident: str = "x", fault: str | None = None) -> dict[str, Any]:
    return {"id": ident, "status": status, "fault": fault and {"name": "F", "message": fault}}


GONE = Refused("NetworkNotFound", "not there")


class WaiterTests(SynchronousTestCase):
    """How long is waited, for what, and what is said meanwhile."""

    def waiter(self, answers: list[Any], seconds: float | None = None, takes: float | None = None) -> Waiter:
        self.clock = Clock()
        self.script = Script(self.clock, answers, takes)
        patience = Patience(seconds, self.clock)
        self.told: list[str] = []
        return Waiter(cast(Client, self.script), patience, self.told.append, self.clock.sleep)

    def test_settled_at_once(self) -> None:
        """What has settled is not asked for again."""
        waiter = self.waiter([])
        for status in ("Active", "Failed", "Attached/UP", "Attached/DOWN"):
            self.assertEqual(waiter.applied("network", "/", resource(status)), resource(status))
        self.assertEqual(waiter.gone("network", "/", resource("Deleted"))["status"], "Deleted")

    def test_rounds(self) -> None:
        """The wait is repeated, 60 seconds at a time, until it has settled."""
        waiter = self.waiter([resource("InProgress"), resource("InProgress"), resource("Active")])
        self.assertEqual(waiter.applied("network", "/", resource("InProgress")), resource("Active"))
        self.assertEqual(self.script.waits, [60, 60, 60])

    def test_what_is_waited_for(self) -> None:
        """It is told once, and again when it is something else."""
        waits = [{**resource("InProgress"), "plugin": {"waiting_for": what}} for what in ("device a", "device b")]
        waiter = self.waiter([waits[0], waits[1], resource("Attached/UP")])
        waiter.applied("attachment", "/", waits[0])
        self.assertEqual(["attachment x waits for device a", "attachment x waits for device b"], self.told)

    def test_first_wait(self) -> None:
        """The request itself waits for a little only, so that this can be told; a removal has nothing to tell."""
        self.assertEqual([2, 60], [self.waiter([]).seconds(removes) for removes in (False, True)])
        self.assertEqual(1, self.waiter([], seconds=0.5).seconds(False))

    def test_no_busy_loop(self) -> None:
        """A daemon behind something that swallows the wish to wait is asked twice a second, not more often."""
        waiter = self.waiter([resource("InProgress")] * 20 + [resource("Active")], takes=0)
        waiter.applied("network", "/", resource("InProgress"))
        self.assertEqual(self.clock.now, 110)

    def test_time_is_up(self) -> None:
        """After the time given, it says that the request stays accepted."""
        waiter = self.waiter([resource("InProgress")] * 9, seconds=90)
        error = self.assertRaises(CommandFailed, waiter.applied, "network", "/", resource("InProgress"))
        self.assertEqual((error.name, self.script.waits), ("TimedOut", [60, 31]))
        self.assertIn("still InProgress; what was asked for stays accepted", error.detail)

    def test_deleted(self) -> None:
        """Gone is gone, and its last shape comes back as Deleted."""
        waiter = self.waiter([resource("Deleting"), GONE])
        self.assertEqual(waiter.gone("network", "/", resource("Deleting"))["status"], "Deleted")

    def test_something_else_in_its_place(self) -> None:
        """What was unplugged is gone when the port holds something else, or the same again."""
        for latest in (resource("InProgress", "other"), resource("InProgress"), resource("Attached/UP")):
            waiter = self.waiter([latest])
            gone = waiter.gone("attachment", "/", resource("Detaching"))
            self.assertEqual((gone["id"], gone["status"]), ("x", "Deleted"))

    def test_taken_away(self) -> None:
        """What somebody else takes away while we wait for it is a fault."""
        for latest in (GONE, resource("Attached/UP", "other"), resource("Detaching")):
            waiter = self.waiter([resource("InProgress"), latest])
            error = self.assertRaises(CommandFailed, waiter.applied, "attachment", "/", resource("InProgress"))
            self.assertEqual(error.name, "Gone")

    def test_faults_on_the_way_out(self) -> None:
        """Something that still cannot be deleted after a round of waiting is given back as it is."""
        waiter = self.waiter([resource("Deleting"), resource("Deleting", fault="no")])
        self.assertEqual(waiter.gone("network", "/", resource("Deleting")), resource("Deleting", fault="no"))
        self.assertEqual(self.script.waits, [60, 60])

    def test_other_faults(self) -> None:
        """What the API refuses is passed on; of a lost daemon it is said that the request had been accepted."""
        waiter = self.waiter([Refused("Unauthorized", "no")])
        self.assertRaises(Refused, waiter.applied, "network", "/", resource("InProgress"))
        waiter = self.waiter([Unreachable("lost")])
        error = self.assertRaises(Unreachable, waiter.applied, "network", "/", resource("InProgress"))
        self.assertEqual(error.detail, "lost; what was asked for had been accepted before")


class WaitTests(CliCase):
    """``--wait`` on the command line."""

    def test_without(self) -> None:
        """Without it the answer comes at once, and nobody is asked to wait."""
        self.assertIn("InProgress", self.done("network create blue").out)
        self.assertNotIn("prefer", self.api.requests[-1].headers)

    def test_with(self) -> None:
        """With it the settled state is printed."""
        self.api.rounds = 2
        self.patch_sleep()
        self.assertIn("Active", self.done("network create blue --wait").out)
        waits = [request.headers["prefer"] for request in self.api.requests]
        self.assertEqual(["wait=2", "wait=60", "wait=60"], waits)

    def test_failed(self) -> None:
        """A change that failed is printed, its fault is told, and the status is 1."""
        result = self.ctl("network create bad --wait")
        self.assertEqual(result.status, 1)
        self.assertIn("network bad  Failed\n  PluginFault: the kernel says no", result.out)
        self.assertEqual(result.err, "quantumctl: PluginFault: the kernel says no (it will be tried again)\n")

    def test_failed_removal(self) -> None:
        """So it is with something that cannot be removed."""
        self.api.network("stuck")
        result = self.ctl("network delete stuck --wait")
        self.assertEqual((result.status, result.out), (1, "network stuck: Deleting\n"))
        self.assertEqual(result.err, "quantumctl: PluginFault: the switch says no (it will be tried again)\n")

    def test_failed_without(self) -> None:
        """Who does not wait is not told: what was asked for has been accepted."""
        self.assertEqual(self.ctl("network create bad").status, 0)

    def test_every_change(self) -> None:
        """Each verb that changes something comes back when it is done."""
        self.api.rounds = 1
        self.patch_sleep()
        for line, status in (
            ("network create blue --wait", "Active"),
            ("network rename blue red --wait", "Active"),
            ("network set red mtu=1400 --wait", "Active"),
            ("port create red --wait", "Active"),
            ("attachment plug red vif1 --wait", "Attached/UP"),
            ("attachment unplug red vif1 --wait", "Deleted"),
            ("port delete red {port} --wait", "Deleted"),
            ("network delete red --wait", "Deleted"),
        ):
            result = self.done(line.format(port=next(iter(self.api.ports), None)) + " -f json")
            (shown,) = result.json.values()
            self.assertEqual(shown["status"], status, line)
        self.assertEqual(self.api.networks, {})

    def test_timeout(self) -> None:
        """What never settles is given up after the time given."""
        self.patch_sleep()
        result = self.ctl("network create stuck --wait --timeout 0.2")
        self.assertEqual((result.status, result.out), (1, ""))
        self.assertIn("TimedOut", result.err)
        self.assertEqual(self.api.requests[0].headers["prefer"], "wait=1")

    def patch_sleep(self) -> None:
        """The fake answers at once; do not pause between its answers."""
        self.patch(Waiter.__init__, "__defaults__", (lambda _seconds: None,))
