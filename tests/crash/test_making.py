"""Ended while a device is made: what is left is told from a stranger's, whether or not the state is there."""

from __future__ import annotations

import os

from twisted.trial.unittest import SynchronousTestCase

from quantumd.core.names import MARK
from quantumd.host import netns
from quantumd.host.mac import derived_mac
from quantumd.host.netlink import messages
from quantumd.host.netlink.rtnl import Rtnl
from quantumd.plugins.linuxbridge.making import Inner, Making, make
from quantumd.plugins.linuxbridge.marks import made_here, port_alias, temporary
from quantumd.testing.lab import Lab
from tests.crash.steps import Killed, Steps

PORT = "aaaaaaaa-0000-4000-8000-000000000000"


class MakingTests(SynchronousTestCase):
    def test_marks(self) -> None:
        """What has the altname has the alias: without it, it is somebody else's, which is let go of and stays."""
        lab = Lab()
        self.addCleanup(lab.close)
        host, guest = lab.namespace(), lab.namespace()
        rtnl = host.inside(Rtnl)
        self.addCleanup(rtnl.close)
        place = netns.open_netns(f"{netns.RUN_NETNS}/{guest.name}")
        self.addCleanup(os.close, place)
        create = messages.create_veth(
            temporary(PORT), peer="eth0", netns_fd=place, mac=derived_mac(PORT), peer_mac=None, mtu=1500
        )
        making = Making("tap0", PORT, port_alias(PORT), create, inner=Inner(place, "eth0"))
        marked = 0
        last: int | None = 0
        while last is not None:
            steps = Steps(last)
            try:
                with steps.watching():
                    host.inside(make, rtnl, [making], True)
                last = None
            except Killed:
                last += 1
            left = [link for link in rtnl.all_links() if link.kind == "veth"]
            for link in left:
                marked += MARK + PORT in link.altnames
                self.assertTrue(made_here(link) or not link.altnames, (steps.names, link))
                self.assertTrue(link.name == temporary(PORT) or MARK + PORT in link.altnames, (steps.names, link))
                rtnl.one(messages.delete_link(link.index))
        self.assertGreater(marked, 2)
