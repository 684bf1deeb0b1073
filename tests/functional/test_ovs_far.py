"""The ovs plugin beyond the host: uplinks on provider bridges, and tunnels to other switches and to Linux bridges."""

from __future__ import annotations

import socket
import time
from typing import Any

from quantumd.host.ethtool import no_transmit_checksums
from quantumd.testing import frames
from quantumd.testing.lab import Namespace, eventually
from tests.functional.linux import EXPERIMENT, LinuxCase
from tests.functional.ovs import OvsCase
from tests.functional.processes import DaemonCase

GUEST = "02:00:00:00:00:77"


def tagged(vlan: int, text: bytes) -> bytes:
    """A frame to everybody with an 802.1Q tag."""
    inner = EXPERIMENT.to_bytes(2) + text
    return frames.ethernet(frames.BROADCAST, GUEST, 0x8100, vlan.to_bytes(2) + inner)


class UplinkTests(OvsCase):
    def setUp(self) -> None:
        super().setUp()
        self.outside = self.lab.namespace()
        self.host.ip(f"link add eth1 type veth peer name eth0 netns {self.outside.name}")
        self.outside.ip("link set eth0 up")
        self.before["eth1"] = self.host.links()["eth1"]

    def uplink(self, network: str, ident: str, **more: Any) -> dict[str, Any]:
        return self.plug(network, ident, type="bridge", device={"name": "eth1"}, **more)

    def test_vlans(self) -> None:
        """Two networks go out by one interface on two VLANs, a third untagged; the outside's VLANs are its own."""
        guests = [self.lab.namespace() for _ in range(3)]
        networks = [self.network(name, vlan=vlan) for name, vlan in (("a", 20), ("b", 30), ("c", 40))]
        for network, guest in zip(networks, guests, strict=True):
            self.plug_veth(network, guest, f"vm-{network[:8]}")
        plugs = [
            self.uplink(networks[0], "up-a", vlan=30),
            self.uplink(networks[1], "up-b", vlan=20),
            self.uplink(networks[2], "up-c"),
        ]
        for plugged in plugs:
            self.assertEqual("Attached/UP", plugged["status"], plugged)
            self.assertEqual("eth1", plugged["plugin"]["device"])
        sent = [tagged(30, b"for a"), tagged(20, b"for b"), tagged(50, b"for nobody")]
        sent.append(frames.ethernet(frames.BROADCAST, GUEST, EXPERIMENT, b"for c"))
        heard = []
        with self.outside.port("eth0") as out:
            ports = [guest.inside(_Ear, "eth0") for guest in guests]
            out.send(*sent)
            time.sleep(0.3)
            heard = [ear.texts() for ear in ports]
        self.assertEqual([[b"for a"], [b"for b"], [b"for c"]], heard)
        for guest, vlan in zip(guests, (30, 20, None), strict=True):
            ear = self.outside.inside(_Ear, "eth0")
            with guest.port("eth0") as port:
                port.send(frames.ethernet(frames.BROADCAST, GUEST, EXPERIMENT, b"out"))
                time.sleep(0.3)
            self.assertEqual([(vlan, b"out")], ear.tagged())
        self.kill_daemon()
        self.daemon = self.run_daemon()
        for plugged in plugs:
            self.settles(plugged, "Attached/UP")
            self.unplug(plugged)
        self.assertEqual({"br-int"}, set(self.switch.vsctl("list-br").split()))
        self.assertNotIn("altname", self.host.ip("link show eth1"))

    def test_nothing_stays(self) -> None:
        """The provider bridge goes with the last uplink, and the host is as it was."""
        network = self.network()
        one, two = self.uplink(network, "one", vlan=5), self.uplink(self.network("two"), "two", vlan=6)
        self.assertIn("qp-eth1", self.switch.vsctl("list-br"))
        self.unplug(one)
        self.assertIn("qp-eth1", self.switch.vsctl("list-br"))
        self.settles(two, "Attached/UP")
        self.unplug(two)
        self.is_as_before()

    def test_drift(self) -> None:
        """What is removed by hand is there again; a device that was made anew is taken in again."""
        guest = self.lab.namespace()
        network = self.network()
        self.plug_veth(network, guest, "vm")
        plugged = self.uplink(network, "up")
        patch = plugged["plugin"]["patch"]
        for command in (
            ("del-br", "qp-eth1"),
            ("del-port", patch),
            ("del-port", "eth1"),
            ("del-port", "qe" + patch[2:]),
        ):
            self.switch.vsctl(*command)
            eventually(lambda: self.passes(guest), f"{command} is mended", 3)
        self.host.ip("link del eth1")
        self.settles(plugged, "Attached/DOWN")
        self.host.ip(f"link add eth1 type veth peer name eth0 netns {self.outside.name}")
        self.outside.ip("link set eth0 up")
        self.settles(plugged, "Attached/UP")
        self.assertTrue(self.passes(guest))

    def passes(self, guest: Namespace) -> bool:
        return len(self.crossing((guest, "eth0"), (self.outside, "eth0"))) == 1

    def test_taken(self) -> None:
        """An interface that is in somebody's bridge, or carries the host's address, is not taken from there."""
        network = self.network()
        self.host.ip("address add 192.0.2.5/24 dev eth1")
        body = {"attachment": {"id": "up", "type": "bridge", "device": {"name": "eth1"}, "vlan": 7}}
        self.ask("POST", f"/networks/{network}/attachments", body, status=400)
        self.host.ip("address del 192.0.2.5/24 dev eth1")
        self.switch.vsctl("add-br", "br-ex", "--", "set", "Bridge", "br-ex", "datapath_type=netdev")
        self.switch.vsctl("add-port", "br-ex", "eth1")
        plugged = self.uplink(network, "up")
        self.assertEqual("Failed", plugged["status"])
        self.assertIn("br-ex", plugged["fault"]["message"])
        self.assertEqual({"eth1"}, self.switch.ports("br-ex"))


class _Ear:
    """Hears frames with their tags, which the kernel hands over beside them (packet(7), PACKET_AUXDATA)."""

    def __init__(self, device: str) -> None:
        self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
        self._socket.setsockopt(263, 8, 1)
        self._socket.setsockopt(263, 23, 1)
        self._socket.bind((device, 0))
        self._socket.setblocking(False)

    def tagged(self) -> list[tuple[int | None, bytes]]:
        """The VLANs and texts of the frames that came."""
        heard: list[tuple[int | None, bytes]] = []
        while True:
            try:
                data, extra, _, _ = self._socket.recvmsg(2048, 256)
            except BlockingIOError:
                self._socket.close()
                return heard
            if data[6:12].hex(":") != GUEST:
                continue
            vlan: int | None = None
            for level, kind, more in extra:
                if (level, kind) == (263, 8) and int.from_bytes(more[:4], "little") & 0x10:
                    vlan = int.from_bytes(more[16:18], "little") & 0xFFF
            if data[12:14] == b"\x81\x00":
                vlan, data = int.from_bytes(data[14:16]) & 0xFFF, data[:12] + data[16:]
            heard.append((vlan, data[14:].rstrip(b"\0")))

    def texts(self) -> list[bytes]:
        """The texts of the frames without a tag that came."""
        return [text for vlan, text in self.tagged() if vlan is None]


class TunnelTests(OvsCase):
    def setUp(self) -> None:
        super().setUp()
        self.wire = self.lab.namespace()
        self.wire.ip("link add wire type bridge")
        self.wire.ip("link set wire up")
        self.cable(self.host, "phys0")
        self.underlay("br-phys", "192.0.2.1/24", "phys0")

    def cable(self, host: Namespace, name: str) -> None:
        """Join a host to the wire between them all."""
        there = f"w{len(self.wire.links())}"
        host.ip(f"link add {name} type veth peer name {there} netns {self.wire.name}")
        self.wire.ip(f"link set {there} master wire up")
        host.ip(f"link set {name} up")
        # What a NIC would do with a tunnel's packets, a veth leaves undone, and the userspace datapath refuses them.
        self.assertEqual([], host.inside(no_transmit_checksums, [name]))

    def tunnel(self, case: LinuxCase, network: str, remote: str) -> dict[str, Any]:
        form = {"type": "tunnel", "tunnel": {"kind": "vxlan", "remote": remote, "vni": 77}}
        return case.plug(network, f"to-{remote}", **form)

    def test_many_remotes(self) -> None:
        """Frames go to each remote, come from each, and are never sent on from one to another."""
        guest = self.lab.namespace()
        network = self.network()
        self.plug_veth(network, guest, "vm")
        sites = []
        for number in (2, 3):
            site = self.lab.namespace()
            self.cable(site, "eth0")
            site.ip(f"address add 192.0.2.{number}/24 dev eth0")
            site.ip("link add vx0 type vxlan id 77 remote 192.0.2.1 dstport 4789")
            site.ip("link set vx0 up")
            sites.append(site)
            plugged = self.tunnel(self, network, f"192.0.2.{number}")
            self.assertEqual("Attached/UP", plugged["status"], plugged)
            self.assertEqual("true", self.port(plugged, "protected"))
        self.reach_by_frames(guest, "eth0", sites[0], "vx0")
        self.reach_by_frames(sites[1], "vx0", guest, "eth0")
        with sites[1].port("vx0") as other:
            self.assertEqual(1, len(self.crossing((sites[0], "vx0"), (guest, "eth0"))))
            self.assertEqual([], [seen for seen in other.received() if seen.ethertype == EXPERIMENT])
        problem = self.plug(self.network("red"), "x", status=423, type="tunnel",
                            tunnel={"kind": "vxlan", "remote": "192.0.2.2", "vni": 77})  # fmt: skip
        self.assertIn("77", problem["detail"])

    def reach_by_frames(self, one: Namespace, device: str, other: Namespace, its: str) -> None:
        """The first frames may go before the remote's address is known."""
        eventually(lambda: len(self.crossing((one, device), (other, its))) == 1, "frames pass")

    def test_linux_bridges(self) -> None:
        """A host on ``ovs`` and a host on ``linuxbridge`` carry one network between them, TCP and all."""
        mine, theirs = self.lab.namespace(), self.lab.namespace()
        network = self.network(mtu=1450)
        self.plug_veth(network, mine, "vm1")
        far = _FarHost(self, self.lab.namespace())
        self.addCleanup(far.doCleanups)
        self.cable(far.host, "eth0")
        far.host.ip("address add 192.0.2.2/24 dev eth0")
        other = far.network(mtu=1450)
        far.plug_veth(other, theirs, "vm2")
        for case, net, remote in ((self, network, "192.0.2.2"), (far, other, "192.0.2.1")):
            self.assertEqual("Attached/UP", self.tunnel(case, net, remote)["status"])
        mine.ip("address add 10.5.0.1/24 dev eth0")
        theirs.ip("address add 10.5.0.2/24 dev eth0")
        self.reach(mine, theirs, "10.5.0.2", 5)
        self.assertEqual(1 << 20, _tcp(mine, theirs, "10.5.0.2", 1 << 20))

    def test_no_way_out(self) -> None:
        """A tunnel that the userspace datapath cannot send by is told of, and works when the way is there."""
        network = self.network()
        self.cable(self.host, "kernel0")
        self.host.ip("address add 198.51.100.1/24 dev kernel0")
        by_kernel = self.tunnel(self, network, "198.51.100.2")
        self.assertEqual("Failed", by_kernel["status"])
        self.assertIn("kernel0", by_kernel["fault"]["message"])
        nowhere = self.tunnel(self, network, "203.0.113.2")
        self.assertEqual("Failed", nowhere["status"])
        self.assertIn("no route to 203.0.113.2", nowhere["fault"]["message"])
        self.host.ip("route add 203.0.113.0/24 via 192.0.2.2")
        self.settles(nowhere, "Attached/UP", 10)

    def test_tcp(self) -> None:
        """TCP passes between two guests of the userspace datapath: their ends compute checksums."""
        one, two = self.lab.namespace(), self.lab.namespace()
        network = self.network()
        self.plug_veth(network, one, "one")
        self.plug_veth(network, two, "two")
        one.ip("address add 10.5.0.1/24 dev eth0")
        two.ip("address add 10.5.0.2/24 dev eth0")
        self.assertEqual(1 << 20, _tcp(one, two, "10.5.0.2", 1 << 20))


class _FarHost(LinuxCase):
    """A second host, with a daemon on Linux bridges."""

    __test__ = False

    def __init__(self, near: OvsCase, host: Namespace) -> None:
        super().__init__("setUp")
        DaemonCase.setUp(self)
        self.lab, self.host = near.lab, host
        self.daemon = self.run_daemon()


def _tcp(client: Namespace, server: Namespace, address: str, size: int) -> int:
    """Send so many bytes over TCP; gives how many came within 10 s."""
    listening = server.inside(_listen, address)
    sending = client.inside(_connect, listening.getsockname())
    accepted, _ = listening.accept()
    accepted.settimeout(10)
    sending.setblocking(False)
    left, came = size, 0
    deadline = time.monotonic() + 10
    while came < size and time.monotonic() < deadline:
        try:
            left -= sending.send(bytes(min(left, 1 << 16))) if left else 0
        except BlockingIOError:
            time.sleep(0.001)
        accepted.setblocking(False)
        try:
            came += len(accepted.recv(1 << 16))
        except BlockingIOError:
            time.sleep(0.001)
    for one in (listening, sending, accepted):
        one.close()
    return came


def _listen(address: str) -> socket.socket:
    return socket.create_server((address, 0))


def _connect(address: tuple[str, int]) -> socket.socket:
    return socket.create_connection(address, timeout=10)
