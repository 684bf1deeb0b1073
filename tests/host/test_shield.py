"""Whether the host is really off its guests' networks: a guest tries everything, packet by packet."""

from __future__ import annotations

import re
import socket
import time

from twisted.trial.unittest import SynchronousTestCase

from quantumd.host import shield, sysctl
from quantumd.host.netlink import drop, messages, parse
from quantumd.host.netlink.rtnl import Rtnl
from quantumd.host.netlink.wire import Reply
from quantumd.testing import frames
from quantumd.testing.lab import CommandFailed, Lab, Port, eventually

BRIDGE_MAC = "02:00:00:00:00:0a"
GUEST_MAC, GUEST_IP, GUEST_IP6 = "02:00:00:00:00:01", "10.1.0.66", "fe80::66"
HOST_IP, HOST_IP6 = "10.1.0.1", "2001:db8::1"
LLDP = "01:80:c2:00:00:0e"
PORT = 4000

UDP = {
    "to the bridge's MAC": frames.udp4(BRIDGE_MAC, GUEST_MAC, GUEST_IP, HOST_IP, b"x", PORT),
    "to loopback": frames.udp4(BRIDGE_MAC, GUEST_MAC, GUEST_IP, "127.0.0.1", b"x", PORT),
    "from the host's own address": frames.udp4(BRIDGE_MAC, GUEST_MAC, HOST_IP, HOST_IP, b"x", PORT),
    "broadcast": frames.udp4(frames.BROADCAST, GUEST_MAC, GUEST_IP, "255.255.255.255", b"x", PORT),
    "DHCP-like": frames.udp4(frames.BROADCAST, GUEST_MAC, "0.0.0.0", "255.255.255.255", b"x", PORT),
    "unicast in a broadcast frame": frames.udp4(frames.BROADCAST, GUEST_MAC, GUEST_IP, HOST_IP, b"x", PORT),
    "multicast": frames.udp4("01:00:5e:00:00:01", GUEST_MAC, GUEST_IP, "224.0.0.1", b"x", PORT),
    "in an LLDP frame": frames.udp4(LLDP, GUEST_MAC, GUEST_IP, HOST_IP, b"x", PORT),
    "DHCP-like in an LLDP frame": frames.udp4(LLDP, GUEST_MAC, "0.0.0.0", "255.255.255.255", b"x", PORT),
    "IPv6": frames.udp6(BRIDGE_MAC, GUEST_MAC, GUEST_IP6, HOST_IP6, b"x", PORT),
    "IPv6 in an LLDP frame": frames.udp6(LLDP, GUEST_MAC, GUEST_IP6, HOST_IP6, b"x", PORT),
    "IPv6 to all nodes": frames.udp6(frames.ALL_NODES_MAC, GUEST_MAC, GUEST_IP6, "ff02::1", b"x", PORT),
}
# What only the filters stop, not the switches.
NEEDS_FILTER = {"DHCP-like", "DHCP-like in an LLDP frame"}

QUESTIONS = {
    "ARP": frames.arp_request(GUEST_MAC, GUEST_IP, HOST_IP),
    "ARP from nobody": frames.arp_request(GUEST_MAC, "0.0.0.0", HOST_IP),
    "ARP to the bridge's MAC": frames.arp_request(GUEST_MAC, GUEST_IP, HOST_IP, BRIDGE_MAC),
    "ARP in an LLDP frame": frames.arp_request(GUEST_MAC, GUEST_IP, HOST_IP, LLDP),
    "neighbour discovery": frames.neighbour_solicitation(GUEST_MAC, GUEST_IP6, HOST_IP6),
    "neighbour discovery of the bridge": frames.neighbour_solicitation(GUEST_MAC, GUEST_IP6, "fe80::ff:fe00:a"),
}


class ShieldTests(SynchronousTestCase):
    """A host with addresses of its own, a bridge, and a guest plugged into it."""

    def setUp(self) -> None:
        self.lab = Lab()
        self.addCleanup(self.lab.close)
        self.host, self.guest = self.lab.namespace(), self.lab.namespace()
        self.rtnl = self.host.inside(Rtnl)
        self.addCleanup(self.rtnl.close)
        # As Ubuntu and systemd have it; the stricter of "all" and the device's own does not win, the larger does.
        self.host.inside(sysctl.write, "ipv4", "all", "rp_filter", 2)
        self.host.ip("link add uplink type veth peer name far")
        self.host.ip("link set uplink up")
        self.host.ip("link set far up")
        self.host.ip(f"address add {HOST_IP}/24 dev uplink")
        self.host.ip(f"address add {HOST_IP6}/64 dev uplink nodad")
        self.rtnl.one(messages.create_bridge("br0", BRIDGE_MAC))
        self.host.ip(f"link add tap0 type veth peer name eth0 netns {self.guest.name}")
        self.silence("eth0")
        self.guest.ip(f"link set eth0 address {GUEST_MAC} up")
        self.listeners = [
            self.host.inside(self._listen, socket.AF_INET, "0.0.0.0"),
            self.host.inside(self._listen, socket.AF_INET6, "::"),
        ]
        for listener in self.listeners:
            self.addCleanup(listener.close)

    @staticmethod
    def _listen(family: socket.AddressFamily, address: str) -> socket.socket:
        opened = socket.socket(family, socket.SOCK_DGRAM)
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            opened.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        opened.bind((address, PORT))
        opened.setblocking(False)
        return opened

    def link(self, name: str) -> parse.Link:
        (found,) = self.rtnl.links([name])
        assert found is not None
        return found

    def silence(self, device: str) -> None:
        """Keep the guest's own kernel from sending anything."""
        self.guest.inside(sysctl.write, "ipv6", device, "disable_ipv6", 1)

    def shield(self) -> None:
        """Shield bridge and port as a plugin does, then set both up."""
        bridge, port = self.link("br0"), self.link("tap0")
        self.assertEqual(self.host.inside(shield.shield_bridges, self.rtnl, [bridge]), {})
        self.assertEqual(self.host.inside(shield.shield_ports, self.rtnl, [port]), {})

    def connect(self) -> None:
        self.host.ip("link set br0 up")
        self.host.ip("link set tap0 master br0 up")
        eventually(lambda: self.link("br0").running, "carrier")

    def delivered(self) -> int:
        """How many datagrams came to the host's sockets since the last call."""
        count = 0
        for listener in self.listeners:
            while True:
                try:
                    listener.recv(100)
                except BlockingIOError:
                    break
                count += 1
        return count

    def reaching(self, eth0: Port, witness: Port, sent: dict[str, bytes]) -> set[str]:
        """Which of the frames make the host answer, or are delivered to it."""
        reached = set()
        for name, frame in sent.items():
            witness.received()
            eth0.received()
            eth0.send(frame)
            # A frame that the guest's neighbour sees has passed the bridge, where the host would have got it.
            eth0.send(frames.ethernet(frames.BROADCAST, GUEST_MAC, 0x88B5, b"done"))
            eventually(lambda: any(seen.ethertype == 0x88B5 for seen in witness.received()), "the frame after")
            time.sleep(0.01)
            if self.delivered() or eth0.received():
                reached.add(name)
        return reached

    def try_everything(self) -> set[str]:
        self.host.ip(f"link add tap1 type veth peer name eth1 netns {self.guest.name}")
        self.silence("eth1")
        self.guest.ip("link set eth1 up")
        self.host.inside(sysctl.write, "ipv6", "tap1", "disable_ipv6", 1)
        self.host.ip("link set tap1 master br0 up")
        with self.guest.port("eth0") as eth0, self.guest.port("eth1") as eth1:
            eventually(lambda: self.link("tap1").running, "carrier")
            eth0.send(frames.router_advertisement(GUEST_MAC, GUEST_IP6, "2001:db8:bad::"))
            return self.reaching(eth0, eth1, {**UDP, **QUESTIONS})

    def routes(self) -> str:
        return self.host.ip("-6 route") + self.host.ip("-6 address show dev br0")

    def test_an_unshielded_bridge(self) -> None:
        """The tries are good ones: without a shield nearly all of them reach the host."""
        self.host.inside(sysctl.write, "ipv4", "all", "rp_filter", 0)
        self.connect()
        reached = self.try_everything()
        for name in ("to the bridge's MAC", "DHCP-like", "IPv6", "in an LLDP frame", "IPv6 in an LLDP frame", "ARP"):
            self.assertIn(name, reached)
        eventually(lambda: "2001:db8:bad:" in self.routes(), "an address from the router advertisement")

    def test_shielded(self) -> None:
        """Nothing reaches the host, and it takes nothing from a router advertisement."""
        self.shield()
        self.connect()
        self.assertEqual(self.try_everything(), set())
        self.assertNotIn("bad", self.routes())
        self.assertNotIn("inet6", self.routes())

    def test_shielded_by_filters_alone(self) -> None:
        """Where /proc/sys cannot be written, the filters are enough."""

        def read_only(family: str, device: str, key: str, value: int) -> bool:
            raise OSError(30, "Read-only file system", f"/proc/sys/net/{family}/conf/{device}/{key}")

        patched = self.patch(sysctl, "write", read_only)
        bridge, port = self.link("br0"), self.link("tap0")
        self.assertEqual(shield.shield_bridges(self.rtnl, [bridge]), {})
        self.assertEqual(shield.shield_ports(self.rtnl, [port]), {})
        patched.restore()
        self.connect()
        self.assertEqual(self.try_everything(), set())
        self.assertNotIn("bad", self.routes())

    def test_shielded_by_switches_alone(self) -> None:
        """Where the kernel takes no filters, all but a DHCP request is kept off."""
        self.patch(drop, "failed", lambda _: Reply(2, "no such filter"))
        self.shield()
        self.host.command("tc", "qdisc", "del", "dev", "br0", "clsact")
        self.host.command("tc", "qdisc", "del", "dev", "tap0", "ingress")
        self.connect()
        self.assertEqual(self.try_everything(), NEEDS_FILTER)
        self.assertNotIn("bad", self.routes())

    def test_neither(self) -> None:
        """A bridge that the host cannot be kept off says why, and what to do."""

        def read_only(family: str, device: str, key: str, value: int) -> bool:
            raise OSError(30, "Read-only file system", "/proc/sys/net/x")

        self.patch(sysctl, "write", read_only)
        self.patch(drop, "failed", lambda _: Reply(2, "no such filter"))
        bridge = self.link("br0")
        why = shield.shield_bridges(self.rtnl, [bridge])[bridge.index]
        self.assertIn("modprobe", why)
        self.assertIn("/proc/sys/net/x", why)

    def test_the_host_sends_nothing(self) -> None:
        """Not even its own noise (MLD, duplicate address detection) goes onto the guests' network."""
        self.shield()
        with self.guest.port("eth0") as eth0:
            self.connect()
            self.host.ip("address add 10.77.0.1/24 dev br0")
            self.host.command(
                "python3",
                "-c",
                "import socket\nfor _ in range(3):\n"
                " socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b'x', ('10.77.0.9', 9))",
            )
            time.sleep(0.3)
            self.assertEqual(eth0.received(), [])

    def more_ports(self, count: int) -> list[parse.Link]:
        """Make ports port1, port2 ... with silent ends guest1, guest2 ... Each index is 256 more than the last."""
        index = self.link("tap0").index
        for number in range(1, count + 1):
            index += 256
            peer = f"peer name guest{number} netns {self.guest.name}"
            self.host.ip(f"link add port{number} index {index} type veth {peer}")
            self.silence(f"guest{number}")
            self.guest.ip(f"link set guest{number} up")
        return [self.link(f"port{number}") for number in range(1, count + 1)]

    def reach_by(self, device: str, sent: dict[str, bytes]) -> set[str]:
        """Which of these frames reach the host from that end in the guest; the other ports are up, too."""
        with self.guest.port(device) as sender, self.guest.port("eth0") as witness:
            eventually(lambda: self.link("tap0").running, "carrier")
            return self.reaching(sender, witness, sent)

    def test_together(self) -> None:
        """Ports that are made together share a filter. It does for each, and goes with the last of them."""
        ports = self.more_ports(4)
        self.shield()
        self.assertEqual(self.host.inside(shield.shield_ports, self.rtnl, ports), {})
        self.connect()
        for port in ports:
            self.host.ip(f"link set {port.name} master br0 up")
        shown = {self.host.command("tc", "filter", "show", "dev", port.name, "ingress") for port in ports}
        self.assertEqual(len(shown), 1)
        (block,) = set(re.findall(r"filter block (\d+) .* bpf", shown.pop()))
        for number in (1, 4):
            self.assertEqual(self.reach_by(f"guest{number}", UDP), set())
        for port in ports[:3]:
            self.host.ip(f"link del {port.name}")
        self.assertEqual(self.reach_by("guest4", UDP), set())
        self.host.ip(f"link del {ports[3].name}")
        with self.assertRaisesRegex(CommandFailed, "block"):
            self.host.command("tc", "filter", "show", "block", block)

    def test_one_by_one(self) -> None:
        """Those that come alone come to a filter that is there, if it does the same, and only then."""
        first, second, userspace = self.more_ports(3)
        self.shield()
        for port in (first, second):
            self.assertEqual(self.host.inside(shield.shield_ports, self.rtnl, [port]), {})
        self.assertEqual(self.host.inside(shield.shield_userspace_ports, self.rtnl, [userspace]), {})
        self.connect()
        for port in (first, second, userspace):
            self.host.ip(f"link set {port.name} master br0 up")
        shown = [self.host.command("tc", "filter", "show", "dev", f"port{n}", "ingress") for n in (1, 2, 3)]
        self.assertEqual(shown[0], shown[1])
        self.assertNotEqual(shown[0], shown[2])
        # What goes out to it is in a block, too, which is empty.
        qdiscs = self.host.command("tc", "qdisc", "show", "dev", "port3")
        (empty,) = re.findall(r"qdisc clsact .* egress_block (\d+)", qdiscs)
        self.assertEqual(self.host.command("tc", "filter", "show", "block", empty), "")
        self.assertEqual(self.reach_by("guest1", UDP), set())
        self.assertEqual(self.reach_by("guest2", UDP), set())
        with self.guest.port("guest3") as sender, self.guest.port("eth0") as witness:
            sender.send(frames.ethernet(frames.BROADCAST, GUEST_MAC, 0x88B5, b"nobody's"))
            time.sleep(0.1)
            self.assertNotIn(0x88B5, [seen.ethertype for seen in witness.received()])

    def test_kernel_ports(self) -> None:
        """A port of a switch in the kernel is silent, and gets no qdisc: the switch may offload to its own."""
        (port,) = self.more_ports(1)
        self.assertEqual(self.host.inside(shield.shield_kernel_ports, self.rtnl, [port]), {})
        self.assertIn("NOARP", self.host.ip("link show dev port1"))
        self.assertEqual(self.host.inside(sysctl.read, "ipv6", "port1", "disable_ipv6"), 1)
        self.assertNotIn("clsact", self.host.command("tc", "qdisc", "show", "dev", "port1"))
        self.assertNotIn("ingress", self.host.command("tc", "qdisc", "show", "dev", "port1"))

    def test_a_stranger_with_a_block(self) -> None:
        """Who gave a device a block of filters is told what is in the way, and how to take it away."""
        ports = self.more_ports(3)
        self.host.command("tc", "qdisc", "add", "dev", "port1", "ingress_block", "22", "clsact")
        self.host.command("tc", "qdisc", "add", "dev", "port2", "ingress_block", "23", "ingress")
        failures = shield.shield_userspace_strangers(self.rtnl, ports)
        self.assertEqual([port.index for port in ports[:2]], list(failures))
        for why in failures.values():
            self.assertIn("shares a block of filters", why)
            _, _, command = why.partition("away: ")
            self.host.command(*command.split())
        self.assertEqual({}, shield.shield_userspace_strangers(self.rtnl, ports))

    def test_again(self) -> None:
        """Shielding what is shielded changes nothing."""
        self.shield()
        self.shield()
        self.connect()
        self.assertEqual(self.try_everything(), set())

    def test_guests_still_reach_each_other(self) -> None:
        """The shield stops nothing between guests, LLDP's group and bridge group frames as the kernel has it."""
        self.shield()
        self.connect()
        self.host.ip(f"link add tap1 type veth peer name eth1 netns {self.guest.name}")
        self.silence("eth1")
        self.guest.ip("link set eth1 up")
        self.host.ip("link set tap1 up")
        self.host.inside(shield.shield_ports, self.rtnl, [self.link("tap1")])
        self.host.ip("link set tap1 master br0")
        sent = [frames.ethernet(mac, GUEST_MAC, 0x88B5, b"") for mac in (frames.BROADCAST, "01:80:c2:00:00:00")]
        sent += [*UDP.values(), *QUESTIONS.values()]
        with self.guest.port("eth0") as eth0, self.guest.port("eth1") as eth1:
            eventually(lambda: self.link("tap1").running, "carrier")
            eth0.send(*sent)
            expected = [frame for frame in sent if not frame.startswith(bytes.fromhex("0180c200000e"))]
            # Frames for the bridge's own MAC end there.
            expected = [f for f in expected if not f.startswith(bytes.fromhex(BRIDGE_MAC.replace(":", "")))]
            expected = [frame.rstrip(b"\0") for frame in expected]
            got: list[bytes] = []

            def all_there() -> bool:
                # br_netfilter takes the padding off.
                got.extend(seen.data.rstrip(b"\0") for seen in eth1.received())
                return len(got) >= len(expected)

            eventually(all_there, "all frames")
            self.assertEqual(got, expected)
