"""The memory plugin passes the tests of every plugin."""

from __future__ import annotations

from collections.abc import Collection

from twisted.internet import reactor

from quantumd.core.model import Attachment, Form
from quantumd.plugins.memory import SETTINGS, MemoryPlugin
from quantumd.testing import PluginHost, make_network_plugin_tests


class MemoryHost(PluginHost):
    """One dict that outlives its plugins, and the devices of others, which the plugin never looks at."""

    waits_for_devices = False

    def __init__(self) -> None:
        self.plugins: list[MemoryPlugin] = []
        self.others: set[str] = set()

    def make_plugin(self) -> MemoryPlugin:
        plugin = MemoryPlugin(reactor, {**SETTINGS, "fail": "hopeless"})
        if self.plugins:
            plugin.host = self.plugins[0].host
        self.plugins.append(plugin)
        return plugin

    def close(self) -> None:
        pass

    def inventory(self) -> Collection[str]:
        return [*self.others, *(f"{key.kind} {key.ident}" for key in self.plugins[0].host)]

    def add_device(self, name: str) -> None:
        self.others.add(name)

    def remove_device(self, name: str) -> None:
        self.others.remove(name)

    def add_namespace(self) -> str:
        return "guest"

    def hopeless_form(self) -> Form:
        return Form(id="hopeless")

    def relent(self) -> None:
        for plugin in self.plugins:
            plugin.fail = ""

    def disturb(self, attachment: Attachment) -> None:
        del self.plugins[0].host[attachment.key]


MemoryPluginTests = make_network_plugin_tests(MemoryHost)
