"""quantumctl against the real daemon on the memory plugin: every verb, and the faults that the plugin's knobs bring."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
from contextlib import AbstractContextManager
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from quantumd.cli.client import Client
from quantumd.testing.scratch import daemon

from .case import Result, ctl

COMMAND = [sys.executable, "-m", "quantumd.cli"]


class LiveCase(SynchronousTestCase):
    """A test with daemons of its own."""

    def setUp(self) -> None:
        self.work = Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, self.work)
        self.environ = {"QUANTUMD_ENDPOINT": f"unix:{self.work / 'api.sock'}"}

    def daemon(self, config: str = "", *options: str) -> AbstractContextManager[Client]:
        """A daemon with this configuration, for as long as the context lasts; the state stays."""
        path = self.work / "quantumd.conf"
        path.write_text(config)
        return daemon("memory", self.work, ["--config", str(path), *options])

    def ctl(self, line: str | list[str], **environ: str) -> Result:
        return ctl(line, self.environ | environ)

    def done(self, line: str | list[str]) -> Result:
        """Run a command line that must succeed."""
        result = self.ctl(line)
        self.assertEqual((result.status, result.err), (0, ""), line)
        return result

    def refused(self, line: str, name: str) -> str:
        """Run a command line that must end with this fault; gives what is said about it."""
        result = self.ctl(line)
        self.assertEqual(result.status, 1, result.out)
        self.assertIn(f"quantumctl: {name}: ", result.err)
        return result.err


class VerbTests(LiveCase):
    """Every verb."""

    def test_networks(self) -> None:
        """From the first to the last of a network's verbs."""
        with self.daemon():
            self.assertEqual(self.done("network list").rows, [])
            blue = self.done("network create blue --option mtu=1400 --wait -f json").json["network"]
            self.assertEqual((blue["status"], blue["options"]), ("Active", {"mtu": 1400}))
            self.assertEqual(self.done("network list").rows, [[blue["id"], "blue", "Active", "default"]])
            self.assertEqual(len(self.done("network list --name blue --status Active").rows), 1)
            again = f"network create blue --option mtu=1400 --id {blue['id'][:-4]}ffff --wait -f json"
            self.assertEqual(self.done(again).json["network"]["id"], self.done(again).json["network"]["id"])
            self.assertIn("'blue' fits 2 networks", self.refused("network show blue", "Ambiguous"))
            self.done(f"network rename {blue['id'][:-4]}ffff green --wait")
            self.assertIn("mtu=1500", self.done("network set green mtu=1500 --wait").out)
            self.assertNotIn("options", self.done("network set green mtu=null --wait").out)
            self.assertIn("network green  Active", self.done("network show green").out)
            self.assertEqual(self.done("network delete green --wait").out, "network green: Deleted\n")
            self.assertIn("network.options.mtu", self.refused("network set blue mtu=x", "BadRequest"))
            self.assertIn("network.options.shoe", self.refused("network create x --option shoe=44", "BadRequest"))
            self.refused(f"network show {blue['id'][:-4]}ffff", "NetworkNotFound")

    def test_ports_and_attachments(self) -> None:
        """A port, every form of attachment, a move, and the end of all with one command."""
        with self.daemon():
            self.done("network create blue --wait")
            self.done("network create red --wait")
            port = self.done("port create blue --wait -f json").json["port"]["id"]
            self.assertEqual(self.done("port list blue").rows, [[port, "Active", "-", "-", "-"]])
            self.done(f"attachment plug blue {port[:8]} vif1 --reference vm-7 --wait")
            self.refused(f"attachment plug blue {port} vif2", "PortInUse")
            self.refused("attachment plug red vif1", "AlreadyAttached")
            self.refused("network delete blue", "AttachmentsPlugged")
            self.refused("port delete blue vif1", "AttachmentsPlugged")
            for line in (
                "late0",
                "dev --device eth7",
                "tap --tap --owner-uid 0 --mac 02:00:00:00:00:01",
                "veth --veth vm1:eth0 --name hostend",
                "up --uplink eth1:100",
                "far --vxlan 192.0.2.7:1001 --vxlan-local 192.0.2.1 --vxlan-port 4790",
                'own --body {"device":{"name":"eth8"}}',
            ):
                shown = self.done(f"attachment plug blue {line} --wait".replace('"', '\\"')).out
                self.assertIn("Attached/UP", shown)
            self.assertEqual(len(self.done("attachment list blue --type vif").rows), 6)
            self.assertIn("reference  vm-7", self.done("attachment show blue vif1").out)
            self.assertIn("vif1 vif Attached/UP", self.done("port show blue vif1").out)
            self.done("attachment unplug blue vif1")
            self.done("attachment plug red vif1 --wait")
            self.assertEqual(self.done("attachment list --id vif1").rows[0][:4], ["vif1", "vif", "Attached/UP", "red"])
            self.assertEqual(self.done(f"port delete blue {port} --wait").out, f"port {port}: Deleted\n")
            self.assertEqual(self.done("network delete blue --cascade --wait").out, "network blue: Deleted\n")
            self.assertEqual(self.done("network delete red --cascade").out, "network red: Deleting\n")

    def test_many(self) -> None:
        """A cascade over a hundred."""
        with self.daemon("[plugin:memory]\ndelay = 0.05\n") as api:
            network = self.done("network create blue -f json").json["network"]["id"]
            for number in range(100):
                body = {"attachment": {"id": f"vif{number}"}}
                api.request("POST", f"/networks/{network}/attachments", body)
            self.done("network delete blue --cascade --wait")
            self.assertEqual(self.done("attachment list").rows, [])
            self.assertEqual(self.done("network list").rows, [])

    def test_about_itself(self) -> None:
        """What the daemon says of itself."""
        with self.daemon():
            self.done("network create blue --wait")
            self.done("attachment plug blue vif1 --wait")
            out = self.done("status").out
            for words in ("memory up", "networks     1 (1 Active)", "attachments  1 (1 Attached/UP)", "nothing to be"):
                self.assertIn(words, out)
            self.assertIn("  mtu  integer", self.done("extensions").out)
            self.assertEqual(self.done("completion names NET").out, "blue\tActive\n")
            self.assertEqual(self.done("completion names PORT blue").out.split("\n")[0], "vif1\tAttached/UP")

    def test_tokens(self) -> None:
        """A tenant's token is made, counts over the socket's own credentials, and is revoked at once."""
        with self.daemon():
            made = self.done("token create --tenant acme --role reader -f json").json["token"]
            self.assertEqual([made["id"], "acme", "reader"], self.done("token list").rows[0][:3])
            self.done("network create blue --wait")
            self.assertEqual(self.ctl("network list", QUANTUMD_TOKEN=made["secret"]).rows, [])
            self.done(f"token revoke {made['id'][:8]}")
            self.assertIn("Unauthorized", self.ctl("network list", QUANTUMD_TOKEN=made["secret"]).err)
            self.assertEqual(self.done("token list").rows, [])

    def test_over_tcp(self) -> None:
        """With the token that the daemon wrote."""
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = taken.getsockname()[1]
        with self.daemon("", "--listen", f"tcp:{port}:interface=127.0.0.1"):
            tcp = {"QUANTUMD_ENDPOINT": f"http://127.0.0.1:{port}"}
            refused = ctl("network list", tcp)
            self.assertEqual((refused.status, refused.out), (1, ""))
            self.assertIn("Unauthorized", refused.err)
            token = (self.work / "admin.token").read_text().strip()
            self.assertEqual(ctl("network create blue --wait", tcp | {"QUANTUMD_TOKEN": token}).status, 0)
            self.assertEqual(ctl(["network", "list", "--token", token], tcp).rows[0][1], "blue")


class KnobTests(LiveCase):
    """What goes wrong."""

    def test_failing(self) -> None:
        """What fails is told by ``--wait``, in lists and by ``status``; taking it back works."""
        with self.daemon("[plugin:memory]\nfail = bad*\n"):
            self.refused("network create bad --wait", "PluginFault")
            self.done("network create good --wait")
            self.refused("attachment plug good bad-vif --wait", "PluginFault")
            self.assertIn("\n  PluginFault: ", self.done("network list").out)
            self.assertIn("\n  PluginFault: ", self.done("attachment list").out)
            body = self.done("status -f json").json
            self.assertEqual([fault["kind"] for fault in body["faults"]], ["network", "attachment"])
            self.assertEqual(body["faults"][1]["network_name"], "good")
            self.done("network delete bad")

    def test_veto(self) -> None:
        """A plugin that does not let go: the fault names what stays."""
        for codes in ("proposal", "standard"):
            with self.daemon(f"[http]\nstatus_codes = {codes}\n[plugin:memory]\nveto_detach = true\n"):
                self.done(f"network create {codes} --wait")
                self.done(f"attachment plug {codes} vif-{codes} --wait")
                self.refused(f"attachment unplug {codes} vif-{codes} --wait", "PluginFault")
                said = self.refused(f"network delete {codes} --cascade", "PluginFault")
                self.assertIn(f"quantumctl: vif-{codes} cannot be unplugged\n", said)
                self.refused(f"network delete {codes}", "AttachmentsPlugged")

    def test_fixed_ports(self) -> None:
        """Ports that can be neither made nor deleted, and are taken."""
        with self.daemon("[plugin:memory]\nfixed_ports = 1\n"):
            self.done("network create blue --wait")
            self.refused("port create blue", "PluginFault")
            self.done("attachment plug blue vif1 --wait")
            self.refused("attachment plug blue vif2", "PortInUse")

    def test_away(self) -> None:
        """A backend that is away takes nothing new, and ``status`` says why."""
        away = self.work / "away"
        with self.daemon(f"[http]\nstatus_codes = standard\n[plugin:memory]\nunavailable = {away}\n"):
            self.done("network create blue --wait")
            away.touch()
            self.refused("network create red", "ServiceUnavailable")
            self.assertIn(f"memory down: The memory plugin is away while {away} exists", self.done("status").out)
            self.assertEqual(self.done("network list").rows[0][1], "blue")
            away.unlink()
            self.done("network create red --wait")

    def test_slow(self) -> None:
        """``--wait`` waits, with patience for as long as it has been given."""
        with self.daemon("[plugin:memory]\ndelay = 1.5\n"):
            self.assertIn("InProgress", self.done("network create first").out)
            self.assertIn("Active", self.done("network create blue --wait").out)
            self.assertIn("still InProgress", self.refused("network create x --wait --timeout 0.1", "TimedOut"))
            self.assertEqual(self.done("network delete blue --wait").out, "network blue: Deleted\n")

    def test_nobody_there(self) -> None:
        """A daemon that has gone."""
        with self.daemon():
            self.done("network list")
        self.assertIn("start it with 'twistd -n quantumd'", self.refused("network list", "Unreachable"))


class EventTests(LiveCase):
    """The stream of a real daemon."""

    def test_over_a_restart(self) -> None:
        """No event is lost while the daemon is stopped and started again."""
        config = "[plugin:memory]\nfail = bad\n"
        with self.daemon(config):
            self.done("network create zero --wait")
            follower = subprocess.Popen(
                [*COMMAND, "events", "-f", "json", "--after", "0"],
                env=os.environ | self.environ,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
            self.addCleanup(follower.communicate)
            self.addCleanup(follower.terminate)
            self.assertEqual(self.until_active(follower, "zero"), ["created", "status"])
            self.done("network create first --wait")
            self.assertEqual(self.until_active(follower, "first"), ["created", "status"])
        with self.daemon(config):
            self.done("network create second --wait")
            self.assertEqual(self.until_active(follower, "second")[-2:], ["created", "status"])

    def until_active(self, follower: subprocess.Popen[str], name: str) -> list[str]:
        """The actions of a network's events, up to the one with which it is Active."""
        ident = self.done(f"network show {name} -f json").json["network"]["id"]
        actions = []
        assert follower.stdout is not None
        for line in follower.stdout:
            event = json.loads(line)
            if event["data"].get("network_id") == ident:
                actions.append(event["data"]["action"])
                if event["data"]["status"] == "Active":
                    break
        return actions
