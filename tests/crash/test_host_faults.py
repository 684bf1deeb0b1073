"""What happens on a host: each fault with the real thing, by hand, while the daemon looks on.

Each ends as it should be or in ``Failed`` with a fault that says what to do; what is not ours is never touched.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from quantumd.core.changes import Change
from quantumd.core.model import Attachment, Kind
from quantumd.host.netlink.rtnl import Rtnl
from quantumd.testing.lab import Lab
from tests.crash.host import devices, wrong
from tests.crash.machine import Machine
from tests.crash.workload import FOREIGN, RED, TAP, Client, network, plug, port, veth
from tests.tally import tell


class HostFaultTests(SynchronousTestCase):
    #: How many were made, and how many of them ended as they should.
    faults = well_ended = 0

    def setUp(self) -> None:
        self.lab = Lab()
        self.addCleanup(self.lab.close)
        self.host, self.guest = self.lab.namespace(), self.lab.namespace()
        for name in ("own0", "bystander"):
            self.host.ip(f"link add {name} type veth peer name {name}-peer")
            self.host.ip(f"link set {name}-peer up")
        self.host.ip("link add theirs type bridge")
        self.directory = Path(tempfile.mkdtemp(prefix="quantumd-faults-", dir="/dev/shm"))
        self.addCleanup(shutil.rmtree, self.directory)
        (self.directory / "state").mkdir()

    @classmethod
    def tearDownClass(cls) -> None:
        if cls.well_ended == cls.faults:
            tell("host faults", faults=cls.faults, lost=0, leaked=0, strangers_touched=0)

    def with_machine(self, work: Callable[[Machine], None]) -> None:
        """Do that on a host with a tap, a veth and somebody's device plugged in."""
        type(self).faults += 1

        def inside() -> None:
            rtnl = Rtnl()
            self.rtnl, self.before = rtnl, devices(rtnl)
            machine = Machine(self.directory / "state" / "quantumd.sqlite")
            machine.start()
            try:
                together = [(network(RED, "red"),), (port("r1"), port("r2"), port("r3"))]
                together.append((plug("r1", TAP), plug("r2", FOREIGN), plug("r3", veth(self.guest.name))))
                Client().run(machine, together)
                assert machine.rest()
                self.well(machine)
                work(machine)
            finally:
                machine.abandon()
                rtnl.close()

        self.host.inside(inside)
        type(self).well_ended += 1

    def well(self, machine: Machine) -> None:
        """All is as it should be."""
        self.assertEqual([], wrong(machine.state, self.before, devices(self.rtnl)))
        for record in (*machine.state.networks.values(), *machine.state.attachments.values()):
            self.assertIsNone(record.fault, record)
            self.assertIn(record.status, ("Active", "Attached/UP", "Attached/DOWN"))

    def one(self, machine: Machine, ident: str) -> Attachment:
        return next(found for found in machine.state.attachments.values() if found.id == ident)

    def bridge(self, machine: Machine) -> str:
        name: str = machine.state.networks[RED].data["bridge"]
        return name

    def repaired(self, *commands: str) -> None:
        """Somebody does that by hand: it is mended within a second, and told what was found."""

        def work(machine: Machine) -> None:
            names = {"bridge": self.bridge(machine), "tap": self.one(machine, "vm1").device_name}
            repairs, began = machine.convergence.progress.repaired, machine.reactor.seconds()
            for command in commands:
                self.host.ip(command.format(**names))
            self.assertTrue(machine.rest())
            self.assertLess(machine.reactor.seconds() - began, 1.5)
            self.well(machine)
            self.assertGreater(machine.convergence.progress.repaired, repairs)
            told = [event for event in machine.store.events(0) or () if event.action == "repaired"]
            self.assertTrue(told and all(event.detail for event in told), told)

        self.with_machine(work)

    def test_bridge_deleted(self) -> None:
        self.repaired("link del {bridge}")

    def test_bridge_down(self) -> None:
        self.repaired("link set {bridge} down")

    def test_bridge_renamed(self) -> None:
        self.repaired("link set {bridge} down", "link set {bridge} name renamed")

    def test_bridge_mtu(self) -> None:
        self.repaired("link set {bridge} mtu 1300")

    def test_tap_deleted(self) -> None:
        self.repaired("link del {tap}")

    def test_tap_renamed(self) -> None:
        self.repaired("link set {tap} down", "link set {tap} name renamed")

    def test_tap_moved(self) -> None:
        self.repaired("link set {tap} master theirs")

    def test_tap_mtu(self) -> None:
        self.repaired("link set {tap} mtu 1300")

    def test_foreign_mtu(self) -> None:
        """A device that is somebody's own keeps the MTU that they give it."""

        def work(machine: Machine) -> None:
            self.host.ip("link set own0 mtu 1300")
            self.assertTrue(machine.rest())
            self.well(machine)
            self.assertIn(" mtu 1300 ", self.host.ip("link show own0"))
            repaired = [event for event in machine.store.events(0) or () if event.action == "repaired"]
            # The kernel lowers the bridge's with it, and that one is ours.
            self.assertEqual([], [event for event in repaired if event.kind is not Kind.NETWORK])

        self.with_machine(work)

    def test_busy(self) -> None:
        """A device that has something else on it cannot be plugged (EBUSY): the fault says so; later it is plugged."""

        def work(machine: Machine) -> None:
            self.host.ip("link set own0 nomaster")
            self.host.ip("link add link own0 name upon0 type macvlan")
            machine.rest(5.0)
            failed = self.one(machine, "vm3")
            self.assertEqual("Failed", failed.status)
            assert failed.fault is not None
            self.assertIn("own0", failed.fault.message)
            self.assertIn("take it out of that first", failed.fault.message)
            self.assertIn("upon0", devices(self.rtnl))
            self.host.ip("link del upon0")
            self.assertTrue(machine.rest())
            self.well(machine)

        self.with_machine(work)

    def test_foreign_taken_out(self) -> None:
        self.repaired("link set own0 nomaster")

    def test_mark_removed(self) -> None:
        self.repaired("link property del dev {tap} altname quantum-1aaaaaaa-0000-4000-8000-000000000001")

    def test_foreign_taken_by_somebody(self) -> None:
        """It is theirs: the fault names the holder, and it is plugged again when it is let go of."""

        def work(machine: Machine) -> None:
            self.host.ip("link set own0 master theirs")
            machine.rest(5.0)
            taken = self.one(machine, "vm3")
            self.assertEqual("Failed", taken.status)
            assert taken.fault is not None
            self.assertIn("theirs", taken.fault.message)
            self.assertEqual("theirs", devices(self.rtnl)["own0"].master)
            self.host.ip("link set own0 nomaster")
            self.assertTrue(machine.rest())
            self.well(machine)

        self.with_machine(work)

    def test_name_taken_by_stranger(self) -> None:
        """Not by force: the fault names the stranger's device, which is left alone."""

        def work(machine: Machine) -> None:
            name = self.one(machine, "vm1").device_name
            self.host.ip(f"link set {name} down")
            self.host.ip(f"link del {name}")
            self.host.ip(f"link add {name} type bridge")
            machine.rest(5.0)
            failed = self.one(machine, "vm1")
            self.assertEqual("Failed", failed.status)
            assert failed.fault is not None
            self.assertIn(f"{name}", failed.fault.message)
            self.assertEqual(frozenset(), devices(self.rtnl)[str(name)].marks)
            self.host.ip(f"link del {name}")
            self.assertTrue(machine.rest())
            self.well(machine)

        self.with_machine(work)

    def test_foreign_goes_and_comes(self) -> None:
        def work(machine: Machine) -> None:
            self.host.ip("link del own0")
            self.assertTrue(machine.rest())
            self.assertEqual("Attached/DOWN", self.one(machine, "vm3").status)
            self.host.ip("link add own0 type veth peer name own0-peer")
            self.assertTrue(machine.rest())
            self.well(machine)

        self.with_machine(work)

    def test_namespace_goes(self) -> None:
        """A veth goes with its namespace, and is made again with it."""

        def work(machine: Machine) -> None:
            self.guest.delete()
            self.eventually(machine, lambda: self.one(machine, "vm4").status == "Attached/DOWN")
            self.guest = self.lab.namespace(self.guest.name)
            self.eventually(machine, lambda: "eth0" in self.guest.links())
            self.assertTrue(machine.rest())
            self.well(machine)

        self.with_machine(work)

    def test_overrun(self) -> None:
        """The kernel tells of more than there is room for: all is looked at anew, at once."""

        def work(machine: Machine) -> None:
            monitor = machine.plugin._monitor
            assert monitor is not None
            monitor._socket.setsockopt(1, 8, 1)  # SO_RCVBUF: the least that the kernel takes
            name, began = self.one(machine, "vm1").device_name, machine.reactor.seconds()
            for mtu in range(1400, 1420):
                self.host.ip(f"link set bystander mtu {mtu}")
            self.host.ip(f"link set {name} nomaster")
            self.assertTrue(machine.rest())
            self.assertLess(machine.reactor.seconds() - began, 2.0)
            self.well(machine)

        self.with_machine(work)

    def test_gone_between_looking_and_doing(self) -> None:
        """A device, or a bridge, that vanishes after it was looked at."""
        for command in ("link del own0", "link del {bridge}", "link set own0 master theirs"):

            def work(machine: Machine, command: str = command) -> None:
                apply, done = machine.plugin.apply, []

                def late(changes: Sequence[Change]) -> Deferred[Any]:
                    if not done:
                        done.append(self.host.ip(command.format(bridge=self.bridge(machine))))
                    return apply(changes)

                machine.plugin.apply = late  # type: ignore[method-assign]
                self.host.ip("link set own0 nomaster")
                machine.rest(5.0)
                self.assertTrue(done)
                if "theirs" in command:
                    self.assertEqual("theirs", devices(self.rtnl)["own0"].master)
                    self.host.ip("link set own0 nomaster")
                if "own0" not in devices(self.rtnl):
                    self.host.ip("link add own0 type veth peer name own0-peer")
                self.assertTrue(machine.rest())
                self.well(machine)

            self.with_machine(work)
            self.setUp()

    def eventually(self, machine: Machine, condition: Callable[[], bool]) -> None:
        """Real time and the machine's pass side by side until it holds."""
        for _ in range(1000):
            machine.rest(0.05)
            machine.reactor.advance(0.01)
            if condition():
                return
            self.host.ip("link show lo")
        raise AssertionError(f"does not come to be: {machine.state.attachments}")
