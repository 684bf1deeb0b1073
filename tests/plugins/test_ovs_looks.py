"""How often the ovs plugin looks at devices: a batch begins with what its round has seen, where that still holds."""

from __future__ import annotations

from typing import Any
from unittest.mock import patch

from twisted.internet.defer import Deferred
from twisted.trial.unittest import TestCase

from quantumd.core.model import Device, Form
from quantumd.plugins.linuxbridge.marks import MAKING
from quantumd.plugins.ovs import devices
from quantumd.testing.lab import Lab
from quantumd.testing.network_plugins import Bench
from quantumd.testing.openvswitch import OpenVSwitch
from tests.plugins.ovs_case import make_plugin


class LookTests(TestCase):
    """A plugin on a private Open vSwitch, and two taps of somebody's."""

    timeout = 60

    def setUp(self) -> Deferred[None]:
        lab = Lab()
        self.addCleanup(lab.close)
        self.host = lab.namespace()
        switch = OpenVSwitch(lab, self.host)
        switch.start()
        for name in ("tap1", "tap2"):
            self.host.ip(f"tuntap add dev {name} mode tap")
        self.bench = Bench(make_plugin(switch))
        self.addCleanup(self.bench.plugin.stop)
        self.looks = 0
        self.asked: list[str] = []
        look = devices.look

        def counted(rtnl: Any, names: Any, *words: Any) -> Any:
            self.looks += 1
            self.asked += names or ()
            return look(rtnl, names, *words)

        patcher = patch.object(devices, "look", counted)
        patcher.start()
        self.addCleanup(patcher.stop)
        return self.bench.plugin.start(self.bench.notify)

    async def test_plugged_at_once(self) -> None:
        """Discovery looks, and what came of it is looked at; nothing between."""
        network = self.bench.network()
        await self.bench.once([network.key])
        self.looks = 0
        keys = [self.bench.plug(network, Form(id=n, device=Device(name=n))).key for n in ("tap1", "tap2")]
        await self.bench.once(keys)
        self.assertEqual(2, self.looks)
        self.assertEqual({"Attached/DOWN"}, {self.bench.state.attachments[int(key.ident)].status for key in keys})

    async def test_new_devices(self) -> None:
        """One that is to be made, of which the kernel told nothing, is asked for once it is made, and not before."""
        network = self.bench.network()
        await self.bench.once([network.key])
        self.looks = 0
        tap = self.bench.plug(network, Form(id="tap", device=Device(create="tap")))
        await self.bench.once([tap.key])
        device = self.bench.now(tap).plugin["device"]
        self.assertEqual((2, 1), (self.looks, self.asked.count(device)))
        self.host.ip(f"link del {device}")
        await self.bench.once([tap.key])
        self.assertGreater(self.asked.count(device), 2)
        self.assertEqual("Attached/DOWN", self.bench.now(tap).status)

    async def test_half_made_unheard(self) -> None:
        """What a batch that broke off has left, which nobody is told of, is made anew with the second try."""
        network = self.bench.network()
        await self.bench.once([network.key])
        tap = self.bench.plug(network, Form(id="tap", device=Device(create="tap", name="mine")))
        self.host.ip(f"link add mine group {MAKING} type veth peer name other")
        await self.bench.once([tap.key])
        self.assertEqual("Failed", self.bench.now(tap).status)
        await self.bench.once([tap.key])
        self.assertEqual("Attached/DOWN", self.bench.now(tap).status)
        self.assertNotIn("other", self.host.links())

    async def test_what_was_removed_meanwhile(self) -> None:
        """A batch that removes looks again: what the round has seen may be what went."""
        network = self.bench.network()
        old = self.bench.plug(network, Form(id="old", device=Device(name="tap1")))
        await self.bench.once([network.key, old.key])
        new = self.bench.plug(network, Form(id="new", device=Device(name="tap2")))
        self.bench.unplug(self.bench.state.attachments[old.serial])
        self.looks = 0
        await self.bench.once([old.key, new.key])
        self.assertGreater(self.looks, 2)
        self.assertEqual("Attached/DOWN", self.bench.state.attachments[new.serial].status)
