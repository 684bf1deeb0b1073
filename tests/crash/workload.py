"""A workload with everything in it, and what its client was promised on the way."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from attrs import evolve
from twisted.internet.defer import Deferred

from quantumd.core.model import Device, Form, Tunnel
from tests.crash.machine import ADMIN, Machine, Unanswered

RED, BLUE = (f"{digit * 8}-0000-4000-8000-000000000000" for digit in "12")
#: Ports that the client names itself: r… of network RED, b… of BLUE.
PORTS = {
    name: f"{'1' if name[0] == 'r' else '2'}aaaaaaa-0000-4000-8000-00000000000{name[1]}"
    for name in ("r1", "r2", "r3", "r4", "b1", "b2", "b3")
}
#: (network, its ports with what is plugged into each), or nothing: what the client believes.
Belief = dict[str, dict[str, Form | None]]
#: An operation: how to ask for it, and what it changes.
Operation = tuple[Callable[[Machine], Deferred[Any]], Callable[[Belief], None]]


def network(ident: str, name: str) -> Operation:
    """Make a network."""
    return (
        lambda machine: machine.quantum.create_network(ADMIN, {"name": name, "id": ident}),
        lambda belief: belief.update({ident: {}}),
    )


def change(ident: str, mtu: int) -> Operation:
    """Change a network's MTU, and so that of what is plugged."""
    patch = {"options": {"mtu": mtu}}
    return (lambda machine: machine.quantum.update_network(ADMIN, ident, patch), lambda belief: None)


def port(name: str) -> Operation:
    """Make a port."""
    home, ident = _home(name), PORTS[name]
    return (
        lambda machine: machine.quantum.create_port(ADMIN, home, {"id": ident}),
        lambda belief: belief[home].update({ident: None}),
    )


def plug(name: str, form: Form) -> Operation:
    """Plug something into a port."""
    home, ident = _home(name), PORTS[name]
    return (
        lambda machine: machine.quantum.plug(ADMIN, home, ident, form),
        lambda belief: belief[home].update({ident: form}),
    )


def unplug(name: str) -> Operation:
    """Take it out again."""
    home, ident = _home(name), PORTS[name]
    return (
        lambda machine: machine.quantum.unplug(ADMIN, home, ident),
        lambda belief: belief[home].update({ident: None}),
    )


def drop_port(name: str) -> Operation:
    """Delete a port."""
    home, ident = _home(name), PORTS[name]
    return (
        lambda machine: machine.quantum.delete_port(ADMIN, home, ident),
        lambda belief: (belief[home].pop(ident), None)[1],
    )


def delete(ident: str) -> Operation:
    """Delete a network."""
    return (
        lambda machine: machine.quantum.delete_network(ADMIN, ident),
        lambda belief: (belief.pop(ident), None)[1],
    )


def _home(name: str) -> str:
    return RED if name.startswith("r") else BLUE


TAP = Form(id="vm1", device=Device(create="tap"))
OTHER_TAP = Form(id="vm2", device=Device(create="tap", name="tapother"))
FOREIGN = Form(id="vm3", device=Device(name="own0"))
LATE = Form(id="own1")
UPLINK = Form(id="uplink", type="bridge", device=Device(name="own2"))
FAR = Form(id="far", type="tunnel", tunnel=Tunnel(kind="vxlan", remote="192.0.2.1", vni=77))
FARTHER = Form(id="farther", type="tunnel", tunnel=Tunnel(kind="vxlan", remote="192.0.2.2", vni=77))
STRANGERS = ("own0", "own1", "own2", "bystander")


def veth(netns: str) -> Form:
    """A veth into that namespace."""
    return Form(id="vm4", device=Device(create="veth", netns=netns, ifname="eth0"))


#: Requests that are made at once stand together; the next ones are made when all is at rest.
Workload = Sequence[Sequence[Operation]]


def each_form(netns: str) -> Workload:
    """One thing after the other."""
    return (
        (network(RED, "red"),),
        (port("r1"), port("r2")),
        (plug("r1", TAP),),
        (plug("r2", FOREIGN),),
        (unplug("r1"),),
        (plug("r1", veth(netns)),),
        (change(RED, 1400),),
        (unplug("r2"),),
        (plug("r2", FAR),),
        (unplug("r1"), unplug("r2")),
        (drop_port("r1"),),
        (delete(RED),),
    )


def crowd(netns: str) -> Workload:
    """Many things at once: batches, a shared device, devices that move, removal by group."""
    return (
        (network(RED, "red"), network(BLUE, "blue")),
        tuple(port(name) for name in PORTS),
        (
            plug("r1", TAP),
            plug("r2", veth(netns)),
            plug("r3", FOREIGN),
            plug("r4", LATE),
            plug("b1", FAR),
            plug("b2", FARTHER),
            plug("b3", UPLINK),
        ),
        (unplug("r3"), unplug("b3"), plug("b3", FOREIGN), plug("r3", OTHER_TAP)),
        (unplug("b1"), unplug("r1"), unplug("r2"), unplug("r3"), unplug("r4"), unplug("b2"), unplug("b3")),
        (delete(RED), delete(BLUE)),
    )


class Client:
    """Asks for a workload; knows what was answered, and what was asked for without an answer."""

    def __init__(self) -> None:
        self.belief: Belief = {}
        self.doubts: list[Callable[[Belief], None]] = []
        self.answered = 0

    def run(self, machine: Machine, workload: Workload, *, rest: bool = True) -> None:
        """Ask for all of it, until it is done or the machine has ended."""
        for together in workload:
            asked = [(ask(machine), effect) for ask, effect in together]
            for waiting, effect in asked:
                try:
                    machine.ask(waiting)
                except Unanswered:
                    self.doubts.append(effect)
                else:
                    effect(self.belief)
                    self.answered += 1
            if self.doubts or (rest and not machine.rest()):
                return

    def settle(self, machine: Machine) -> None:
        """After a restart: what was answered must be there; of what was not, the first so many may be."""
        found = _found(machine)
        possible = [self.belief]
        for effect in self.doubts:
            after = {ident: dict(ports) for ident, ports in possible[-1].items()}
            effect(after)
            possible.append(after)
        assert found in possible, f"found {found}, and expected one of {possible}"
        self.belief, self.doubts = found, []

    def take_down(self, machine: Machine) -> None:
        """Unplug and delete all that there is."""
        for ident, ports in list(self.belief.items()):
            for port_id, form in ports.items():
                if form is not None:
                    machine.ask(machine.quantum.unplug(ADMIN, ident, port_id))
            machine.ask(machine.quantum.delete_network(ADMIN, ident))
        self.belief = {}


def _found(machine: Machine) -> Belief:
    state = machine.state
    return {
        network.id: {
            port.id: None if (plugged := state.plugged(port.id)) is None else evolve(plugged.form)
            for port in state.ports_of(network.id)
            if not port.going
        }
        for network in state.networks.values()
        if not network.going
    }
