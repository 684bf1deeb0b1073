"""Removing what linuxbridge made, in a namespace of its own."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from quantumd.core.changes import Done, EnsureNetwork, RemoveNetwork
from quantumd.core.model import Network
from quantumd.host.netlink.rtnl import Rtnl
from quantumd.plugins.linuxbridge import removal
from quantumd.plugins.linuxbridge.networks import ensure_networks
from quantumd.testing.lab import Lab

NOW = "2000-01-01T00:00:00.000Z"


def network(number: int) -> Network:
    ident = f"{number:08x}-0000-4000-8000-000000000000"
    return Network(serial=number, id=ident, name="n", tenant_id="t", created_at=NOW, updated_at=NOW)


class RemovalTests(SynchronousTestCase):
    def test_many_bridges(self) -> None:
        """They go in pieces, so that whoever else configures devices on the machine gets a turn in between."""
        lab = Lab()
        self.addCleanup(lab.close)
        host = lab.namespace()
        rtnl = host.inside(Rtnl)
        self.addCleanup(rtnl.close)
        networks = [network(number) for number in range(50)]
        made = host.inside(ensure_networks, rtnl, [EnsureNetwork(one) for one in networks], True)
        self.assertTrue(all(isinstance(outcome, Done) for outcome in made), made)
        sizes: list[int] = []

        def delete(rtnl: Rtnl, indexes: Any, delete: Any = removal.delete_links) -> Any:
            sizes.append(len(indexes))
            return delete(rtnl, indexes)

        self.patch(removal, "delete_links", delete)
        gone = removal.remove(rtnl, [RemoveNetwork(one) for one in networks])
        self.assertEqual([Done()] * 50, gone)
        self.assertEqual([0, 20, 20, 10], sizes)
        self.assertEqual({}, host.links())
