"""The ovs plugin while the switch goes, comes back, or is changed by hand: what was accepted is there again."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable
from typing import Any

from quantumd.plugins.linuxbridge.marks import MAKING
from quantumd.testing import frames
from quantumd.testing.lab import Namespace, eventually
from tests.functional.linux import EXPERIMENT
from tests.functional.ovs import BRIDGE, OvsCase

#: Seconds within which everything has to be there again, from the switch's being back.
AGAIN = 3.0


class Stream:
    """A hundred packets a second from one guest to another, and what of them arrived."""

    def __init__(self, source: Namespace, target: Namespace) -> None:
        self._ends = source, target
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self.sent = 0
        self.came: set[bytes] = set()
        self._thread.start()

    def _run(self) -> None:
        source, target = self._ends
        with source.port("eth0") as out, target.port("eth0") as into:
            while not self._stop.wait(0.01):
                out.send(frames.ethernet(frames.BROADCAST, "02:00:00:00:00:42", EXPERIMENT, b"%08d" % self.sent))
                self.sent += 1
                self.came |= {seen.data[14:22] for seen in into.received() if seen.source == "02:00:00:00:00:42"}
            time.sleep(0.2)
            self.came |= {seen.data[14:22] for seen in into.received() if seen.source == "02:00:00:00:00:42"}

    def lost(self) -> int:
        """Stop, and say how many were lost."""
        self._stop.set()
        self._thread.join()
        return self.sent - len(self.came)


class DriftCase(OvsCase):
    def two_guests(self) -> tuple[Namespace, Namespace, dict[str, Any], dict[str, Any]]:
        """Two guests on one network: by a veth of ours, and by a port that a hypervisor put there."""
        one, two = self.lab.namespace(), self.lab.namespace()
        network = self.network()
        made = self.plug_veth(network, one, "made")
        self.device("vnet0", two)
        self.hypervisor_plugs("vnet0", "bound")
        bound = self.plug(network, "bound")
        self.assertEqual("Attached/UP", bound["status"])
        return one, two, made, bound

    def again(self, one: Namespace, two: Namespace, seconds: float = AGAIN) -> None:
        """Frames pass both ways."""
        deadline = time.monotonic() + seconds
        for source, target in ((one, two), (two, one)):
            left = max(deadline - time.monotonic(), 0.3)
            eventually(lambda ends=(source, target): self.passes(*ends), "frames pass", left)

    def passes(self, source: Namespace, target: Namespace) -> bool:
        """Whether a frame passes; not while a device is not there, or is just being made anew."""
        try:
            return len(self.crossing((source, "eth0"), (target, "eth0"))) == 1
        except OSError:
            return False

    def writes(self, status: int) -> None:
        answer = self.call("POST", "/networks", {"network": {"name": "later"}})
        self.assertEqual(status, answer.status, answer.body)
        if status == 500:
            self.assertEqual("/faults/ServiceUnavailable", answer.body["type"])
            self.assertIn("Retry-After", answer.headers)


class DaemonTests(DriftCase):
    def test_killed(self) -> None:
        """The daemon is killed and started again under a stream of packets: none is lost, and nothing is changed."""
        one, two, *_ = self.two_guests()
        before = self.switch.get("Open_vSwitch", ".", "next_cfg"), self.host.links(), self.rows()
        stream = Stream(one, two)
        for _ in range(3):
            self.kill_daemon()
            self.daemon = self.run_daemon()
            time.sleep(0.5)
        self.assertEqual(0, stream.lost())
        self.assertGreater(stream.sent, 100)
        self.assertEqual(before[1:], (self.host.links(), self.rows()))

    def test_reboot(self) -> None:
        """The same state and the same database, and no devices: everything is made again."""
        one, two = self.lab.namespace(), self.lab.namespace()
        network = self.network()
        plugs = [self.plug_veth(network, guest, ident) for guest, ident in ((one, "one"), (two, "two"))]
        plugs.append(self.plug(network, "tap", device={"create": "tap"}))
        self.kill_daemon()
        self.switch.stop_switch(signal.SIGKILL)
        self.switch.stop_server(signal.SIGKILL)
        for name in self.host.links():
            if name not in self.before:
                self.host.ip(f"link del {name}")
        self.switch.start()
        self.daemon = self.run_daemon()
        self.again(one, two)
        self.settles(plugs[2], "Attached/DOWN")
        self.assertEqual({"eth0"}, set(one.links()))

    def test_leftovers(self) -> None:
        """What a daemon with another state file left is removed, half made or whole; what is a hypervisor's is isolated
        and stays."""
        self.two_guests()
        self.kill_daemon()
        self.host.ip(f"link add half group {MAKING} type veth peer name other")
        self.state.unlink()
        for beside in self.state.parent.glob("*.sqlite-*"):
            beside.unlink()
        self.daemon = self.run_daemon()
        strangers = {"Port vnet0", "Interface vnet0"}
        eventually(lambda: self.rows() == self.rows_before | strangers, f"no leftovers: {self.rows()}")
        eventually(lambda: set(self.host.links()) == {*self.before, "vnet0"}, f"no leftovers: {self.host.links()}")
        self.assertEqual("4095", self.switch.get("Port", "vnet0", "tag"))


class HandTests(DriftCase):
    def test_by_hand(self) -> None:
        """Whatever somebody does to ports and devices by hand is mended, and told of."""
        one, two, made, bound = self.two_guests()
        device = made["plugin"]["device"]
        for what, command in (
            ("port removed", lambda: self.switch.vsctl("del-port", device)),
            ("tag changed", lambda: self.switch.vsctl("set", "Port", device, "tag=9")),
            ("tag removed", lambda: self.switch.vsctl("clear", "Port", device, "tag")),
            ("tag of a hypervisor's port changed", lambda: self.switch.vsctl("set", "Port", "vnet0", "tag=9")),
            ("mark removed", lambda: self.switch.vsctl("clear", "Port", "vnet0", "external_ids")),
            ("made a trunk", lambda: self.switch.vsctl("set", "Port", device, "vlan_mode=trunk", "trunks=[1]")),
            ("set down", lambda: self.host.ip(f"link set {device} down")),
            ("device removed", lambda: self.host.ip(f"link del {device}")),
        ):
            command()
            eventually(lambda: self.is_mended(device), f"{what}: it is mended", AGAIN)
            self.again(one, two)
        for plugged in (made, bound):
            self.assertEqual("Attached/UP", self.settles(plugged, "Attached/UP")["status"])

    def is_mended(self, device: str) -> bool:
        """Both ports are as they should be, and the device is up."""
        vlan = str(self.vlan(self.ask("GET", "/networks")["networks"][0]["id"]))
        ports = [
            [self.switch.get("Port", name, column) for column in ("tag", "vlan_mode", "trunks", "protected")]
            for name in (device, "vnet0")
        ]
        marked = "quantum-port" in self.switch.get("Port", "vnet0", "external_ids")
        up = device in self.host.links() and ",UP" in self.host.ip(f"link show {device}")
        return marked and up and ports == [[vlan, "[]", "[]", "false"]] * 2

    def test_bridge_removed(self) -> None:
        """The integration bridge that somebody removed is made again, with everything that belongs on it."""
        one, two, *_ = self.two_guests()
        self.switch.vsctl("del-br", BRIDGE)
        eventually(lambda: BRIDGE in self.switch.vsctl("list-br"), "the bridge is there again", AGAIN)
        self.hypervisor_plugs("vnet0", "bound")
        self.again(one, two)

    def test_nothing_to_do(self) -> None:
        """Where everything is as it should be, nothing is written, whatever is looked at."""
        self.two_guests()
        time.sleep(0.5)
        before = self.switch.get("Open_vSwitch", ".", "next_cfg")
        time.sleep(3)
        self.assertEqual(before, self.switch.get("Open_vSwitch", ".", "next_cfg"))


class AwayTests(DriftCase):
    def away(self, stop: Callable[[], None], start: Callable[[], None]) -> None:
        """While OVS is away writes are refused and reads answered; what was accepted is done when it is back."""
        one, two, made, _ = self.two_guests()
        self.host.ip("link add late0 type veth peer name late0-peer")
        waiting = self.plug(made["network_id"], "late", wait=0, device={"name": "late0"})
        stop()
        eventually(lambda: self.answers(503), "it is noticed", 5)
        self.writes(500)
        self.assertEqual("blue", self.ask("GET", f"/networks/{made['network_id']}")["network"]["name"])
        words = "is back" if stop == self.kill_switch else "Open vSwitch"
        eventually(lambda: words in self.body_text(), "it says what is away")
        start()
        eventually(lambda: self.answers(200), "it is noticed", AGAIN)
        self.again(one, two)
        self.host.ip("link set late0-peer up")
        self.settles(waiting, "Attached/UP", AGAIN)
        self.writes(202)

    def body_text(self) -> str:
        return str(self.call("GET", "/health").body)

    def test_server(self) -> None:
        """ovsdb-server is killed: frames go on passing meanwhile."""
        self.away(lambda: self.switch.stop_server(signal.SIGKILL), self.switch.start_server)

    def test_switch(self) -> None:
        """ovs-vswitchd is killed, which nobody tells."""
        self.away(self.kill_switch, self.switch.start_switch)

    def kill_switch(self) -> None:
        self.switch.stop_switch(signal.SIGKILL)

    def test_both(self) -> None:
        """The whole of Open vSwitch is restarted, as its package does it."""

        def stop() -> None:
            self.switch.stop_switch()
            self.switch.stop_server()

        self.away(stop, self.switch.start)

    def test_from_scratch(self) -> None:
        """The database is made from scratch: everything of ours is there again."""
        one, two = self.lab.namespace(), self.lab.namespace()
        network = self.network()
        self.plug_veth(network, one, "one")
        self.plug_veth(network, two, "two")
        rows = self.rows()
        self.switch.stop_switch()
        self.switch.stop_server()
        self.switch.create_database()
        self.switch.start()
        self.again(one, two, AGAIN)
        self.assertEqual(rows, self.rows())

    def test_server_away_loses_nothing(self) -> None:
        """A restart of ovsdb-server alone does not disturb the frames of plugged guests."""
        one, two, *_ = self.two_guests()
        stream = Stream(one, two)
        self.switch.stop_server(signal.SIGKILL)
        time.sleep(0.5)
        self.switch.start_server()
        eventually(lambda: self.answers(200), "it is back")
        time.sleep(1)
        self.assertEqual(0, stream.lost())

    def test_database_is_back_alone(self) -> None:
        """It is told which of the two is away."""
        self.switch.stop_switch()
        self.switch.stop_server()
        eventually(lambda: "database at unix:" in self.body_text(), "its database is away")
        self.switch.start_server()
        eventually(lambda: "ovs-vswitchd" in self.body_text(), "its database is there, it is not", AGAIN)
        self.assertTrue(self.answers(503))
        self.writes(500)
        self.switch.start_switch()
        eventually(lambda: self.answers(200), "it is noticed", AGAIN)

    def test_away_at_the_start(self) -> None:
        """The daemon starts without a switch, serves reads, and comes to work when there is one."""
        network = self.network()
        self.kill_daemon()
        self.switch.stop_switch()
        self.switch.stop_server()
        self.daemon = self.start(within=["nsenter", f"--net={self.host.path}"], health=503)
        self.assertEqual("blue", self.ask("GET", f"/networks/{network}")["network"]["name"])
        self.assertEqual("down", self.ask("GET", "/")["plugin"]["status"])
        self.writes(500)
        self.switch.start()
        eventually(lambda: self.answers(200), "it is noticed", AGAIN)
        self.writes(202)
