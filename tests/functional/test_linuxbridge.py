"""The linuxbridge plugin in a whole daemon: every form of attachment, with real devices and real frames."""

from __future__ import annotations

import socket
import time
from typing import Any

from quantumd.host import sysctl
from quantumd.testing import frames
from quantumd.testing.lab import eventually
from tests.functional.linux import EXPERIMENT, LinuxCase


class NetworkTests(LinuxCase):
    """Guests on networks."""

    def test_same_network(self) -> None:
        """Two guests on one network reach each other within a second of being told that they are up."""
        one, two = self.lab.namespace(), self.lab.namespace()
        network = self.network()
        self.plug_veth(network, one, "one", mac="02:00:00:00:00:01")
        self.plug_veth(network, two, "two")
        one.ip("address add 10.5.0.1/24 dev eth0")
        two.ip("address add 10.5.0.2/24 dev eth0")
        self.reach(one, two, "10.5.0.2")
        self.assertIn("02:00:00:00:00:01", one.ip("link show eth0"))

    def test_different_networks(self) -> None:
        """Not one frame crosses: broadcast, ARP, IPv6 multicast, or to a guest's own address."""
        one, two, beside = self.lab.namespace(), self.lab.namespace(), self.lab.namespace()
        red, blue = self.network("red"), self.network("blue")
        self.plug_veth(red, one, "one")
        self.plug_veth(red, beside, "beside")
        self.plug_veth(blue, two, "two", mac="02:00:00:00:00:02")
        source = "02:00:00:00:00:77"
        sent = [
            frames.ethernet(frames.BROADCAST, source, EXPERIMENT, b"to all"),
            frames.arp_request(source, "10.5.0.1", "10.5.0.2"),
            frames.neighbour_solicitation(source, "fe80::1", "fe80::2"),
            frames.ethernet("33:33:00:00:00:fb", source, EXPERIMENT, b"to some"),
            frames.ethernet("02:00:00:00:00:02", source, EXPERIMENT, b"to one"),
        ]
        self.assertEqual([], self.crossing((one, "eth0"), (two, "eth0"), sent))
        self.assertEqual(5, len(self.crossing((one, "eth0"), (beside, "eth0"), sent)), "they are sent")

    def test_nothing_stays(self) -> None:
        """When everything is unplugged and deleted, the host is as it was before."""
        guest = self.lab.namespace()
        network = self.network()
        plugs = [
            self.plug(network, "tap", device={"create": "tap"}),
            self.plug_veth(network, guest, "veth"),
            self.plug(network, "far", type="tunnel", tunnel={"kind": "vxlan", "remote": "192.0.2.1", "vni": 7}),
        ]
        for plugged in plugs:
            self.unplug(plugged)
        self.delete(network)
        self.is_as_before()
        self.assertEqual({}, guest.links())

    def test_mtu(self) -> None:
        """A network's MTU is that of its bridge and of both ends of what is made for it, now and when it changes."""
        guest = self.lab.namespace()
        network = self.network(mtu=1400)
        veth = self.plug_veth(network, guest, "veth")["plugin"]["device"]
        tap = self.plug(network, "tap", device={"create": "tap"})["plugin"]["device"]

        def mtus() -> set[str]:
            shown = [self.host.ip(f"-o link show {name}") for name in (veth, tap, self.bridge(network))]
            return {line.split(" mtu ")[1].split()[0] for line in [*shown, guest.ip("-o link show eth0")]}

        self.assertEqual({"1400"}, mtus())
        self.ask("PUT", f"/networks/{network}", {"network": {"options": {"mtu": 1300}}}, wait=10)
        eventually(lambda: mtus() == {"1300"}, f"an MTU of 1300 everywhere, not {mtus()}")
        self.ask("PUT", f"/networks/{network}", {"network": {"options": {"mtu": None}}}, wait=10)
        eventually(lambda: mtus() == {"1500"}, f"an MTU of 1500 everywhere, not {mtus()}")
        self.ask("PUT", f"/networks/{network}", {"network": {"options": {"mtu": 67}}}, status=400)

    def test_stranger_with_the_bridge_s_name(self) -> None:
        """A lookalike is not taken for ours: another name is chosen, or the fault names it."""
        ident = "11111111-1111-4111-8111-111111111111"
        self.host.ip("link add q-1111111111114 type bridge")
        network = self.ask("POST", "/networks", {"network": {"name": "n", "id": ident}}, wait=10)["network"]
        self.assertEqual("Active", network["status"])
        bridge = network["plugin"]["bridge"]
        self.assertNotEqual("q-1111111111114", bridge)
        self.kill_daemon()
        self.host.ip(f"link del {bridge}")
        self.host.ip(f"link add {bridge} type bridge")
        index = self.host.links()[bridge]
        self.daemon = self.run_daemon()

        def failed() -> bool:
            fault = self.ask("GET", f"/networks/{ident}")["network"]["fault"]
            return fault is not None and bridge in fault["message"]

        eventually(failed, "a fault that names the holder")
        self.ask("DELETE", f"/networks/{ident}", wait=5)
        self.assertEqual(index, self.host.links()[bridge], "the stranger stays")


class ForeignTests(LinuxCase):
    """Devices of others: named, or waited for."""

    def device(self, name: str, *, up: bool = True) -> None:
        self.host.ip(f"link add {name} type veth peer name {name}-peer")
        self.host.ip(f"link set {name}-peer up")
        if up:
            self.host.ip(f"link set {name} up")

    def test_named(self) -> None:
        """It is plugged, set up and marked, and given back as it was."""
        self.device("mine0", up=False)
        index = self.host.links()["mine0"]
        network = self.network()
        plugged = self.plug(network, "vm", device={"name": "mine0"})
        self.assertEqual("Attached/UP", plugged["status"])
        self.assertFalse(plugged["managed"])
        self.assertEqual(
            {"device": "mine0", "bridge": self.bridge(network)}, plugged["plugin"], "what the plugin reports"
        )
        shown = self.host.ip("link show mine0")
        self.assertIn(f"master {self.bridge(network)}", shown)
        self.assertIn(f"altname quantum-{plugged['port_id']}", shown)
        self.unplug(plugged)
        shown = self.host.ip("link show mine0")
        self.assertNotIn("master", shown)
        self.assertNotIn("altname", shown)
        self.assertEqual(index, self.host.links()["mine0"])

    def test_one_device_of_two_names(self) -> None:
        """The same device is told by all of its names, before and after it has been renamed."""
        self.device("mine0")
        self.host.ip("link property add dev mine0 altname a-name-of-more-than-fifteen-bytes")
        network = self.network()
        plugged = self.plug(network, "a-name-of-more-than-fifteen-bytes")
        for device in ({"device": {"name": "mine0"}}, {"type": "bridge", "device": {"name": "mine0"}}):
            self.plug(network, "other", status=423, **device)
        self.plug(network, "mine0", status=423)
        self.host.ip("link set mine0 down")
        self.host.ip("link set mine0 name mine1")
        eventually(lambda: self.look(plugged)["plugin"].get("device") == "mine1", "the new name is known")
        self.plug(network, "mine1", status=423)
        self.unplug(plugged)
        self.plug(network, "mine1")

    def test_guest_behind_it(self) -> None:
        """A guest on somebody's tap does not reach the host by the groups that a bridge leaves to the port itself."""
        self.host.ip("link add host0 type veth peer name far")
        for name in ("host0", "far"):
            self.host.ip(f"link set {name} up")
        self.host.ip("address add 10.1.0.1/24 dev host0")
        self.host.inside(sysctl.write, "ipv4", "all", "rp_filter", 0)
        self.device("tap7")
        listener = self.host.inside(socket.socket, socket.AF_INET, socket.SOCK_DGRAM)
        self.addCleanup(listener.close)
        listener.bind(("10.1.0.1", 4000))
        listener.settimeout(0.3)
        frame = frames.udp4("01:80:c2:00:00:0e", "02:00:00:00:00:01", "10.1.0.66", "10.1.0.1", b"x")

        def arrives() -> bool:
            with self.host.port("tap7-peer") as peer:
                peer.send(frame)
            try:
                return listener.recv(9) == b"x"
            except TimeoutError:
                return False

        self.host.inside(sysctl.write, "ipv4", "tap7", "rp_filter", 0)
        self.assertTrue(arrives(), "the try is a good one")
        plugged = self.plug(self.network(), "vm", device={"name": "tap7"})
        self.assertFalse(arrives())
        self.unplug(plugged)
        self.assertTrue(arrives(), "the device is as it was")

    def test_appears(self) -> None:
        """A device that is waited for is plugged within 100 ms of its coming, by name or altname, up or down."""
        network = self.network()
        long = "vm-with-a-name-of-more-than-fifteen-bytes"
        ways = {
            "late0": ["link add late0 type veth peer name p0"],
            "other": ["link add x1 type veth peer name p1", "link property add dev x1 altname other"],
            long: ["link add x2 type veth peer name p2", "link set x2 up", f"link property add dev x2 altname {long}"],
        }
        for number, (ident, commands) in enumerate(ways.items()):
            plugged = self.plug(network, ident, wait=0)
            eventually(lambda one=plugged: self.look(one)["status"] == "InProgress", "waits")
            time.sleep(0.1)
            self.assertIsNone(self.look(plugged)["fault"])
            for command in commands:
                self.host.ip(command)
            began = time.monotonic()
            self.settles(plugged, "Attached/DOWN")
            self.assertLess(time.monotonic() - began, 0.1, ident)
            self.host.ip(f"link set p{number} up")
            self.settles(plugged, "Attached/UP")
            self.assertEqual({"late0": "late0"}.get(ident, f"x{number}"), self.look(plugged)["plugin"]["device"])

    def test_goes_and_comes_back(self) -> None:
        """A device that goes away is down, and plugged again when it comes back."""
        self.device("tap7")
        network = self.network()
        plugged = self.plug(network, "vm", device={"name": "tap7"})
        self.host.ip("link del tap7")
        self.settles(plugged, "Attached/DOWN")
        self.device("tap7")
        self.settles(plugged, "Attached/UP")
        self.assertIn("master", self.host.ip("link show tap7"))

    def test_set_down(self) -> None:
        """A device of somebody's that is set down stays down, and is told of."""
        self.device("tap7")
        plugged = self.plug(self.network(), "vm", device={"name": "tap7"})
        self.host.ip("link set tap7 down")
        self.settles(plugged, "Attached/DOWN")
        time.sleep(0.3)
        self.assertEqual("Attached/DOWN", self.look(plugged)["status"])
        self.host.ip("link set tap7 up")
        self.settles(plugged, "Attached/UP")

    def test_taken_out(self) -> None:
        """A device that somebody takes out of its bridge is put back."""
        self.device("tap7")
        network = self.network()
        self.plug(network, "vm", device={"name": "tap7"})
        self.host.ip("link set tap7 nomaster")
        eventually(lambda: f"master {self.bridge(network)}" in self.host.ip("link show tap7"), "it is back")

    def test_guard(self) -> None:
        """What the host itself needs is not taken: not by name, id or altname, not later, but by force."""
        network = self.network()
        for name, address in (("host4", "192.0.2.1/24"), ("host6", "2001:db8::1/64"), ("local", "fe80::7/64")):
            self.device(name)
            self.host.ip(f"address add {address} dev {name} {'nodad' if ':' in address else ''}")
        self.device("route")
        self.host.ip("route add default dev route")
        self.host.ip("link property add dev host4 altname main")
        forms: list[tuple[str, dict[str, Any]]] = [
            ("a", {"device": {"name": "host4"}}),
            ("b", {"device": {"name": "host6"}}),
            ("c", {"device": {"name": "route"}}),
            ("d", {"device": {"name": "main"}}),
            ("e", {"type": "bridge", "device": {"name": "host4"}}),
            ("host4", {}),
            ("main", {}),
        ]
        for ident, form in forms:
            problem = self.plug(network, ident, status=400, **form)
            path = "attachment.device.name" if "device" in form else "attachment.id"
            self.assertEqual([path], [error["path"] for error in problem["errors"]], problem)
        plugged = self.plug(network, "local", device={"name": "local"})
        self.assertEqual("Attached/UP", plugged["status"], "a link-local address does not count")
        forced = self.plug(network, "forced", device={"name": "host4"}, force=True)
        self.assertEqual("Attached/UP", forced["status"])
        later = self.plug(network, "later", wait=0, device={"name": "later"})
        self.kill_daemon()
        self.device("later")
        self.host.ip("address add 192.0.2.9/24 dev later")
        self.daemon = self.run_daemon()
        fault = self.settles(later, "Failed")["fault"]
        self.assertIn("192.0.2.9", fault["message"])
        self.host.ip("address del 192.0.2.9/24 dev later")
        self.settles(later, "Attached/UP", 35)

    def test_in_somebody_s_bridge(self) -> None:
        """A device that is in another bridge is not taken out of there."""
        self.device("tap7")
        self.host.ip("link add theirs type bridge")
        self.host.ip("link set tap7 master theirs")
        plugged = self.plug(self.network(), "vm", device={"name": "tap7"})
        self.assertEqual("Failed", plugged["status"])
        self.assertIn("theirs", plugged["fault"]["message"])
        self.assertIn("master theirs", self.host.ip("link show tap7"))
        self.host.ip("link set tap7 nomaster")
        self.settles(plugged, "Attached/UP", 35)

    def test_moves(self) -> None:
        """A VIF goes from one network to another: unplugged and plugged at once, and both done."""
        self.device("tap7")
        red, blue = self.network("red"), self.network("blue")
        plugged = self.plug(red, "vm", device={"name": "tap7"})
        self.ask("DELETE", self.path(plugged))
        moved = self.plug(blue, "vm", device={"name": "tap7"})
        self.assertEqual("Attached/UP", moved["status"])
        self.assertIn(f"master {self.bridge(blue)}", self.host.ip("link show tap7"))
        self.assertEqual(1, self.host.ip("link show tap7").count("altname"))

    def test_uplink(self) -> None:
        """A host interface extends the network; on a VLAN only where the kernel can."""
        guest = self.lab.namespace()
        self.device("up0")
        network = self.network()
        self.plug_veth(network, guest, "vm")
        uplink = self.plug(network, "up0", type="bridge", device={"name": "up0"})
        self.assertEqual("Attached/UP", uplink["status"])
        self.assertEqual(1, len(self.crossing((guest, "eth0"), (self.host, "up0-peer"))))
        self.assertEqual(1, len(self.crossing((self.host, "up0-peer"), (guest, "eth0"))))
        features = self.ask("GET", "/extensions")["capabilities"]
        if not str(features).count("'8021q': True"):
            problem = self.plug(network, "v", status=510, type="bridge", device={"name": "up1"}, vlan=7)
            self.assertIn("802.1Q", problem["detail"])
