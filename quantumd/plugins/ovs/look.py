"""From the records, the switch's rows and the kernel's devices to what is seen of each record: pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from quantumd.core.changes import Leftover
from quantumd.core.model import Network
from quantumd.core.names import MARK
from quantumd.core.plan import Seen, same
from quantumd.core.state import State
from quantumd.host.netlink.parse import Link
from quantumd.host.ovsdb.replica import Row
from quantumd.plugins.linuxbridge.marks import describe as describe_link
from quantumd.plugins.linuxbridge.marks import is_known, marks
from quantumd.plugins.ovs.devices import Host
from quantumd.plugins.ovs.isolation import is_access
from quantumd.plugins.ovs.rows import outside
from quantumd.plugins.ovs.tables import IFINDEX, UPLINK, Switch, describe, is_made, mark_of
from quantumd.plugins.ovs.terms import DEVICES, Plug, Role, far_end, vlan_of

_USERSPACE = "netdev"


# --- networks


def network_report(switch: Switch, network: Network) -> Mapping[str, Any]:
    """What a network says of its bridge and VLAN, and of the MTU that was asked for."""
    report = {"bridge": switch.integration, "vlan": vlan_of(network)}
    return {**report, "mtu": network.options["mtu"]} if "mtu" in network.options else report


def see_network(switch: Switch, network: Network) -> Seen:
    """What is seen of a network: it is a VLAN of the integration bridge, so that there is nothing else to look at."""
    problem = network_problem(network)
    if problem is not None:
        return Seen(False, (problem,))
    if switch.bridge(switch.integration) is None:
        return Seen(False, (f"the bridge {switch.integration} is gone",) if network.plugin else ())
    problem = bridge_problem(switch)
    report = network_report(switch, network)
    if problem is not None:
        return Seen(True, (problem,), plugin=report)
    if network.plugin != report:
        # What was carried out last is what the network reports.
        was = ", ".join(f"{name} {value}" for name, value in network.plugin.items())
        return Seen(bool(was), (f"its ports are set up for {was}",) if was else (), plugin=report)
    return Seen(True, plugin=report)


def network_problem(network: Network) -> str | None:
    """Why a network cannot be on this switch; None: it can."""
    if vlan_of(network):
        return None
    return "it was accepted with another plugin and has no VLAN; delete it, or set [quantumd] plugin as it was"


def bridge_problem(switch: Switch) -> str | None:
    """Why the integration bridge does not work, in the switch's words; None: it does."""
    bridge, local = switch.bridge(switch.integration), switch.interface(switch.integration)
    if bridge is None or local is None:
        return f"the bridge {switch.integration} is not there"
    if local.error is not None:
        return f"Open vSwitch says of bridge {bridge.name}: {local.error}"
    if local.ofport is None or local.ofport < 0:
        way_out = (
            "may it open /dev/net/tun?"
            if bridge.datapath_type == _USERSPACE
            else "is its kernel module there (modprobe openvswitch)? Else use datapath_type = netdev"
        )
        datapath = bridge.datapath_type or "system"
        return f"Open vSwitch could not make bridge {bridge.name} with datapath type {datapath!r}; {way_out}"
    return None


def is_userspace(switch: Switch) -> bool:
    """Whether the integration bridge has the userspace datapath."""
    bridge = switch.bridge(switch.integration)
    return bridge is not None and bridge.datapath_type == _USERSPACE


# --- attachments


def see_plug(switch: Switch, host: Host, plug: Plug) -> Seen:
    """What is seen of an attachment."""
    port = port_of(switch, host, plug)
    link = link_of(switch, host, plug, port)
    marked = switch.marked(plug.ident)
    report = same(plug_report(switch, host, plug, port), plug.attachment.plugin)
    present = bool(marked) or (plug.role in DEVICES and (link is not None or host.is_half_made(plug)))
    waiting = None if present else waits_for(host, plug, port)
    if waiting is None and not present and port is None:
        return Seen(False, ("its port is gone",) if plug.attachment.was_plugged else (), None, report, up=False)
    if waiting is not None:
        gone = ("its device is gone",) if plug.attachment.was_plugged else ()
        return Seen(False, gone, waiting, report, up=False)
    return Seen(
        present,
        tuple(dict.fromkeys(_differences(switch, host, plug, port, link, marked))),
        None,
        report,
        up=_is_up(switch, plug, port, link),
    )


def port_of(switch: Switch, host: Host, plug: Plug) -> Row | None:
    """The port of the switch that is, or is to be, plugged; for a BOUND one rather one on the integration bridge."""
    if plug.role is Role.BOUND:
        found = [port for port, _ in switch.bound(plug.attachment.id)]
        return next((port for port in found if switch.is_integrated(port)), found[0] if found else None)
    return switch.port(port_name(host, plug))


def port_name(host: Host, plug: Plug) -> str:
    """The name that its port has on the switch: a device may be given by an altname, a port has the name itself."""
    link = host.facts.find(plug.port) if plug.role is Role.NAMED else None
    return link.name if link is not None else plug.port


def uplink_of(host: Host, plug: Plug) -> Link | None:
    """The device that a provider bridge is for."""
    return host.facts.find(plug.device) if plug.role is Role.UPLINK else None


def link_of(switch: Switch, host: Host, plug: Plug, port: Row | None) -> Link | None:
    """The kernel's device, in the host's namespace or an internal port's own; None where it has none that is seen."""
    match plug.role:
        case Role.TAP | Role.VETH:
            return host.device_of(plug)
        case Role.INTERNAL:
            return host.inner.get(plug.ident)
        case Role.UPLINK:
            return uplink_of(host, plug)
        case Role.NAMED:
            return host.facts.find(plug.port)
        case Role.BOUND:
            interfaces = switch.interfaces_of(port) if port is not None else []
            return host.facts.find(interfaces[0].name) if interfaces else None
        case Role.TUNNEL:
            return None


def waits_for(host: Host, plug: Plug, port: Row | None) -> str | None:
    """What has to come before anything can be done; None: nothing."""
    match plug.role:
        case Role.BOUND if port is None:
            return f"an interface with iface-id {plug.attachment.id} on Open vSwitch"
        case Role.NAMED if port is None and host.facts.find(plug.port) is None:
            return f"device {plug.port}"
        case Role.UPLINK if uplink_of(host, plug) is None:
            return f"device {plug.device}"
        case Role.VETH | Role.INTERNAL if plug.place is not None and plug.place not in host.facts.places:
            return f"network namespace {plug.place.name or plug.place.path}"
    return None


def plug_report(switch: Switch, host: Host, plug: Plug, port: Row | None) -> Mapping[str, Any]:
    """What an attachment says of its device and bridge."""
    report = {"bridge": switch.integration}
    device = plug.device
    if plug.role is Role.BOUND:
        device = port.name if port is not None else ""
    elif plug.role is Role.NAMED:
        device = port_name(host, plug)
    if device:
        report["device"] = device
    if plug.role is Role.UPLINK:
        report["patch"] = plug.port
        provider = switch.uplink_bridge(plug.device)
        if provider is not None:
            report["uplink_bridge"] = provider.name
    return report


def _is_up(switch: Switch, plug: Plug, port: Row | None, link: Link | None) -> bool:
    """Whether the device is up and has carrier, as the switch says, or the kernel where the switch cannot see it."""
    if plug.role is Role.INTERNAL:
        return link is not None and link.running
    carrier = switch.port(link.name) if plug.role is Role.UPLINK and link is not None else port
    return carrier is not None and any(_runs(interface) for interface in switch.interfaces_of(carrier))


def _runs(interface: Row) -> bool:
    works = interface.ofport is not None and interface.ofport > 0
    return works and interface.admin_state == "up" and interface.link_state == "up"


def _differences(
    switch: Switch, host: Host, plug: Plug, port: Row | None, link: Link | None, marked: Sequence[Row]
) -> Iterator[str]:
    """What is not as it should be about an attachment of which something is there."""
    if port is None:
        yield "its port is gone"
    else:
        yield from _port_differences(switch, plug, port)
    for stray in strays(marked, plug, port):
        yield f"it is plugged by {describe(switch, stray)} too"
    yield from _device_differences(switch, host, plug, port, link)
    if plug.role is Role.TUNNEL and port is not None:
        problem = no_way_out(switch, plug, port)
        if problem is not None:
            yield problem


def _port_differences(switch: Switch, plug: Plug, port: Row) -> Iterator[str]:
    if not switch.is_integrated(port):
        bridge = switch.bridge_of(port)
        yield f"its port is on {bridge.name if bridge is not None else 'no bridge'}, not on {switch.integration}"
    if mark_of(port) != plug.ident:
        yield "its port is not plugged"
    elif port.tag != plug.vlan or not is_access(port):
        yield f"its port is in VLAN {port.tag}" if is_access(port) else "its port is a trunk"
    if port.protected != (plug.role is Role.TUNNEL):
        yield "its port is protected" if port.protected else "its port passes frames on to other tunnels"
    for interface in switch.interfaces_of(port):
        problem = interface_problem(interface)
        if problem is not None:
            yield problem
        if is_made(port) and not _as_made(plug, interface):
            yield "its interface was changed"


def interface_problem(interface: Row) -> str | None:
    """Why an interface does not work, in the switch's words; None: it does, or the switch has not come to it yet."""
    if interface.error is not None:
        return f"Open vSwitch says of {interface.name}: {interface.error}"
    if interface.ofport is not None and interface.ofport < 0:
        return f"Open vSwitch could not make a port of {interface.name}"
    return None


def _as_made(plug: Plug, interface: Row) -> bool:
    wanted = interface_row(plug, interface.name, None)
    held = interface.external_ids
    return (
        interface.type == wanted.get("type", "")
        and interface.options == wanted.get("options", {})
        and held.items() >= wanted["external_ids"].items()
        and (plug.role is not Role.INTERNAL or interface.mtu_request == wanted["mtu_request"])
    )


def interface_row(plug: Plug, name: str, ifindex: int | None) -> dict[str, Any]:
    """The interface that is made for a plug. ``ifindex`` is the kernel's device's, where there is one already."""
    attachment = plug.attachment
    row: dict[str, Any] = {"name": name}
    ids = {"iface-id": attachment.id, "iface-status": "active", "quantum-port": plug.ident}
    ids["quantum-network"] = attachment.network_id
    device, tunnel = attachment.form.device, attachment.form.tunnel
    if device is not None and device.mac is not None:
        ids["attached-mac"] = device.mac
    if ifindex is not None:
        ids[IFINDEX] = str(ifindex)
    if plug.role is Role.INTERNAL:
        row |= {"type": "internal", "mtu_request": plug.mtu}
        if device is not None and device.mac is not None:
            row["mac"] = device.mac
    elif plug.role is Role.UPLINK:
        row |= {"type": "patch", "options": {"peer": far_end(name)}}
    elif tunnel is not None:
        options = {"remote_ip": tunnel.remote, "key": str(tunnel.vni), "dst_port": str(tunnel.port)}
        if tunnel.local is not None:
            options["local_ip"] = tunnel.local
        row |= {"type": tunnel.kind, "options": options}
    return {**row, "external_ids": ids}


def strays(marked: Sequence[Row], plug: Plug, port: Row | None) -> list[Row]:
    """Which of the ports that bear the plug's mark are not its own."""
    own = {port.name if port is not None else "", far_end(plug.port) if plug.role is Role.UPLINK else ""}
    return [row for row in marked if row.name not in own]


def _device_differences(switch: Switch, host: Host, plug: Plug, port: Row | None, link: Link | None) -> Iterator[str]:
    if plug.role in DEVICES and host.is_half_made(plug):
        yield "its device is half made"
    if link is None:
        if plug.role in (*DEVICES, Role.INTERNAL, Role.UPLINK) or (
            port is not None and is_made(port) and _has_device(plug)
        ):
            yield "its device is gone"
        return
    if is_stale(switch, plug, port, link):
        yield "its device was made anew since it was plugged"
    if host.facts.altnames and plug.mark not in link.altnames and plug.ident not in marks(link):
        yield "its device lost its mark"
    if plug.role in DEVICES:
        yield from _made_device_differences(host, plug, link)
    if plug.role is Role.INTERNAL:
        yield from _inner_differences(host, plug, link)
    if plug.role is Role.UPLINK:
        yield from _uplink_differences(switch, plug, link)


def _inner_differences(host: Host, plug: Plug, link: Link) -> Iterator[str]:
    if host.facts.find(plug.port) is not None:
        yield "its device is not in its namespace"
    if link.mtu != plug.mtu:
        yield f"its device has an MTU of {link.mtu}, not {plug.mtu}"


def _has_device(plug: Plug) -> bool:
    return plug.role is not Role.TUNNEL


def _made_device_differences(host: Host, plug: Plug, link: Link) -> Iterator[str]:
    if not link.up:
        yield "its device was set down"
    if link.mtu != plug.mtu:
        yield f"its device has an MTU of {link.mtu}, not {plug.mtu}"
    if link.name != plug.port:
        yield f"its device was renamed to {link.name}"
    if leads_elsewhere(host, plug, link):
        yield "it leads elsewhere than it should"


def leads_elsewhere(host: Host, plug: Plug, link: Link) -> bool:
    """Whether a veth's other end is in another namespace than the one that has the name now."""
    place = host.facts.places.get(plug.place) if plug.place is not None else None
    return plug.role is Role.VETH and place is not None and place.nsid != link.link_netnsid


def is_stale(switch: Switch, plug: Plug, port: Row | None, link: Link) -> bool:
    """Whether the switch has the device as it was before it was made anew: it would hold on to the old one for ever.

    The device that the switch made itself, of an internal port, is never that.
    """
    if plug.role in (Role.INTERNAL, Role.TUNNEL, Role.BOUND):
        return False
    name = link.name if plug.role is Role.UPLINK else (port.name if port is not None else "")
    interface = switch.interface(name)
    noted = interface.external_ids.get(IFINDEX) if interface is not None else None
    return noted is not None and noted != str(link.index)


def _uplink_differences(switch: Switch, plug: Plug, link: Link) -> Iterator[str]:
    provider, far, uplink = switch.uplink_bridge(plug.device), switch.port(far_end(plug.port)), switch.port(link.name)
    if provider is None or uplink is None or far is None:
        yield f"the way to {plug.device} is gone"
        return
    for port in (far, uplink):
        bridge = switch.bridge_of(port)
        if bridge is None or bridge.uuid != provider.uuid:
            yield f"{port.name} is not on {provider.name}"
    if any(getattr(far, name) != value for name, value in outside(plug).items()):
        yield f"it is on another VLAN of {plug.device}"
    if UPLINK not in uplink.external_ids:
        yield f"{describe(switch, uplink)} is not for this"
    for interface in switch.interfaces_of(uplink):
        problem = interface_problem(interface)
        if problem is not None:
            yield problem
    if not link.up:
        yield f"{plug.device} was set down"


def no_way_out(switch: Switch, plug: Plug, port: Row) -> str | None:
    """Why a tunnel cannot send, though its row says that it is up: the userspace datapath sends only by a bridge of
    its own, and finds out of which by the kernel's routes. None: it can, or the kernel sends for it."""
    tunnel = plug.attachment.form.tunnel
    if tunnel is None or not is_userspace(switch):
        return None
    for interface in switch.interfaces_of(port):
        egress = interface.status.get("tunnel_egress_iface")
        if egress is None:
            return f"Open vSwitch knows no route to {tunnel.remote}"
        bridge = switch.bridge(egress)
        if bridge is None or bridge.datapath_type != _USERSPACE:
            return (
                f"the way to {tunnel.remote} is through {egress}, by which the userspace datapath cannot send: put its "
                "address on an OVS bridge with datapath_type netdev, and the interface into that bridge"
            )
    return None


# --- what is left over


def suspects(switch: Switch, host: Host, known: Iterable[str]) -> list[str]:
    """The ids in marks of ours, on ports and on devices, but the ``known``, (``uplink/DEVICE``) provider bridges, and
    (``half/DEVICE``) what was not made to the end."""
    idents = set(switch.replica.keys("Port", "mark"))
    idents.update(ident for link in host.facts.links.values() for ident in marks(link))
    idents.difference_update(known)
    provided = (f"uplink/{device}" for device in switch.replica.keys("Bridge", "uplink"))
    return [*idents, *provided, *(f"half/{name}" for name in host.facts.half_made)]


def unaccounted(switch: Switch, host: Host, state: State, suspect: str) -> Leftover | None:
    """What one of the suspects is, where no record accounts for it."""
    kind, slash, device = suspect.partition("/")
    if kind == "half":
        link = host.facts.find(device)
        if link is None or any(is_known(state, ident) for ident in marks(link)):
            return None
        return Leftover(describe_link(link), {"half_made": device})
    if slash:
        bridge = switch.uplink_bridge(device)
        ports = (switch.replica.get("Port", uuid) for uuid in bridge.ports) if bridge is not None else ()
        if bridge is None or any(port is not None and mark_of(port) is not None for port in ports):
            return None
        return Leftover(f"OVS bridge {bridge.name}", {kind: device})
    if is_known(state, suspect):
        return None
    found = sorted(describe(switch, port) for port in switch.marked(suspect))
    link = host.facts.find(MARK + suspect)
    found += [describe_link(link)] if link is not None else []
    return Leftover(", ".join(found) or f"a device of port {suspect}", {"mark": suspect})
