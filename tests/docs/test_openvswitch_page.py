"""What docs/openvswitch.md shows is well-formed, and true; the demo plays on Open vSwitch."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

from twisted.trial.unittest import SynchronousTestCase

from quantumd.plugins.ovs import SETTINGS, tables

ROOT = Path(__file__).parent.parent.parent
PAGE = (ROOT / "docs" / "openvswitch.md").read_text(encoding="utf-8")


class PageTests(SynchronousTestCase):
    def test_domain(self) -> None:
        """The libvirt domain is XML, on our bridge, isolated from its first frame, with the id that is plugged."""
        (xml,) = re.findall(r"```xml\n(.*?)```", PAGE, re.DOTALL)
        interface = ElementTree.fromstring(xml).find("devices/interface")
        assert interface is not None

        def get(path: str, name: str) -> str | None:
            found = interface.find(path)
            return None if found is None else found.get(name)

        self.assertEqual(SETTINGS["bridge"], get("source", "bridge"))
        self.assertEqual("openvswitch", get("virtualport", "type"))
        self.assertEqual(str(tables.NOWHERE), get("vlan/tag", "id"))
        self.assertIn(f"quantumctl attachment plug blue {get('virtualport/parameters', 'interfaceid')}\n", PAGE)

    def test_marks(self) -> None:
        """The marks are those in the code."""
        for mark in (tables.PORT, tables.NETWORK, tables.MADE, tables.ROLE, tables.UPLINK, tables.IFACE_ID):
            self.assertIn(f"`{mark}`", PAGE)

    def test_settings(self) -> None:
        """The settings are the defaults."""
        for key in ("ovsdb", "bridge", "datapath_type"):
            self.assertIn(f"    {key} = {SETTINGS[key]}\n", PAGE)

    def test_demo(self) -> None:
        """``make demo PLUGIN=ovs`` plays all five use cases, and leaves nothing."""
        done = subprocess.run(
            [sys.executable, "-m", "quantumd.testing.demo", "--plugin", "ovs"],
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )
        self.assertEqual(0, done.returncode, done.stdout + done.stderr)
        self.assertIn("not one device is left", done.stdout)
        self.assertEqual("", done.stderr)
