"""Options' values, and the bodies of attachments that they add up to."""

from __future__ import annotations

import json
from argparse import ArgumentTypeError
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from quantumd.cli import forms
from quantumd.cli.errors import WrongUsage
from quantumd.cli.parser import build_parser


def body(line: str) -> dict[str, Any]:
    return forms.attachment_body(build_parser().parse_args(["attachment", "plug", "net", *line.split()]))


class BodyTests(SynchronousTestCase):
    """Each row of the contract's table of what can be plugged."""

    def test_late_binding(self) -> None:
        """The id alone."""
        self.assertEqual(body("vm1-eth0"), {"id": "vm1-eth0"})

    def test_device(self) -> None:
        """A host's netdev."""
        self.assertEqual(body("v --device tap7"), {"id": "v", "device": {"name": "tap7"}})

    def test_tap(self) -> None:
        """A tap that quantumd makes; what is not said is not sent."""
        self.assertEqual(body("v --tap"), {"id": "v", "device": {"create": "tap"}})
        device = {
            "create": "tap",
            "name": "t0",
            "mac": "02:00:00:00:00:01",
            "owner_uid": 0,
            "owner_gid": 108,
            "multi_queue": True,
        }
        line = "v --tap --name t0 --mac 02:00:00:00:00:01 --owner-uid 0 --owner-gid 108 --multi-queue"
        self.assertEqual(body(line), {"id": "v", "device": device})

    def test_veth(self) -> None:
        """A veth pair into a namespace, by name or path."""
        device = {"create": "veth", "netns": "vm1", "ifname": "eth0"}
        self.assertEqual(body("v --veth vm1:eth0"), {"id": "v", "device": device})
        device = {"create": "veth", "netns": "/proc/123/ns/net", "ifname": "eth0", "name": "h", "mac": "m"}
        self.assertEqual(body("v --veth /proc/123/ns/net:eth0 --name h --mac m"), {"id": "v", "device": device})

    def test_uplink(self) -> None:
        """A bridging device, with and without a VLAN, and by force."""
        self.assertEqual(body("u --uplink eth1"), {"id": "u", "type": "bridge", "device": {"name": "eth1"}})
        tagged = {"id": "u", "type": "bridge", "device": {"name": "eth1"}, "vlan": 100}
        self.assertEqual(body("u --uplink eth1:100"), tagged)
        self.assertEqual(body("u --uplink eth1:100 --force"), tagged | {"force": True})

    def test_vxlan(self) -> None:
        """A tunnel, over IPv4 and IPv6."""
        tunnel = {"kind": "vxlan", "remote": "192.0.2.7", "vni": 1001}
        self.assertEqual(body("s --vxlan 192.0.2.7:1001"), {"id": "s", "type": "tunnel", "tunnel": tunnel})
        tunnel = {"kind": "vxlan", "remote": "2001:db8::7", "vni": 7, "local": "2001:db8::1", "port": 8472}
        for remote in ("2001:db8::7:7", "[2001:db8::7]:7"):
            line = f"s --vxlan {remote} --vxlan-local 2001:db8::1 --vxlan-port 8472"
            self.assertEqual(body(line), {"id": "s", "type": "tunnel", "tunnel": tunnel})

    def test_body(self) -> None:
        """A form of the plugin's own; what the line says besides goes with it."""
        tunnel = {"type": "tunnel", "tunnel": {"kind": "geneve"}}
        self.assertEqual(body(f"g --body {json.dumps(tunnel, separators=(',', ':'))}"), {"id": "g"} | tunnel)
        self.assertEqual(body("g --body {} --reference vm-7"), {"id": "g", "reference": "vm-7"})

    def test_reference(self) -> None:
        """A reference goes with every form, and may be empty."""
        self.assertEqual(body("v --reference vm-7")["reference"], "vm-7")
        self.assertEqual(body("v --tap --reference=")["reference"], "")


class KeyValueTests(SynchronousTestCase):
    """``KEY=VALUE``."""

    def test_values(self) -> None:
        """JSON where it can be, else a string."""
        for text, value in (
            ("1400", 1400),
            ("true", True),
            ("null", None),
            ("1.5", 1.5),
            ('"10"', "10"),
            ("[1, 2]", [1, 2]),
            ("fancy", "fancy"),
            ("", ""),
            ("a=b", "a=b"),
            ("NaN", "NaN"),
            ("Infinity", "Infinity"),
            ("{", "{"),
        ):
            self.assertEqual(forms.key_value(f"k={text}"), ("k", value))

    @given(st.text())
    def test_anything(self, text: str) -> None:
        """Any text is either taken apart or refused with words."""
        try:
            key, _value = forms.key_value(text)
        except ArgumentTypeError as refused:
            self.assertIn("KEY=VALUE", str(refused))
        else:
            self.assertTrue(text.startswith(f"{key}="))

    def test_twice(self) -> None:
        """No option is given twice."""
        self.assertEqual(forms.options(None), {})
        self.assertRaises(WrongUsage, forms.options, [("a", 1), ("a", 1)])
