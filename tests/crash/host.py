"""What must be on the host for a state, worked out anew: nothing of the plugin's own looking is used."""

from __future__ import annotations

from attrs import frozen

from quantumd.core.model import Attachment, Network
from quantumd.core.state import State
from quantumd.host.netlink.parse import Link
from quantumd.host.netlink.rtnl import Rtnl
from quantumd.testing.lab import Namespace

MARK = "quantum-"


@frozen
class Device:
    """What matters of a device. ``group``: link groups are used for removing, and must not stay."""

    name: str
    kind: str | None
    master: str | None
    marks: frozenset[str]
    alias: str
    group: int
    up: bool
    running: bool


def devices(rtnl: Rtnl) -> dict[str, Device]:
    """All devices of the namespace of the calling thread, by name; the loopback left out."""
    links = {link.index: link for link in rtnl.all_links()}
    return {link.name: _device(link, links) for link in links.values() if link.name != "lo"}


def _device(link: Link, links: dict[int, Link]) -> Device:
    master = links[link.master].name if link.master in links else None
    marks = frozenset(name for name in link.altnames if name.startswith(MARK))
    return Device(link.name, link.kind, master, marks, link.alias, link.group, link.up, link.running)


def wrong(state: State, before: dict[str, Device], now: dict[str, Device]) -> list[str]:
    """What is not as the state says, in words. ``before``: the strangers' devices, before anything was plugged."""
    faults = []
    wanted: set[str] = set()
    for network in state.networks.values():
        name = network.data["bridge"]
        wanted.add(name)
        faults += _wrong_bridge(network, now.get(name))
    for attachment in state.attachments.values():
        name = attachment.device_name or ""
        wanted.add(name)
        bridge = state.networks[attachment.network_id].data["bridge"]
        faults += _wrong_plug(attachment, bridge, now.get(name))
    for name in now.keys() - before.keys() - wanted:
        faults.append(f"left over: {now[name]}")
    for name, device in before.items():
        if name not in now:
            faults.append(f"a stranger's device is gone: {device}")
        elif name not in wanted and (now[name].master, now[name].marks) != (device.master, device.marks):
            faults.append(f"a stranger's device {device} is {now[name]}")
    faults += [f"in a link group: {device}" for device in now.values() if device.group]
    return faults


def _wrong_bridge(network: Network, device: Device | None) -> list[str]:
    if device is None or device.kind != "bridge" or device.marks != {MARK + "net-" + network.id} or not device.up:
        return [f"the bridge of network {network.id} is {device}"]
    return []


def _wrong_plug(attachment: Attachment, bridge: str, device: Device | None) -> list[str]:
    if device is None or device.master != bridge or MARK + attachment.port_id not in device.marks or not device.up:
        return [f"the device of attachment {attachment.id} is {device}"]
    if attachment.form.managed and not device.alias:
        return [f"the device of attachment {attachment.id} has no alias"]
    wanted = attachment.form.device
    if wanted is not None and wanted.create == "veth" and not device.running:
        return [f"the other end of attachment {attachment.id} is not up"]
    return []


def ends(guest: Namespace) -> set[str]:
    """The devices inside of a guest."""
    return set(guest.links())
