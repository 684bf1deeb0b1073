"""The ovs plugin with 10,000 attachments: looking at all of them does not hold the reactor."""

from __future__ import annotations

from twisted.internet import reactor
from twisted.internet.task import deferLater
from twisted.trial.unittest import TestCase

from quantumd.core.model import Attachment, Form, Key, Kind, Network, Port
from quantumd.core.transaction import build
from quantumd.testing.lab import Lab
from quantumd.testing.openvswitch import OpenVSwitch
from tests.plugins.ovs_case import make_plugin
from tests.slices import in_slices

NOW = "2000-01-01T00:00:00.000Z"
COUNT = 10_000


class LargeTests(TestCase):
    timeout = 120

    async def test_discover(self) -> None:
        """10,000 attachments that hypervisors plugged: each is seen, in slices that the reactor works between."""
        lab = Lab()
        self.addCleanup(lab.close)
        switch = OpenVSwitch(lab, lab.namespace())
        switch.start_server()
        switch.vsctl("--no-wait", "init")
        switch.fill("br-int", COUNT)
        times = {"created_at": NOW, "updated_at": NOW}
        network = Network(serial=1, id="net", name="n", tenant_id="t", data={"vlan": 9}, **times)
        ports = [Port(serial=2 + n, id=f"port{n}", network_id="net", **times) for n in range(COUNT)]
        plugs = [
            Attachment(serial=COUNT + 2 + n, network_id="net", port_id=f"port{n}", form=Form(id=f"vif{n}"), **times)
            for n in range(COUNT)
        ]
        state = build([network, *ports, *plugs], 2 * COUNT + 3, 1)
        plugin = make_plugin(switch)
        await plugin.start(lambda _: None)
        self.addCleanup(plugin.stop)
        self.assertIsNone(plugin.unavailable)
        # Strangers are isolated in slices, beside everything else.
        while switch.get("Port", f"tap{COUNT - 1}", "tag") != "4095" or switch.get("Port", "tap0", "tag") != "4095":
            await deferLater(reactor, 0.1)
        with in_slices():
            observed = await plugin.discover(state, None)
        self.assertEqual((), observed.leftovers)
        self.assertEqual(("its port is not plugged",), observed.of(plugs[77].key).differences[:1])
        self.assertEqual({"device": "tap77", "bridge": "br-int"}, observed.of(plugs[77].key).plugin)
        self.assertEqual(2 * COUNT + 1, len(observed.seen))
        self.assertIn(Key(Kind.PORT, "port9"), observed.seen)
