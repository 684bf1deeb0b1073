"""Churn: what is made and taken away again leaves nothing behind in memory, among descriptors or in the state file.

And fairness: what can never work delays nobody.
"""

from __future__ import annotations

import gc
import os
import random
import shutil
import tempfile
from pathlib import Path
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from quantumd.core.model import Device, Event, Form
from quantumd.plugins.memory import SETTINGS, MemoryPlugin
from tests.crash.machine import ADMIN, Machine, Reactor
from tests.tally import tell

#: ``make soak`` does 100,000.
OPERATIONS = int(os.environ.get("QUANTUMD_SOAK", "4000"))


class SoakTests(SynchronousTestCase):
    def machine(self, **settings: Any) -> Machine:
        directory = Path(tempfile.mkdtemp(prefix="quantumd-soak-", dir="/dev/shm"))
        self.addCleanup(shutil.rmtree, directory)
        self.path = directory / "quantumd.sqlite"

        def plugin(reactor: Reactor) -> Any:
            return MemoryPlugin(reactor, {**SETTINGS, **settings})

        machine = Machine(self.path, make_plugin=plugin)
        machine.start()
        self.addCleanup(machine.stop)
        return machine

    def churn(self, machine: Machine, operations: int, choose: random.Random) -> None:
        """Make a network with ports, plug, unplug, delete; each request is an operation."""
        done = 0
        while done < operations:
            network = machine.ask(machine.quantum.create_network(ADMIN, {"name": f"net{choose.randrange(9)}"}))
            plugs = [
                machine.ask(
                    machine.quantum.plug_anywhere(ADMIN, network.id, Form(id=f"v{n}", device=Device(create="tap")))
                )
                for n in range(6)
            ]
            machine.rest(5.0)
            for plugged in plugs:
                machine.ask(machine.quantum.unplug(ADMIN, network.id, plugged.port_id))
            machine.ask(machine.quantum.delete_network(ADMIN, network.id))
            machine.rest(5.0)
            done += 2 + 2 * len(plugs)
        self.assertEqual([], list(machine.state.every_key()))
        self.assertEqual({}, machine.plugin.host)  # type: ignore[attr-defined]

    def sizes(self, machine: Machine) -> dict[str, int]:
        """What must not grow: objects in memory, those of quantumd's own beside events, descriptors, bytes of the state
        file and its log, timers."""
        gc.collect()
        objects = gc.get_objects()
        files = [self.path.with_name(self.path.name + suffix) for suffix in ("", "-wal")]
        return {
            "objects": len(objects),
            "own": sum(str(type(one)).startswith("<class 'quantumd.") and type(one) is not Event for one in objects),
            "descriptors": len(list(Path("/proc/self/fd").iterdir())),
            "bytes": sum(file.stat().st_size for file in files if file.exists()),
            "timers": len(machine.reactor.getDelayedCalls()),
        }

    def test_churn(self) -> None:
        """All is flat once the events that are kept have reached their number."""
        machine, choose = self.machine(), random.Random(3)
        self.churn(machine, OPERATIONS // 2 + 2500, choose)
        before = self.sizes(machine)
        self.churn(machine, OPERATIONS // 2, choose)
        after = self.sizes(machine)
        self.assertEqual(before["descriptors"], after["descriptors"])
        self.assertLessEqual(after["timers"], before["timers"] + 1)
        # The history of events is cut from 11,000 to 10,000 at once, so that there are some more or fewer.
        self.assertLess(after["objects"], before["objects"] * 1.2 + 3000, (before, after))
        self.assertLessEqual(after["own"], before["own"] + 100, (before, after))
        self.assertLess(after["bytes"], before["bytes"] * 1.2, (before, after))
        tell("soak", operations=OPERATIONS + 2500, descriptors_more=0, devices_left=0)

    def test_one_that_never_works(self) -> None:
        """Fifty that work beside ten that never do: none waits for a try of those."""
        machine = self.machine(fail="bad*")
        network = machine.ask(machine.quantum.create_network(ADMIN, {"name": "blue"}))
        machine.rest()
        bad = [machine.ask(machine.quantum.plug_anywhere(ADMIN, network.id, Form(id=f"bad{n}"))) for n in range(10)]
        machine.rest(3.0)
        self.assertTrue(all(machine.state.attachments[one.serial].status == "Failed" for one in bad))
        for n in range(50):
            began = machine.reactor.seconds()
            good = machine.ask(machine.quantum.plug_anywhere(ADMIN, network.id, Form(id=f"good{n}")))
            while machine.state.attachments[good.serial].status != "Attached/UP":
                machine.reactor.advance(0.001)
                self.assertLess(machine.reactor.seconds() - began, 0.1)
            machine.rest(0.05)
