"""Ended by a real kill -9 before and after each OVSDB transaction, and each transaction's answer lost; and before each
step on the host or the disk, and of the recovery from that."""

from __future__ import annotations

import http.client
import os
import random
import subprocess
import sys
from collections.abc import Callable, Sequence
from typing import Any

from quantumd.testing.lab import Namespace, eventually
from tests.functional.ovs import BRIDGE, OvsCase
from tests.functional.ovs_proxy import Fault, Proxy
from tests.functional.processes import PATIENCE
from tests.tally import tell

RED = "11111111-0000-4000-8000-000000000000"
PORTS = {number: f"1aaaaaaa-0000-4000-8000-00000000000{number}" for number in range(1, 5)}
FORMS: dict[int, Any] = {
    1: {"id": "vm1", "device": {"create": "tap"}},
    2: {"id": "vm2", "device": {"name": "own0"}},
    3: {"id": "bound"},
    4: {"id": "far", "type": "tunnel", "tunnel": {"kind": "vxlan", "remote": "192.0.2.1", "vni": 77}},
}
PATH = f"/networks/{RED}"
#: How many pairs of steps, one in the workload and one in the recovery from it, are drawn at random; of the steps of
#: the workload alone, every one is taken when there are so many pairs, else each so-and-so-many-th.
PAIRS = int(os.environ.get("QUANTUMD_CRASH_PAIRS", "60")) // 10
EACH = 1 if PAIRS >= 50 else 7


class ProxyCase(OvsCase):
    """A daemon that comes to its switch's database through a proxy."""

    def setUp(self) -> None:
        super().setUp()
        self.device("own0")
        self.device("vnet0")
        self.device("out0")
        self.underlay("out", "192.0.2.2/24", "out0")
        self.hypervisor_plugs("vnet0", "bound", "tag=4095")
        eventually(lambda: self.switch.get("Port", "vnet0", "protected") == "true", "it is isolated")
        self.before, self.rows_before = self.host.links(), self.rows()

    def configure(self, *, more: str = "", **memory: Any) -> None:
        super().configure(more=more, **memory)
        if not hasattr(self, "switch"):
            return
        beside = self.switch.directory / "proxy.sock"  # where ovs-vswitchd's pid file is
        self.proxy = Proxy(beside, self.switch.socket)
        self.addCleanup(self.proxy.close)
        self.config.write_text(self.config.read_text().replace(self.switch.remote, f"unix:{beside}"))

    def insist(self, method: str, path: str, body: Any = None) -> None:
        """Ask until it is answered: by a new daemon if the old one is dead, with the same ids."""
        done = []

        def answered() -> bool:
            answer = self.alive(method, path, body)
            if answer is None:
                return False
            done.append(answer)
            # The second time, what was not answered may have been accepted; or the switch is away.
            return answer[0] in (202, 404, 409) and answer[1].get("type") != "/faults/ServiceUnavailable"

        eventually(answered, f"{method} {path}: {done}", PATIENCE)

    def alive(self, method: str, path: str, body: Any = None) -> tuple[int, Any] | None:
        """An answer; None: there is none, and where the daemon has ended there is a new one."""
        try:
            answer = self.call(method, path, body)
        except (OSError, http.client.HTTPException):
            if self.daemon.poll() is not None:
                self.daemon = self.run_daemon()
            return None
        return answer.status, answer.body

    def workload(self) -> None:
        """Each form of attachment comes and goes, and is looked at on the way."""
        self.insist("POST", "/networks", {"network": {"name": "red", "id": RED}})
        for number, form in FORMS.items():
            self.insist("POST", f"{PATH}/ports", {"port": {"id": PORTS[number]}})
            self.insist("PUT", f"{PATH}/ports/{PORTS[number]}/attachment", {"attachment": form})
            self.is_there({FORMS[n]["id"] for n in range(1, number + 1)})
        self.insist("PUT", PATH, {"network": {"options": {"vlan": 333}}})
        eventually(lambda: self.at_rest() and self.tags() == {"333"}, "they follow", PATIENCE)
        for number in FORMS:
            self.insist("DELETE", f"{PATH}/ports/{PORTS[number]}/attachment")
            self.is_there({FORMS[n]["id"] for n in FORMS if n > number})
        self.insist("DELETE", PATH)
        eventually(lambda: (self.alive("GET", PATH) or (0,))[0] == 404, "the network is gone", PATIENCE)
        self.is_as_before()

    def is_there(self, idents: set[str]) -> None:
        """These are plugged, and no others."""
        eventually(lambda: self.listed() == idents, f"{idents} are plugged, not {self.listed()}", PATIENCE)

    def listed(self) -> set[str] | None:
        """The ids of what is plugged; None while there is something to do."""
        answer = self.alive("GET", "/attachments")
        if answer is None:
            return None
        found = answer[1]["attachments"]
        at_rest = all(one["status"] in ("Attached/UP", "Attached/DOWN") for one in found)
        return {one["id"] for one in found} if at_rest else None

    def at_rest(self) -> bool:
        return self.listed() is not None

    def tags(self) -> set[str]:
        """The VLANs on the integration bridge."""
        return {self.switch.get("Port", name, "tag") for name in self.switch.ports(BRIDGE)}

    def kill(self) -> None:
        self.daemon.kill()
        self.daemon.wait()


class StepTests(ProxyCase):
    def every_step(self, what: str, sent: bool, kill: Callable[[], None]) -> None:
        began = self.proxy.changes
        self.workload()
        steps = self.proxy.changes - began
        self.assertGreater(steps, 8)
        for number in range(1, steps + 1):
            self.proxy.fault = Fault(self.proxy.changes + number, sent, kill)
            self.workload()
            self.assertIsNone(self.proxy.fault, f"step {number} of {steps} came")
        tell(f"OVSDB transactions, {what}", crash_points=steps, lost=0, leaked=0)

    def test_killed_before(self) -> None:
        self.every_step("kill -9 before each", False, self.kill)

    def test_killed_after(self) -> None:
        """It was carried out, and the daemon never knew."""
        self.every_step("kill -9 after each", True, self.kill)

    def test_answer_lost(self) -> None:
        """It was carried out, and the connection broke before its answer."""
        self.every_step("the answer to each lost", True, lambda: None)

    def test_slow(self) -> None:
        """A database that takes its time: all is done, and the API is as quick as ever."""
        self.proxy.delay = 0.3
        self.workload()


class EveryStepTests(ProxyCase):
    """Netlink messages, ioctls, writes to /proc/sys, transactions and commits, in whatever order they come."""

    lives: Sequence[int] = ()
    started = 0

    def command(self, *words: str, twistd: Sequence[str] = ("--nodaemon", "--pidfile=")) -> list[str]:
        _, _, _, *rest = super().command(*words, twistd=twistd)
        return [sys.executable, "-m", "tests.functional.stepped", *rest]

    def environ(self) -> dict[str, str]:
        return {**super().environ(), "QUANTUMD_STEP": str(self.lives[0] if self.lives else -1)}

    def run_daemon(self, host: Namespace | None = None) -> subprocess.Popen[str]:
        """Start daemons until there is one that lives to answer; each has the next of the lives, the last ones have no
        end."""
        while True:
            self.started += 1
            process = self.spawn(within=["nsenter", f"--net={(host or self.host).path}"])
            if process.poll() is None:
                self.lives = self.lives[1:]
                return process
            self.assertTrue(self.lives, self.log.read_text())
            self.lives = self.lives[1:]

    def live(self, *lives: int) -> int:
        """Go through the workload with daemons that end before these steps; how many of them came to their end."""
        self.kill()
        self.lives, self.started = lives, 0
        self.daemon = self.run_daemon()
        self.workload()
        return self.started - 1

    def test_each(self) -> None:
        number, points = 0, 0
        while self.live(number):
            print(f"step {number}")
            number, points = number + EACH, points + 1
        self.assertGreater(number, 30, "they are stepped")
        tell("crash points, ovs", steps=number, crash_points=points, lost=0, leaked=0)

    def test_ended_while_recovering(self) -> None:
        """Ended once more, at any step of the recovery."""
        choose, ends = random.Random(4), 0
        for _ in range(PAIRS):
            ends += self.live(choose.randrange(110), choose.randrange(12))
        tell("crash points, ovs, twice", pairs=PAIRS, ends=ends, lost=0, leaked=0)
