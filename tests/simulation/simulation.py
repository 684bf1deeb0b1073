"""A run: clients, a daemon, a host, and everything that can go wrong; then peace, in which everything must be right."""

from __future__ import annotations

from typing import Any
from unittest.mock import patch
from uuid import UUID

from twisted.internet.defer import Deferred
from twisted.logger import LogEvent, LogLevel, globalLogPublisher

from quantumd.core.changes import RemoveLeftover
from quantumd.core.errors import Fault
from quantumd.core.transaction import check
from quantumd.service.convergence import AUDIT
from quantumd.service.pauses import LONGEST
from tests.simulation.clients import COVETED, Client, Net, Violation
from tests.simulation.host import THEIRS, Host, NetDev, copied
from tests.simulation.process import Follower, Process
from tests.simulation.world import Counts, Disk, Injected, World

#: Seconds of peace in which all must be as it should be: the longest pause and an audit, and then to do it.
PEACE = LONGEST + AUDIT + 15.0


class Simulation:
    """One seed's run."""

    def __init__(self, seed: int, *, keep_trace: bool = False) -> None:
        self.world = World(seed, keep_trace=keep_trace)
        self.disk = Disk()
        self.host = Host()
        self.boot = 1
        self.follower = Follower()
        choose = self.world.random
        self.host.fault_rate = choose.choice((0.0, 0.02, 0.2))
        self.quiet = choose.random() < 0.1  # nothing goes wrong at all
        self.length = choose.choice((2.0, 5.0, 12.0))
        if self.quiet:
            self.host.fault_rate = 0.0
        self.process = self._begin()
        self.clients = [Client(self.world, number, lambda: self.process) for number in range(choose.choice((1, 2, 3)))]
        self._chaos_over = False

    # --- processes

    def _begin(self) -> Process:
        self.world.note("process: begins")
        process = Process(self.world, self.disk, self.host, self.boot)
        self.world.clock.callLater(0.06, self._follow, process)
        return process

    def _follow(self, process: Process) -> None:
        if process is self.process and process.listening:
            self.follower.follow(process)
        elif process is self.process and not process.clock.dead:
            self.world.clock.callLater(0.06, self._follow, process)

    def _read_events(self) -> None:
        for wrong in self.follower.read():
            raise Violation(wrong)

    def crash(self) -> None:
        """The process is killed, and started again."""
        self.world.counts.crashes += 1
        self.world.note("process: killed")
        self._end()

    def lose_power(self) -> None:
        """The machine goes down: what was not synchronised may be lost, and the host begins anew."""
        self.world.counts.reboots += 1
        self.world.note("machine: reboots")
        self.disk.lose_power(self.world.random.randint(0, len(self.disk.unsynced)))
        self.host.reboot()
        self.boot += 1
        self._end()

    def _end(self) -> None:
        self._read_events()
        self.process.kill()
        self.process = self._begin()

    def restart(self) -> None:
        """The daemon is stopped, and started again when it has ended."""
        if not self.process.listening:
            return
        self.world.counts.restarts += 1
        self.world.note("process: stops")
        stopping, process = Deferred.fromCoroutine(self.process.stop()), self.process
        began = self.world.now

        def stopped(result: Any) -> None:
            if process is self.process:
                if self.world.now - began > 4.5:
                    raise Violation(f"it took {self.world.now - began} s to stop")
                self._read_events()
                self.process = self._begin()
            return result

        stopping.addCallback(stopped).addErrback(self._broke)

    def _broke(self, reason: Any) -> None:
        self.world.note(f"broke: {reason.getErrorMessage()}")
        self.errors.append(reason.getTraceback())

    # --- what goes wrong

    def _chaos(self) -> None:
        if self._chaos_over:
            return
        choose = self.world.random
        what = choose.choices(
            (
                self.crash,
                self.lose_power,
                self.restart,
                self._break_disk,
                self._backend_leaves,
                self._overrun,
                self._disturb,
            ),
            (4, 1, 1, 2, 3, 3, 10),
        )[0]
        what()
        self.world.clock.callLater(choose.random() * 3.0, self._chaos)

    def _break_disk(self) -> None:
        self.disk.broken = True
        self.world.note("disk: full")
        self.world.clock.callLater(self.world.random.random() * 2.0, self._mend_disk)

    def _mend_disk(self) -> None:
        self.disk.broken = False

    def _backend_leaves(self) -> None:
        if not self.host.away:
            self.host.away = True
            self.world.counts.backend_faults += 1
            self.world.note("backend: away")
            self.process.plugin.tell(None)
            self.world.clock.callLater(self.world.random.random() * 5.0, self._backend_returns)

    def _backend_returns(self) -> None:
        if self.host.away:
            self.host.away = False
            self.world.note("backend: back")
            self.process.plugin.tell(None)

    def _overrun(self) -> None:
        """The host has too much to tell: all of it is to be looked at."""
        self.world.note("host: overrun")
        self.process.plugin.tell(None)

    def _disturb(self) -> None:
        """Somebody does something on the host."""
        choose, devices = self.world.random, self.host.devices
        self.world.counts.disturbances += 1
        kind = choose.choice(("come", "come", "go", "move", "take", "remove", "bridge", "name", "left"))
        names: list[str] = []
        if kind == "come":
            names = [choose.choice((*COVETED, *(f"c{n}-vif{k}" for n in range(3) for k in range(3))))]
            devices.setdefault(names[0], NetDev(made=False))
        elif kind == "left":
            names = [self.host.leave_behind(self.world.counts.disturbances)]
        elif kind == "bridge" and self.host.bridges:
            names = [choose.choice(sorted(self.host.bridges))]
            if choose.random() < 0.5:
                self.host.bridges[names[0]].mtu = 9000
            else:
                del self.host.bridges[names[0]]
                for device in devices.values():
                    if device.bridge == names[0]:
                        device.bridge = None
        elif kind == "name":
            names = sorted(
                name
                for a in self.process.store.state.attachments.values()
                if a.form.managed and (name := a.device_name) is not None and name not in devices
            )[:1]
            for name in names:
                devices[name] = NetDev(made=False)
        elif devices:
            names = [choose.choice(sorted(devices))]
            device = devices[names[0]]
            if kind == "take":
                device.bridge = THEIRS
            elif kind == "move":
                device.bridge = choose.choice([None, *(sorted(self.host.bridges) if device.mark is not None else ())])
            elif device.made is (kind == "remove"):
                del devices[names[0]]
        if names:
            self.world.note(f"host: {kind} {names}")
            self.process.plugin.tell(names)

    def _make_peace(self) -> None:
        self._chaos_over = True
        self.disk.broken = False
        self.host.fault_rate = 0.0
        self._backend_returns()
        for name, device in list(self.host.devices.items()):
            if not device.made and name.startswith(("tap", "vx")):
                del self.host.devices[name]
            elif device.bridge == THEIRS:
                device.bridge = None
            else:
                continue
            self.process.plugin.tell([name])
        self.world.note("peace")

    # --- the run

    def run(self) -> Counts:
        """Go through it all. Raises Violation, or whatever else a promise was broken with."""
        self.errors: list[str] = []
        globalLogPublisher.addObserver(self._watch_log)
        try:
            with patch("quantumd.core.intent.new_id", self._new_id):
                self._run()
        finally:
            globalLogPublisher.removeObserver(self._watch_log)
        return self.world.counts

    def _run(self) -> None:
        for client in self.clients:
            client.later()
        if not self.quiet:
            self.world.clock.callLater(self.world.random.random() * 2.0, self._chaos)
        self.world.run_until(lambda: bool(self.errors), self.length)
        self._make_peace()
        self._settle()
        self._check_all("after peace")
        self._check_restart()
        self._take_down()

    def _settle(self) -> None:
        for client in self.clients:
            client.stopped = True
        if not self.world.run_until(lambda: self.process.listening and all(c.certain for c in self.clients), 20.0):
            raise Violation("a client has no answer")
        self._wait_for_rest()

    def _wait_for_rest(self) -> None:
        self.world.run_until(lambda: bool(self.errors) or not self._unrest(), PEACE)
        if self.errors:
            raise Violation(self.errors[0])
        if unrest := self._unrest():
            raise Violation(f"not settled after {PEACE} s of peace: {unrest}")
        # What is still being told must change nothing.
        self.world.run_until(lambda: False, 1.0)

    def _unrest(self) -> str:
        """What is not as it should be, or ""."""
        state, host, wanted = self.process.store.state, self.host, set()
        for client in self.clients:
            for form in client.belief.plugged().values() if client.belief is not None else ():
                wanted.add(str(form["id"]))
        for network in state.networks.values():
            bridge = host.bridges.get(network.data["bridge"])
            if network.status != "Active" or network.fault is not None:
                return f"network {network.id} is {network.status} {network.fault}"
            if bridge is None or not bridge.complete or bridge.mtu != network.options.get("mtu"):
                return f"bridge of {network.id} is {bridge}"
        for port in state.ports.values():
            if port.status != "Active":
                return f"port {port.id} is {port.status}"
        for attachment in state.attachments.values():
            device = host.devices.get(attachment.device_name or "")
            bridge_name = state.networks[attachment.network_id].data["bridge"]
            if attachment.form.managed or device is not None:
                there = device is not None and device.mark == attachment.serial and device.bridge == bridge_name
                if not there or attachment.status != "Attached/UP":
                    return f"attachment {attachment} is {attachment.status} on {device}"
            elif attachment.status != ("Attached/DOWN" if attachment.was_plugged else "InProgress"):
                return f"attachment {attachment} is {attachment.status} without a device"
            if attachment.fault is not None:
                return f"attachment {attachment.id} has {attachment.fault}"
        if {attachment.id for attachment in state.attachments.values()} != wanted:
            return f"attachments {[a.id for a in state.attachments.values()]}, wanted {sorted(wanted)}"
        serials = set(state.attachments)
        for name, device in host.devices.items():
            if device.mark is not None and device.mark not in serials:
                return f"device {name} is left over for {device.mark}"
            if device.mark is None and device.bridge not in (None, THEIRS):
                return f"a stranger's device {name} is in {device.bridge}"
        if {network.data["bridge"] for network in state.networks.values()} != set(host.bridges):
            return f"bridges {sorted(host.bridges)} are there"
        return f"the backlog is {self.process.convergence.backlog}" if self.process.convergence.backlog else ""

    def _check_all(self, when: str) -> None:
        state = self.process.store.state
        if wrong := check(state):
            raise Violation(f"{when}: {wrong}")
        for client in self.clients:
            client.check()
        listed = {entry["id"] for entry in self.process.ask("GET", "/networks").json["networks"]}
        if listed != {client.ident for client in self.clients if client.belief is not None}:
            raise Violation(f"{when}: networks {listed} are there")
        self._check_events(when)

    def _check_events(self, when: str) -> None:
        self._read_events()
        if self.follower.resets:
            return
        last: dict[tuple[str, str | None, str | None], str] = {}
        for _, _, data in self.follower.told:
            if data["status"] not in ("Deleted", "Detaching"):  # of one whose successor has the same id, it may be
                last[data["network_id"], data["port_id"], data["attachment_id"]] = data["status"]
        state = self.process.store.state
        for attachment in state.attachments.values():
            told = last.get((attachment.network_id, attachment.port_id, attachment.id))
            if told != attachment.status:
                raise Violation(f"{when}: events say {told} of {attachment}")
        for network in state.networks.values():
            if last.get((network.id, None, None)) != network.status:
                raise Violation(f"{when}: events say {last.get((network.id, None, None))} of {network}")

    def _check_restart(self) -> None:
        """A restart over an unchanged host changes nothing."""
        before = copied(self.host)
        self.restart()
        old = self.process
        self.world.run_until(lambda: self.process is not old and self.process.convergence.progress.audits > 0, 30.0)
        if self.errors:
            raise Violation(self.errors[0])
        if self.process is old or not self.process.convergence.progress.audits:
            raise Violation("the daemon did not stop and start again")
        if self.process.plugin.applied:
            raise Violation(f"a restart over an unchanged host does {self.process.plugin.applied}")
        if copied(self.host) != before:
            raise Violation("a restart changed the host")
        self._check_all("after a restart")

    def _take_down(self) -> None:
        """Unplug and delete everything: nothing of ours is left, and nothing of others' is missing."""
        strangers = {name for name, device in self.host.devices.items() if not device.made}
        for client in self.clients:
            net = client.belief
            if isinstance(net, Net):
                for port, form in net.ports.items():
                    if form is not None:
                        client.request("DELETE", f"/networks/{client.ident}/ports/{port}/attachment")
                client.request("DELETE", f"/networks/{client.ident}")
                client.belief = None
        self.world.run_until(lambda: all(c.certain for c in self.clients), 5.0)
        self._wait_for_rest()
        if self.host.ours():
            raise Violation(f"left over: {self.host.ours()}")
        if strangers != set(self.host.devices):
            raise Violation(f"of strangers' devices {strangers} there are {sorted(self.host.devices)}")
        removed = [c for c in self.process.plugin.applied if isinstance(c, RemoveLeftover)]
        if removed:
            raise Violation(f"what was deleted had to be found as left over: {removed}")
        self._check_all("at the end")

    # --- chance and complaints

    def _new_id(self) -> str:
        return str(UUID(int=self.world.random.getrandbits(128), version=4))

    def _watch_log(self, event: LogEvent) -> None:
        failure = event.get("log_failure")
        if event["log_level"] is LogLevel.critical and (
            failure is None or not isinstance(failure.value, Injected | Fault)
        ):
            self.errors.append(failure.getTraceback() if failure is not None else str(event.get("log_format")))
