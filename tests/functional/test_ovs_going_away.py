"""The ovs plugin purged, rebooted in every combination, and with a switch that hangs or is emptied."""

from __future__ import annotations

import signal
import subprocess

from quantumd.testing.lab import eventually
from tests.functional.ovs import OvsCase


class PluggedCase(OvsCase):
    """A tap, somebody's device and a hypervisor's port are plugged, and there is a tunnel."""

    def setUp(self) -> None:
        super().setUp()
        self.strangers()
        self.before, self.rows_before = self.host.links(), self.rows()
        self.blue = self.network("blue")
        self.tap = self.plug(self.blue, "a-tap", device={"create": "tap"})
        self.own = self.plug(self.blue, "own", device={"name": "own0"})
        self.bound = self.plug(self.blue, "bound")
        tunnel = {"kind": "vxlan", "remote": "192.0.2.1", "vni": 7}
        self.far = self.plug(self.blue, "far", type="tunnel", tunnel=tunnel)

    def strangers(self) -> None:
        """What is there without us: the hypervisor's port, a device, and a bridge of somebody else's."""
        for name in ("own0", "vnet0"):
            if name not in self.host.links():
                self.device(name)
        self.hypervisor_plugs("vnet0", "bound", "tag=4095")
        self.switch.vsctl("--may-exist", "add-br", "theirs", "--", "set", "Bridge", "theirs", "datapath_type=netdev")
        eventually(lambda: "theirs" in self.host.links(), "their bridge")

    def forget(self) -> None:
        """Lose the state file."""
        for file in self.state.parent.iterdir():
            file.unlink()

    def plugged(self) -> None:
        """All is plugged."""
        for plugged in (self.own, self.bound):
            self.settles(plugged, "Attached/UP")
        self.settles(self.tap, "Attached/DOWN")
        self.assertIn(self.tap["plugin"]["device"], self.host.links())


class PurgeTests(PluggedCase):
    def purged(self) -> None:
        done = subprocess.run(
            ["nsenter", f"--net={self.host.path}", *self.command("--purge")],
            cwd=self.directory,
            env=self.environ(),
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )
        self.assertEqual(0, done.returncode, done.stdout + done.stderr)
        self.assertIn("nothing of quantumd is left on this host", done.stdout)
        self.is_as_before()
        self.assertNotIn("quantum-", self.host.ip("-d link show own0"))
        self.assertNotIn("quantum", self.switch.get("Port", "vnet0", "external_ids"))
        self.assertEqual("4095", self.switch.get("Port", "vnet0", "tag"))

    def test_purge(self) -> None:
        """Everything of ours goes, with its state file or without; nothing else does."""
        self.terminate(self.daemon)
        self.purged()
        self.daemon = self.run_daemon()
        self.plugged()
        self.terminate(self.daemon)
        self.forget()
        self.purged()
        self.purged()


class RebootTests(PluggedCase):
    def reboot(self, keep_state: bool, keep_database: bool) -> None:
        """All devices go, and the daemon and the switch come again."""
        self.kill_daemon()
        self.switch.stop_switch(signal.SIGKILL)
        self.switch.stop_server(signal.SIGKILL)
        for name in self.host.links():
            if name in self.host.links():  # not the other end of one that has gone
                self.host.ip(f"link del {name}")
        if not keep_state:
            self.forget()
        if not keep_database:
            self.switch.create_database()
        self.switch.start()
        self.daemon = self.run_daemon()
        self.strangers()

    def names(self) -> set[str]:
        return set(self.host.links())

    def test_state_kept(self) -> None:
        """All is plugged again, with the switch's database or without; and unplugged, nothing is left."""
        for keep_database in (True, False):
            self.reboot(True, keep_database)
            self.plugged()
        for plugged in (self.tap, self.own, self.bound, self.far):
            self.unplug(plugged)
        self.delete(self.blue)
        eventually(lambda: self.rows() == self.rows_before, f"as before, not {self.rows()}")
        eventually(lambda: self.names() == set(self.before), f"as before, not {self.host.links()}")

    def test_state_lost(self) -> None:
        """Nothing of ours is there any more, in the switch's database either."""
        for keep_database in (True, False):
            self.reboot(False, keep_database)
            eventually(lambda: self.rows() == self.rows_before, f"as before, not {self.rows()}")
            eventually(lambda: self.names() == set(self.before), f"as before, not {self.host.links()}")
            self.assertEqual([], self.ask("GET", "/networks")["networks"])


class HangingTests(PluggedCase):
    def hangs(self, program: str) -> None:
        """It is stopped, not ended: that is noticed, what was accepted waits, and is done when it goes on."""
        self.switch.send_signal(program, signal.SIGSTOP)
        waiting = self.plug(self.blue, "waiting", wait=0, device={"create": "tap"})
        eventually(lambda: self.answers(503), "it is noticed", 10)
        answer = self.call("POST", "/networks", {"network": {"name": "later"}})
        self.assertEqual((500, "/faults/ServiceUnavailable"), (answer.status, answer.body["type"]))
        self.assertEqual("blue", self.ask("GET", f"/networks/{self.blue}")["network"]["name"])
        self.switch.send_signal(program, signal.SIGCONT)
        eventually(lambda: self.answers(200), "it is back", 10)
        self.settles(waiting, "Attached/DOWN")
        self.plugged()
        self.unplug(waiting)

    def test_server_hangs(self) -> None:
        self.hangs("ovsdb-server")

    def test_switch_hangs(self) -> None:
        self.hangs("ovs-vswitchd")

    def test_emptied(self) -> None:
        """Somebody deletes every row under the running daemon: ours are made again."""
        rows = {row for row in self.rows() if "theirs" not in row and "vnet0" not in row}
        self.switch.transact({"op": "delete", "table": "Open_vSwitch", "where": []})
        eventually(lambda: rows <= self.rows(), f"{rows} again, not {self.rows()}")
        self.strangers()
        self.plugged()
