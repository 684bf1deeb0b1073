"""Stopping, going away, coming back: backups, reboots and purges, with real devices."""

from __future__ import annotations

import subprocess
import sys

from quantumd.testing.lab import eventually as until
from tests.functional.linux import LinuxCase


class GoingAwayTests(LinuxCase):
    def setUp(self) -> None:
        super().setUp()
        self.host.ip("link add foreign type veth peer name foreign-peer")
        self.host.ip("link set foreign-peer up")
        self.before = self.host.links()
        self.blue = self.network("blue")
        self.tap = self.plug(self.blue, "a-tap", device={"create": "tap"})
        self.foreign = self.plug(self.blue, "a-foreign", device={"name": "foreign"})
        self.tunnel = self.plug(
            self.blue, "far", type="tunnel", tunnel={"kind": "vxlan", "remote": "192.0.2.1", "vni": 7}
        )

    def run_once(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run ``twistd quantumd`` to its end."""
        within = ["nsenter", f"--net={self.host.path}"]
        return subprocess.run(
            [*within, *self.command(*words)],
            cwd=self.directory,
            env=self.environ(),
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )

    def purged(self) -> None:
        done = self.run_once("--purge")
        self.assertEqual(0, done.returncode, done.stdout + done.stderr)
        self.assertIn("nothing of quantumd is left on this host", done.stdout)
        self.is_as_before()
        shown = self.host.ip("-d link show foreign")
        self.assertNotIn("master", shown)
        self.assertNotIn("quantum-", shown)

    def test_purge(self) -> None:
        """Everything of ours goes, with its state file or without; nothing else does."""
        self.terminate(self.daemon)
        self.purged()
        self.daemon = self.run_daemon()
        self.settles(self.tap, "Attached/DOWN")
        self.terminate(self.daemon)
        for file in self.state.parent.iterdir():
            file.unlink()
        self.purged()
        self.purged()

    def test_no_purge_under_a_daemon(self) -> None:
        there = self.host.links()
        done = self.run_once("--purge")
        self.assertEqual(1, done.returncode)
        self.assertIn("held by another quantumd", done.stderr)
        self.assertEqual(there, self.host.links())

    def test_reboot(self) -> None:
        """With its state, everything is there again; on a host without its state, nothing of ours is."""
        self.terminate(self.daemon)
        rebooted = self.lab.namespace()
        rebooted.ip("link add foreign type veth peer name foreign-peer")
        rebooted.ip("link set foreign-peer up")
        self.daemon = self.run_daemon(rebooted)
        self.settles(self.foreign, "Attached/UP")
        self.settles(self.tap, "Attached/DOWN")
        # The status may be that of before; the device is not.
        until(lambda: self.tap["plugin"]["device"] in rebooted.links(), f"it is made anew: {rebooted.links()}")
        self.terminate(self.daemon)
        for file in self.state.parent.iterdir():
            file.unlink()
        self.daemon = self.run_daemon()
        self.is_as_before()

    def test_backup_and_restore(self) -> None:
        """What was deleted since the backup is there again, on the host too."""
        copy = self.directory / "copy"
        self.quantumctl("backup", str(copy))
        self.assertEqual(0o600, copy.stat().st_mode & 0o777)
        for plugged in (self.tap, self.foreign, self.tunnel):
            self.unplug(plugged)
        self.delete(self.blue)
        self.is_as_before()
        self.terminate(self.daemon)
        done = self.run_once("--restore", str(copy))
        self.assertEqual(0, done.returncode, done.stdout + done.stderr)
        self.assertIn(f"{copy} is now the state", done.stdout)
        self.daemon = self.run_daemon()
        self.settles(self.foreign, "Attached/UP")
        self.settles(self.tap, "Attached/DOWN")

    def test_drift_in_status(self) -> None:
        """What was found amiss and mended is an event, a metric, and in what a person sees."""
        self.assertIn("none since its start", self.quantumctl("status"))
        self.host.ip("link set foreign nomaster")
        until(lambda: "1 repaired, 0 left over and removed" in self.quantumctl("status"), "the repair is told")
        self.assertIn("store        up", self.quantumctl("status"))

    def test_refused_restore(self) -> None:
        junk = self.directory / "junk"
        junk.write_text("junk")
        self.terminate(self.daemon)
        done = self.run_once("--restore", str(junk))
        self.assertEqual(1, done.returncode)
        self.assertIn(f"the backup {junk} cannot be restored", done.stderr)
        self.assertEqual(1, len(done.stderr.splitlines()), done.stderr)

    def test_stop_while_working(self) -> None:
        """SIGTERM in the middle of much work: within 5 s, nothing accepted is lost, what is plugged stays."""
        there = [self.plug(self.blue, f"tap{n}", wait=0, device={"create": "tap"}) for n in range(60)]
        self.assertLess(self.terminate(self.daemon), 5.0)
        self.assertIn(self.tap["plugin"]["device"], self.host.links())
        index = self.host.links()[self.tap["plugin"]["device"]]
        self.daemon = self.run_daemon()
        for plugged in there:
            self.settles(plugged, "Attached/DOWN")
        self.assertEqual(index, self.host.links()[self.tap["plugin"]["device"]], "it was not made anew")

    def quantumctl(self, *words: str) -> str:
        done = subprocess.run(
            [sys.executable, "-m", "quantumd.cli", "--endpoint", f"unix:{self.socket}", *words],
            env=self.environ(),
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )
        self.assertEqual(0, done.returncode, done.stdout + done.stderr)
        return done.stdout
