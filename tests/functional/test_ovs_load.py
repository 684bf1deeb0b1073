"""The ovs plugin under load, while ovsdb-server is killed and started again and again."""

from __future__ import annotations

import signal
import threading
import time
from typing import Any

from quantumd.testing.lab import eventually
from tests.functional.ovs import BRIDGE, OvsCase

CYCLES = 200
#: How many stay to the end at the most: a network takes 1,024 ports, and a fast machine gets there.
MOST = 300


class KilledTests(OvsCase):
    def test_nothing_lost_nothing_doubled(self) -> None:
        """200 times: whatever was accepted is there once in the end, and what was taken back is gone."""
        network = self.network()
        kept: set[str] = set()
        going: list[dict[str, Any]] = []
        stop = threading.Event()
        failures: list[BaseException] = []

        def load() -> None:
            number = 0
            try:
                while not stop.is_set():
                    number += 1
                    plugged = self.accepted(network, f"tap{number}")
                    if plugged is None:
                        time.sleep(0.02)
                    elif number % 4 == 0 and len(kept) < MOST:
                        kept.add(plugged["id"])
                    else:
                        going.append(plugged)
                    if len(going) > 10 and self.call("DELETE", self.path(going[0])).status == 202:
                        going.pop(0)
            except BaseException as failure:
                failures.append(failure)

        worker = threading.Thread(target=load)
        worker.start()
        try:
            for cycle in range(CYCLES):
                self.switch.stop_server(signal.SIGKILL)
                self.switch.start_server()
                # ovs-vswitchd itself takes a second and more to come back to its database.
                time.sleep(1.5 if cycle % 10 == 9 else 0.05)
        finally:
            stop.set()
            worker.join()
        self.assertEqual([], failures)
        self.assertGreater(len(kept), 10)
        # ovs-vswitchd is back when it has taken up a change: after so many ends it waits for up to 8 s to try again.
        self.switch.vsctl("set", "Open_vSwitch", ".", "external_ids:back=true")
        eventually(lambda: self.answers(200), "it is back", 3)
        for plugged in going:
            self.ask("DELETE", self.path(plugged))
        eventually(lambda: self.ids() == kept, "what was taken back is gone", 30)
        eventually(lambda: set(self.statuses()) == {"Attached/DOWN"}, f"all are plugged: {self.statuses()}", 30)
        bound = [self.switch.get("Interface", port, "external_ids:iface-id") for port in self.switch.ports(BRIDGE)]
        self.assertEqual(sorted(kept), sorted(bound))
        taps = {name for name in self.host.links() if name not in self.before}
        self.assertEqual(self.switch.ports(BRIDGE), taps)

    def accepted(self, network: str, ident: str) -> dict[str, Any] | None:
        """Plug a tap in; None while the switch is away."""
        body = {"attachment": {"id": ident, "device": {"create": "tap"}}}
        answer = self.call("POST", f"/networks/{network}/attachments", body)
        if answer.status == 500:
            self.assertEqual("/faults/ServiceUnavailable", answer.body["type"])
            return None
        self.assertEqual(202, answer.status, answer.body)
        found: dict[str, Any] = answer.body["attachment"]
        return found

    def listed(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.ask("GET", "/attachments")["attachments"]
        return found

    def ids(self) -> set[str]:
        return {item["id"] for item in self.listed()}

    def statuses(self) -> list[str]:
        return [item["status"] for item in self.listed()]
