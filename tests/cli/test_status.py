"""``quantumctl status`` and ``quantumctl extensions``."""

from __future__ import annotations

from .case import CliCase


class StatusTests(CliCase):
    """The daemon at a glance."""

    def test_well(self) -> None:
        """Nothing there, nothing wrong."""
        out = self.done("status").out
        for words in (
            "quantumd 0  up",
            self.api.endpoint,
            "plugin       fake up",
            "networks     0\n",
            "nothing to be done",
        ):
            self.assertIn(words, out)
        self.assertIn("faults       none", out)

    def test_down(self) -> None:
        """That the plugin's backend is away is the news, not a fault of the command."""
        self.api.up = False
        result = self.done("status")
        self.assertIn("quantumd 0  down", result.out)
        self.assertIn("fake down: no OVSDB", result.out)

    def test_counts_and_faults(self) -> None:
        """Counts by status, the backlog, and each fault with its message."""
        blue = self.api.network("blue")
        self.api.network("bad-net", status="InProgress")
        self.api.plug(blue, "vif1")
        self.api.plug(blue, "bad-vif", status="InProgress")
        self.api.plug(blue, "stuck-vif", status="InProgress")
        self.api.plug(blue, "stuck-out", status="Detaching")
        result = self.done("status")
        for words in (
            "networks     2 (1 Active, 1 Failed)",
            "ports        4 (4 Active)",
            "attachments  4 (1 Attached/UP, 1 Detaching, 1 Failed, 1 InProgress)",
            "backlog      2 still to be carried out",
            "faults       3",
            "PluginFault: the kernel says no",
            "PluginFault: the switch says no",
        ):
            self.assertIn(words, result.out)
        body = self.done("status -f json").json
        self.assertEqual(body["networks"], {"Active": 1, "Failed": 1})
        self.assertEqual(body["backlog"], 2)
        self.assertEqual({fault["id"] for fault in body["faults"]} - set(self.api.networks), {"bad-vif", "stuck-out"})
        self.assertEqual(body["faults"][-1]["network_name"], "blue")
        self.assertEqual(body["faults"][-1]["fault"]["name"], "PluginFault")
        self.assertEqual(body["plugin"]["name"], "fake")

    def test_network_goes_meanwhile(self) -> None:
        """A network that goes while we look is left out, not stumbled over."""
        self.api.network("blue")
        self.api.before["GET ports"] = self.api.networks.clear
        self.assertIn("networks     1", self.done("status").out)


class ExtensionTests(CliCase):
    """What the plugin takes."""

    def test_lines(self) -> None:
        """Options with their types, bounds and descriptions."""
        out = self.done("extensions").out
        self.assertEqual(
            out.splitlines(),
            [
                "network options",
                "  mtu  integer from 68 to 65535",
                "    Bytes of a packet.",
                "  mode  one of plain, fancy default plain",
                "port options",
                "  none",
                "attachment types",
                "  vif  a NIC",
                "  odd  schema=-",
                "capabilities",
                "  fixed_ports  0",
                "  devices  tap,veth",
            ],
        )
        self.assertIn("network_options", self.done("extensions -f json").json)
