"""Clients that know what they were promised, and hold the daemon to it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from attrs import evolve, field, frozen

from quantumd.api.representations import attachment as represent_attachment
from tests.api.support import Response
from tests.simulation.process import Exchange, Process
from tests.simulation.world import World

Json = Mapping[str, Any]
#: Devices of strangers that all clients want.
COVETED = ("d0", "d1", "d2")
#: What a client does, the more often the more often it is listed.
KINDS = ("rename", "mtu", "port", "port", "plug", "plug", "plug", "unplug", "unplug", "unport", "end")
#: Where an attachment is of which the port is not known, since the reply with it was lost.
SOMEWHERE = "?"


class Violation(AssertionError):
    """A promise was broken."""


@frozen
class Net:
    """A network as its owner believes it to be: ports by id, and what is plugged into each."""

    name: str
    mtu: int | None = None
    ports: Mapping[str, Json | None] = field(factory=dict)

    def plugged(self) -> dict[str, Json]:
        """What is plugged, by its id."""
        return {str(form["id"]): form for form in self.ports.values() if form is not None}

    def with_port(self, ident: str, form: Json | None) -> Net:
        """The network with that port, and that in it."""
        return evolve(self, ports={**self.ports, ident: form})

    def without(self, ident: str) -> Net:
        """The network without that port."""
        return evolve(self, ports={key: form for key, form in self.ports.items() if key != ident})


Belief = Net | None


@frozen
class Op:
    """A request. ``allowed``: the answers that are right where the belief is; ``effect``: what it changes."""

    method: str
    path: str
    body: object
    allowed: frozenset[str]
    effect: Callable[[Net | None, Response | None], Belief]
    creates: bool = False


class Client:
    """Works on one network of its own, over and over; competes with others for a few devices."""

    def __init__(self, world: World, number: int, process: Callable[[], Process]) -> None:
        self._world = world
        self._process = process
        self.number = number
        self.ident = f"00000000-0000-4000-8000-0000000000{number:02x}"
        self.belief: Belief = None
        # Everything that may be the case after a lost reply; empty: the belief is certain.
        self.possible: list[Belief] = []
        self._ever_deleted: set[str] = set()
        self._outstanding = 0
        self.stopped = False

    @property
    def certain(self) -> bool:
        """Whether it waits for no answer and doubts none."""
        return not self._outstanding and not self.possible

    def later(self) -> None:
        """Do something, some time soon."""
        self._world.clock.callLater(self._world.random.random() ** 2 * 2.0 + 0.3, self._act)

    def _act(self) -> None:
        if self._process().listening and not self._outstanding:
            if self.possible:
                self.find_out()
            elif not self.stopped:
                self._burst()
                return
        self.later()

    # --- what is there

    def find_out(self) -> None:
        """After a lost reply: see what is there, which must be one of what is possible."""
        there = self.look()
        for candidate in self.possible:
            if _same(_placed(candidate, there), there):
                self.belief, self.possible = there, []
                return
        raise Violation(f"client {self.number} finds {there}, and expected one of {self.possible}")

    def check(self, *, thoroughly: bool = True) -> None:
        """What is there must be what is believed: as the API shows it, or (which takes less time) as it is stored."""
        there = self.look() if thoroughly else self._look_inside()
        if not _same(self.belief, there):
            raise Violation(f"client {self.number} finds {there}, and was promised {self.belief}")

    def look(self) -> Belief:
        """The network as the API shows it."""
        ask, path = self._process().ask, f"/networks/{self.ident}"
        shown = ask("GET", path)
        if shown.status == 404 or shown.json["network"]["status"] == "Deleting":
            return None
        network = shown.json["network"]
        ports: dict[str, Json | None] = {}
        for port in ask("GET", f"{path}/ports").json["ports"]:
            if port["status"] != "Deleting":
                form = None
                if port["attachment"] is not None and port["attachment"]["status"] != "Detaching":
                    form = _form(ask("GET", f"{path}/ports/{port['id']}/attachment").json["attachment"])
                ports[port["id"]] = form
        return Net(network["name"], network["options"].get("mtu"), ports)

    def _look_inside(self) -> Belief:
        state = self._process().store.state
        network = state.networks.get(self.ident)
        if network is None or network.going:
            return None
        ports: dict[str, Json | None] = {}
        for port in state.ports_of(self.ident):
            if not port.going:
                plugged = state.plugged(port.id)
                ports[port.id] = None if plugged is None else _form(represent_attachment(plugged))
        return Net(network.name, network.options.get("mtu"), ports)

    # --- asking

    def _burst(self) -> None:
        """Send some requests at once: each is judged on top of those before it."""
        believed: Belief = self.belief
        ops: list[Op] = []
        for _ in range(self._world.random.choice((1, 1, 2, 4))):
            op = self._choose(believed)
            ops.append(op)
            believed = op.effect(believed, None)
            if op.creates:
                break  # nobody may build on it before it is accepted
        answers: list[Response | None] = [None] * len(ops)
        self._outstanding = len(ops)
        process = self._process()
        for place, op in enumerate(ops):
            self._send(process, ops, answers, place, op)

    def _send(self, process: Process, ops: list[Op], answers: list[Response | None], place: int, op: Op) -> None:
        wait = self._world.random.choice((0, 0, 0, 1, 5))
        self._world.counts.requests += 1
        self._world.note(f"client {self.number}: {op.method} {op.path} {op.body}")

        def answered(response: Response | None) -> None:
            answers[place] = response
            self._world.note(f"client {self.number}: {op.method} {op.path}: {response and response.status}")
            self._outstanding -= 1
            if not self._outstanding:
                # Not from within a write of the daemon's.
                self._world.clock.callLater(0, self._judge, ops, answers)

        exchange = Exchange(process, answered, op.method, op.path, op.body, {"Prefer": f"wait={wait}"} if wait else {})
        if self._world.chance(0.05):
            self._world.clock.callLater(self._world.random.random() * 0.05, exchange.hang_up)

    def _judge(self, ops: list[Op], answers: list[Response | None]) -> None:
        """Hold the answers against what is right, and draw the consequences."""
        candidates: list[Belief] = [self.belief]
        certain = True
        for op, answer in zip(ops, answers, strict=True):
            if answer is None:
                self._world.counts.unanswered += 1
                certain = False
                candidates += [op.effect(candidate, None) for candidate in candidates]
            elif answer.status == 202:
                self._world.counts.accepted += 1
                if certain and "202" not in op.allowed:
                    raise Violation(f"client {self.number}: {op.method} {op.path} {op.body} was accepted")
                candidates = [op.effect(candidate, answer) for candidate in candidates]
            else:
                self._world.counts.refused += 1
                fault = answer.fault
                if fault == "InternalError":
                    raise Violation(f"client {self.number}: {op.method} {op.path} {op.body}: {answer.body!r}")
                if fault == "ServiceUnavailable":
                    # What was meant to come after it was judged without it.
                    certain = False
                elif certain and fault not in op.allowed:
                    raise Violation(f"client {self.number}: {op.method} {op.path} {op.body}: {answer.body!r}")
                elif "202" in op.allowed:
                    certain = False
        if len(candidates) == 1 and all(answer is not None for answer in answers):
            self.belief = candidates[0]
            self.check_soon()
        else:
            self.possible = candidates
        self.later()

    def check_soon(self) -> None:
        """An answered change is visible at once."""
        if self._process().listening:
            self.check(thoroughly=self._world.chance(0.1))

    def request(self, method: str, path: str) -> None:
        """Ask for one thing that must be accepted."""

        def answered(response: Response | None) -> None:
            self._outstanding -= 1
            if response is None or response.status != 202:
                raise Violation(f"client {self.number}: {method} {path}: {response}")

        self._outstanding += 1
        Exchange(self._process(), answered, method, path)

    # --- what to ask

    def _choose(self, net: Belief) -> Op:
        choose, path = self._world.random, f"/networks/{self.ident}"
        if net is None:
            return self._create()
        kind = choose.choice(
            ("rename", "mtu", "port", "port", "plug", "plug", "plug", "unplug", "unplug", "unport", "end")
        )
        full = [ident for ident, form in net.ports.items() if form is not None]
        if kind == "rename":
            name = choose.choice(("red", "green", "blue"))
            return Op("PUT", path, {"network": {"name": name}}, _OK, _changing(lambda n, _: evolve(n, name=name)))
        if kind == "mtu":
            mtu = choose.choice((None, 1400, 1450))
            body = {"network": {"options": {"mtu": mtu}}}
            return Op("PUT", path, body, _OK, _changing(lambda n, _: evolve(n, mtu=mtu)))
        seen = self.belief.ports if self.belief is not None else {}
        visible = [ident for ident in full if seen.get(ident) is not None]
        if kind == "unplug" and visible:
            ident = choose.choice(visible)
            return Op("DELETE", f"{path}/ports/{ident}/attachment", None, _OK, _changing(_unplugged(ident)))
        if kind == "unport" and net.ports:
            ident = choose.choice(list(net.ports))
            self._ever_deleted.add(ident)
            allowed = _OK if net.ports[ident] is None else _only("AttachmentsPlugged")
            return Op("DELETE", f"{path}/ports/{ident}", None, allowed, _changing(_without(ident)))
        if kind == "end" and self._world.chance(0.4):
            self._ever_deleted |= {self.ident, *net.ports}
            return Op("DELETE", path, None, _only("AttachmentsPlugged") if full else _OK, _ended)
        if kind == "port" or not net.ports:
            return self._new_port(net)
        return self._plug(net)

    def _create(self) -> Op:
        name = self._world.random.choice(("red", "green", "blue"))
        allowed = {"202"} | ({"IdInUse"} if self.ident in self._ever_deleted else set())
        body = {"network": {"id": self.ident, "name": name}}
        return Op("POST", "/networks", body, frozenset(allowed), lambda there, _: there or Net(name), True)

    def _new_port(self, net: Net) -> Op:
        ident = f"{self.number:08x}-0000-4000-8000-{self._world.random.randrange(6):012x}"
        allowed = {"202"} | ({"IdInUse"} if ident in self._ever_deleted else set())
        there = net.ports.get(ident)

        def made(net: Net, _: Response | None) -> Net:
            return net.with_port(ident, net.ports.get(ident, there))

        return Op(
            "POST", f"/networks/{self.ident}/ports", {"port": {"id": ident}}, frozenset(allowed), _changing(made), True
        )

    def _plug(self, net: Net) -> Op:
        choose, path = self._world.random, f"/networks/{self.ident}"
        ident = f"c{self.number}-vif{choose.randrange(3)}"
        form: dict[str, Any] = {"id": ident}
        kind = choose.choice(("tap", "late", "coveted"))
        if kind == "tap":
            form["device"] = {"create": "tap"}
        elif kind == "coveted":
            form["device"] = {"name": choose.choice(COVETED)}
        contended = {"AlreadyAttached"} if kind == "coveted" else set()
        elsewhere = [port for port, there in net.ports.items() if there is not None and there["id"] == ident]
        if self._world.chance(0.3):
            same = bool(elsewhere) and net.ports[elsewhere[0]] == form
            allowed = {"AlreadyAttached"} if elsewhere and not same else {"202"} | contended
            effect = _changing(_plugged_somewhere(form))
            return Op("POST", f"{path}/attachments", {"attachment": form}, frozenset(allowed), effect, True)
        port = choose.choice(list(net.ports))
        there = net.ports[port]
        if there is not None:
            allowed = {"202"} if there == form else {"PortInUse"}
        else:
            allowed = {"AlreadyAttached"} if elsewhere else {"202"} | contended

        def plugged(net: Net, _: Response | None) -> Net:
            taken = any(other is not None and other["id"] == ident for other in net.ports.values())
            free = port in net.ports and net.ports[port] is None and not taken
            return net.with_port(port, form) if free else net

        return Op(
            "PUT", f"{path}/ports/{port}/attachment", {"attachment": form}, frozenset(allowed), _changing(plugged)
        )


_OK = frozenset({"202"})


def _only(fault: str) -> frozenset[str]:
    return frozenset({fault})


def _ended(net: Belief, _: Response | None) -> Belief:
    return net if net is not None and net.plugged() else None


def _without(port: str) -> Callable[[Net, Response | None], Net]:
    return lambda net, _: net if net.ports.get(port) is not None else net.without(port)


def _changing(effect: Callable[[Net, Response | None], Net]) -> Callable[[Belief, Response | None], Belief]:
    return lambda belief, response: None if belief is None else effect(belief, response)


def _unplugged(port: str) -> Callable[[Net, Response | None], Net]:
    return lambda net, _: net.with_port(port, None) if port in net.ports else net


def _plugged_somewhere(form: Json) -> Callable[[Net, Response | None], Net]:
    def plugged(net: Net, response: Response | None) -> Net:
        if str(form["id"]) in net.plugged():
            return net
        port = SOMEWHERE if response is None else response.json["attachment"]["port_id"]
        return net.with_port(port, form)

    return plugged


def _placed(candidate: Belief, there: Belief) -> Belief:
    """The candidate with the port found that is not known."""
    if candidate is None or there is None or SOMEWHERE not in candidate.ports:
        return candidate
    form = candidate.ports[SOMEWHERE]
    for port, other in there.ports.items():
        if other == form and candidate.ports.get(port) is None:
            return candidate.without(SOMEWHERE).with_port(port, form)
    return candidate


def _same(one: Belief, other: Belief) -> bool:
    return one == other


def _form(attachment: Json) -> Json:
    form: dict[str, Any] = {"id": attachment["id"]}
    if attachment["device"] is not None:
        form["device"] = attachment["device"]
    return form
