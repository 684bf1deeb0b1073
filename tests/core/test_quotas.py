from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from quantumd.core.changes import RecordChange
from quantumd.core.errors import OverLimit
from quantumd.core.model import Json
from quantumd.core.quotas import COUNTED, Quota, Quotas, usage
from quantumd.core.state import State
from tests.core.support import World, vxlan


def world_with(quotas: Quotas) -> World:
    def judge(state: State, change: RecordChange) -> Json:
        quotas.check(state, change)
        return {}

    return World(judge)


class QuotaTests(SynchronousTestCase):
    def test_of_a_tenant(self) -> None:
        """One more than the quota is refused, says which limit and how much is used, and leaves the others alone."""
        world = world_with(Quotas(tenant=Quota(networks=1, ports=3, attachments=2, tunnels=1)))
        network, other = world.network("a", "acme"), world.network("a", "umbrella")
        self.refused(lambda: world.network("b", "acme"), "1 networks, and the quota allows 1")
        port = world.port(network)
        world.plug_anywhere(network, vxlan("t", "192.0.2.1"))
        self.refused(
            lambda: world.plug_anywhere(network, vxlan("t2", "192.0.2.2")), "1 tunnels, and the quota allows 1"
        )
        for _ in range(2):
            world.port(network)
        self.refused(lambda: world.port(network), "3 ports, and the quota allows 3")
        world.plug_anywhere(network, "vm1")
        self.refused(lambda: world.plug_anywhere(network, "vm2"), "2 attachments, and the quota allows 2")
        world.plug_anywhere(other, "vm2")
        # What is on its way out makes room, so that a VIF can be moved.
        world.unplug(port)
        world.plug_anywhere(network, "vm3")

    def test_of_all(self) -> None:
        world = world_with(Quotas(total=Quota(ports=1)))
        network, other = world.network("a", "acme"), world.network("a", "umbrella")
        world.port(network)
        self.refused(lambda: world.port(other), "1 ports, and the quota allows 1")

    def test_fixed_ports(self) -> None:
        """They come with the network, and count."""
        quotas = Quotas(tenant=Quota(ports=3))

        def judge(state: State, change: RecordChange) -> Json:
            quotas.check(state, change, fixed_ports=2)
            return {}

        world = World(judge)
        network = world.network("a")
        self.refused(lambda: [world.port(network) for _ in range(9)], "3 ports")
        self.refused(lambda: world.network("b"), "3 ports")

    def test_changes_of_what_there_is(self) -> None:
        """A full quota keeps nobody from renaming or removing."""
        world = world_with(Quotas(tenant=Quota(networks=1, ports=0)))
        network = world.network("a")
        world.rename(network, name="b")
        world.delete_network(network)
        world.network("c")

    def test_usage(self) -> None:
        world = World()
        world.port(world.network("a", "acme"))
        quota = Quota(networks=7)
        self.assertEqual(
            usage(world.state, quota, "acme"),
            {
                "networks": {"limit": 7, "used": 1},
                "ports": {"limit": None, "used": 1},
                "attachments": {"limit": None, "used": 0},
                "tunnels": {"limit": None, "used": 0},
            },
        )
        self.assertEqual(tuple(usage(world.state, quota, None)), COUNTED)

    def refused(self, ask: object, words: str) -> None:
        with self.assertRaises(OverLimit) as caught:
            ask()  # type: ignore[operator]
        self.assertIn(words, caught.exception.detail)
