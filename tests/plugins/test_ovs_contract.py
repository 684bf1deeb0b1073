"""The ovs plugin passes the tests of every plugin, on a private Open vSwitch with the userspace datapath."""

from __future__ import annotations

from collections.abc import Collection

from quantumd.core.model import Attachment, Device, Form
from quantumd.plugins.ovs import OvsPlugin
from quantumd.testing import PluginHost, make_network_plugin_tests
from quantumd.testing.lab import Lab
from quantumd.testing.openvswitch import OpenVSwitch
from tests.plugins.ovs_case import make_plugin

BRIDGE = "br-int"


class OvsHost(PluginHost):
    """A namespace for the host, with a switch of its own, and more for guests.

    What comes late is a port that a hypervisor puts there; what is given by name is a device that is on no bridge.
    """

    def __init__(self) -> None:
        self.lab = Lab()
        try:
            self._set_up()
        except BaseException:
            self.lab.close()  # nobody else can
            raise

    def _set_up(self) -> None:
        self.host = self.lab.namespace()
        self.switch = OpenVSwitch(self.lab, self.host)
        self.switch.start()
        self.host.ip("link add held type veth peer name held-peer")
        self.switch.vsctl("add-br", "br-other", "--", "set", "Bridge", "br-other", "datapath_type=netdev")
        self.switch.vsctl("add-port", "br-other", "held")
        # The way out for tunnels, as the userspace datapath wants it.
        self.host.ip("addr add 192.0.2.9/24 dev br-other")
        self.host.ip("link set br-other up")

    def make_plugin(self) -> OvsPlugin:
        return make_plugin(self.switch)

    def close(self) -> None:
        self.lab.close()

    def inventory(self) -> Collection[str]:
        rows = [f"bridge {name}" for name in self.switch.vsctl("list-br").split()]
        rows += [f"{row} {name}" for row in ("Port", "Interface") for name in self.names(row)]
        return rows + [f"device {index} {name}" for name, index in self.host.links().items()]

    def names(self, table: str) -> list[str]:
        return self.switch.vsctl("--bare", "--columns=name", "list", table).split()

    def add_device(self, name: str) -> None:
        self.host.ip(f"link add {name} type veth peer name {name}-peer")
        self.host.ip(f"link set {name}-peer up")
        if name.startswith("late"):
            self.host.ip(f"link set {name} up")
            ids = ["--", "set", "Interface", name, f"external_ids:iface-id={name}"]
            self.switch.vsctl("add-port", BRIDGE, name, *ids)

    def remove_device(self, name: str) -> None:
        if name.startswith("late"):
            self.switch.vsctl("del-port", name)
        self.host.ip(f"link del {name}")

    def add_namespace(self) -> str:
        return self.lab.namespace().name

    def hopeless_form(self) -> Form:
        return Form(id="hopeless", device=Device(name="held"))

    def disturb(self, attachment: Attachment) -> None:
        self.switch.vsctl("del-port", BRIDGE, str(attachment.plugin["device"]))


OvsPluginTests = make_network_plugin_tests(OvsHost)
