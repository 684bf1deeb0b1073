"""What a daemon with 10,000 attached ports is like: against one with 100, its memory, its reactor, and a restart.

    python benchmarks/ten_thousand.py linuxbridge|ovs [--ports 10000] [--networks 20] [--rounds 3] [--json]

The ports have taps that quantumd made. Runs on a scratch machine. With ``ovs`` there is a real ovsdb-server, and
``standin.py`` in the place of ovs-vswitchd, which takes minutes for so many ports.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from attaching import Attaching
from attachments import AT_A_TIME, veths
from blocked import listener
from common import Finding, arguments, ask, drive, finish, in_turns, median, metrics, request, send, settled

from quantumd.testing.lab import Lab
from quantumd.testing.openvswitch import OpenVSwitch
from quantumd.testing.scratch import daemon, enter, run

#: What was measured, in words.
_TOLD = {"linuxbridge": "linuxbridge", "ovs": "ovs (a stand-in for ovs-vswitchd)"}
#: Seconds that are looked on for: there is an audit every 30 s.
_STEADY = 35
_LIMITS = "[limits]\nnetworks = 100000\nports_per_network = 100000\n"


class Place:
    """Where one daemon lives: a namespace, a directory, for ``ovs`` a switch. All names begin with ``name``."""

    def __init__(self, plugin: str, name: str, work: Path, stack: ExitStack) -> None:
        self.name = name
        self.guests = f"guests-{name}"
        self._plugin = plugin
        self._work = work / name
        self._work.mkdir()
        self.api = self._work / "api.sock"
        for namespace in (name, self.guests):
            run("ip", "netns", "add", namespace)
        config = self._work / "quantumd.conf"
        config.write_text(_LIMITS)
        self._options = ["--config", str(config)]
        if plugin == "ovs":
            switch = OpenVSwitch(stack.enter_context(Lab()), None)
            switch.start_server()
            switch.vsctl("--no-wait", "init")
            standin = [sys.executable, str(Path(__file__).with_name("standin.py")), str(switch.socket)]
            process = subprocess.Popen(standin)
            stack.callback(process.wait)
            stack.callback(process.terminate)
            config.write_text(f"{_LIMITS}[plugin:ovs]\novsdb = {switch.remote}\ndatapath_type = netdev\n")

    @contextmanager
    def running(self) -> Iterator[None]:
        """The daemon, as it comes to what was kept."""
        self.api.unlink(missing_ok=True)
        with daemon(self._plugin, self._work, self._options, self.name):
            yield

    def fill(self, networks: int, ports: int) -> None:
        """Plug that many taps, evenly into that many networks."""
        self.networks = self.make_networks(networks, 16)
        forms = [{"id": f"{self.name}{n}", "device": {"create": "tap"}} for n in range(ports)]
        plugs = [
            request("POST", f"{self.networks[n % networks]}/attachments", {"attachment": form})
            for n, form in enumerate(forms)
        ]
        drive(self.api, plugs, 16, 202)
        self.settle(ports)

    def settle(self, ports: int) -> None:
        """Wait until everything is plugged."""
        settled(self.api)
        counts = metrics(self.api)
        statuses = ("Attached/UP", "Attached/DOWN")
        seen = sum(counts[f'quantumd_resources{{kind="attachment",status="{status}"}}'] for status in statuses)
        if seen != ports:
            raise SystemExit(f"{seen:.0f} of {ports} ports are attached")

    def make_networks(self, count: int, connections: int) -> list[str]:
        """Make networks; their paths."""
        bodies = [request("POST", "/networks", {"network": {"name": f"{self.name}{n}"}}) for n in range(count)]
        made = ask(self.api, 202, *bodies, connections=connections)
        return [f"/networks/{one['network']['id']}" for one in made]

    def clear(self) -> None:
        """Delete all networks but those that it was filled with. The kernel waits some 25 ms for each bridge that goes,
        and while it takes a whole namespace down it lets nobody on the machine change any network device."""
        every = ask(self.api, 200, request("GET", "/networks"))[0]["networks"]
        others = {f"/networks/{one['id']}" for one in every}.difference(self.networks)
        ask(self.api, 202, *(request("DELETE", path) for path in others), connections=16)
        settled(self.api)

    def resident(self) -> float:
        """The daemon's resident memory in MB."""
        status = Path(f"/proc/{listener(self.api)}/status").read_text()
        return int(status.split("VmRSS:")[1].split()[0]) / 1024


class Question:
    """What is asked of both places, in milliseconds for one: the fewer the better."""

    def __init__(self, small: Place, large: Place, plugin: str, ports: int, rounds: int) -> None:
        self._small = small
        self._large = large
        self._told = f"{_TOLD[plugin]}, {ports:,} ports there: 100 there"
        self._rounds = rounds
        self.findings: list[Finding] = []

    def ask(self, what: str, measure: Callable[[Place], float], rounds: int | None = None) -> None:
        """Measure it at both in turns."""
        few, many = in_turns(lambda: measure(self._small), lambda: measure(self._large), rounds=rounds or self._rounds)
        self.add(what, many, few)

    def add(self, what: str, many: float, few: float) -> None:
        """Take down what was measured."""
        self.findings.append(Finding(f"{what}, {self._told}", many, few, "ms", 1.2, True))


def compared(small: Place, large: Place, plugin: str, ports: int, rounds: int) -> list[Finding]:
    """Everything that is asked of a daemon, with many ports there and with few."""
    both, question = (small, large), Question(small, large, plugin, ports, rounds)

    def read(place: Place, path: str) -> float:
        asking = request("GET", path)
        return 1000 / send(place.api, lambda _: asking, 16, 0.5, 200).rate

    def post(place: Place, connections: int, count: int) -> float:
        bodies = [request("POST", "/networks", {"network": {"name": f"p{n}"}}) for n in range(count)]
        load = drive(place.api, bodies, connections, 202)
        settled(place.api)
        return median(load.waits) * 1000 if connections == 1 else 1000 / load.rate

    question.ask("GET one network, 16 connections", lambda place: read(place, place.networks[0]))
    attaching = {place.name: Attaching(place.api, place.name, place.guests, place.name) for place in both}
    question.ask("one attach, idle", lambda place: attaching[place.name].asked_for() * 1000, 30)
    question.ask("late device there → Attached", lambda place: attaching[place.name].late() * 1000, 30)

    thousands = {place.name: veths(place.api, place.guests, place.name[0], 50, 1000) for place in both}
    gone: dict[str, list[float]] = {place.name: [] for place in both}

    def plug(place: Place) -> float:
        rate = thousands[place.name].plug()
        gone[place.name].append(1000 / thousands[place.name].unplug())
        return 1000 / rate

    question.ask(f"1,000 veths, {AT_A_TIME} a request → Attached/UP", plug, rounds + 2)
    question.add("1,000 veths unplugged", *(median(gone[place.name]) for place in (large, small)))

    for place in both:
        there = len(ask(place.api, 200, request("GET", "/networks"))[0]["networks"])
        place.make_networks(1000 - there, 16)
        settled(place.api)
    question.ask("list 1,000 networks, 16 connections", lambda place: read(place, "/networks"))
    # Not many: bridges go slowly, and Open vSwitch has 4,094 VLANs for all of them. So there are many turns: the disk
    # has its moods, and each of them is to meet both places.
    turns = 4 * rounds
    question.ask("POST network, 16 connections", lambda place: post(place, 16, 900 // turns), turns)
    question.ask("POST network, 64 connections", lambda place: post(place, 64, 900 // turns), turns)
    question.ask("POST network, 1 connection", lambda place: post(place, 1, 240 // turns), turns)
    for place in both:
        place.clear()
    return question.findings


def steady(place: Place) -> float:
    """Longest milliseconds for which the reactor is blocked, while a little is asked of it."""
    over = threading.Event()
    home = f"{place.networks[0]}/attachments"

    def use() -> None:
        number = 0
        while not over.wait(0.1):
            number += 1
            ask(place.api, 200, request("GET", place.networks[number % len(place.networks)]))
            if number % 10 == 0:
                form = {"id": f"use{number}", "device": {"create": "tap"}}
                (made,) = ask(place.api, 202, request("POST", home, {"attachment": form}, 5))
                port = made["attachment"]["port_id"]
                ask(place.api, 202, request("DELETE", f"{place.networks[0]}/ports/{port}/attachment", None, 5))

    using = threading.Thread(target=use)
    using.start()
    audits = metrics(place.api)["quantumd_audits_total"]
    words = [sys.executable, str(Path(__file__).with_name("blocked.py")), str(place.api), str(_STEADY)]
    said = subprocess.run(words, stdout=subprocess.PIPE, text=True, check=True).stdout
    over.set()
    using.join()
    if metrics(place.api)["quantumd_audits_total"] == audits:
        raise SystemExit("there was no audit meanwhile")
    return float(said)


def restarted(place: Place, ports: int) -> tuple[float, float, float]:
    """Seconds from the start of the process until it answers what is in the state, until it takes changes, and until it
    has found that there is nothing to do."""
    began = time.perf_counter()
    with place.running():
        ask(place.api, 200, request("GET", place.networks[0]))
        answering = time.perf_counter() - began
        ask(place.api, 200, request("GET", "/health"))  # is answered when changes are
        taking = time.perf_counter() - began
        while not metrics(place.api)["quantumd_audits_total"]:
            time.sleep(0.05)
        settled(place.api)
        converged = time.perf_counter() - began
        place.settle(ports)
        counts = metrics(place.api)
        changes = [counts[f'quantumd_changes_total{{outcome="{one}"}}'] for one in ("applied", "failed")]
        if any(changes):
            raise SystemExit(f"the plan was not empty: {changes}")
    return answering, taking, converged


def measure(plugin: str, ports: int, networks: int, rounds: int, stack: ExitStack) -> list[Finding]:
    """All of it."""
    work = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="quantumd-bench-")))
    small, large = (Place(plugin, name, work, stack) for name in ("small", "large"))
    with large.running():
        empty = large.resident()
        large.fill(networks, ports)
    began = [restarted(large, ports) for _ in range(rounds)]
    answering, taking, converged = (median([one[place] for one in began]) for place in (0, 1, 2))
    with large.running(), small.running():
        large.settle(ports)
        blocked = steady(large)
        full = large.resident()
        small.fill(networks, 100)
        findings = compared(small, large, plugin, ports, rounds)
    told = f"{_TOLD[plugin]}, {ports:,} ports"
    most = {"linuxbridge": 130, "ovs": 200}[plugin]
    return [
        *findings,
        Finding(f"restart, {told}: process start → answering what is in the state", answering, 1.5, "s", 1, True),
        Finding(f"restart, {told}: process start → taking changes", taking, 5, "s", 1, True),
        Finding(f"restart, {told}: process start → converged, an empty plan", converged, 5, "s", 1, True),
        Finding(f"resident, {told} (idle and empty: {empty:.0f} MB)", full, most, "MB", 1, True),
        Finding(f"longest time the reactor is blocked, {told}, an audit in it", blocked, 50, "ms", 1, True),
    ]


def main() -> None:
    """Measure and print."""
    parser = arguments(__doc__)
    parser.add_argument("plugin", choices=("linuxbridge", "ovs"))
    parser.add_argument("--ports", type=int, default=10_000)
    parser.add_argument("--networks", type=int, default=20)
    parser.add_argument("--rounds", type=int, default=3)
    asked = parser.parse_args()
    enter()
    with ExitStack() as stack:
        finish(measure(asked.plugin, asked.ports, asked.networks, asked.rounds, stack))


if __name__ == "__main__":
    main()
