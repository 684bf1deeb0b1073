"""What the linuxbridge plugin sees in facts about the host that are values."""

from __future__ import annotations

from typing import Any

from attrs import evolve
from twisted.trial.unittest import SynchronousTestCase

from quantumd.core.model import Attachment, Device, Form, Network
from quantumd.core.names import MARK
from quantumd.core.state import State
from quantumd.host.netlink.parse import IFF_NOARP, IFF_UP, BridgeDetail, Link, VlanDetail
from quantumd.plugins.linuxbridge.facts import Facts, Found
from quantumd.plugins.linuxbridge.features import Features
from quantumd.plugins.linuxbridge.judge import judge
from quantumd.plugins.linuxbridge.look import leftovers, see_network, see_plug
from quantumd.plugins.linuxbridge.marks import MAKING, network_alias, network_ident, port_alias
from quantumd.plugins.linuxbridge.terms import Plug, plug_of
from quantumd.plugins.linuxbridge.view import HostView
from tests.core.support import World, named, tap, uplink


def facts(*links: Link, **more: Any) -> Facts:
    """A host with these devices."""
    found = Facts(**more)
    for link in links:
        found.add(link)
    return found


class LookTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.world = World(lambda state, change: judge(state, change, HostView(), Features()))
        self.network: Network = self.world.network()
        self.bridge = Link(
            1, self.network.data["bridge"], IFF_UP | IFF_NOARP, 1500, kind="bridge",
            altnames=(MARK + network_ident(self.network.id),),
            alias=network_alias(self.network.id), detail=BridgeDetail(),
        )  # fmt: skip

    def plug(self, form: Form, was_plugged: bool = True) -> Plug:
        attachment: Attachment = self.world.plug_anywhere(self.network, form)
        return plug_of(evolve(attachment, was_plugged=was_plugged), self.network)

    def device(self, plug: Plug, **more: Any) -> Link:
        """Its device, made by us, as it should be."""
        return evolve(
            Link(
                2, plug.device, IFF_UP, 1500, kind="tun", master=1, carrier=True,
                altnames=(plug.mark,), alias=port_alias(plug.ident),
            ),
            **more,
        )  # fmt: skip

    def test_network(self) -> None:
        """A bridge is in order, or what is wrong with it is said."""
        seen = see_network(facts(self.bridge), self.network)
        self.assertTrue(seen.in_order)
        self.assertEqual({"bridge": self.bridge.name}, seen.plugin)
        for wrong in (
            {"flags": IFF_NOARP},
            {"flags": IFF_UP},
            {"mtu": 1400},
            {"name": "other"},
            {"detail": BridgeDetail(stp=True)},
            {"detail": BridgeDetail(mcast_snooping=True)},
        ):
            seen = see_network(facts(evolve(self.bridge, **wrong)), self.network)
            self.assertEqual((True, 1), (seen.present, len(seen.differences)), wrong)

    def test_lookalike_of_a_bridge(self) -> None:
        """A bridge without our mark is nobody's that we know, whatever its name."""
        stranger = evolve(self.bridge, altnames=(), alias="")
        self.assertFalse(see_network(facts(stranger), self.network).present)
        self.assertEqual((), leftovers(facts(stranger), State()))

    def test_half_made(self) -> None:
        """What a crash left half made is there, and not in order; without a record, it is a leftover."""
        half = evolve(self.bridge, altnames=(), alias="", group=MAKING)
        seen = see_network(facts(half), self.network)
        self.assertTrue(seen.present)
        self.assertTrue(seen.differences)
        plug = self.plug(tap("t"))
        half = evolve(self.device(plug), group=MAKING)
        for link in (half, evolve(half, altnames=(), alias="")):
            seen = see_plug(facts(self.bridge, link), plug)
            self.assertTrue(seen.present)
            self.assertEqual(("its device is half made",), seen.differences)
            self.assertEqual(1, len(leftovers(facts(link), State())))

    def test_made(self) -> None:
        """A device of ours is in order, or what is wrong with it is said; its name alone does not make it ours."""
        plug = self.plug(tap("t"))
        good = self.device(plug)
        seen = see_plug(facts(self.bridge, good), plug)
        self.assertEqual((True, True), (seen.in_order, seen.up))
        for wrong in ({"flags": 0}, {"master": 0}, {"mtu": 1400}, {"name": "other"}, {"altnames": ()}):
            seen = see_plug(facts(self.bridge, evolve(good, **wrong)), plug)
            self.assertEqual((True, 1), (seen.present, len(seen.differences)), wrong)
        stranger = evolve(good, altnames=(), alias="")
        seen = see_plug(facts(self.bridge, stranger), plug)
        self.assertEqual((False, None), (seen.present, seen.waiting_for))

    def test_without_altnames(self) -> None:
        """On a kernel without altnames the alias is mark enough."""
        plug = self.plug(tap("t"))
        link = self.device(plug, altnames=())
        self.assertTrue(see_plug(facts(self.bridge, link, altnames=False), plug).in_order)
        self.assertEqual(1, len(leftovers(facts(link, altnames=False), State())))

    def test_foreign(self) -> None:
        """A device of somebody's that is down is in order; one that is renamed is known by its mark."""
        plug = self.plug(named("vm", "eth1"))
        link = Link(2, "eth1", IFF_UP, master=1, carrier=True, altnames=(plug.mark,))
        self.assertTrue(see_plug(facts(self.bridge, link), plug).up)
        down = see_plug(facts(self.bridge, evolve(link, flags=0)), plug)
        self.assertEqual((True, False), (down.in_order, down.up))
        renamed = see_plug(facts(self.bridge, evolve(link, name="eth9")), plug)
        self.assertEqual((True, "eth9"), (renamed.in_order, renamed.plugin["device"]))
        apart = see_plug(facts(self.bridge, evolve(link, master=0, altnames=())), plug)
        self.assertEqual(False, apart.present)
        self.assertTrue(apart.differences)
        holder = Link(9, "theirs", 0, kind="bridge")
        held = see_plug(facts(self.bridge, holder, evolve(link, master=9)), plug)
        self.assertIn("theirs", held.differences[0])
        gone = see_plug(facts(self.bridge), plug)
        self.assertEqual((False, "device eth1"), (gone.present, gone.waiting_for))

    def test_vlan(self) -> None:
        """A sub-interface waits for what it is on, and is made anew where that, or its VLAN, is another one."""
        plug = self.plug(uplink("u", "eth1", 7))
        below = Link(5, "eth1", IFF_UP)
        self.assertEqual("device eth1", see_plug(facts(self.bridge), plug).waiting_for)
        self.assertIsNone(see_plug(facts(self.bridge, below), plug).waiting_for)
        good = self.device(plug, kind="vlan", link=5, detail=VlanDetail(7, 0x8100))
        seen = see_plug(facts(self.bridge, below, good), plug)
        self.assertTrue(seen.in_order)
        self.assertEqual("eth1", seen.plugin["uplink"])
        for wrong in ({"link": 6}, {"detail": VlanDetail(8, 0x8100)}):
            self.assertFalse(see_plug(facts(self.bridge, below, evolve(good, **wrong)), plug).in_order, wrong)

    def test_veth(self) -> None:
        """A veth waits for its namespace, and is made anew where the name leads to another one by now."""
        plug = self.plug(Form(id="v", device=Device(create="veth", netns="vm", ifname="eth0")))
        assert plug.place is not None
        self.assertEqual("network namespace vm", see_plug(facts(self.bridge), plug).waiting_for)
        link = self.device(plug, kind="veth", link_netnsid=3)
        for places, in_order in (({}, True), ({plug.place: Found(3)}, True), ({plug.place: Found(4)}, False)):
            seen = see_plug(facts(self.bridge, link, places=places), plug)
            self.assertEqual(in_order, seen.in_order, places)

    def test_leftovers(self) -> None:
        """What bears a mark that no record has is left over, whoever made it."""
        plug = self.plug(tap("t"))
        mine, strange = self.device(plug), Link(7, "other", 0, altnames=("quantum-nobody",))
        found = leftovers(facts(self.bridge, mine, strange, Link(8, "plain", 0)), self.world.state)
        self.assertEqual([7], [one.handle["index"] for one in found])
        found = leftovers(facts(self.bridge, mine), State())
        self.assertEqual([1, 2], [one.handle["index"] for one in found])
