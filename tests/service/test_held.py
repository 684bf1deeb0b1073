"""What waits for a round that holds a record which is in order."""

from __future__ import annotations

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
