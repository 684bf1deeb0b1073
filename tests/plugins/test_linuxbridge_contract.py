"""The linuxbridge plugin passes the tests of every plugin, on a namespace for a host."""

from __future__ import annotations

from collections.abc import Collection

from twisted.internet import reactor

from quantumd.core.model import Attachment, Device, Form
from quantumd.plugins.linuxbridge import LinuxBridgePlugin
from quantumd.testing import PluginHost, make_network_plugin_tests
from quantumd.testing.lab import Lab


class LinuxHost(PluginHost):
    """A namespace for the host, and more for guests."""

    def __init__(self) -> None:
        self.lab = Lab()
        self.host = self.lab.namespace()
        self.host.ip("link add taken type bridge")
        self.host.ip("link add held type veth peer name held-peer")
        self.host.ip("link set held master taken")

    def make_plugin(self) -> LinuxBridgePlugin:
        return LinuxBridgePlugin(reactor, netns=self.host.path)

    def close(self) -> None:
        self.lab.close()

    def inventory(self) -> Collection[str]:
        return [f"{index} {name}" for name, index in self.host.links().items()]

    def add_device(self, name: str) -> None:
        self.host.ip(f"link add {name} type veth peer name {name}-peer")
        self.host.ip(f"link set {name}-peer up")

    def remove_device(self, name: str) -> None:
        self.host.ip(f"link del {name}")

    def add_namespace(self) -> str:
        return self.lab.namespace().name

    def hopeless_form(self) -> Form:
        return Form(id="hopeless", device=Device(name="held"))

    def disturb(self, attachment: Attachment) -> None:
        self.host.ip(f"link set {attachment.plugin['device']} nomaster")


LinuxBridgePluginTests = make_network_plugin_tests(LinuxHost)
