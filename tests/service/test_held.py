"""What waits for a round that holds a record which is in order."""

from __future__ import annotations

from twisted.internet.defer import Deferred
from twisted.logger import capturedLogs

from quantumd.core.model import Status
from tests.service.support import Daemon, DaemonCase


class HeldTests(DaemonCase):
    def test_what_waited_for_a_round_goes_on_with_its_end(self) -> None:
        self.daemon = daemon = Daemon(delay=1.0).start()
        network = daemon.network()
        daemon.rest(2)
        daemon.convergence.wake([network.key, daemon.port(network).key])
        daemon.rest(0.5)
        late = daemon.port(network)
        daemon.rest(4)
        self.assertEqual(daemon.now_is(late).status, Status.ACTIVE)
        self.settled()

    def late(self, seconds: int) -> list[str]:
        """What was said of rounds that take long, in that time."""
        with capturedLogs() as logs:
            self.daemon.clock.pump([1] * seconds)
        return [event["work"] for event in logs if "seconds" in event]

    def test_what_takes_long_is_told_of_once(self) -> None:
        self.daemon = daemon = Daemon().start()
        network = daemon.network()
        daemon.rest(1)
        gate: Deferred[None] = Deferred()
        daemon.plugin.gate = gate
        daemon.convergence.notify([network.key])
        self.assertEqual(self.late(9), [])
        self.assertEqual(self.late(2), ["A round of 1 records"])
        self.assertEqual(self.late(20), [])
        gate.callback(None)
        daemon.plugin.gate = None
        daemon.rest(1)
        self.settled()
        self.assertEqual(self.late(60), [])

    def test_an_audit_that_takes_long(self) -> None:
        self.daemon = daemon = Daemon().start()
        daemon.plugin.gate = gate = Deferred()
        daemon.convergence.notify(None)
        self.assertEqual(self.late(11), ["An audit of the host"])
        gate.callback(None)
        daemon.plugin.gate = None
        daemon.rest(1)
