from __future__ import annotations

from twisted.internet.defer import Deferred

from quantumd.core.changes import Detach, EnsureNetwork, Failed, RemoveNetwork
from quantumd.core.model import AttachmentStatus, Status
from tests.core.support import named
from tests.service.support import ADMIN, Daemon, DaemonCase


class RoundTests(DaemonCase):
    def test_what_is_accepted_is_carried_out_and_told(self) -> None:
        network = self.daemon.network()
        self.assertEqual(self.daemon.now_is(network).status, Status.IN_PROGRESS)
        self.daemon.rest()
        now = self.daemon.now_is(network)
        self.assertEqual((now.status, now.plugin), (Status.ACTIVE, {"bridge": network.data["bridge"]}))
        self.assertEqual(self.daemon.actions(), [("network", "created", "InProgress"), ("network", "status", "Active")])
        self.settled()

    def test_what_comes_together_goes_in_one_batch(self) -> None:
        network = self.daemon.network()
        self.daemon.plug(self.daemon.port(network), "vif")
        self.daemon.rest()
        self.assertEqual(self.daemon.plugin.kinds(), [["EnsureNetwork", "EnsurePort", "Attach"]])
        self.settled()

    def test_only_what_was_asked_for_is_looked_at(self) -> None:
        for name in ("blue", "red", "green"):
            self.daemon.network(name)
        self.daemon.rest()
        self.daemon.plugin.looks.clear()
        network = self.daemon.network("black")
        self.daemon.rest()
        self.assertEqual(self.daemon.plugin.looks, [{network.key}])

    def test_a_move_lets_go_before_it_takes(self) -> None:
        here, there = (self.daemon.port(self.daemon.network(name)) for name in ("blue", "red"))
        self.daemon.plug(here, named("vif", "tap7"))
        self.daemon.rest()
        self.daemon.plugin.kinds()
        self.daemon.unplug(here)
        second = self.daemon.plug(there, named("vif", "tap7"))
        self.daemon.rest()
        self.assertEqual(self.daemon.plugin.kinds(), [["Detach"], ["Attach"]])
        self.assertEqual(self.daemon.now_is(second).status, AttachmentStatus.UP)
        self.settled()

    def test_everything_is_deleted_at_once(self) -> None:
        network = self.daemon.network()
        ports = [self.daemon.port(network) for _ in range(3)]
        for place, port in enumerate(ports):
            self.daemon.plug(port, f"vif{place}")
        self.daemon.rest()
        self.daemon.actions()
        for port in ports:
            self.daemon.unplug(port)
        self.daemon.delete(network)
        self.daemon.rest()
        self.assertEqual(list(self.daemon.state.every_key()), [])
        deleted = [kind for kind, action, _ in self.daemon.actions() if action == "deleted"]
        self.assertEqual(deleted, [*["attachment"] * 3, *["port"] * 3, "network"])
        self.settled()

    def test_a_network_that_is_looked_at_alone_takes_its_ports_off_the_host_too(self) -> None:
        network = self.daemon.network()
        self.daemon.port(network)
        self.daemon.rest()
        self.daemon.plugin.verdict = lambda change: Failed("no") if isinstance(change, RemoveNetwork) else None
        self.daemon.delete(network)
        self.daemon.rest()
        self.assertEqual([key.kind for key in self.daemon.state.every_key()], ["network"])
        self.daemon.plugin.verdict = lambda _: None
        self.daemon.rest(1)
        self.settled()

    def test_a_slice_is_a_batch(self) -> None:
        for place in range(1200):
            self.daemon.network(f"n{place}")
        self.daemon.rest()
        self.assertEqual([len(changes) for _, changes in self.daemon.plugin.work], [500, 500, 200])
        self.settled()

    def test_a_change_of_a_network_is_a_change_of_what_is_plugged_into_it(self) -> None:
        network = self.daemon.network()
        attachment = self.daemon.plug(self.daemon.port(network), "vif")
        self.daemon.rest()
        self.daemon.plugin.looks.clear()
        self.daemon.quantum.update_network(ADMIN, network.id, {"options": {"mtu": 1400}})
        self.daemon.rest()
        self.assertIn(attachment.key, self.daemon.plugin.looks[0] or ())


class SideBySideTests(DaemonCase):
    def setUp(self) -> None:
        self.daemon = Daemon(delay=5.0).start()

    def test_changes_run_side_by_side(self) -> None:
        first = self.daemon.network("blue")
        self.daemon.rest(1)
        second = self.daemon.network("red")
        self.daemon.rest(4)
        self.assertEqual(self.daemon.now_is(first).status, Status.ACTIVE)
        self.assertEqual(self.daemon.now_is(second).status, Status.IN_PROGRESS)
        self.daemon.rest(1)
        self.settled()

    def test_an_audit_holds_up_nothing(self) -> None:
        self.daemon.rest(29)
        first = self.daemon.network("blue")
        self.daemon.rest(2)
        second = self.daemon.network("red")
        self.daemon.rest(3)
        self.assertEqual(self.daemon.convergence.progress.audits, 2)
        self.assertEqual(self.daemon.now_is(first).status, Status.ACTIVE)
        self.daemon.rest(2)
        self.assertEqual(self.daemon.now_is(second).status, Status.ACTIVE)

    def test_a_busy_record_is_left_alone_until_its_batch_is_over(self) -> None:
        network = self.daemon.network("blue")
        self.daemon.rest(1)
        self.daemon.delete(network)
        self.daemon.rest(3)
        self.assertEqual(self.daemon.plugin.kinds(), [["EnsureNetwork"]])
        self.daemon.rest(1)
        self.assertEqual(self.daemon.plugin.kinds(), [["RemoveNetwork"]])
        self.assertEqual(self.daemon.now_is(network).status, Status.DELETING)
        self.daemon.rest(5)
        self.settled()

    def test_what_builds_on_a_busy_record_waits_for_it_once(self) -> None:
        network = self.daemon.network("blue")
        self.daemon.rest(1)
        attachment = self.daemon.plug(self.daemon.port(network), "vif")
        self.daemon.rest(4)
        self.assertEqual(self.daemon.plugin.kinds(), [["EnsureNetwork"], ["EnsurePort", "Attach"]])
        self.daemon.rest(5)
        self.assertEqual(self.daemon.now_is(attachment).status, AttachmentStatus.UP)
        self.settled()

    def test_a_backend_that_works_on_one_thing_at_a_time(self) -> None:
        self.daemon.plugin.batches = 1
        self.daemon.network("blue")
        self.daemon.rest(1)
        for name in ("red", "green"):
            self.daemon.network(name)
            self.daemon.rest(1)
        self.daemon.rest(3)
        self.assertEqual(self.daemon.plugin.kinds(), [["EnsureNetwork"], ["EnsureNetwork"] * 2])
        self.daemon.rest(5)
        self.settled()

    def test_what_needs_nothing_does_not_wait_for_what_takes_long(self) -> None:
        network = self.daemon.network("blue")
        self.daemon.rest(5)
        self.daemon.quantum.update_network(ADMIN, network.id, {"name": "red"})
        made = self.daemon.plugin.host[network.key]
        self.daemon.plugin.host[network.key] = type(made)(("red", {}), made.plugin)
        self.daemon.network("slow")
        self.daemon.rest()
        self.assertEqual(self.daemon.now_is(network).status, Status.ACTIVE)
        self.assertEqual(self.daemon.plugin.kinds()[-1], ["EnsureNetwork"])


class BlockedTests(DaemonCase):
    def setUp(self) -> None:
        super().setUp()
        self.network = self.daemon.network()
        self.port = self.daemon.port(self.network)

    def test_what_builds_on_a_failure_waits_without_a_fault(self) -> None:
        self.daemon.plugin.verdict = lambda change: Failed("no") if isinstance(change, EnsureNetwork) else None
        attachment = self.daemon.plug(self.port, "vif")
        self.daemon.rest()
        now = self.daemon.now_is(attachment)
        self.assertEqual((now.status, now.fault), (AttachmentStatus.IN_PROGRESS, None))
        self.assertEqual(self.daemon.now_is(self.network).status, Status.FAILED)
        self.daemon.plugin.verdict = lambda _: None
        self.daemon.rest(0.2)
        self.settled()

    def test_a_rival_that_does_not_let_go(self) -> None:
        self.daemon.plug(self.port, "vif1")
        self.daemon.rest()
        self.daemon.plugin.verdict = lambda change: Failed("busy") if isinstance(change, Detach) else None
        gone = self.daemon.unplug(self.port)
        following = self.daemon.plug(self.port, "vif2")
        self.daemon.rest(10)
        now = self.daemon.now_is(gone)
        self.assertEqual((now.status, now.fault and now.fault.message), (AttachmentStatus.DETACHING, "busy"))
        self.assertEqual(self.daemon.now_is(following).status, AttachmentStatus.IN_PROGRESS)
        self.assertEqual(self.daemon.convergence.backlog, 2)
        self.daemon.plugin.verdict = lambda _: None
        self.daemon.rest(15)
        self.assertEqual(self.daemon.now_is(following).status, AttachmentStatus.UP)
        self.settled()

    def test_a_network_waits_for_what_is_in_it(self) -> None:
        self.daemon.plug(self.port, "vif1")
        self.daemon.rest()
        self.daemon.plugin.verdict = lambda change: Failed("busy") if isinstance(change, Detach) else None
        self.daemon.unplug(self.port)
        self.daemon.delete(self.network)
        self.daemon.rest(1)
        now = self.daemon.now_is(self.network)
        self.assertEqual((now.status, now.fault), (Status.DELETING, None))
        self.daemon.plugin.verdict = lambda _: None
        self.daemon.rest(2)
        self.assertEqual(list(self.daemon.state.every_key()), [])
        self.settled()

    def test_a_rival_that_has_gone_while_the_plugin_looked(self) -> None:
        self.daemon = Daemon(delay=2.0).start()
        port = self.daemon.port(self.daemon.network())
        self.daemon.plug(port, "vif1")
        self.daemon.rest(2)
        self.daemon.unplug(port)
        self.daemon.rest(1)
        self.daemon.plugin.gate = gate = Deferred()
        following = self.daemon.plug(port, "vif2")
        self.daemon.rest()
        self.daemon.plugin.gate = None
        self.daemon.rest(1.5)
        self.assertEqual(len(self.daemon.state.attachments), 1)
        gate.callback(None)
        self.daemon.rest(2)
        self.assertEqual(self.daemon.now_is(following).status, AttachmentStatus.UP)


class BookkeepingTests(DaemonCase):
    def test_progress_and_backlog(self) -> None:
        self.daemon.network("blue")
        self.assertEqual(self.daemon.convergence.backlog, 1)
        self.daemon.rest()
        self.daemon.plugin.verdict = lambda _: Failed("no")
        self.daemon.network("red")
        self.daemon.rest()
        progress = self.daemon.convergence.progress
        self.assertEqual((progress.applied, progress.failed, progress.audits), (1, 1, 1))
        self.assertEqual((self.daemon.convergence.backlog, self.daemon.convergence.retrying), (1, 1))
