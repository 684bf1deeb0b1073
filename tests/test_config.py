from __future__ import annotations

import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from quantumd.config import KEYS, ConfigError, Settings, load
from quantumd.core.access import Role
from quantumd.core.policy import EVERYTHING, Policy, Powers
from quantumd.core.quotas import Quota, Quotas
from quantumd.plugins import memory, ovs
from quantumd.plugins.factory import LazyPluginFactory

EXAMPLE = Path(__file__).parent.parent / "quantumd.conf.example"

#: Two that there are, and one that cannot be imported.
FACTORIES = [
    LazyPluginFactory("memory", "", "quantumd.plugins.memory", "MemoryPlugin"),
    LazyPluginFactory("linuxbridge", "", "tests.test_config", "Nothing"),
    LazyPluginFactory("ovs", "", "quantumd.plugins.ovs", "OvsPlugin"),
    LazyPluginFactory("broken", "", "quantumd.no_such_module", "Nothing"),
]

#: The settings of the plugin called linuxbridge here.
SETTINGS: Mapping[str, Any] = {}


class Nothing:
    """Builds from any settings."""

    def __init__(self, reactor: object, settings: Mapping[str, Any]) -> None:
        pass


class _Case(SynchronousTestCase):
    def setUp(self) -> None:
        self.directory = Path(tempfile.mkdtemp(prefix="quantumd-config-"))
        self.addCleanup(shutil.rmtree, self.directory)
        self.path = self.directory / "quantumd.conf"

    def read(self, text: str, **options: Any) -> Settings:
        self.path.write_text(text, encoding="utf-8")
        return self.loaded(self.path, **options)

    def loaded(self, path: Path | None, **options: Any) -> Settings:
        return load(path, options, FACTORIES, lambda factory, values: factory.build(None, values))

    def refusal(self, text: str, **options: Any) -> str:
        with self.assertRaises(ConfigError) as caught:
            self.read(text, **options)
        line = str(caught.exception)
        self.assertNotIn("\n", line)
        return line


class ConfigTests(_Case):
    def test_defaults(self) -> None:
        """The contract's, without a file or with an empty one."""
        settings = self.loaded(None)
        self.assertEqual(settings, self.read(""))
        self.assertEqual(
            Settings(
                listen=("unix:/run/quantumd/api.sock:mode=660", "tcp:9696:interface=127.0.0.1"),
                state=Path("/var/lib/quantumd/quantumd.sqlite"),
                plugin="linuxbridge",
                status_codes="proposal",
                auth_mode="token",
                networks=4000,
                ports_per_network=1024,
                body_bytes=65536,
                requests_per_second=0,
            ),
            settings,
        )

    def test_everything(self) -> None:
        settings = self.read(
            """
            # the whole of it
            [quantumd]
            listen =
                tcp:1:interface=::1   # one
                # none

                unix:/a/b:mode=600
            state=/x/y # here
            plugin = memory
            [http]
            status_codes = standard
            [auth]
            mode = none
            unix_admin_group = root
            [policy]
            member.forms = late bridge
            member.devices = tap-{tenant}-* vnet*
            member.netns =
            member.options = *
            member.owners = yes
            admin.force = no
            [audit]
            file =
            [quotas]
            networks = 5
            ports = unlimited
            attachments = 6
            tunnels = 0
            [limits]
            ports = 7
            attachments = 8
            tunnels = unlimited
            connections = 9
            at_once = 0
            networks = 1
            ports_per_network = 2
            body_bytes = 3
            requests_per_second = 0.5
            [plugin:memory]
            delay = 1.5
            fixed_ports = 4
            veto_detach = true
            fail = bad-*
            capacity = 5
            unavailable = /tmp/away
            """.replace("\n            ", "\n")
        )
        self.assertEqual(
            Settings(
                listen=("tcp:1:interface=::1", "unix:/a/b:mode=600"),
                state=Path("/x/y"),
                plugin="memory",
                status_codes="standard",
                auth_mode="none",
                admin_gid=0,
                policy=Policy(
                    {
                        Role.ADMIN: evolve(EVERYTHING, force=False),
                        Role.MEMBER: Powers(
                            forms=("late", "bridge"),
                            devices=("tap-{tenant}-*", "vnet*"),
                            netns=(),
                            options=("*",),
                            owners=True,
                            force=False,
                        ),
                    }
                ),
                quotas=Quotas(
                    tenant=Quota(networks=5, attachments=6, tunnels=0),
                    total=Quota(networks=1, ports=7, attachments=8),
                ),
                audit=None,
                connections=9,
                at_once=0,
                networks=1,
                ports_per_network=2,
                body_bytes=3,
                requests_per_second=0.5,
                plugin_settings={
                    "delay": 1.5,
                    "fixed_ports": 4,
                    "veto_detach": True,
                    "fail": "bad-*",
                    "capacity": 5,
                    "unavailable": "/tmp/away",
                },
            ),
            settings,
        )

    def test_options_win(self) -> None:
        text = "[quantumd]\nlisten = tcp:1\nstate = /x\nplugin = linuxbridge\n[plugin:memory]\ncapacity = 7\n"
        settings = self.read(text, listen=["tcp:2", "tcp:3"], state="here", plugin="memory")
        self.assertEqual(("tcp:2", "tcp:3"), settings.listen)
        self.assertEqual(Path.cwd() / "here", settings.state)
        self.assertEqual("memory", settings.plugin)
        self.assertEqual({**memory.SETTINGS, "capacity": 7}, settings.plugin_settings)

    def test_plugin_defaults(self) -> None:
        self.assertEqual(memory.SETTINGS, self.loaded(None, plugin="memory").plugin_settings)

    def test_broken_plugin_harms_nobody_else(self) -> None:
        self.assertEqual("memory", self.loaded(None, plugin="memory").plugin)
        with self.assertRaisesRegex(ConfigError, "plugin broken cannot be loaded.*no_such_module"):
            self.loaded(None, plugin="broken")

    def test_example(self) -> None:
        """It has every key of the daemon and of our plugins, at its default, and no other."""
        settings = self.loaded(EXAMPLE)
        self.assertEqual(self.loaded(None), settings)
        text = EXAMPLE.read_text(encoding="utf-8")
        self.assertEqual(memory.SETTINGS, self.loaded(EXAMPLE, plugin="memory").plugin_settings)
        expected = {(section, key) for section, keys in KEYS.items() for key in keys}
        self.assertEqual(ovs.SETTINGS, self.loaded(EXAMPLE, plugin="ovs").plugin_settings)
        expected |= {("plugin:memory", key) for key in memory.SETTINGS}
        expected |= {("plugin:ovs", key) for key in ovs.SETTINGS}
        found, section = set(), ""
        for line in text.splitlines():
            if line.startswith("["):
                section = line.strip("[]")
            elif "=" in line and not line.startswith(("#", " ")):
                found.add((section, line.split("=")[0].strip()))
        self.assertEqual(expected, found)


class RefusalTests(_Case):
    """Each mistake is one line that names the file, the section, the key and the value."""

    def test_values(self) -> None:
        for section, key, value in (
            ("quantumd", "listen", ""),
            ("quantumd", "state", ""),
            ("quantumd", "plugin", "ovz"),
            ("quantumd", "plugin", ""),
            ("http", "status_codes", "Proposal"),
            ("auth", "mode", "basic"),
            ("auth", "unix_admin_group", "no-such-group"),
            ("policy", "member.force", "perhaps"),
            ("policy", "reader.forms", "late"),
            ("quotas", "networks", "-1"),
            ("quotas", "tunnels", ""),
            ("limits", "ports", "none"),
            ("limits", "networks", "many"),
            ("limits", "networks", "-1"),
            ("limits", "networks", "1.5"),
            ("limits", "networks", "1_000"),
            ("limits", "networks", ""),
            ("limits", "networks", "9" * 30),
            ("limits", "ports_per_network", "0x10"),
            ("limits", "body_bytes", "0"),
            ("limits", "requests_per_second", "nan"),
            ("limits", "requests_per_second", "1e3"),
            ("limits", "requests_per_second", "-0.5"),
            ("plugin:memory", "delay", "inf"),
            ("plugin:memory", "delay", "-1"),
            ("plugin:memory", "fixed_ports", "two"),
            ("plugin:memory", "veto_detach", "maybe"),
            ("plugin:memory", "capacity", "-2"),
        ):
            line = self.refusal(f"[{section}]\n{key} = {value}\n")
            for part in (str(self.path), f"[{section}]", key, value):
                self.assertIn(part, line)

    def test_unknown(self) -> None:
        for text, parts in (
            ("[quantum]\nstate = /x\n", ("[quantum]", "http, limits")),
            ("[DEFAULT]\nstate = /x\n", ("[DEFAULT]",)),
            ("[default]\nstate = /x\n", ("[default]",)),
            ("[plugin:ovz]\n", ("[plugin:ovz]", "memory")),
            ("[plugin:]\n", ("[plugin:]",)),
            ("[quantumd]\nstat = /x\n", ("[quantumd] stat = /x", "listen, plugin, state")),
            ("[quantumd]\nState = /x\n", ("[quantumd] State = /x",)),
            ("[plugin:memory]\ndelays = 3\n", ("[plugin:memory] delays = 3", "capacity")),
            ("[plugin:linuxbridge]\nx = 3\n", ("[plugin:linuxbridge] x = 3", "none")),
        ):
            line = self.refusal(text)
            for part in (str(self.path), *parts):
                self.assertIn(part, line)

    def test_a_plugin_that_is_not_used(self) -> None:
        """Its section is checked all the same."""
        line = self.refusal("[quantumd]\nplugin = linuxbridge\n[plugin:memory]\ndelay = -3\n")
        self.assertIn("[plugin:memory]", line)
        self.assertIn("delay = -3", line)

    def test_malformed(self) -> None:
        for text in (
            "state = /x\n",
            "[quantumd\n",
            "[quantumd]\nnonsense\n",
            "[quantumd]\nstate = /x\nstate = /y\n",
            "[http]\n[http]\n",
        ):
            self.assertIn(str(self.path), self.refusal(text))

    def test_options(self) -> None:
        for name, value in (("plugin", "ovz"), ("state", "\0"), ("listen", [" "])):
            self.assertIn(f"--{name}", self.refusal("", **{name: value}))

    def test_no_file(self) -> None:
        for path in (self.directory / "none.conf", self.directory):
            with self.assertRaises(ConfigError) as caught:
                self.loaded(path)
            self.assertIn(str(path), str(caught.exception))

    def test_not_text(self) -> None:
        self.path.write_bytes(b"[quantumd]\nplugin = \xff\n")
        with self.assertRaisesRegex(ConfigError, "UTF-8"):
            self.loaded(self.path)

    @given(st.binary(max_size=200) | st.text("[]=:# \nquantumdplisteabc\\0", max_size=200).map(str.encode))
    def test_anything(self, content: bytes) -> None:
        """Whatever is in the file: settings, or one line."""
        self.path.write_bytes(content)
        try:
            self.loaded(self.path)
        except ConfigError as error:
            self.assertEqual(1, len(str(error).splitlines()))
