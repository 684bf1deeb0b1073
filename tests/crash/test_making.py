"""Ended while a device is made: what is left is told from a stranger's, whether or not the state is there."""

from __future__ import annotations

import os

from twisted.trial.unittest import SynchronousTestCase

from quantumd.core.names import MARK
from quantumd.host import netns
from quantumd.host.mac import derived_mac
from quantumd.host.netlink import messages
from quantumd.host.netlink.parse import Link
from quantumd.host.netlink.rtnl import Rtnl
from quantumd.plugins.linuxbridge.judge import MAX_PORTS
from quantumd.plugins.linuxbridge.making import Inner, Making, TapPlan, make
from quantumd.plugins.linuxbridge.marks import MAKING, is_half_made, made_here, port_alias
from quantumd.testing.lab import Lab
from tests.crash.steps import Killed, Steps

PORT = "aaaaaaaa-0000-4000-8000-000000000000"


class MakingTests(SynchronousTestCase):
    def setUp(self) -> None:
        lab = Lab()
        self.addCleanup(lab.close)
        self.host, self.guest, other = lab.namespace(), lab.namespace(), lab.namespace()
        self.rtnl = self.host.inside(Rtnl)
        self.addCleanup(self.rtnl.close)
        self.place, self.other = (netns.open_netns(f"{netns.RUN_NETNS}/{one.name}") for one in (self.guest, other))
        self.addCleanup(os.close, self.place)
        self.addCleanup(os.close, self.other)
        create = messages.create_veth(
            "tap0", peer="eth0", netns_fd=self.place, mac=derived_mac(PORT), mtu=1500, group=MAKING
        )
        self.veth = Making("tap0", PORT, port_alias(PORT), create, 1500, inner=Inner(self.place, "eth0"))
        self.tap = Making("tap0", PORT, port_alias(PORT), TapPlan(), 1500)

    def test_marks(self) -> None:
        """What has the altname has the alias or is in the group: else it is somebody's, and is let go of and stays."""
        marked = 0
        last: int | None = 0
        while last is not None:
            steps = Steps(last)
            try:
                with steps.watching():
                    self.host.inside(make, self.rtnl, [self.veth], True)
                last = None
            except Killed:
                last += 1
            left = [link for link in self.rtnl.all_links() if link.kind == "veth"]
            for link in left:
                marked += MARK + PORT in link.altnames
                self.assertTrue(made_here(link) or not link.altnames, (steps.names, link))
                self.assertEqual("tap0", link.name)
                self.assertTrue(is_half_made(link) or MARK + PORT in link.altnames, (steps.names, link))
                self.rtnl.one(messages.delete_link(link.index))
        self.assertGreater(marked, 2)

    def test_as_it_is(self) -> None:
        """The device that comes of it is told of as the kernel has it, but for what only the kernel knows."""
        for making in (self.veth, self.tap):
            (made,) = self.host.inside(make, self.rtnl, [making], True)
            (there,) = self.rtnl.links(["tap0"])
            assert isinstance(made, Link)
            assert there is not None
            for name in ("index", "name", "alias", "altnames", "mtu", "group", "master", "up"):
                self.assertEqual(getattr(there, name), getattr(made, name), name)
            self.assertEqual(0, there.group)
            self.rtnl.one(messages.delete_link(there.index))

    def test_no_bridge(self) -> None:
        """One whose bridge has gone, or is full, is not made, nor is its other end; what is wrong is told."""
        for master, words in ((9999, "its network's bridge has gone meanwhile"), (self.full(), "unplug something")):
            create = messages.create_veth("v", peer="eth0", netns_fd=self.place, group=MAKING, master=master)
            making = Making("v", PORT, port_alias(PORT), create, None, master, inner=Inner(self.place, "eth0"))
            (why,) = self.host.inside(make, self.rtnl, [making], True)
            self.assertIn(words, str(why))
            self.assertEqual([None], self.rtnl.links(["v"]))
            self.assertEqual({}, self.guest.links())

    def full(self) -> int:
        """A bridge with all the ports that one takes."""
        self.host.ip("link add name full type bridge")
        bridge = self.host.links()["full"]
        many = [
            messages.create_veth(f"p{n}", peer=f"q{n}", netns_fd=self.other, master=bridge) for n in range(MAX_PORTS)
        ]
        self.assertTrue(all(reply.ok for reply in self.rtnl.batch(many)))
        return bridge

    def test_stranger(self) -> None:
        """A device that got the name a moment ago is not touched, and named."""
        self.rtnl.one(messages.create_bridge("tap0", "02:00:00:00:00:01"))
        before = self.rtnl.links(["tap0"])
        for making in (self.veth, self.tap):
            (why,) = self.host.inside(make, self.rtnl, [making], True)
            self.assertIn("The name tap0 is held by the bridge device tap0", str(why))
            self.assertEqual(before, self.rtnl.links(["tap0"]))
