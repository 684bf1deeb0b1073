"""The daemon as a process: started wrongly, started well, stopped, killed."""

from __future__ import annotations

import os
import re
import signal
import socket
import sqlite3
import stat
import subprocess
import threading
import time
from collections.abc import Sequence
from contextlib import closing
from http.client import HTTPException
from pathlib import Path
from typing import Any

from tests.functional.processes import DaemonCase, eventually


def free_port() -> int:
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class MistakeTests(DaemonCase):
    """Every mistake: one line on stderr, exit status 1, no usage text, no traceback; in the foreground or not."""

    def refused(self, *words: str, foreground_only: bool = False, within: Sequence[str] = ()) -> str:
        said = set()
        pidfile, log = self.directory / "twistd.pid", self.directory / "twistd.log"
        modes = [("--nodaemon", "--pidfile="), (f"--pidfile={pidfile}", f"--logfile={log}")]
        for mode in modes[:1] if foreground_only else modes:
            done = subprocess.run(
                [*within, *self.command(*words, twistd=mode)],
                cwd=self.directory,
                env=self.environ(),
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=20,
                check=False,
            )
            self.assertEqual(1, done.returncode, f"{mode}: {done.stdout}{done.stderr}")
            self.assertRegex(done.stderr, r"\Aquantumd: [^\n]+\n\Z")
            for word in ("Traceback", "Usage", "usage:"):
                self.assertNotIn(word, done.stdout + done.stderr)
            self.assertFalse(pidfile.exists())
            said.add(done.stderr)
        self.assertEqual(1, len(said), said)
        return said.pop()

    def test_configuration(self) -> None:
        good = self.config.read_text()
        for text, words in (
            ("[quantum]\nx = 1\n", ["[quantum]"]),
            (good + "[limits]\nnetwork = 7\n", ["[limits]", "network = 7"]),
            (good + "[limits]\nnetworks = seven\n", ["[limits]", "networks = seven"]),
            (good.replace("plugin = memory", "plugin = ovz"), ["[quantumd]", "plugin = ovz", "linuxbridge"]),
            (good + "[http]\nstatus_codes = 418\n", ["[http]", "status_codes = 418"]),
            (good + "[plugin:ovz]\n", ["[plugin:ovz]"]),
            ("[quantumd]\nplugin = memory\nlisten = tcp:http\n", ["[quantumd]", "listen = tcp:http"]),
            ("nonsense\n", [str(self.config)]),
        ):
            self.config.write_text(text)
            line = self.refused(foreground_only=text != "nonsense\n")
            for word in words:
                self.assertIn(word, line)

    def test_no_configuration(self) -> None:
        self.config.unlink()
        self.assertIn(str(self.config), self.refused())

    def test_options(self) -> None:
        self.assertIn("--plugin", self.refused("--plugin", "ovz"))
        self.assertIn("carrier:pigeon", self.refused("--listen", "carrier:pigeon"))

    def test_port_taken(self) -> None:
        with closing(socket.socket()) as holder:
            holder.bind(("127.0.0.1", 0))
            holder.listen()
            taken = f"tcp:{holder.getsockname()[1]}:interface=127.0.0.1"
            line = self.refused("--listen", f"unix:{self.socket}", "--listen", taken)
        self.assertIn(taken, line)
        self.assertIn("Address already in use", line)
        self.assertFalse(self.socket.exists(), "what it did listen on is gone with it")

    def test_state_that_cannot_be_made(self) -> None:
        (self.directory / "file").touch()
        for path in ("/proc/quantumd/state", str(self.directory / "file" / "state"), str(self.directory)):
            self.assertIn(path, self.refused("--state", path))

    def test_state_of_a_newer_version(self) -> None:
        self.terminate(self.start())
        with closing(sqlite3.connect(self.state)) as connection:
            connection.execute("PRAGMA user_version = 999")
        before = self.state.read_bytes()
        self.assertIn("newer", self.refused())
        self.assertEqual(before, self.state.read_bytes())

    def test_state_that_is_damaged(self) -> None:
        process = self.start()
        for _ in range(20):
            self.assertEqual(202, self.call("POST", "/networks", {"network": {"name": "n" * 200}}).status)
        self.terminate(process)
        sound = self.state.read_bytes()
        for damaged in (
            b"SQLite format 3\0" + b"\xff" * 5000,
            b"not a database at all",
            sound[: len(sound) // 2],
            sound[:5000] + b"\0" * 8000 + sound[13000:],
        ):
            self.state.write_bytes(damaged)
            self.assertIn(str(self.state), self.refused())
            self.assertEqual(damaged, self.state.read_bytes())

    def test_state_in_use(self) -> None:
        """The second daemon is refused; the first goes on, its socket too."""
        first = self.start()
        other = f"unix:{self.directory / 'other.sock'}"
        self.assertIn("another quantumd", self.refused("--listen", other))
        self.assertIn("another process listens there", self.refused("--state", str(self.directory / "other.sqlite")))
        self.assertTrue(self.answers())
        self.assertIsNone(first.poll())

    def test_privileges(self) -> None:
        """The plugin for the kernel's bridges says what it needs."""
        within = ["setpriv", "--bounding-set=-net_admin", "--inh-caps=-net_admin"]
        line = self.refused("--plugin", "linuxbridge", foreground_only=True, within=within)
        self.assertIn("plugin linuxbridge cannot start", line)
        self.assertIn("CAP_NET_ADMIN", line)

    def test_admin_token(self) -> None:
        self.state.parent.mkdir()
        self.state.with_name("admin.token").write_text("mine\n")
        self.assertIn("admin.token", self.refused(foreground_only=True))


class LifeTests(DaemonCase):
    def test_real_daemon(self) -> None:
        """In the background, with pid file and log file; ends on SIGTERM and leaves neither pid file nor socket."""
        pidfile = self.directory / "twistd.pid"
        words = self.command(twistd=(f"--pidfile={pidfile}", f"--logfile={self.log}"))
        done = subprocess.run(
            words,
            cwd=self.directory,
            env=self.environ(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=20,
            check=False,
        )
        self.assertEqual((0, "", ""), (done.returncode, done.stdout, done.stderr))
        eventually(pidfile.exists, "there is a pid file")
        pid = int(pidfile.read_text())
        self.addCleanup(self._kill, pid)
        eventually(self.answers, "it answers")
        made = self.call("POST", "/networks", {"network": {"name": "blue"}}, {"Prefer": "wait=5"})
        self.assertEqual((202, "Active"), (made.status, made.body["network"]["status"]))
        os.kill(pid, signal.SIGTERM)
        eventually(lambda: not pidfile.exists(), "the pid file is gone")
        self.assertFalse(self.socket.exists())
        self.assertIn("quantumd is ready", self.log.read_text())

    def _kill(self, pid: int) -> None:
        try:
            is_ours = str(self.config) in Path(f"/proc/{pid}/cmdline").read_text()
        except FileNotFoundError:
            return
        if is_ours:
            os.kill(pid, signal.SIGKILL)

    def test_first_start(self) -> None:
        """Makes the directories, and a token that is needed over TCP, kept from others, and in no log."""
        port = free_port()
        process = self.start("--listen", f"unix:{self.socket}:mode=660", "--listen", f"tcp:{port}:interface=127.0.0.1")
        path = self.state.with_name("admin.token")
        token = path.read_text().strip()
        self.assertTrue(token.startswith("qd_"))
        self.assertEqual(0o600, stat.S_IMODE(path.stat().st_mode))
        self.assertEqual(0o660, stat.S_IMODE(self.socket.stat().st_mode))
        self.assertEqual(401, self.call("GET", "/networks", port=port).status)
        bearer = {"Authorization": f"Bearer {token}"}
        self.assertEqual(200, self.call("GET", "/networks", headers=bearer, port=port).status)
        self.terminate(process)
        self.start()
        self.assertEqual(token, path.read_text().strip())
        self.assertNotIn(token, self.log.read_text())

    def test_no_authentication(self) -> None:
        port = free_port()
        self.configure(more="[auth]\nmode = none\n")
        self.start("--listen", f"unix:{self.socket}", "--listen", f"tcp:{port}:interface=127.0.0.1")
        self.assertEqual(200, self.call("GET", "/networks", port=port).status)

    def test_backend_away(self) -> None:
        """The daemon starts, serves reads, accepts nothing, and goes on when the backend is back."""
        process = self.start()
        self.call("POST", "/networks", {"network": {"name": "blue"}})
        self.terminate(process)
        away = self.directory / "away"
        away.touch()
        self.configure(unavailable=away)
        self.start(health=503)
        self.assertEqual(["blue"], [network["name"] for network in self.call("GET", "/networks").body["networks"]])
        self.assertEqual(500, self.call("POST", "/networks", {"network": {"name": "red"}}).status)
        away.unlink()
        eventually(self.answers, "the backend is back")
        self.assertEqual(202, self.call("POST", "/networks", {"network": {"name": "red"}}).status)

    def test_plugin_takes_long(self) -> None:
        """Until the plugin has started (here, until a database that does not speak goes away), what is in the state can
        be read; what asks the plugin waits, and is answered then."""
        process = self.start()
        self.call("POST", "/networks", {"network": {"name": "blue"}})
        self.terminate(process)
        answers: dict[str, int] = {}

        def ask(method: str, path: str, body: Any = None) -> threading.Thread:
            thread = threading.Thread(target=lambda: answers.update({path: self.call(method, path, body).status}))
            thread.start()
            self.addCleanup(thread.join, 30)
            return thread

        with closing(socket.socket(socket.AF_UNIX)) as database:
            database.bind(str(self.directory / "db.sock"))
            database.listen()
            self.configure(more=f"[plugin:ovs]\novsdb = unix:{self.directory / 'db.sock'}\n")
            self.launch("--plugin", "ovs", within=["unshare", "--net"])
            connection, _ = database.accept()
            eventually(lambda: self.answers(200, "/networks"), "the state can be read")
            asking = [ask("GET", "/health"), ask("POST", "/networks", {"network": {"name": "red"}})]
            self.assertEqual(["blue"], [one["name"] for one in self.call("GET", "/networks").body["networks"]])
            time.sleep(0.2)
            self.assertEqual({}, answers)
            connection.close()
        for thread in asking:
            thread.join(30)
        self.assertEqual({"/health": 503, "/networks": 500}, answers)


class PurgeTests(DaemonCase):
    """A purge that has nothing to wait for is done before the reactor runs, or refused, and ends all the same."""

    def purge(self) -> subprocess.CompletedProcess[str]:
        command = self.command("--purge")
        return subprocess.run(command, env=self.environ(), capture_output=True, text=True, timeout=20, check=False)

    def test_done(self) -> None:
        done = self.purge()
        self.assertEqual((0, ""), (done.returncode, done.stderr))
        self.assertIn("nothing of quantumd is left", done.stdout)

    def test_backend_away(self) -> None:
        away = self.directory / "away"
        away.touch()
        self.configure(unavailable=away)
        done = self.purge()
        self.assertEqual(1, done.returncode)
        self.assertRegex(done.stderr, r"\Aquantumd: nothing can be removed now: [^\n]+\n\Z")


class EndTests(DaemonCase):
    """Whatever ends the daemon, what was answered 202 is there afterwards."""

    def flood(self, callers: int) -> tuple[list[str], threading.Event, list[threading.Thread]]:
        """Callers that make networks as fast as they can; the ids of those that were answered 202."""
        accepted: list[str] = []
        over = threading.Event()

        def call() -> None:
            while not over.is_set():
                try:
                    answer = self.call("POST", "/networks", {"network": {"name": "flood"}})
                except (OSError, HTTPException, ValueError):
                    return
                if answer.status == 202:
                    accepted.append(answer.body["network"]["id"])

        threads = [threading.Thread(target=call) for _ in range(callers)]
        for thread in threads:
            thread.start()
        self.addCleanup(over.set)
        return accepted, over, threads

    def networks(self) -> set[str]:
        return {network["id"] for network in self.call("GET", "/networks").body["networks"]}

    def test_killed(self) -> None:
        self.configure(more="[limits]\nnetworks = 1000000\n")
        everything: set[str] = set()
        for round_ in range(3):
            process = self.start()
            self.assertLessEqual(everything, self.networks())
            accepted, over, threads = self.flood(8)
            count = 60 * (round_ + 1)
            eventually(lambda accepted=accepted, count=count: len(accepted) > count, "the flood is on")  # type: ignore[misc]
            process.kill()
            process.wait()
            over.set()
            for thread in threads:
                thread.join()
            self.assertTrue(self.socket.exists(), "it was not asked to clean up")
            everything |= set(accepted)
        self.start()
        self.assertLessEqual(everything, self.networks())

    def test_terminated_under_load(self) -> None:
        self.configure(more="[limits]\nnetworks = 1000000\n")
        process = self.start()
        accepted, over, threads = self.flood(8)
        eventually(lambda: len(accepted) > 100, "the flood is on")
        self.assertLess(self.terminate(process), 5)
        self.assertEqual(-signal.SIGTERM, process.returncode, "twistd ends by the signal that it was sent")
        over.set()
        for thread in threads:
            thread.join()
        self.assertNotIn("Traceback", self.log.read_text())
        self.assertFalse(self.socket.exists())
        self.start()
        self.assertLessEqual(set(accepted), self.networks())

    def test_terminated_while_somebody_waits(self) -> None:
        """Who waits is answered with what is; who follows events hears the end; a slow change does not hold it up."""
        self.configure(delay=60)
        process = self.start()
        answers: list[Any] = []

        def wait() -> None:
            answers.append(self.call("POST", "/networks", {"network": {"name": "slow"}}, {"Prefer": "wait=50"}))

        def follow() -> None:
            answers.append(self.call("GET", "/events", headers={"Last-Event-ID": "0"}))

        threads = [threading.Thread(target=wait), threading.Thread(target=follow)]
        for thread in threads:
            thread.start()
        eventually(lambda: bool(self.networks()), "it is accepted")
        eventually(lambda: b"quantumd_event_streams 1.0" in self.call("GET", "/metrics").body, "somebody follows")
        self.assertLess(self.terminate(process), 5)
        for thread in threads:
            thread.join(5)
        by_kind = {type(answer.body): answer for answer in answers}
        self.assertEqual((202, "InProgress"), (by_kind[dict].status, by_kind[dict].body["network"]["status"]))
        self.assertTrue(re.search(rb"event: network\ndata: .*created", by_kind[bytes].body))
        self.configure()
        self.start()
        (ident,) = self.networks()
        settled = self.call("GET", f"/networks/{ident}", headers={"Prefer": "wait=10"})
        self.assertEqual("Active", settled.body["network"]["status"])

    def test_disk_full(self) -> None:
        """The change is refused with a 500 that says so, reads go on, and with room again so do changes."""
        self.state.parent.mkdir()
        script = f'mount -t tmpfs -o size=400k none {self.state.parent} && exec "$@"'
        process = self.start(within=["unshare", "--mount", "sh", "-c", script, "sh"])
        directory = Path(f"/proc/{process.pid}/root") / self.state.parent.relative_to("/")
        before = self.call("POST", "/networks", {"network": {"name": "before"}}).body["network"]["id"]
        filler = directory / "filler"
        with self.assertRaises(OSError), filler.open("wb", buffering=0) as file:
            while True:
                file.write(bytes(4096))
        refused = self._until_full()
        self.assertEqual("/faults/ServiceUnavailable", refused["type"])
        self.assertIn("full", refused["detail"])
        there = self.networks()
        self.assertIn(before, there)
        filler.unlink()
        after = self.call("POST", "/networks", {"network": {"name": "after"}})
        self.assertEqual(202, after.status)
        self.assertEqual(there | {after.body["network"]["id"]}, self.networks())

    def test_read_only(self) -> None:
        """On a file system that is read-only it does not start, and says so in a line; later, all is there."""
        process = self.start()
        made = self.call("POST", "/networks", {"network": {"name": "before"}}).body["network"]["id"]
        self.terminate(process)
        directory = self.state.parent
        script = f'mount --bind {directory} {directory} && mount -o remount,bind,ro {directory} && exec "$@"'
        done = subprocess.run(
            ["unshare", "--mount", "sh", "-c", script, "sh", *self.command()],
            env=self.environ(),
            cwd=self.directory,
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )
        said = done.stdout + done.stderr
        self.assertEqual(1, done.returncode, said)
        last = said.splitlines()[-1]
        self.assertRegex(
            last, f"^quantumd: the state file {self.state} .*Read-only file system.*make its directory writable"
        )
        self.assertNotIn("Traceback", said)
        self.start()
        self.assertIn(made, self.networks())

    def _until_full(self) -> Any:
        """Make networks until one is refused."""
        for _ in range(100):
            answer = self.call("POST", "/networks", {"network": {"name": "n" * 250}})
            if answer.status != 202:
                self.assertEqual(500, answer.status)
                return answer.body
        raise AssertionError("the disk is never full")
