from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from twisted.application.service import IServiceMaker
from twisted.internet import reactor
from twisted.plugin import getPlugins
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from quantumd.config import ConfigError
from quantumd.daemon import Daemon
from quantumd.interfaces import INetworkPlugin, INetworkPluginFactory
from quantumd.tap import Options, configure, makeService


class DropInTests(SynchronousTestCase):
    def test_service(self) -> None:
        """twistd finds the subcommand, and what it is made of."""
        (maker,) = (maker for maker in getPlugins(IServiceMaker) if maker.tapname == "quantumd")
        self.assertIs(Options, maker.options)
        self.assertIs(makeService, maker.makeService)

    def test_plugins(self) -> None:
        """quantumd finds its plugins; each builds from its default settings."""
        factories = {factory.name: factory for factory in getPlugins(INetworkPluginFactory)}
        self.assertLessEqual({"linuxbridge", "memory"}, set(factories))
        for name in ("linuxbridge", "memory"):
            verifyObject(INetworkPluginFactory, factories[name])
            plugin = factories[name].build(reactor, factories[name].settings)
            verifyObject(INetworkPlugin, plugin)
            self.assertEqual(name, plugin.name)


class OptionsTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.directory = Path(tempfile.mkdtemp(prefix="quantumd-tap-"))
        self.addCleanup(shutil.rmtree, self.directory)
        self.path = self.directory / "quantumd.conf"
        self.path.write_text("[quantumd]\nplugin = memory\nstate = /x\nlisten = tcp:1\n[plugin:memory]\ncapacity = 3\n")

    def options(self, *words: str) -> Options:
        options = Options()
        options.parseOptions(words)
        return options

    def test_file(self) -> None:
        settings, plugin = configure(self.options("--config", str(self.path)), reactor)
        self.assertEqual(("memory", Path("/x"), ("tcp:1",)), (settings.plugin, settings.state, settings.listen))
        self.assertEqual(3, settings.plugin_settings["capacity"])
        self.assertEqual("memory", plugin.name)

    def test_options_win(self) -> None:
        words = [
            "-c",
            str(self.path),
            "--plugin",
            "linuxbridge",
            "--state",
            "/y",
            "--listen",
            "tcp:2",
            "--listen",
            "tcp:3",
        ]
        settings, plugin = configure(self.options(*words), reactor)
        self.assertEqual(
            ("linuxbridge", Path("/y"), ("tcp:2", "tcp:3")), (settings.plugin, settings.state, settings.listen)
        )
        self.assertEqual("linuxbridge", plugin.name)

    def test_endpoints_are_checked(self) -> None:
        with self.assertRaisesRegex(ConfigError, "carrier:pigeon"):
            configure(self.options("-c", str(self.path), "--listen", "carrier:pigeon"), reactor)

    def test_service(self) -> None:
        """Making it touches nothing: what it needs is opened when it starts."""
        options = self.options("-c", str(self.path), "--state", str(self.directory / "state" / "quantumd.sqlite"))
        self.assertIsInstance(makeService(options), Daemon)
        self.assertEqual([self.path], list(self.directory.iterdir()))
