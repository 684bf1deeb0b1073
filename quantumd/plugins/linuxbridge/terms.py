"""The records in this plugin's own terms: which device, which bridge, which namespace."""

from __future__ import annotations

import hashlib
import ipaddress
import re
from collections.abc import Callable
from enum import Enum

from attrs import frozen

from quantumd.core.model import Attachment, Device, Network, Tunnel
from quantumd.core.names import MARK, derived
from quantumd.host.netlink.parse import IpAddress
from quantumd.host.netns import RUN_NETNS, Identity
from quantumd.plugins.linuxbridge.marks import network_ident
from quantumd.plugins.linuxbridge.view import HostView, is_unheard_of

DEFAULT_MTU = 1500

_NAMED = re.compile(r"(?:/var)?/run/netns/([^/]+)")
_PROCESS = re.compile(r"/proc/([1-9][0-9]*)/ns/net")


class Role(Enum):
    """What has to be done to have a form on the host."""

    FOREIGN = "somebody's device, as it is"
    TAP = "a tap of ours"
    VETH = "a veth pair of ours"
    VLAN = "a VLAN sub-interface of ours on somebody's device"
    TUNNEL = "a VXLAN device of ours, shared by the remotes of one VNI"


#: What one attachment has to itself.
_OWN = (Role.TAP, Role.VETH, Role.VLAN)
_PREFIXES = {Role.TAP: "qt", Role.VETH: "qv", Role.TUNNEL: "qx", Role.VLAN: "ql"}


@frozen
class Place:
    """A network namespace by path. ``process``: the namespace has to have this identity, and the process with
    that pid to have started then, since both are used again for others."""

    path: str
    name: str | None = None
    process: tuple[Identity, int] | None = None


@frozen
class Plug:
    """An attachment in this plugin's terms.

    ``device`` is the name of what goes into the bridge: a name or altname to be found, or our own device's name.
    ``below`` is the device that a VLAN is made on. ``mtu`` is what our own device has to have, None where the kernel's
    choice is as good.
    """

    attachment: Attachment
    role: Role
    bridge: str
    device: str
    mtu: int | None
    below: str | None = None
    place: Place | None = None

    @property
    def mark(self) -> str:
        """The altname of its device."""
        return MARK + self.attachment.port_id

    @property
    def ident(self) -> str:
        """The id that its device is marked with."""
        return self.attachment.port_id

    @property
    def names(self) -> set[str]:
        """All names under which something of it may be found on the host."""
        found = {self.bridge, self.device, self.mark}
        return found | {self.below} if self.below is not None else found

    def names_to_ask(self, view: HostView) -> set[str]:
        """Those of its names that the kernel has to be asked for, and not only what it told of: of a new device of our
        own neither its names nor its bridge's, where it told of that, since making the device finds out about both."""
        own = {self.device, self.mark}
        if self.role not in _OWN or not is_unheard_of(self.attachment, own, view.names):
            return self.names
        return self.names - own if self.bridge not in view.names else self.names - own - {self.bridge}


def plug_of(attachment: Attachment, network: Network) -> Plug:
    """Read an attachment that was judged by :mod:`.judge`."""
    form, data = attachment.form, attachment.data
    role = role_of(attachment)
    below = place = None
    if role is Role.FOREIGN:
        device = (form.device.name if form.device else None) or form.id
    else:
        item = "subdevice" if role is Role.VLAN else "device"
        named = form.device.name if form.device is not None and role is not Role.VLAN else None
        device = named or str(data.get(item) or default_device(attachment.port_id, role, lambda _: False))
    if role is Role.VLAN and form.device is not None:
        below = form.device.name
    if role is Role.VETH and form.device is not None:
        place = place_of(form.device, data.get("netns"))
    mtu = mtu_of(network) if role in (Role.TAP, Role.VETH) else network.options.get("mtu")
    return Plug(attachment, role, bridge_of(network), device, mtu, below, place)


def role_of(attachment: Attachment) -> Role:
    """What has to be done for this form."""
    form = attachment.form
    if form.tunnel is not None:
        return Role.TUNNEL
    if form.vlan is not None:
        return Role.VLAN
    match form.device.create if form.device else None:
        case None:
            return Role.FOREIGN
        case "tap":
            return Role.TAP
        case _:
            return Role.VETH


def bridge_of(network: Network) -> str:
    """The name of a network's bridge."""
    return str(network.data.get("bridge") or default_bridge(network.id, lambda _: False))


def default_bridge(network_id: str, taken: Callable[[str], bool]) -> str:
    """The name that a network's bridge is given. Also where another plugin judged it, before this one took over."""
    return derived("q-", network_id, taken)


def default_device(port_id: str, role: Role, taken: Callable[[str], bool]) -> str:
    """The name that our own device for a port is given."""
    # The state has no index of the names of VLANs, so these follow from the whole of the id.
    ident = hashlib.blake2b(port_id.encode()).hexdigest() if role is Role.VLAN else port_id
    return derived(_PREFIXES[role], ident, taken)


def names_of(network: Network) -> set[str]:
    """All names under which something of a network may be found on the host."""
    return {bridge_of(network), MARK + network_ident(network.id)}


def mtu_of(network: Network) -> int:
    """The MTU of a network's bridge and of the devices made for it."""
    return int(network.options.get("mtu") or DEFAULT_MTU)


def place_of(device: Device, recorded: list[int] | None = None) -> Place:
    """Where a veth's inner end goes. ``recorded`` is what :func:`record_of` gave for a process' namespace."""
    netns = device.netns or ""
    if _PROCESS.fullmatch(netns):
        process = None
        if recorded is not None:
            process = (Identity(recorded[0], recorded[1]), recorded[2])
        return Place(netns, None, process)
    named = _NAMED.fullmatch(netns)
    name = named[1] if named else netns
    return Place(f"{RUN_NETNS}/{name}", name)


def process_of(netns: str) -> int | None:
    """The pid in ``/proc/<pid>/ns/net``; None for another form."""
    found = _PROCESS.fullmatch(netns)
    return int(found[1]) if found else None


def remote_of(tunnel: Tunnel) -> IpAddress:
    """A tunnel's remote end."""
    return ipaddress.ip_address(tunnel.remote)


def local_of(tunnel: Tunnel) -> IpAddress | None:
    """A tunnel's local end, if the caller chose one."""
    return ipaddress.ip_address(tunnel.local) if tunnel.local is not None else None
