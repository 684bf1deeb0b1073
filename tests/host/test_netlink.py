"""The netlink driver against a real kernel, in namespaces of its own."""

from __future__ import annotations

import errno
import ipaddress
import json
import socket
import struct
import threading
from pathlib import Path
from unittest.mock import patch

from twisted.internet import defer, reactor
from twisted.internet.testing import MemoryReactorClock
from twisted.trial.unittest import SynchronousTestCase, TestCase

from quantumd.host import netns
from quantumd.host.netlink import groups, messages, monitor, parse
from quantumd.host.netlink.rtnl import NetlinkError, Rtnl, read_link
from quantumd.host.netlink.thread import NetlinkThread
from quantumd.testing.lab import Lab

MAC = "02:00:00:00:00:0a"
#: A link group that the monitor does not tell of.
UNTOLD = 0x1234567


class Inside(SynchronousTestCase):
    """A namespace and a socket in it."""

    def setUp(self) -> None:
        self.lab = Lab()
        self.addCleanup(self.lab.close)
        self.host = self.lab.namespace()
        self.rtnl = self.host.inside(Rtnl)
        self.addCleanup(self.rtnl.close)

    def link(self, device: messages.Device) -> parse.Link:
        (found,) = self.rtnl.links([device])
        assert found is not None, device
        return found

    def do(self, *requests: messages.Request) -> None:
        for reply in self.rtnl.batch(requests):
            self.assertEqual((reply.errno, reply.text), (0, ""))


class BatchTests(Inside):
    def test_each_request_has_its_own_reply(self) -> None:
        """A failing request leaves the others alone, and the kernel's own words come with it."""
        replies = self.rtnl.batch(
            [
                messages.create_bridge("br0", MAC),
                messages.create_bridge("br0", MAC),
                messages.set_link("nowhere", up=True),
                messages.set_link("br0", mtu=3),
                messages.set_link("br0", up=True),
                messages.get_link("br0"),
            ]
        )
        self.assertEqual([r.errno for r in replies], [0, errno.EEXIST, errno.ENODEV, errno.EINVAL, 0, 0])
        self.assertIn("mtu", replies[3].text)
        self.assertEqual(replies[1].reason, "File exists")
        found = read_link(replies[5])
        assert found is not None
        self.assertTrue(found.up)

    def test_more_than_one_chunk(self) -> None:
        """A batch of any size is answered in order, however many system calls it takes."""
        names = [f"br{number}" for number in range(700)]
        replies = self.rtnl.batch([messages.get_link(name) for name in ["lo", *names, "lo"]])
        self.assertEqual([reply.errno for reply in replies], [0, *[errno.ENODEV] * 700, 0])
        self.assertEqual([read_link(replies[n]) for n in (0, -1)], [self.link(1)] * 2)

    def test_nothing_asked(self) -> None:
        """An empty batch is no system call at all."""
        self.assertEqual(self.rtnl.batch([]), [])

    def test_a_refused_dump(self) -> None:
        """A dump that the kernel refuses is an error with its errno."""
        refused = messages.Request(messages._RTM_GETNEIGH, messages.NLM_F_DUMP, b"\xff")
        self.assertRaises(NetlinkError, self.rtnl.dump, refused, parse.link)


class PatienceTests(Inside):
    def test_an_answer_that_never_comes(self) -> None:
        """A thread that waits for what nobody owes it says so, instead of waiting for ever."""
        self.rtnl._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, struct.pack("@ll", 0, 50_000))
        with self.assertRaises(NetlinkError) as refused:
            self.rtnl._dumped(parse.link)
        self.assertEqual(refused.exception.errno, errno.ETIMEDOUT)
        self.assertIsNotNone(self.rtnl.all_links())

    def test_its_patience(self) -> None:
        """Half a minute."""
        packed = self.rtnl._socket.getsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, 16)
        self.assertEqual(struct.unpack("@ll", packed), (30, 0))


class LinkTests(Inside):
    def test_bridge(self) -> None:
        """A bridge is made as guests need it, with the MAC that was asked for."""
        self.do(messages.create_bridge("br0", MAC, 1400))
        found = self.link("br0")
        self.assertEqual((found.kind, found.mac, found.mtu, found.up), ("bridge", MAC, 1400, False))
        self.assertEqual(found.detail, parse.BridgeDetail(stp=False, forward_delay=0, mcast_snooping=False))

    def test_configure_bridge(self) -> None:
        """A bridge that somebody changed is put right."""
        self.host.ip("link add br0 type bridge stp_state 1 forward_delay 400")
        self.assertEqual(self.link("br0").detail, parse.BridgeDetail(stp=True, forward_delay=400, mcast_snooping=True))
        self.do(*messages.configure_bridge(self.link("br0").index))
        self.assertEqual(self.link("br0").detail, parse.BridgeDetail())

    def test_veth_into_a_namespace(self) -> None:
        """The inner end is born in its namespace with its name, MAC and MTU; ours answers no ARP."""
        guest = self.lab.namespace()
        with netns.opened(guest.path) as descriptor:
            self.do(
                messages.create_veth(
                    "v0", peer="eth0", netns_fd=descriptor, peer_mac=MAC, mac="02:00:00:00:00:0b", mtu=1300
                )
            )
            self.assertEqual(self.link("v0").link_netnsid, self.rtnl.netns_id(descriptor))
        inner_rtnl = guest.inside(Rtnl)
        self.addCleanup(inner_rtnl.close)
        (inner,) = inner_rtnl.links(["eth0"])
        assert inner is not None
        self.assertEqual((inner.mac, inner.mtu, inner.up, inner.kind), (MAC, 1300, False, "veth"))
        self.assertEqual(inner.index, self.link("v0").link)
        self.assertEqual((self.link("v0").mac, self.link("v0").mtu), ("02:00:00:00:00:0b", 1300))
        for end, device in ((self.host, "v0"), (guest, "eth0")):
            (shown,) = json.loads(end.ip(f"-d -j link show dev {device}"))
            self.assertEqual(
                (1, 1, device == "v0"), (shown["num_tx_queues"], shown["num_rx_queues"], "NOARP" in shown["flags"])
            )

    def test_names(self) -> None:
        """A device is found by name, altname and index; altname and alias can be taken away again."""
        long = "quantum-6c0c4e2c-24e1-4c39-a2ce-5d9d03c1a3f2"
        self.do(messages.create_bridge("qtmp", MAC), messages.set_altname("qtmp", long))
        index = self.link("qtmp").index
        self.do(messages.set_link(index, name="br0", alias="for people"))
        self.assertEqual([found and found.index for found in self.rtnl.links(["br0", long, index])], [index] * 3)
        self.assertEqual(self.rtnl.links(["qtmp"]), [None])
        self.assertEqual((self.link(index).altnames, self.link(index).alias), ((long,), "for people"))
        self.assertEqual(self.rtnl.one(messages.set_altname("lo", long)).errno, errno.EEXIST)
        self.do(messages.drop_altname(index, long), messages.set_link(index, alias=""))
        self.assertEqual((self.link(index).altnames, self.link(index).alias), ((), ""))

    def test_ports(self) -> None:
        """Devices go into a bridge and come out again."""
        self.do(messages.create_bridge("br0", MAC))
        self.host.ip("link add p0 type veth peer name p1")
        bridge, port = self.link("br0").index, self.link("p0").index
        self.do(messages.set_link(port, master=bridge, up=True))
        found = self.link(port)
        self.assertEqual((found.master, found.slave_kind, found.up), (bridge, "bridge", True))
        self.assertFalse(found.carrier)
        self.do(messages.set_link("p1", up=True))
        self.assertTrue(self.link(port).running)
        self.do(messages.set_link(port, master=0, up=False))
        self.assertEqual((self.link(port).master, self.link(port).up), (0, False))

    def test_vxlan(self) -> None:
        """One device for each VNI; its remotes come and go as flood entries."""
        local, one, two = (ipaddress.ip_address(text) for text in ("10.9.0.1", "10.9.0.2", "10.9.0.3"))
        self.do(messages.create_vxlan("vx0", vni=77, port=4789, local=local, ipv6=False, mac=MAC, mtu=1450))
        found = self.link("vx0")
        self.assertEqual(found.detail, parse.VxlanDetail(vni=77, local=local, port=4789, learning=True))
        self.do(messages.add_remote(found.index, one), messages.add_remote(found.index, two))
        self.do(messages.add_remote(found.index, two))
        self.assertEqual(self.rtnl.remotes(found.index), {one, two})
        self.do(messages.drop_remote(found.index, one))
        self.assertEqual(self.rtnl.remotes(found.index), {two})

    def test_isolated(self) -> None:
        """VXLAN devices are born in a bridge, and isolated there."""
        self.do(messages.create_bridge("br0", MAC))
        bridge = self.link("br0").index
        vxlan = messages.create_vxlan("vx0", vni=7, port=4789, local=None, ipv6=False, mac=MAC, master=bridge)
        self.do(vxlan)
        found = self.link("vx0")
        self.assertEqual((bridge, False, False), (found.master, found.up, found.isolated))
        for isolated in (True, False):
            self.do(messages.set_isolated(found.index, isolated))
            self.assertEqual(isolated, self.link("vx0").isolated)

    def test_vxlan_over_ipv6(self) -> None:
        """Remotes may be IPv6, with and without a local address."""
        remote = ipaddress.ip_address("fd00::2")
        for name, local in (("vx0", None), ("vx1", ipaddress.ip_address("fd00::1"))):
            vni = int(name[2]) + 5
            self.do(messages.create_vxlan(name, vni=vni, port=4789, local=local, ipv6=True, mac=MAC))
            index = self.link(name).index
            self.do(messages.add_remote(index, remote))
            self.assertEqual(self.rtnl.remotes(index), {remote})
            self.assertEqual(self.link(index).detail, parse.VxlanDetail(vni, local, 4789, True))

    def test_a_device_of_which_the_kernel_says_the_same(self) -> None:
        """Between two dumps of all devices only those are read again that changed, and those are."""
        self.do(*(messages.create_bridge(name, MAC) for name in ("br0", "br1", "br2")))
        before = {link.name: link for link in self.rtnl.all_links()}
        self.do(messages.set_link("br1", mtu=1400), messages.delete_link(before["br2"].index))
        with patch.object(parse, "link", wraps=parse.link) as read:
            after = {link.name: link for link in self.rtnl.all_links()}
        self.assertEqual([parse.link_index(call.args[0]) for call in read.call_args_list], [before["br1"].index])
        self.assertIs(after["br0"], before["br0"])
        self.assertEqual((after["br1"].mtu, set(before) - set(after)), (1400, {"br2"}))

    def test_what_is_known_is_not_there_twice(self) -> None:
        """A device that was read or told of as it is now is that very object, whichever way it comes."""
        self.do(messages.create_bridge("br0", MAC))
        told = self.link("br0")
        for _ in range(2):
            found = {link.index: link for link in self.rtnl.all_links({told.index: told})}
            self.assertIs(found[told.index], told)

    def test_a_kind_that_the_kernel_lacks(self) -> None:
        """Probing makes no device, whether the kernel knows the kind or not."""
        before = self.rtnl.all_links()
        self.assertEqual(self.rtnl.one(messages.probe_kind("quantumd-none")).errno, errno.EOPNOTSUPP)
        self.assertNotIn(self.rtnl.one(messages.probe_kind("bridge")).errno, (0, errno.EOPNOTSUPP))
        self.assertEqual(self.rtnl.all_links(), before)

    def test_addresses_and_default_routes(self) -> None:
        """What the guard needs to know of the host."""
        self.host.ip("link add p0 type veth peer name p1")
        self.host.ip("link set p0 up")
        self.host.ip("address add 192.0.2.1/24 dev p0")
        self.host.ip("address add 2001:db8::1/64 dev p0 nodad")
        self.host.ip("route add default via 192.0.2.254")
        self.host.ip("route add 198.51.100.0/24 via 192.0.2.254")
        self.host.ip("-6 route add default dev p0")
        index = self.link("p0").index
        mine = {(str(found.address), found.scope) for found in self.rtnl.addresses() if found.index == index}
        self.assertTrue({("192.0.2.1", 0), ("2001:db8::1", 0)} <= mine, mine)
        self.assertEqual({(str(found.address), found.scope) for found in self.rtnl.addresses(index)}, mine)
        self.assertEqual({found.index for found in self.rtnl.addresses(index)}, {index})
        self.assertEqual(self.rtnl.addresses(99_999), [])
        self.assertEqual(self.rtnl.default_routes(), [parse.DefaultRoute((index,))] * 2)


class GroupTests(Inside):
    def test_many(self) -> None:
        """Many devices go at once, and those that are gone already count as removed."""
        self.do(*[messages.create_bridge(f"br{number}", MAC) for number in range(20)])
        indexes = [index for name, index in self.host.links().items() if name.startswith("br")]
        replies = groups.delete_links(self.rtnl, [*indexes, 99_999])
        self.assertEqual(set(replies), {*indexes, 99_999})
        self.assertTrue(all(reply.ok for reply in replies.values()))
        self.assertEqual([name for name in self.host.links() if name.startswith("br")], [])

    def test_a_stranger_in_the_group(self) -> None:
        """A device of somebody else's that is in the group just drawn stays."""
        self.do(*[messages.create_bridge(f"br{number}", MAC) for number in range(5)])
        self.host.ip("link add stranger type bridge")
        stranger = self.link("stranger").index
        draws = iter([77, 76])
        self.patch(groups.secrets, "randbelow", lambda _: next(draws))
        self.do(messages.set_link(stranger, group=78))
        indexes = [index for name, index in self.host.links().items() if name.startswith("br")]
        self.assertTrue(all(reply.ok for reply in groups.delete_links(self.rtnl, indexes).values()))
        self.assertEqual(self.link("stranger").group, 78)
        self.assertNotIn("br0", self.host.links())

    def test_the_group_is_kept_while_it_works(self) -> None:
        """All devices are looked at for the first removal only, and again after one that failed."""
        looks: list[int] = []
        members = self.rtnl.members
        self.patch(self.rtnl, "members", lambda group: looks.append(group) or members(group))

        def remove(*others: int) -> dict[int, bool]:
            self.do(*[messages.create_bridge(f"br{number}", MAC) for number in range(5)])
            indexes = [index for name, index in self.host.links().items() if name.startswith("br")]
            return {index: reply.ok for index, reply in groups.delete_links(self.rtnl, [*indexes, *others]).items()}

        self.assertTrue(all([*remove().values(), *remove().values()]))
        self.assertEqual(len(looks), 1)
        loopback = self.link("lo").index
        self.assertEqual([index for index, gone in remove(loopback).items() if not gone], [loopback])
        self.assertEqual(self.link("lo").group, 0)
        self.assertTrue(all(remove().values()))
        self.assertEqual((len(looks), len(set(looks))), (2, 2))
        # Where the socket fails half-way, nobody knows what the group has in it.
        with patch.object(self.rtnl, "one", side_effect=NetlinkError(errno.EIO, "broken")), self.assertRaises(OSError):
            remove()
        left = [index for name, index in self.host.links().items() if name.startswith("br")]
        self.assertEqual(len(left), 5)
        self.assertTrue(all(reply.ok for reply in groups.delete_links(self.rtnl, left).values()))
        self.assertEqual((len(looks), len(set(looks))), (3, 3))


class ThreadTests(TestCase):
    @defer.inlineCallbacks
    def test_inside_a_namespace(self):  # type: ignore[no-untyped-def]
        """The thread works in its namespace, the rest of the process stays where it is."""
        lab = Lab()
        self.addCleanup(lab.close)
        host = lab.namespace()
        here = Path("/proc/self/ns/net").stat().st_ino
        thread = NetlinkThread(reactor, host.path)
        yield thread.start()
        self.addCleanup(thread.stop)
        (reply,) = yield thread.batch([messages.create_bridge("br0", MAC)])
        self.assertTrue(reply.ok)
        self.assertIn("br0", host.links())
        self.assertEqual(Path("/proc/self/ns/net").stat().st_ino, here)
        names = yield defer.gatherResults([thread.call(lambda _: threading.current_thread().name) for _ in range(9)])
        self.assertEqual(len(set(names)), 1)

    @defer.inlineCallbacks
    def test_a_job_that_fails(self):  # type: ignore[no-untyped-def]
        """What a job raises, its caller gets; the thread goes on. After the end there is nothing to call."""
        lab = Lab()
        self.addCleanup(lab.close)
        thread = NetlinkThread(reactor, lab.namespace().path)
        yield thread.start()
        yield self.assertFailure(thread.call(lambda _: 1 // 0), ZeroDivisionError)
        self.assertEqual((yield thread.call(lambda _: 7)), 7)
        yield thread.stop()

    @defer.inlineCallbacks
    def test_no_namespace(self):  # type: ignore[no-untyped-def]
        """A namespace that is not there fails the start."""
        thread = NetlinkThread(reactor, "/run/netns/there-is-no-such-thing")
        yield self.assertFailure(thread.start(), FileNotFoundError)
        yield thread.stop()


class MonitorTests(TestCase):
    def setUp(self) -> None:
        """A host of its own, and a socket there."""
        lab = Lab()
        self.addCleanup(lab.close)
        self.host = lab.namespace()
        self.rtnl = self.host.inside(Rtnl)
        self.addCleanup(self.rtnl.close)

    @defer.inlineCallbacks
    def test_links_addresses_and_routes(self):  # type: ignore[no-untyped-def]
        """What comes, changes and goes is told, in order, without anything polling."""
        host, rtnl = self.host, self.rtnl
        told: list[monitor.Event] = []
        waiting: list[tuple[object, defer.Deferred[None]]] = []

        def listen(events: list[monitor.Event]) -> None:
            told.extend(events)
            for condition, waiter in list(waiting):
                if any(map(condition, told)):  # type: ignore[arg-type]
                    waiting.remove((condition, waiter))
                    waiter.callback(None)

        def until(condition: object) -> defer.Deferred[None]:
            waiter: defer.Deferred[None] = defer.Deferred()
            waiting.append((condition, waiter))
            listen([])
            return waiter.addTimeout(5, reactor)

        watch = monitor.LinkMonitor(reactor, host.inside(monitor.open_monitor_socket, rtnl, UNTOLD), listen)
        watch.start()
        self.addCleanup(watch.stop)
        host.ip("link add p0 type veth peer name p1")
        yield until(lambda event: isinstance(event, monitor.LinkChanged) and event.link.name == "p0")
        host.ip("link set p0 up")
        host.ip("link property add dev p0 altname quantum-x")
        yield until(lambda event: isinstance(event, monitor.LinkChanged) and "quantum-x" in event.link.altnames)
        host.ip("address add 192.0.2.1/24 dev p0")
        address = parse.Address(host.links()["p0"], ipaddress.ip_address("192.0.2.1"), 0)
        yield until(lambda event: event == monitor.AddressChanged(address, True))
        host.ip("route add 198.51.100.0/24 via 192.0.2.254")
        host.ip("route add default via 192.0.2.254")
        route = parse.DefaultRoute((host.links()["p0"],))
        yield until(lambda event: event == monitor.DefaultRouteChanged(route, True))
        self.assertEqual(len([event for event in told if isinstance(event, monitor.DefaultRouteChanged)]), 1)
        host.ip("link del p0")
        yield until(lambda event: isinstance(event, monitor.LinkGone) and event.link.name == "p0")

    @defer.inlineCallbacks
    def test_overrun(self):  # type: ignore[no-untyped-def]
        """Notices that did not fit are not passed over in silence, and reading goes on."""
        host, rtnl = self.host, self.rtnl
        self.patch(monitor, "_BUFFER", 4096)
        opened = host.inside(monitor.open_monitor_socket, rtnl, UNTOLD)
        rtnl.batch([messages.create_bridge(f"br{number}", MAC) for number in range(50)])
        done: defer.Deferred[list[monitor.Event]] = defer.Deferred()
        watch = monitor.LinkMonitor(reactor, opened, lambda events: done.called or done.callback(events))
        watch.start()
        self.addCleanup(watch.stop)
        events = yield done.addTimeout(5, reactor)
        self.assertIn(monitor.Overrun(), events)

    def test_untold(self) -> None:
        """Of a device in that group nothing is told but that it goes, and of bridges not what they say of ports."""
        host, rtnl = self.host, self.rtnl
        told: list[monitor.Event] = []
        opened = host.inside(monitor.open_monitor_socket, rtnl, UNTOLD)
        watch = monitor.LinkMonitor(MemoryReactorClock(), opened, told.extend)
        self.addCleanup(opened.close)

        def events() -> list[tuple[type[monitor.Event], str, int]]:
            del told[:]
            watch.read()
            some = (event for event in told if isinstance(event, monitor.LinkChanged | monitor.LinkGone))
            return [(type(event), event.link.name, event.link.group) for event in some]

        host.ip("link add br0 type bridge")
        host.ip(f"link add p0 group {UNTOLD} type veth peer name p1")
        self.assertEqual({"br0", "p1"}, {name for _, name, _ in events()})
        host.ip("link set p0 master br0")
        host.ip("link property add dev p0 altname quantum-x")
        self.assertNotIn("p0", {name for _, name, _ in events()})
        host.ip(f"link set p0 group {UNTOLD + 1} up")
        self.assertIn((monitor.LinkChanged, "p0", UNTOLD + 1), events())
        events()
        host.command("bridge", "link", "set", "dev", "p0", "isolated", "on")
        self.assertEqual(0, watch.read(), "what the bridge says of a port")
        host.ip(f"link set p0 group {UNTOLD}")
        host.ip("link del p0")
        self.assertIn((monitor.LinkGone, "p0", UNTOLD), events())

    def test_rest(self) -> None:
        """After a crowd of notices it waits longer, so that of many about one device the last is read."""
        host, rtnl = self.host, self.rtnl
        told: list[monitor.Event] = []
        resting = MemoryReactorClock()
        watch = monitor.LinkMonitor(resting, host.inside(monitor.open_monitor_socket, rtnl, UNTOLD), told.extend)
        watch.start()
        self.addCleanup(watch.stop)
        for count, rest in ((1, 0.002), (40, 0.02), (0, 0.002)):
            while watch.read():
                pass
            rtnl.batch([messages.create_bridge(f"b{count}-{number}", MAC) for number in range(count)])
            rtnl.batch([messages.set_link(f"b{count}-{number}", up=True) for number in range(count)])
            del told[:]
            watch.doRead()
            # The kernel may still have something to say of those before.
            names = {event.link.name for event in told if isinstance(event, monitor.LinkChanged)}
            self.assertEqual(count, len([name for name in names if name.startswith(f"b{count}-")]))
            self.assertNotIn(watch, resting.getReaders())
            resting.advance(rest * 0.9)
            self.assertNotIn(watch, resting.getReaders())
            resting.advance(rest * 0.2)
            self.assertIn(watch, resting.getReaders())

    def test_held(self) -> None:
        """While it is held it reads when it is told to, and not by itself."""
        host, rtnl = self.host, self.rtnl
        told: list[monitor.Event] = []
        clock = MemoryReactorClock()
        watch = monitor.LinkMonitor(clock, host.inside(monitor.open_monitor_socket, rtnl, UNTOLD), told.extend)
        watch.start()
        watch.hold()
        self.assertNotIn(watch, clock.getReaders())
        host.ip("link add br0 type bridge")
        self.assertEqual([], told)
        watch.read()
        self.assertIn("br0", {event.link.name for event in told if isinstance(event, monitor.LinkChanged)})
        watch.release()
        self.assertIn(watch, clock.getReaders())
        watch.doRead()
        watch.hold()
        clock.advance(1)
        self.assertNotIn(watch, clock.getReaders())
        watch.release()
        watch.doRead()
        watch.hold()
        watch.release()
        self.assertNotIn(watch, clock.getReaders(), "it still rests")
        clock.advance(1)
        self.assertIn(watch, clock.getReaders())
        watch.hold()
        watch.stop()
        watch.release()
        self.assertNotIn(watch, clock.getReaders())
