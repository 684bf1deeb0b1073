"""Ended at every step in turn, on real devices and a real state file: nothing is lost, nothing is left."""

from __future__ import annotations

import os
import random
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

from attrs import evolve
from twisted.trial.unittest import SynchronousTestCase

from quantumd.host.netlink.rtnl import Rtnl
from quantumd.testing.lab import Lab, Namespace
from tests.crash.host import Device, devices, ends, wrong
from tests.crash.machine import Machine
from tests.crash.steps import Killed, Steps
from tests.crash.workload import STRANGERS, Client, Workload, crowd, each_form
from tests.tally import tell

#: How many pairs of steps, one in the workload and one in the recovery from it, are drawn at random.
PAIRS = int(os.environ.get("QUANTUMD_CRASH_PAIRS", "60"))


class StepTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.lab = Lab()
        self.addCleanup(self.lab.close)
        self.guest = self.lab.namespace()
        self.directory = Path(tempfile.mkdtemp(prefix="quantumd-crash-", dir="/dev/shm"))
        self.addCleanup(shutil.rmtree, self.directory)
        self.host = self.lab.namespace()
        for name in STRANGERS:
            self.host.ip(f"link add {name} type veth peer name {name}-peer")

    def tearDown(self) -> None:
        self.flushLoggedErrors(Killed)  # the log of the dead

    def test_each_form(self) -> None:
        """One thing after the other."""
        self.every_step("each form in turn", each_form(self.guest.name))

    def test_crowd(self) -> None:
        """Many things at once."""
        self.every_step("many at once", crowd(self.guest.name))

    def test_ended_while_recovering(self) -> None:
        """Ended once more, at any step of the recovery."""
        scratch = _Scratch(self.host, self.guest, self.directory)
        workload = crowd(self.guest.name)
        steps = self.host.inside(scratch.run, workload, [None])[0]
        choose, endings = random.Random(4), 0
        for _ in range(PAIRS):
            lasts: list[int | None] = [choose.randrange(steps), choose.randrange(60)]
            taken = self.host.inside(scratch.run, workload, lasts)
            endings += sum(one == last for one, last in zip(taken, lasts, strict=True))
        tell("crash points, linuxbridge, twice", pairs=PAIRS, ends=endings, lost=0, leaked=0)

    def every_step(self, what: str, workload: Workload) -> None:
        scratch = _Scratch(self.host, self.guest, self.directory)
        steps = self.host.inside(scratch.run, workload, [None])[0]
        for last in range(steps):
            self.host.inside(scratch.run, workload, [last])
        tell(f"crash points, linuxbridge, {what}", crash_points=steps, answered=scratch.answered, lost=0, leaked=0)


class _Scratch:
    """One host for all runs: each must leave it as it was."""

    def __init__(self, host: Namespace, guest: Namespace, directory: Path) -> None:
        self._guest = guest
        self._directory = directory
        self._before: dict[str, Device] = {}
        self.answered = 0

    def run(self, workload: Workload, lasts: list[int | None]) -> list[int]:
        """Run the workload, ended before step ``lasts[0]``; then again, ended before each of the others; then to the
        end. Returns how many steps each process took."""
        rtnl = Rtnl()
        try:
            self._before = self._before or devices(rtnl)
            return self._run(rtnl, workload, lasts)
        finally:
            rtnl.close()

    def _run(self, rtnl: Rtnl, workload: Workload, lasts: list[int | None]) -> list[int]:
        client, taken = Client(), []
        state = Path(tempfile.mkdtemp(dir=self._directory)) / "quantumd.sqlite"
        for number, last in enumerate(lasts):
            steps = Steps(last)
            machine = Machine(state, lambda steps=steps: steps.dead)  # type: ignore[misc]
            with steps.watching():
                self._live(machine, steps, lambda m: client.run(m, workload) if number == 0 else m.rest())  # noqa: B023
            taken.append(steps.taken)
            state = machine.abandon()
        self.answered += client.answered
        where = f"ended before {lasts}, after {steps.names[-3:]}"
        machine = Machine(state)
        machine.start()
        client.settle(machine)
        assert machine.rest(), f"{where}: not at rest: {machine.convergence.backlog}"
        client.settle(machine)
        self._check(rtnl, machine, where)
        client.take_down(machine)
        assert machine.rest(), f"{where}: not at rest after taking down"
        assert not list(machine.state.every_key()), where
        assert machine.convergence.progress.leftovers == 0 or lasts != [None], where
        self._check(rtnl, machine, where)
        # A stranger's device is set up when it is plugged, and left so.
        now = {name: evolve(device, up=self._before[name].up) for name, device in devices(rtnl).items()}
        assert now == self._before, f"{where}: {now}"
        assert not ends(self._guest), f"{where}: left in the guest: {ends(self._guest)}"
        machine.stop()
        for directory in self._directory.iterdir():
            shutil.rmtree(directory)
        return taken

    def _check(self, rtnl: Rtnl, machine: Machine, where: str) -> None:
        faults = wrong(machine.state, self._before, devices(rtnl))
        assert not faults, f"{where}: {faults}"
        for record in (*machine.state.networks.values(), *machine.state.attachments.values()):
            assert record.fault is None, f"{where}: {record}"

    @staticmethod
    def _live(machine: Machine, steps: Steps, work: Callable[[Machine], object]) -> None:
        try:
            machine.start()
            work(machine)
        except Killed:
            pass
        assert steps.last is None or steps.dead or steps.taken <= steps.last
