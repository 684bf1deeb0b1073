"""Devices that quantumd makes: taps, veths and tunnels, with crashes, meddlers and namespaces that come and go."""

from __future__ import annotations

import fcntl
import os
import struct
import subprocess
import time
from pathlib import Path

from quantumd.plugins.linuxbridge.marks import MAKING
from quantumd.testing import frames
from quantumd.testing.lab import Namespace, eventually
from tests.functional.linux import EXPERIMENT, LinuxCase


class TapTests(LinuxCase):
    def test_for_a_hypervisor(self) -> None:
        """A tap is its owner's to open, is up when somebody has it open, and passes frames then."""
        guest = self.lab.namespace()
        network = self.network()
        device = {
            "create": "tap",
            "name": "vm1",
            "mac": "02:00:00:00:00:01",
            "owner_uid": 1234,
            "owner_gid": 1235,
        }
        plugged = self.plug(network, "vm1-eth0", device=device)
        self.assertEqual("Attached/DOWN", plugged["status"])
        self.assertTrue(plugged["managed"])
        self.assertEqual("vm1", plugged["plugin"]["device"])
        self.assertEqual("02:00:00:00:00:01", plugged["device"]["mac"])
        shown = self.host.ip("-d link show vm1")
        self.assertIn("persist on user 1234 group 1235", shown)
        self.assertNotIn("02:00:00:00:00:01", shown, "the guest's address is not the host's")
        self.plug_veth(network, guest, "other")

        def hypervisor() -> int:
            descriptor = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
            fcntl.ioctl(descriptor, 0x400454CA, struct.pack("=16sH22x", b"vm1", 0x1002))
            return descriptor

        descriptor = self.host.inside(hypervisor)
        try:
            self.settles(plugged, "Attached/UP")
            frame = frames.ethernet(frames.BROADCAST, "02:00:00:00:00:01", EXPERIMENT, b"from the guest")
            with guest.port("eth0") as eth0:
                os.write(descriptor, frame)
                eventually(lambda: frame in [seen.data for seen in eth0.received()], "the guest's frame")
        finally:
            os.close(descriptor)
        self.settles(plugged, "Attached/DOWN")
        self.unplug(plugged)
        self.assertNotIn("vm1", self.host.links())

    def test_multi_queue(self) -> None:
        """A tap with several queues, where the kernel has such."""
        plugged = self.plug(self.network(), "vm", device={"create": "tap", "multi_queue": True})
        self.assertIn("multi_queue", self.host.ip(f"-d link show {plugged['plugin']['device']}"))

    def test_name_of_a_stranger(self) -> None:
        """A device of somebody else's with the name that was asked for is not seized, and the fault names it."""
        self.host.ip("tuntap add dev vm1 mode tap user 77")
        plugged = self.plug(self.network(), "vm", device={"create": "tap", "name": "vm1", "owner_uid": 88})
        self.assertEqual("Failed", plugged["status"])
        self.assertIn("vm1", plugged["fault"]["message"])
        self.assertIn("user 77", self.host.ip("-d link show vm1"))
        self.unplug(plugged)
        self.assertIn("vm1", self.host.links())


class VethTests(LinuxCase):
    def test_namespace_that_comes_later(self) -> None:
        """A namespace is waited for like a device; a name that comes back gets its veth again."""
        network = self.network()
        name = self.lab.unique()
        device = {"create": "veth", "netns": name, "ifname": "eth0"}
        plugged = self.plug(network, "vm", wait=0, device=device)
        time.sleep(0.2)
        self.assertEqual("InProgress", self.look(plugged)["status"])
        guest = self.lab.namespace(name)
        began = time.monotonic()
        self.settles(plugged, "Attached/UP")
        self.assertLess(time.monotonic() - began, 0.3)
        self.assertEqual(["eth0"], list(guest.links()))
        guest.delete()
        self.settles(plugged, "Attached/DOWN")
        again = self.lab.namespace(name)
        self.settles(plugged, "Attached/UP")
        self.assertEqual(["eth0"], list(again.links()))

    def test_name_that_means_another_namespace_now(self) -> None:
        """While a process holds the old namespace, its veth lives; it moves when the name comes back."""
        network = self.network()
        name = self.lab.unique()
        guest = self.lab.namespace(name)
        sleeper = self.lab.process(guest, "sleep", "60")
        eventually(lambda: _inode(f"/proc/{sleeper.pid}/ns/net") == _inode(guest.path), "the process is inside")
        plugged = self.plug_veth(network, guest, "vm")
        guest.delete()
        time.sleep(0.2)
        self.assertEqual("Attached/UP", self.look(plugged)["status"])
        again = self.lab.namespace(name)
        eventually(lambda: list(again.links()) == ["eth0"], "the veth is in the new one")
        self.settles(plugged, "Attached/UP")

    def test_path(self) -> None:
        """The forms of a path, and what is none."""
        network = self.network()
        for number, prefix in enumerate(("/run/netns/", "/var/run/netns/")):
            guest = self.lab.namespace()
            device = {"create": "veth", "netns": prefix + guest.name, "ifname": "eth0"}
            self.assertEqual("Attached/UP", self.plug(network, f"vm{number}", device=device)["status"])
            self.assertEqual(["eth0"], list(guest.links()))

    def test_process(self) -> None:
        """/proc/PID/ns/net is the namespace at the request, and no later one's."""
        network = self.network()
        guest = self.lab.namespace()
        sleeper = self.lab.process(guest, "sleep", "60")
        path = f"/proc/{sleeper.pid}/ns/net"
        eventually(lambda: _inode(path) == _inode(guest.path), "the process is inside")
        device = {"create": "veth", "netns": path, "ifname": "eth0"}
        plugged = self.plug(network, "vm", device=device)
        self.assertEqual("Attached/UP", plugged["status"])
        self.assertEqual(["eth0"], list(guest.links()))
        sleeper.kill()
        sleeper.wait()
        guest.delete()
        self.settles(plugged, "Attached/DOWN")
        problem = self.plug(network, "vm2", status=400, device=device)
        self.assertEqual("attachment.device.netns", problem["errors"][0]["path"])

    def test_name_taken_inside(self) -> None:
        """An ifname that the guest has already is a fault that says so, and leaves nothing behind."""
        guest = self.lab.namespace()
        guest.ip("link add eth0 type bridge")
        network = self.network()
        there = set(self.host.links())
        device = {"create": "veth", "netns": guest.name, "ifname": "eth0"}
        plugged = self.plug(network, "vm", device=device)
        self.assertEqual("Failed", plugged["status"])
        self.assertIn("eth0", plugged["fault"]["message"])
        self.assertEqual(there, set(self.host.links()))
        guest.ip("link del eth0")
        self.settles(plugged, "Attached/UP", 35)

    def test_meddling(self) -> None:
        """What somebody sets down, takes out, renames or removes is put right again."""
        guest = self.lab.namespace()
        network = self.network()
        plugged = self.plug_veth(network, guest, "vm", name="vm0")
        bridge = self.bridge(network)
        for meddling in (
            "link set vm0 down",
            "link set vm0 nomaster",
            f"link set {bridge} down",
            "link set vm0 name gone0",
            "link del vm0",
            f"link del {bridge}",
            f"link set {bridge} type bridge stp_state 1",
            f"link set {bridge} type bridge mcast_snooping 1",
            f"link set {bridge} arp on",
        ):
            self.host.ip(meddling)

            def mended() -> bool:
                links = self.host.links()
                if not {"vm0", bridge} <= set(links):
                    return False
                shown = self.host.ip("link show vm0"), self.host.ip(f"-d link show {bridge}")
                fine = f"master {bridge} state UP" in shown[0] and "state UP" in shown[1]
                good = "stp_state 0" in shown[1] and "mcast_snooping 0" in shown[1] and "NOARP" in shown[1]
                return fine and good

            eventually(mended, f"{meddling!r} is put right: {self.host.ip('-d link')}")
            self.settles(plugged, "Attached/UP")

    def test_kill_under_traffic(self) -> None:
        """kill -9 and a restart under 100 packets a second: none is lost, and no device is another one."""
        one, two = self.lab.namespace(), self.lab.namespace()
        network = self.network()
        plugs = [self.plug_veth(network, guest, f"vm{n}") for n, guest in enumerate((one, two))]
        links, inner = self.host.links(), [one.links(), two.links()]
        sent = [frames.ethernet(frames.BROADCAST, "02:00:00:00:00:99", EXPERIMENT, b"%d" % n) for n in range(300)]
        with one.port("eth0") as source, two.port("eth0") as target:
            for number, frame in enumerate(sent):
                source.send(frame)
                if number == 50:
                    self.kill_daemon()
                if number == 60:
                    with self.log.open("a") as log:
                        again = subprocess.Popen(
                            ["nsenter", f"--net={self.host.path}", *self.command()],
                            cwd=self.directory,
                            env=self.environ(),
                            stdin=subprocess.DEVNULL,
                            stdout=log,
                            stderr=log,
                        )
                    self.addCleanup(again.wait)
                    self.addCleanup(again.kill)
                time.sleep(0.01)
            eventually(self.answers, "the daemon answers")
            for plugged in plugs:
                self.settles(plugged, "Attached/UP")
            time.sleep(0.3)
            got = [seen.data for seen in target.received() if seen.ethertype == EXPERIMENT]
        self.assertEqual(sent, got)
        self.assertEqual((links, inner), (self.host.links(), [one.links(), two.links()]))
        events = self.ask("GET", "/networks")["networks"]
        self.assertEqual(["Active"], [one["status"] for one in events])

    def test_reboot(self) -> None:
        """The same state file on an empty host: everything is made again."""
        name = self.lab.unique()
        guest = self.lab.namespace(name)
        network = self.network()
        veth = self.plug_veth(network, guest, "vm")
        tap = self.plug(network, "tap", device={"create": "tap"})
        tunnel = self.plug(network, "far", type="tunnel", tunnel={"kind": "vxlan", "remote": "192.0.2.1", "vni": 7})
        names = set(self.host.links())
        self.kill_daemon()
        guest.delete()
        self.host.delete()
        self.host = self.lab.namespace()
        self.daemon = self.run_daemon()
        self.settles(tap, "Attached/DOWN")
        eventually(lambda: set(self.host.links()) == names - {veth["plugin"]["device"]}, "all but the veth")
        guest = self.lab.namespace(name)
        self.settles(veth, "Attached/UP")
        self.settles(tunnel, "Attached/UP")
        self.assertEqual(names, set(self.host.links()))
        for plugged in (tap, tunnel):
            self.unplug(plugged)
        self.assertEqual(2, len(self.host.links()))

    def test_leftovers(self) -> None:
        """What bears our mark, or was not made to the end, and has no record goes; what only looks like it stays."""
        network = self.network()
        self.plug(network, "tap", device={"create": "tap"})
        self.kill_daemon()
        self.host.ip(f"link add half group {MAKING} type bridge")
        self.host.ip("link add q-lookalike group 7 type bridge")
        self.host.ip("link add qtlookalike type veth peer name other")
        stays = {"q-lookalike", "qtlookalike", "other"}
        self.state.unlink()
        for beside in self.state.parent.glob(f"{self.state.name}-*"):
            beside.unlink()
        self.daemon = self.run_daemon()
        eventually(lambda: set(self.host.links()) == stays, f"only {stays}, not {self.host.links()}")


class TunnelTests(LinuxCase):
    """Three sites: ours, with a daemon, and two others with plain VXLAN devices."""

    def setUp(self) -> None:
        super().setUp()
        self.sites: list[Namespace] = []
        self.host.ip("link add underlay type bridge")
        self.host.ip("link set underlay up")
        self.host.ip("address add 10.99.0.1/24 dev underlay")
        for number in (2, 3):
            site = self.lab.namespace()
            self.host.ip(f"link add site{number} type veth peer name wire netns {site.name}")
            self.host.ip(f"link set site{number} master underlay up")
            site.ip("link set wire up")
            site.ip(f"address add 10.99.0.{number}/24 dev wire")
            site.ip(f"link add vx type vxlan id 77 dstport 4789 remote 10.99.0.1 local 10.99.0.{number}")
            site.ip("link set vx up")
            self.sites.append(site)
        self.network_id = self.network()
        self.guest = self.lab.namespace()
        self.plug_veth(self.network_id, self.guest, "vm")

    def tunnel(self, number: int, vni: int = 77) -> dict[str, object]:
        tunnel = {"kind": "vxlan", "remote": f"10.99.0.{number}", "vni": vni, "local": "10.99.0.1"}
        plugged = self.plug(self.network_id, f"site{number}-{vni}", type="tunnel", tunnel=tunnel)
        self.assertEqual("Attached/UP", plugged["status"], plugged)
        return plugged

    def test_several_remotes(self) -> None:
        """Each remote is reached, by one device, and none reaches another; each goes on its own."""
        one, two = self.sites
        there = set(self.host.links())
        first, second = self.tunnel(2), self.tunnel(3)
        self.assertEqual(1, len(set(self.host.links()) - there), "one device for the VNI")
        self.assertEqual(first["plugin"], second["plugin"])
        for site in self.sites:
            self.assertEqual(1, len(self.crossing((self.guest, "eth0"), (site, "vx"))))
            self.assertEqual(1, len(self.crossing((site, "vx"), (self.guest, "eth0"))))
        self.assertEqual([], self.crossing((one, "vx"), (two, "vx")))
        self.unplug(first)
        self.assertEqual([], self.crossing((self.guest, "eth0"), (one, "vx")))
        self.assertEqual(1, len(self.crossing((self.guest, "eth0"), (two, "vx"))))
        self.unplug(second)
        self.assertEqual(there, set(self.host.links()))

    def test_several_vnis(self) -> None:
        """Remotes with different VNIs, so of different devices, do not reach each other either."""
        one, two = self.sites
        two.ip("link del vx")
        two.ip("link add vx type vxlan id 78 dstport 4789 remote 10.99.0.1 local 10.99.0.3")
        two.ip("link set vx up")
        self.tunnel(2, 77)
        self.tunnel(3, 78)
        self.assertEqual([], self.crossing((one, "vx"), (two, "vx")))
        self.assertEqual([], self.crossing((two, "vx"), (one, "vx")))
        for site in self.sites:
            self.assertEqual(1, len(self.crossing((self.guest, "eth0"), (site, "vx"))))

    def test_restart(self) -> None:
        """A restart leaves tunnels alone; a remote or device that somebody took away is there again."""
        plugged = self.tunnel(2)
        device = str(plugged["plugin"]["device"])  # type: ignore[index]
        links = self.host.links()
        self.kill_daemon()
        self.daemon = self.run_daemon()
        self.settles(plugged, "Attached/UP")
        self.assertEqual(links, self.host.links())
        self.host.ip(f"link del {device}")
        eventually(lambda: device in self.host.links(), "the device")
        self.settles(plugged, "Attached/UP")
        self.assertEqual(1, len(self.crossing((self.guest, "eth0"), (self.sites[0], "vx"))))


class IsolationTests(LinuxCase):
    def test_host(self) -> None:
        """The host takes no address from its guests, answers nothing there and accepts nothing from there."""
        guest = self.lab.namespace()
        self.host.ip("link add uplink type veth peer name far")
        self.host.ip("link set uplink up")
        self.host.ip("link set far up")
        self.host.ip("address add 10.1.0.1/24 dev uplink")
        self.host.ip("address add 2001:db8::1/64 dev uplink nodad")
        network = self.network()
        self.plug_veth(network, guest, "vm")
        shown = self.host.ip(f"link show {self.bridge(network)}")
        mac = shown.split("link/ether ")[1].split()[0]
        source = "02:00:00:00:00:01"
        sent = [
            frames.router_advertisement(source, "fe80::1", "2001:db8:bad::"),
            frames.arp_request(source, "10.1.0.66", "10.1.0.1"),
            frames.arp_request(source, "10.1.0.66", "10.1.0.1", mac),
            frames.neighbour_solicitation(source, "fe80::1", "2001:db8::1"),
            frames.udp4(mac, source, "10.1.0.66", "10.1.0.1", b"x"),
            frames.udp4(frames.BROADCAST, source, "0.0.0.0", "255.255.255.255", b"x", 67),
        ]
        with guest.port("eth0") as eth0:
            time.sleep(0.3)
            eth0.received()
            eth0.send(*sent)
            time.sleep(0.5)
            self.assertEqual([], eth0.received())
        self.assertNotIn("bad", self.host.ip("-6 address") + self.host.ip("-6 route"))


def _inode(path: str) -> int:
    return Path(path).stat().st_ino
