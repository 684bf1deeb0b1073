"""The records in this plugin's own terms: which port of the switch, which VLAN, which namespace."""

from __future__ import annotations

import hashlib
from enum import Enum

from attrs import frozen

from quantumd.core.model import Attachment, Network
from quantumd.core.names import IFNAME_BYTES, MARK
from quantumd.plugins.linuxbridge.terms import Place, mtu_of, place_of


class Role(Enum):
    """What has to be done to have a form on the switch."""

    BOUND = "a port that somebody put there, found by its iface-id"
    NAMED = "somebody's device, to be made a port of"
    TAP = "a tap of ours"
    VETH = "a veth pair of ours"
    INTERNAL = "an internal port of ours, in a namespace"
    UPLINK = "a patch to the provider bridge of somebody's device"
    TUNNEL = "a tunnel port of ours, one for each remote"


#: The roles whose kernel devices are made and removed here; the switch makes those of INTERNAL itself.
DEVICES = (Role.TAP, Role.VETH)


@frozen
class Plug:
    """An attachment in this plugin's terms.

    ``port`` is the name of its port on the integration bridge, "" for a BOUND one, whose name its maker chose.
    ``mtu`` is the network's.
    """

    attachment: Attachment
    role: Role
    port: str
    vlan: int
    mtu: int
    place: Place | None = None

    @property
    def ident(self) -> str:
        """The id of the port that it is plugged into, which its rows and devices are marked with."""
        return self.attachment.port_id

    @property
    def mark(self) -> str:
        """The altname of its device."""
        return MARK + self.ident

    @property
    def device(self) -> str:
        """The name of somebody's device, for the roles that have one; else the port's."""
        device = self.attachment.form.device
        return device.name if self.role is Role.UPLINK and device is not None and device.name else self.port


def plug_of(attachment: Attachment, network: Network) -> Plug:
    """Read an attachment that was judged by :mod:`.judge`."""
    form, data = attachment.form, attachment.data
    role = role_of(attachment)
    port = ""
    if role is Role.NAMED:
        assert form.device is not None
        port = form.device.name or ""
    elif role is not Role.BOUND:
        port = str(data.get("patch" if role is Role.UPLINK else "device", ""))
    place = None
    if role in (Role.VETH, Role.INTERNAL):
        assert form.device is not None
        place = place_of(form.device, data.get("netns"))
    return Plug(attachment, role, port, vlan_of(network), mtu_of(network), place)


def role_of(attachment: Attachment) -> Role:
    """What has to be done for this form."""
    form = attachment.form
    if form.tunnel is not None:
        return Role.TUNNEL
    if form.type == "bridge":
        return Role.UPLINK
    if form.device is None:
        return Role.BOUND
    return Role.NAMED if form.device.create is None else Role[form.device.create.upper()]


def vlan_of(network: Network) -> int:
    """The VLAN that a network has on the integration bridge; 0 where it was accepted with another plugin."""
    return int(network.data.get("vlan", 0))


def provider_of(device: str) -> str:
    """The name of the provider bridge for a device: readable where there is room."""
    name = f"qp-{device}"
    if len(name.encode()) <= IFNAME_BYTES:
        return name
    return "qp-" + hashlib.blake2b(device.encode()).hexdigest()[: IFNAME_BYTES - 3]


def far_end(patch: str) -> str:
    """The name of a patch port's other end, on the provider bridge."""
    return "qe" + patch[2:]
