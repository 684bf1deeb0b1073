"""The records: networks, ports, attachments, and what is kept beside them. All are immutable values.

The whole of them is a :class:`~quantumd.core.state.State`. Resources have the shape that the API shows plus a few
fields of our own (``serial``, ``data``, ``created_with``, ``was_plugged``), which the API leaves out.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Any, NamedTuple

from attrs import field, frozen

#: A JSON object. Values of this type are never changed in place.
Json = Mapping[str, Any]


class Status(StrEnum):
    """What a network or port is doing."""

    IN_PROGRESS = "InProgress"
    ACTIVE = "Active"
    FAILED = "Failed"
    DELETING = "Deleting"


class AttachmentStatus(StrEnum):
    """What an attachment is doing."""

    IN_PROGRESS = "InProgress"
    DOWN = "Attached/DOWN"
    UP = "Attached/UP"
    FAILED = "Failed"
    DETACHING = "Detaching"


class Kind(StrEnum):
    """The three kinds of resource, tokens, and what was left over of a resource; all but tokens are also the ``event``
    field of an event stream."""

    NETWORK = "network"
    PORT = "port"
    ATTACHMENT = "attachment"
    TOKEN = "token"  # noqa: S105 - a kind of record, no secret
    LEFTOVER = "leftover"


class Key(NamedTuple):
    """Names one record for the whole of its life: a network's, port's or token's id, an attachment's serial.

    An attachment's own id is no key: while a VIF moves, the record being unplugged and the one to be plugged share it.
    """

    kind: Kind
    ident: str | int


# For what is asked by the ten thousand: to get a member from an enumeration takes longer than to compare it.
_NETWORK, _PORT, _ATTACHMENT = Kind.NETWORK, Kind.PORT, Kind.ATTACHMENT
_DELETING, _DETACHING = Status.DELETING, AttachmentStatus.DETACHING


@frozen
class FaultRecord:
    """Why the last try failed. ``at`` is when it began to fail in this way (RFC 3339, UTC)."""

    name: str
    message: str
    at: str


@frozen(kw_only=True)
class Network:
    """A layer-2 network. ``data`` is what the plugin allocated when it judged the network (a VLAN, a
    bridge's name): each item is this network's alone."""

    serial: int
    id: str
    name: str
    tenant_id: str
    options: Json = field(factory=dict)
    status: Status = Status.IN_PROGRESS
    fault: FaultRecord | None = None
    plugin: Json = field(factory=dict)
    revision: int = 1
    created_at: str
    updated_at: str
    data: Json = field(factory=dict)
    created_with: Json = field(factory=dict)

    @property
    def key(self) -> Key:
        """Its name in plans and commits."""
        return Key(_NETWORK, self.id)

    @property
    def going(self) -> bool:
        """Whether it is being deleted."""
        return self.status is _DELETING


@frozen(kw_only=True)
class Port:
    """A logical port of one network."""

    serial: int
    id: str
    network_id: str
    options: Json = field(factory=dict)
    status: Status = Status.IN_PROGRESS
    fault: FaultRecord | None = None
    plugin: Json = field(factory=dict)
    revision: int = 1
    created_at: str
    updated_at: str
    data: Json = field(factory=dict)
    created_with: Json = field(factory=dict)

    @property
    def key(self) -> Key:
        """Its name in plans and commits."""
        return Key(_PORT, self.id)

    @property
    def going(self) -> bool:
        """Whether it is being deleted."""
        return self.status is _DELETING


@frozen(kw_only=True)
class Device:
    """How a VIF's or bridging device is found (``name`` alone) or made (``create`` names the form, see the contract).

    ``mac`` is the guest's address, lower case; ``owner_uid`` and ``owner_gid`` may open a tap; ``netns`` is a
    namespace's name or path and ``ifname`` the device's name in there.
    """

    name: str | None = None
    create: str | None = None
    netns: str | None = None
    ifname: str | None = None
    mac: str | None = None
    owner_uid: int | None = None
    owner_gid: int | None = None
    multi_queue: bool | None = None


@frozen(kw_only=True)
class Tunnel:
    """One remote end of a tunnel. Addresses are in their canonical text form; ``port`` is UDP."""

    kind: str
    remote: str
    vni: int
    local: str | None = None
    port: int = 4789


@frozen(kw_only=True)
class Form:
    """What a caller asks to have plugged: two requests mean the same attachment when their forms are equal."""

    id: str
    type: str = "vif"
    device: Device | None = None
    vlan: int | None = None
    tunnel: Tunnel | None = None
    reference: str | None = None
    force: bool = False

    @property
    def managed(self) -> bool:
        """Whether quantumd makes and removes the device."""
        return self.tunnel is not None or (self.device is not None and self.device.create is not None)


@frozen(kw_only=True)
class Attachment:
    """A form plugged, being plugged or being unplugged. ``was_plugged``: it was on the host at least once, so that a
    device that is away now has gone, rather than not come yet. ``confined``: who asked for it has no power over the
    host, so that of the host's devices it may get a guest's end (a tap, a veth) and no other."""

    serial: int
    network_id: str
    port_id: str
    form: Form
    status: AttachmentStatus = AttachmentStatus.IN_PROGRESS
    fault: FaultRecord | None = None
    plugin: Json = field(factory=dict)
    revision: int = 1
    created_at: str
    updated_at: str
    data: Json = field(factory=dict)
    was_plugged: bool = False
    confined: bool = False

    @property
    def id(self) -> str:
        """The caller's own name for its resource."""
        return self.form.id

    @property
    def key(self) -> Key:
        """Its name in plans and commits."""
        return Key(_ATTACHMENT, self.serial)

    @property
    def going(self) -> bool:
        """Whether it is being unplugged."""
        return self.status is _DETACHING

    @property
    def device_name(self) -> str | None:
        """The host's device: the name that was asked for, else the one that the plugin chose; None: not known."""
        if self.form.device is not None and self.form.device.name is not None:
            return self.form.device.name
        return self.data.get("device")


Record = Network | Port | Attachment


@frozen(kw_only=True)
class Token:
    """What opens the API to one role of one tenant. Of the secret there is only ``digest``, its SHA-256 in hex: it has
    256 random bits, so that nobody can guess it from there, however fast."""

    serial: int
    id: str
    tenant_id: str
    role: str
    digest: str = field(repr=False)
    created_at: str

    @property
    def key(self) -> Key:
        """Its name in commits."""
        return Key(Kind.TOKEN, self.id)


#: Whatever a store keeps.
Stored = Record | Token


@frozen(kw_only=True)
class Event:
    """One thing that happened to one resource. ``seq`` grows by one or more from event to event.

    ``action`` is ``created``, ``updated``, ``status``, ``deleted`` or ``repaired``; ``detail`` is what a repair found.
    Of something that was left over, it is ``removed``, and ``detail`` what it was: it belongs to no network and to no
    tenant, and those fields are empty.
    """

    seq: int
    kind: Kind
    action: str
    at: str
    tenant_id: str
    network_id: str
    port_id: str | None = None
    attachment_id: str | None = None
    status: str
    fault: FaultRecord | None = None
    detail: str | None = None
