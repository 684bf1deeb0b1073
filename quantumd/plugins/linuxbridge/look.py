"""From the records and the facts to what is seen of each: pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from quantumd.core.changes import Leftover
from quantumd.core.model import Network
from quantumd.core.names import MARK
from quantumd.core.plan import Seen, same
from quantumd.core.state import State
from quantumd.host.netlink.parse import IFF_NOARP, BridgeDetail, Link, VlanDetail
from quantumd.plugins.linuxbridge.facts import Facts
from quantumd.plugins.linuxbridge.marks import (
    describe,
    is_half_made,
    is_known,
    is_made_for,
    made_here,
    marks,
    network_ident,
    owners,
)
from quantumd.plugins.linuxbridge.terms import Plug, Role, bridge_of, mtu_of, names_of, remote_of


def network_report(network: Network) -> Mapping[str, Any]:
    """What a network says of its bridge."""
    return {"bridge": bridge_of(network)}


def plug_report(plug: Plug, link: Link | None) -> Mapping[str, Any]:
    """What an attachment says of its device, ``link``, and bridge."""
    report = {"bridge": plug.bridge}
    if link is not None or plug.role is not Role.FOREIGN:
        report["device"] = link.name if link is not None else plug.device
    if plug.below is not None:
        report["uplink"] = plug.below
    return report


def bridge_of_network(facts: Facts, network: Network) -> Link | None:
    """A network's bridge, if it is there and ours, whatever its name is now."""
    for name in (bridge_of(network), MARK + network_ident(network.id)):
        link = facts.find(name)
        if link is None or link.kind != "bridge" or is_half_made(link):
            continue
        if made_here(link) and network_ident(network.id) in marks(link):
            return link
    return None


def see_network(facts: Facts, network: Network) -> Seen:
    """What is seen of a network's bridge."""
    link = bridge_of_network(facts, network)
    if link is None:
        if facts.find_half_made(names_of(network)) is not None:
            return Seen(True, ("its bridge is half made",))
        return Seen(False, ("its bridge is gone",) if network.plugin else ())
    return Seen(True, tuple(bridge_differences(link, network)), plugin=network_report(network))


def bridge_differences(link: Link, network: Network) -> list[str]:
    """What is not as it should be about a network's bridge."""
    wrong = []
    if link.name != bridge_of(network):
        wrong.append(f"its bridge was renamed to {link.name}")
    if not link.up:
        wrong.append("its bridge is down")
    if link.mtu != mtu_of(network):
        wrong.append(f"its bridge has an MTU of {link.mtu}, not {mtu_of(network)}")
    if link.detail != BridgeDetail():
        wrong.append("its bridge runs STP, waits before forwarding or snoops multicast")
    if not link.flags & IFF_NOARP:
        wrong.append("its bridge answers ARP")
    return wrong


def see_plug(facts: Facts, plug: Plug) -> Seen:
    """What is seen of an attachment."""
    bridge = facts.find(plug.bridge)
    link = device_of(facts, plug)
    waiting = waits_for(facts, plug, link)
    if link is None:
        report = plug_report(plug, None)
        if facts.find_half_made((plug.device, plug.mark)) is not None:
            return Seen(True, ("its device is half made",), waiting, report, up=False)
        marked = facts.find(plug.mark)
        if plug.role is Role.TUNNEL and marked is not None and made_here(marked):
            return Seen(True, ("its remote is gone",), waiting, report, up=False)
        differences = ("its device is gone",) if plug.attachment.was_plugged else ()
        return Seen(False, differences, waiting, report, up=False)
    inside = bridge is not None and link.master == bridge.index
    present = plug.role is not Role.FOREIGN or inside or plug.ident in marks(link)
    wrong = tuple(plug_differences(facts, plug, link, inside))
    report = same(plug_report(plug, link), plug.attachment.plugin)
    return Seen(present, wrong, None, report, up=link.running)


def device_of(facts: Facts, plug: Plug) -> Link | None:
    """The device that goes into the bridge: somebody's, or our own by its mark."""
    if facts.find_half_made((plug.device, plug.mark)) is not None:
        return None
    if plug.role is Role.FOREIGN:
        # Its owner may rename a device that is plugged: it is the same one.
        return facts.find(plug.device) or facts.find(plug.mark)
    if plug.role is Role.TUNNEL:
        link = facts.find(plug.device)
        if link is None or link.kind != "vxlan" or not made_here(link):
            return None
        assert plug.attachment.form.tunnel is not None
        # Without its remote, nothing of this attachment is there, though others may use the device.
        return link if remote_of(plug.attachment.form.tunnel) in facts.remotes.get(link.index, ()) else None
    for name in (plug.device, plug.mark):
        link = facts.find(name)
        if link is not None and is_made_for(link, plug.ident):
            return link
    return None


def waits_for(facts: Facts, plug: Plug, link: Link | None) -> str | None:
    """What has to come before anything can be done; None: nothing."""
    if link is not None:
        return None
    if plug.role is Role.FOREIGN:
        return f"device {plug.device}"
    if plug.below is not None and facts.find(plug.below) is None:
        return f"device {plug.below}"
    if plug.place is not None and plug.place not in facts.places:
        return f"network namespace {plug.place.name or plug.place.path}"
    return None


def plug_differences(facts: Facts, plug: Plug, link: Link, inside: bool) -> list[str]:
    """What is not as it should be about a device that is there."""
    wrong = []
    if not inside:
        holder = facts.links.get(link.master)
        wrong.append(f"it is in {describe(holder)}" if holder else "it is not on its network's bridge")
    if facts.altnames and plug.mark not in link.altnames:
        wrong.append("its device lost its mark")
    if plug.role is Role.FOREIGN:
        return wrong
    if not link.up:
        wrong.append("its device was set down")
    if plug.mtu is not None and link.mtu != plug.mtu:
        wrong.append(f"its device has an MTU of {link.mtu}, not {plug.mtu}")
    if link.name != plug.device:
        wrong.append(f"its device was renamed to {link.name}")
    if replaced(facts, plug, link):
        wrong.append("it leads elsewhere than it should")
    if plug.role is Role.TUNNEL and inside and not link.isolated:
        wrong.append("it passes frames on to other tunnels")
    return wrong


def replaced(facts: Facts, plug: Plug, link: Link) -> bool:
    """Whether our own device has to be made anew: its namespace, or the device below it, is another one now."""
    if plug.place is not None:
        place = facts.places.get(plug.place)
        return place is not None and place.nsid != link.link_netnsid
    if plug.below is not None:
        below = facts.find(plug.below)
        vlan = link.detail.vid if isinstance(link.detail, VlanDetail) else None
        return vlan != plug.attachment.form.vlan or (below is not None and below.index != link.link)
    return False


def leftovers(facts: Facts, state: State) -> tuple[Leftover, ...]:
    """What bears our mark, or was not made to the end, and that no record accounts for."""
    found = []
    for link in facts.links.values():
        whose = owners(link)
        if (whose or is_half_made(link)) and not any(is_known(state, ident) for ident in whose):
            found.append(Leftover(describe(link), {"index": link.index, "marks": sorted(whose)}))
    return tuple(found)
