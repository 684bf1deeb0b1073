"""The ovs plugin in a whole daemon: the use cases and every form of attachment, with real devices and real frames."""

from __future__ import annotations

import socket
import time

from quantumd.testing import frames
from quantumd.testing.lab import eventually
from tests.functional.linux import EXPERIMENT
from tests.functional.ovs import BRIDGE, OvsCase

GUEST = "02:00:00:00:00:77"


class NetworkTests(OvsCase):
    """Guests on networks."""

    def test_use_cases(self) -> None:
        """The five use cases of the proposal: a network; VMs, a port named or not; two VIFs; a move; an end."""
        one, two = self.lab.namespace(), self.lab.namespace()
        made = self.ask("POST", "/networks", {"network": {"name": "blue"}})["network"]
        self.assertEqual("InProgress", made["status"])
        blue, red = made["id"], self.network("red")
        port = self.ask("POST", f"/networks/{blue}/ports", wait=10)["port"]["id"]
        device = {"create": "veth", "netns": one.name, "ifname": "eth0"}
        body = {"attachment": {"id": "vm1-eth0", "device": device}}
        self.ask("PUT", f"/networks/{blue}/ports/{port}/attachment", body, wait=10)
        plugged = self.plug_veth(blue, two, "vm2-eth0")
        second = self.plug_veth(red, two, "vm2-eth1", "eth1")
        listed = self.ask("GET", f"/networks/{blue}/attachments")["attachments"]
        self.assertEqual([("vm1-eth0", "Attached/UP"), ("vm2-eth0", "Attached/UP")], [
            (item["id"], item["status"]) for item in listed
        ])  # fmt: skip
        one.ip("address add 10.5.0.1/24 dev eth0")
        two.ip("address add 10.5.0.2/24 dev eth0")
        self.reach(one, two, "10.5.0.2")
        self.ask("DELETE", self.path(plugged))
        moved = self.plug_veth(red, two, "vm2-eth0")
        self.assertEqual([], self.crossing((one, "eth0"), (two, "eth0")))
        first = self.ask("GET", f"/networks/{blue}/ports/{port}/attachment")["attachment"]
        for item in (first, second, moved):
            self.unplug(item)
        self.delete(blue)
        self.delete(red)
        self.is_as_before()
        self.assertEqual(({}, {}), (one.links(), two.links()))

    def test_different_networks(self) -> None:
        """Not one frame crosses: broadcast, ARP, IPv6 multicast, or to a guest's own address; nor with a tag on it."""
        one, two, beside = self.lab.namespace(), self.lab.namespace(), self.lab.namespace()
        red, blue = self.network("red"), self.network("blue", vlan=7)
        self.plug_veth(red, one, "one")
        self.plug_veth(red, beside, "beside")
        self.plug_veth(blue, two, "two", mac="02:00:00:00:00:02")
        tagged = b"\x00\x07\x08\x06"
        sent = [
            frames.ethernet(frames.BROADCAST, GUEST, EXPERIMENT, b"to all"),
            frames.arp_request(GUEST, "10.5.0.1", "10.5.0.2"),
            frames.neighbour_solicitation(GUEST, "fe80::1", "fe80::2"),
            frames.ethernet("33:33:00:00:00:fb", GUEST, EXPERIMENT, b"to some"),
            frames.ethernet("02:00:00:00:00:02", GUEST, EXPERIMENT, b"to one"),
        ]
        double = frames.ethernet(frames.BROADCAST, GUEST, 0x8100, tagged + b"into another network's VLAN")
        with two.port("eth0") as target:
            self.assertEqual(5, len(self.crossing((one, "eth0"), (beside, "eth0"), [*sent, double])), "they are sent")
            self.assertEqual([], [seen for seen in target.received() if seen.source == GUEST])

    def test_vlans(self) -> None:
        """A VLAN is chosen or given, nobody else's, told of, kept over restarts, and changed where it is asked."""
        guest, beside = self.lab.namespace(), self.lab.namespace()
        one, two = self.network("one"), self.network("two", vlan=100)
        self.assertEqual(100, self.vlan(two))
        self.assertNotIn(self.vlan(one), (100, 0))
        body = {"network": {"name": "three", "options": {"vlan": 100}}}
        self.assertEqual("IdInUse", self.ask("POST", "/networks", body, status=409)["title"].title().replace(" ", ""))
        for bad in (0, 4095, "7", 1.5):
            problem = self.ask("POST", "/networks", {"network": {"name": "x", "options": {"vlan": bad}}}, status=400)
            self.assertEqual(["network.options.vlan"], [error["path"] for error in problem["errors"]])
        plugged = self.plug_veth(two, guest, "vm")
        self.plug_veth(two, beside, "beside")
        self.assertEqual("100", self.port(plugged, "tag"))
        self.ask("PUT", f"/networks/{two}", {"network": {"options": {"vlan": 200}}}, wait=10)
        eventually(lambda: self.port(plugged, "tag") == "200", "its ports follow")
        self.assertEqual(1, len(self.crossing((guest, "eth0"), (beside, "eth0"))))
        before = self.vlan(one), self.vlan(two)
        self.kill_daemon()
        self.daemon = self.run_daemon()
        self.assertEqual(before, (self.vlan(one), self.vlan(two)))

    def test_mtu(self) -> None:
        """A network's MTU is that of what is made for it, now and when it changes."""
        guest, inner = self.lab.namespace(), self.lab.namespace()
        network = self.network(mtu=1400)
        veth = self.plug_veth(network, guest, "veth")["plugin"]["device"]
        tap = self.plug(network, "tap", device={"create": "tap"})["plugin"]["device"]
        self.plug(network, "in", device={"create": "internal", "netns": inner.name, "ifname": "eth0"})

        def mtus() -> set[str]:
            shown = [self.host.ip(f"-o link show {name}") for name in (veth, tap)]
            shown += [guest.ip("-o link show eth0"), inner.ip("-o link show eth0")]
            return {line.split(" mtu ")[1].split()[0] for line in shown}

        self.assertEqual({"1400"}, mtus())
        self.ask("PUT", f"/networks/{network}", {"network": {"options": {"mtu": 1300}}}, wait=10)
        eventually(lambda: mtus() == {"1300"}, f"an MTU of 1300 everywhere, not {mtus()}")

    def test_host_is_not_there(self) -> None:
        """The host takes no address from a guest's router advertisement, answers no ARP and hears no UDP of a guest's;
        nor does anything on the bridge's own port."""
        guest, other = self.lab.namespace(), self.lab.namespace()
        self.host.ip("address add 192.0.2.1/32 dev lo")
        self.host.ip(f"link set {BRIDGE} up")
        plugged = self.plug_veth(self.network(), guest, "vm")
        self.device("named", other)
        self.plug(plugged["network_id"], "other", device={"name": "named"})
        for device in (plugged["plugin"]["device"], "named"):
            # What ovs-vswitchd does with qdiscs is its own affair; the filters stay.
            self.assertIn(" bpf ", self.host.command("tc", "filter", "show", "dev", device, "ingress"))
        server = self.host.inside(_listening)
        self.addCleanup(server.close)
        for end in (guest, other):
            with end.port("eth0") as port, self.host.port(BRIDGE) as local:
                port.send(
                    frames.router_advertisement(GUEST, "fe80::77", "2001:db8:77::"),
                    frames.arp_request(GUEST, "192.0.2.77", "192.0.2.1"),
                    frames.udp4(frames.BROADCAST, GUEST, "192.0.2.77", "192.0.2.1", b"hello"),
                    frames.udp4(self.mac(str(plugged["plugin"]["device"])), GUEST, "192.0.2.77", "192.0.2.1", b"hi"),
                    frames.udp4(self.mac("named"), GUEST, "192.0.2.77", "192.0.2.1", b"hi"),
                    frames.udp4(self.mac(BRIDGE), GUEST, "192.0.2.77", "192.0.2.1", b"hi"),
                )
                time.sleep(0.5)
                self.assertEqual(
                    [], [seen for seen in port.received() if seen.source != GUEST and seen.ethertype == 0x0806]
                )
                self.assertEqual([], [seen for seen in local.received() if seen.source == GUEST])
        with self.assertRaises(BlockingIOError):
            server.recv(100)
        self.assertNotIn("2001:db8:77", self.host.ip("-6 address"))
        self.assertNotIn("fe80::77", self.host.ip("-6 route"))

    def mac(self, device: str) -> str:
        return self.host.ip(f"-o link show {device}").split("link/ether ")[1].split()[0]


def _listening() -> socket.socket:
    opened = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    opened.bind(("0.0.0.0", 4000))
    opened.setblocking(False)
    return opened


class LateTests(OvsCase):
    """Ports that a hypervisor puts on the bridge, and devices by name."""

    def test_there_already(self) -> None:
        """A port that is there is isolated until it is plugged, gets its VLAN and no more, and is isolated again."""
        guest, peer, other = self.lab.namespace(), self.lab.namespace(), self.lab.namespace()
        network = self.network()
        self.plug_veth(network, peer, "peer")
        for name, namespace in (("vnet0", guest), ("vnet1", other)):
            self.device(name, namespace)
            self.hypervisor_plugs(name, f"id-of-{name}")
        self.isolated("vnet0")
        self.assertEqual([], self.crossing((guest, "eth0"), (peer, "eth0")))
        self.assertEqual([], self.crossing((guest, "eth0"), (other, "eth0")), "nor others of its kind")
        before = self.switch.get("Interface", "vnet0", "external_ids"), self.switch.get("Port", "vnet0", "_uuid")
        plugged = self.plug(network, "id-of-vnet0")
        self.assertEqual(("Attached/UP", False), (plugged["status"], plugged["managed"]))
        self.assertEqual({"bridge": BRIDGE, "device": "vnet0"}, plugged["plugin"])
        self.assertEqual(str(self.vlan(network)), self.switch.get("Port", "vnet0", "tag"))
        self.assertEqual(1, len(self.crossing((guest, "eth0"), (peer, "eth0"))))
        self.assertEqual([], self.crossing((guest, "eth0"), (other, "eth0")))
        self.unplug(plugged)
        self.isolated("vnet0")
        self.assertEqual([], self.crossing((guest, "eth0"), (peer, "eth0")))
        after = self.switch.get("Interface", "vnet0", "external_ids"), self.switch.get("Port", "vnet0", "_uuid")
        self.assertEqual(before, after, "the port is as it was")
        self.assertNotIn("quantum", self.switch.get("Port", "vnet0", "external_ids"))
        self.assertNotIn("altname", self.host.ip("link show vnet0"))

    def isolated(self, name: str) -> None:
        def is_so() -> bool:
            return (self.switch.get("Port", name, "tag"), self.switch.get("Port", name, "protected")) == (
                "4095",
                "true",
            )

        eventually(is_so, f"{name} is isolated", 1)

    def test_comes_later(self) -> None:
        """A port that is waited for is plugged when it comes, within 100 ms, and again each time that its VM starts."""
        guest, peer = self.lab.namespace(), self.lab.namespace()
        network = self.network()
        self.plug_veth(network, peer, "peer")
        plugged = self.plug(network, "vm1", wait=0)
        eventually(lambda: self.look(plugged)["status"] == "InProgress", "it waits")
        self.device("vnet0", guest)
        for status in ("Attached/DOWN", "Attached/DOWN"):
            self.hypervisor_plugs("vnet0", "vm1", "tag=4095")
            began = time.monotonic()
            self.settles(plugged, "Attached/UP")
            self.assertLess(time.monotonic() - began, 0.1)
            self.assertEqual(1, len(self.crossing((guest, "eth0"), (peer, "eth0"))))
            self.switch.vsctl("del-port", "vnet0")
            self.settles(plugged, status)

    def test_goes_to_another_device(self) -> None:
        """An id, or a name, that goes to another device takes the attachment along, though the old device stays."""
        network = self.network()
        bound, named = self.plug(network, "vm1", wait=0), self.plug(network, "vm2", wait=0, device={"name": "tap7"})
        for name in ("vnet0", "vnet1", "tap7", "tap8"):
            self.device(name)
        self.hypervisor_plugs("vnet0", "vm1")
        self.hypervisor_plugs("vnet1", "vm1")
        for plugged in (bound, named):
            self.settles(plugged, "Attached/UP")
        self.switch.vsctl("del-port", "vnet0")
        self.host.ip("link set tap7 down")
        self.host.ip("link set tap7 name old7")
        self.host.ip("link set tap8 down")
        self.host.ip("link set tap8 name tap7")
        for plugged, device, before in ((bound, "vnet1", "vnet0"), (named, "tap7", "old7")):
            eventually(lambda plugged=plugged: self.port(self.look(plugged), "tag") == str(self.vlan(network)), device)
            self.assertEqual(device, self.settles(plugged, "Attached/UP")["plugin"]["device"])
            self.assertIn(f"altname quantum-{plugged['port_id']}", self.host.ip(f"link show {device}"))
            self.assertNotIn("altname", self.host.ip(f"link show {before}"))

    def test_strangers(self) -> None:
        """Ports without an iface-id and without our mark are left alone; a trunk with one is no trunk any more."""
        for name in ("theirs", "trunk"):
            self.device(name)
        self.switch.vsctl("add-port", BRIDGE, "theirs")
        self.hypervisor_plugs("trunk", "vm1", "vlan_mode=trunk", "trunks=[1,2,3]")
        eventually(lambda: self.switch.get("Port", "trunk", "tag") == "4095", "it is isolated")
        self.assertEqual("[]", self.switch.get("Port", "trunk", "trunks"))
        self.assertEqual(
            ("[]", "false"), (self.switch.get("Port", "theirs", "tag"), self.switch.get("Port", "theirs", "protected"))
        )

    def test_named(self) -> None:
        """A device by name is made a port, set up and marked, and taken out again as it was."""
        self.device("mine0")
        self.host.ip("link set mine0 down")
        index, network = self.host.links()["mine0"], self.network()
        plugged = self.plug(network, "vm", device={"name": "mine0"})
        self.assertEqual(("Attached/UP", False), (plugged["status"], plugged["managed"]))
        self.assertEqual({"bridge": BRIDGE, "device": "mine0"}, plugged["plugin"])
        self.assertIn(f"altname quantum-{plugged['port_id']}", self.host.ip("link show mine0"))
        ids = self.switch.get("Interface", "mine0", "external_ids")
        for part in ("iface-id=vm", "iface-status=active", plugged["port_id"], network):
            self.assertIn(part, ids)
        self.unplug(plugged)
        self.assertNotIn("Port mine0", self.rows())
        self.assertNotIn("altname", self.host.ip("link show mine0"))
        self.assertEqual(index, self.host.links()["mine0"])

    def test_two_names(self) -> None:
        """A device is one device, whichever of its names it is asked for by."""
        self.device("mine0")
        self.host.ip("link property add dev mine0 altname other0")
        network = self.network()
        self.plug(network, "vm", device={"name": "mine0"})
        self.plug(network, "other", device={"name": "other0"}, status=423)
        # An attachment's id is no name of a device here.
        self.assertEqual("InProgress", self.plug(network, "mine0", wait=1)["status"])

    def test_named_goes_and_comes_back(self) -> None:
        """A device that is removed and made again is a port again, and carries frames: the switch has the new one."""
        guest, peer = self.lab.namespace(), self.lab.namespace()
        network = self.network()
        self.plug_veth(network, peer, "peer")
        plugged = self.plug(network, "vm", wait=0, device={"name": "tap7"})
        for _ in range(3):
            self.device("tap7", guest)
            self.settles(plugged, "Attached/UP")
            self.assertEqual(1, len(self.crossing((guest, "eth0"), (peer, "eth0"))))
            self.assertEqual(1, len(self.crossing((peer, "eth0"), (guest, "eth0"))))
            self.host.ip("link del tap7")
            self.settles(plugged, "Attached/DOWN")
        # At once, too, when the switch may not have noticed that it was gone.
        self.device("tap7", guest)
        self.settles(plugged, "Attached/UP")
        self.host.ip("link del tap7")
        self.device("tap7", guest)
        eventually(lambda: self.crossing((guest, "eth0"), (peer, "eth0")), "frames pass")
        eventually(lambda: self.crossing((peer, "eth0"), (guest, "eth0")), "frames pass")

    def test_named_down(self) -> None:
        """The state of a device is what the switch says, and is told when it changes."""
        self.device("tap7")
        plugged = self.plug(self.network(), "vm", device={"name": "tap7"})
        for command, status in (
            ("link set tap7-peer down", "Attached/DOWN"),
            ("link set tap7-peer up", "Attached/UP"),
            ("link set tap7 down", "Attached/DOWN"),
            ("link set tap7 up", "Attached/UP"),
        ):
            self.host.ip(command)
            self.settles(plugged, status, 1)

    def test_in_somebody_s_bridge(self) -> None:
        """A device that is on another bridge, of the kernel or of the switch, is not taken from there."""
        network = self.network()
        self.device("tap7")
        self.host.ip("link add theirs type bridge")
        self.host.ip("link set tap7 master theirs")
        self.device("tap8")
        self.switch.vsctl("add-br", "br-ex", "--", "set", "Bridge", "br-ex", "datapath_type=netdev")
        self.switch.vsctl("add-port", "br-ex", "tap8", "--", "set", "Interface", "tap8", "external_ids:iface-id=bound")
        for ident, form, holder in (
            ("a", {"device": {"name": "tap7"}}, "theirs"),
            ("b", {"device": {"name": "tap8"}}, "br-ex"),
            ("bound", {}, "br-ex"),
        ):
            plugged = self.plug(network, ident, **form)
            self.assertEqual("Failed", plugged["status"])
            self.assertIn(holder, plugged["fault"]["message"])
        self.assertEqual({"tap8"}, self.switch.ports("br-ex"))
        self.assertIn("master theirs", self.host.ip("link show tap7"))

    def test_guard(self) -> None:
        """What the host itself needs is not taken, in whatever form it is named, but by force."""
        network = self.network()
        self.device("host4")
        self.host.ip("address add 192.0.2.1/24 dev host4")
        self.hypervisor_plugs("host4", "bound")
        for ident, form in (
            ("a", {"device": {"name": "host4"}}),
            ("b", {"type": "bridge", "device": {"name": "host4"}}),
        ):
            problem = self.plug(network, ident, status=400, **form)
            self.assertEqual(["attachment.device.name"], [error["path"] for error in problem["errors"]])
        problem = self.plug(network, "bound", status=400)
        self.assertEqual(["attachment.id"], [error["path"] for error in problem["errors"]])
        forced = self.plug(network, "bound", force=True)
        self.assertEqual("Attached/UP", forced["status"])
        self.device("later")
        later = self.plug(network, "late", wait=0)
        eventually(lambda: self.look(later)["status"] == "InProgress", "it waits")
        self.host.ip("address add 192.0.2.9/24 dev later")
        self.hypervisor_plugs("later", "late")
        self.assertIn("192.0.2.9", self.settles(later, "Failed")["fault"]["message"])


class MadeTests(OvsCase):
    """Devices that quantumd makes."""

    def test_marks(self) -> None:
        """What is made bears the ids that hypervisors and people look for."""
        guest = self.lab.namespace()
        network = self.network()
        plugged = self.plug_veth(network, guest, "vm", mac="02:00:00:00:00:05")
        ids = self.switch.get("Interface", plugged["plugin"]["device"], "external_ids")
        for part in (
            "iface-id=vm",
            "iface-status=active",
            'attached-mac="02:00:00:00:00:05"',
            plugged["port_id"],
            network,
        ):
            self.assertIn(part, ids)
        self.assertIn(f"altname quantum-{plugged['port_id']}", self.host.ip(f"link show {plugged['plugin']['device']}"))

    def test_tap(self) -> None:
        """A tap is made for a hypervisor, that user's, and is up when somebody has opened it."""
        plugged = self.plug(self.network(), "vm", device={"create": "tap", "owner_uid": 54321, "multi_queue": False})
        self.assertEqual("Attached/DOWN", plugged["status"])
        device = plugged["plugin"]["device"]
        shown = self.host.ip(f"-d link show {device}")
        self.assertIn("type tap", shown)
        self.assertIn("persist on user 54321", shown)

    def test_internal(self) -> None:
        """An internal port goes into its namespace, carries frames, comes back after the switch, and goes."""
        guest, peer = self.lab.namespace(), self.lab.namespace()
        network = self.network()
        self.plug_veth(network, peer, "peer")
        device = {"create": "internal", "netns": guest.name, "ifname": "eth0", "mac": "02:00:00:00:00:06"}
        plugged = self.plug(network, "in", device=device)
        self.assertEqual(("Attached/UP", True), (plugged["status"], plugged["managed"]), plugged)
        self.assertIn("02:00:00:00:00:06", guest.ip("link show eth0"))
        self.assertEqual(1, len(self.crossing((guest, "eth0"), (peer, "eth0"))))
        self.assertEqual(1, len(self.crossing((peer, "eth0"), (guest, "eth0"))))
        index = guest.links()["eth0"]
        self.kill_daemon()
        self.daemon = self.run_daemon()
        self.assertEqual("Attached/UP", self.settles(plugged, "Attached/UP")["status"])
        self.assertEqual(index, guest.links()["eth0"])
        self.switch.stop_switch()
        self.switch.start_switch()
        eventually(lambda: guest.links().get("eth0") not in (index, None), "it is there again")
        self.settles(plugged, "Attached/UP")
        self.assertEqual(1, len(self.crossing((peer, "eth0"), (guest, "eth0"))))
        self.assertEqual({"eth0"}, set(guest.links()))
        self.unplug(plugged)
        self.assertEqual({}, guest.links())
        problem = self.plug(network, "in", status=400, device={"create": "internal"})
        self.assertEqual(
            {"attachment.device.netns", "attachment.device.ifname"}, {e["path"] for e in problem["errors"]}
        )
        self.assertIn("internal", str(self.ask("GET", "/extensions")))

    def test_namespace_comes_and_goes(self) -> None:
        """A namespace that is not there is waited for, and one that comes back gets its device again."""
        name = self.lab.unique()
        network = self.network()
        for create in ("veth", "internal"):
            plugged = self.plug(network, create, wait=0, device={"create": create, "netns": name, "ifname": create})
            eventually(lambda one=plugged: self.look(one)["status"] == "InProgress", "it waits")
            for _ in range(2):
                guest = self.lab.namespace(name)
                self.settles(plugged, "Attached/UP")
                self.assertIn(create, guest.links())
                guest.delete()
                self.settles(plugged, "Attached/DOWN")
            self.unplug(plugged)

    def test_names(self) -> None:
        """A name that somebody holds is not taken; the fault says who has it."""
        network = self.network()
        self.device("mine")
        self.switch.vsctl("add-port", BRIDGE, "port", "--", "set", "Interface", "port", "type=internal")
        for name in ("mine", "port"):
            plugged = self.plug(network, name, device={"create": "tap", "name": name})
            self.assertEqual("Failed", plugged["status"])
            self.assertIn(name, plugged["fault"]["message"])
            self.unplug(plugged)
        self.assertIn("Port port", self.rows())
        self.assertIn("mine", self.host.links())
