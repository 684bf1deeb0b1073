"""kill -9, at any moment, again and again, on one state and one host."""

from __future__ import annotations

import http.client
import os
import random
import threading
import time
from typing import Any

from tests.functional.linux import LinuxCase
from tests.functional.ovs import OvsCase
from tests.tally import tell

#: ``make soak`` takes hundreds.
KILLS = int(os.environ.get("QUANTUMD_KILLS", "30"))
PORTS = [f"aaaaaaaa-0000-4000-8000-{number:012x}" for number in range(6)]


class Worker:
    """A client on one network: believes what it was answered, doubts the one thing that it was not."""

    def __init__(self, case: LinuxCase, network: str, seed: int) -> None:
        self._case = case
        self._path = f"/networks/{network}/ports"
        self._choose = random.Random(seed)
        self.plugged: dict[str, str | None] = {}
        self.doubt: tuple[str, dict[str, str | None]] | None = None
        self.answered = 0
        self.refused: list[Any] = []

    def work(self, stop: threading.Event) -> None:
        """Ask for one thing after the other, until nobody answers."""
        while not stop.is_set() and not self.refused:
            port = self._choose.choice(PORTS)
            method, path, body, after = self._next(port)
            try:
                answer = self._case.call(method, path, body)
            except (OSError, http.client.HTTPException):
                self.doubt = (port, after)
                return
            if answer.status == 202:
                self.plugged = after
                self.answered += 1
            elif answer.body["type"] != "/faults/IdInUse":  # a port that is still on its way out
                self.refused.append((method, path, body, answer.body))

    def _next(self, port: str) -> tuple[str, str, Any, dict[str, str | None]]:
        after = dict(self.plugged)
        if port not in after:
            after[port] = None
            return "POST", self._path, {"port": {"id": port}}, after
        if after[port] is not None:
            after[port] = None
            return "DELETE", f"{self._path}/{port}/attachment", None, after
        if self._choose.random() < 0.3:
            del after[port]
            return "DELETE", f"{self._path}/{port}", None, after
        after[port] = f"vif-{port[-1]}"
        form = {"id": after[port], "device": {"create": "tap"}}
        return "PUT", f"{self._path}/{port}/attachment", {"attachment": form}, after

    def found(self) -> dict[str, str | None]:
        """What the API shows."""
        shown: dict[str, str | None] = {}
        for port in self._case.ask("GET", self._path)["ports"]:
            there = port["attachment"]
            if port["status"] != "Deleting":
                going = there is None or there["status"] == "Detaching"
                shown[port["id"]] = None if going else there["id"]
        return shown


class LinuxBridgeKills(LinuxCase):
    kills = KILLS

    def test_kills(self) -> None:
        """Whatever was answered is there after each kill; in the end, so is the host, and then nothing is left."""
        blue = self.network("blue")
        worker, choose = Worker(self, blue, seed=1), random.Random(2)
        for number in range(self.kills):
            stop = threading.Event()
            thread = threading.Thread(target=worker.work, args=(stop,))
            thread.start()
            time.sleep(choose.random() * 0.25)
            self.kill_daemon()
            stop.set()
            thread.join()
            self.assertEqual([], worker.refused)
            self.daemon = self.run_daemon()
            found = worker.found()
            possible = [worker.plugged] + ([worker.doubt[1]] if worker.doubt is not None else [])
            self.assertIn(found, possible, f"after kill {number + 1}")
            worker.plugged, worker.doubt = found, None
        self.assertGreater(worker.answered, self.kills, "the daemon had something to do")
        for port, ident in worker.plugged.items():
            if ident is not None:
                plugged = {"network_id": blue, "port_id": port}
                self.settles(plugged, "Attached/DOWN")
                self.unplug(plugged)
        self.delete(blue)
        self.is_as_before()
        tell(f"kill -9, {type(self).__name__}", kills=self.kills, answered=worker.answered, lost=0, leaked=0)


class OvsKills(OvsCase, LinuxBridgeKills):
    kills = KILLS // 3
