"""What can be said of a change at once, before anything is recorded: refusals, and the names of what will be made."""

from __future__ import annotations

from quantumd.core.changes import Attach, EnsureNetwork, RecordChange
from quantumd.core.claims import tunnel_claim
from quantumd.core.errors import AlreadyAttached, BadRequest, FieldError, OverLimit, PluginFault
from quantumd.core.model import Attachment, Form, Json, Network
from quantumd.core.names import ifname_problem
from quantumd.core.state import State
from quantumd.host import netns
from quantumd.host.netlink.parse import Link
from quantumd.plugins.linuxbridge.features import Features
from quantumd.plugins.linuxbridge.marks import made_here, marks, network_ident
from quantumd.plugins.linuxbridge.terms import (
    Role,
    default_bridge,
    default_device,
    local_of,
    process_of,
    remote_of,
    role_of,
)
from quantumd.plugins.linuxbridge.view import HostView

#: How many ports a bridge takes (BR_MAX_PORTS - 1, net/bridge/br_private.h); one more is EXFULL.
MAX_PORTS = 1023

#: The kinds of device that a guest has its other end of (IFLA_INFO_KIND).
_GUESTS = ("tun", "veth")


def is_about_strangers(change: RecordChange) -> bool:
    """Whether the change is judged by devices that somebody else makes and removes. Of our own, the names matter, and
    who has them is found out when they are made."""
    return isinstance(change, Attach) and not change.attachment.form.managed


def judge(state: State, change: RecordChange, view: HostView, features: Features) -> Json:
    """See :meth:`quantumd.interfaces.INetworkPlugin.judge`."""
    match change:
        case EnsureNetwork(network):
            return network.data or {"bridge": _bridge_name(state, network, view)}
        case Attach(attachment, _, network):
            return _judge_attachment(state, attachment, network, view, features)
        case _:
            return {}


def _bridge_name(state: State, network: Network, view: HostView) -> str:
    def taken(name: str) -> bool:
        link = view.find(name)
        strange = link is not None and network_ident(network.id) not in marks(link)
        return strange or state.owner("bridge", name) not in (None, network.id)

    return default_bridge(network.id, taken)


def _judge_attachment(
    state: State, attachment: Attachment, network: Network, view: HostView, features: Features
) -> Json:
    role = role_of(attachment)
    _check_kernel(attachment.form, role, features)
    if role is Role.TUNNEL:
        _check_tunnel(state, attachment)
    data: dict[str, object] = {}
    if role is Role.VETH:
        data = recorded_namespace(attachment.form)
    if role is Role.FOREIGN:
        _guard(attachment, view)
        check_device(state, attachment, view, True)
        if attachment.form.device is None and ifname_problem(attachment.id) is None:
            data["device"] = attachment.id
    else:
        item = "subdevice" if role is Role.VLAN else "device"
        data[item] = _device_name(state, attachment, role, view)
    _check_room(state, network, data.get("device") if role is Role.TUNNEL else None)
    return data


def _check_kernel(form: Form, role: Role, features: Features) -> None:
    lacking = {
        Role.VETH: (features.veth, "veth pairs", "veth"),
        Role.VLAN: (features.vlan, "802.1Q VLANs", "8021q"),
        Role.TUNNEL: (features.vxlan, "VXLAN", "vxlan"),
    }
    if role is Role.TAP and features.no_tap:
        raise PluginFault(f"There are no taps: {features.no_tap}")
    has, what, module = lacking.get(role, (True, "", ""))
    if not has:
        raise PluginFault(f"This kernel has no {what}: try 'modprobe {module}' and restart quantumd.")
    if form.device is not None and form.device.multi_queue and not features.multi_queue:
        raise PluginFault("This kernel has no multi-queue taps; leave multi_queue out.")


def _check_tunnel(state: State, attachment: Attachment) -> None:
    form = attachment.form
    assert form.tunnel is not None
    remote, local = remote_of(form.tunnel), local_of(form.tunnel)
    if remote.is_multicast or remote.is_unspecified:
        raise _wrong("attachment.tunnel.remote", "a remote end is one host's address")
    if local is not None and (local.is_multicast or local.is_unspecified):
        raise _wrong("attachment.tunnel.local", "a local end is one of this host's addresses")
    if local is not None and local.version != remote.version:
        raise _wrong("attachment.tunnel.local", f"it has to be IPv{remote.version}, as the remote end is")
    for other in state.holders(tunnel_claim(form)):
        if other.form.tunnel is not None and remote_of(other.form.tunnel).version != remote.version:
            raise PluginFault(
                f"Tunnel {other.id!r} has VNI {form.tunnel.vni} with IPv{10 - remote.version} remotes, and the "
                "kernel takes one kind for each VNI; use another VNI or port."
            )


def recorded_namespace(form: Form) -> dict[str, object]:
    """Which namespace a /proc/PID/ns/net is now, since the pid may be another process' later."""
    assert form.device is not None
    path = form.device.netns or ""
    pid = process_of(path)
    if pid is None:
        return {}
    started = netns.process_start(pid)
    try:
        with netns.opened(path) as descriptor:
            identity = netns.identity(descriptor)
    except PermissionError as error:
        why = "quantumd may not look at that process' network namespace; it needs CAP_SYS_PTRACE for that"
        raise _wrong("attachment.device.netns", why) from error
    except OSError as error:
        why = f"there is no such network namespace now ({error.strerror})"
        raise _wrong("attachment.device.netns", why) from error
    return {"netns": [identity.device, identity.inode, started]}


def _guard(attachment: Attachment, view: HostView) -> None:
    """Keep the host from being cut off, and its devices from those who have no power over it, as far as can be seen
    now."""
    form = attachment.form
    name = (form.device.name if form.device else None) or form.id
    link = view.find(name)
    if link is None or form.force:
        return
    reserved = reserved_for_the_host(attachment, link)
    if reserved is not None:
        raise _wrong("attachment.id", reserved)
    why = view.cuts_off(link)
    if why is not None:
        path = "attachment.device.name" if form.device else "attachment.id"
        raise _wrong(path, cut_off(link, why))


def reserved_for_the_host(attachment: Attachment, link: Link) -> str | None:
    """Why a caller that has no power over the host does not get this device by its id; None: it gets it."""
    if not attachment.confined or attachment.form.device is not None or link.kind in _GUESTS:
        return None
    return (
        f"{link.name} is a device of the host's own, and this caller may have a guest's tap or veth only; use another "
        "id, or ask an admin"
    )


def check_device(state: State, attachment: Attachment, view: HostView, ids_are_names: bool) -> None:
    """Refuse a device that another attachment has under another of its names, as far as can be seen now.
    ``ids_are_names``: an attachment that names no device has the one of which its id is a name."""
    link = view.find((attachment.form.device.name if attachment.form.device else None) or attachment.id)
    if link is None:
        return
    others = [state.plugged(ident) for ident in marks(link)]
    for name in (link.name, *link.altnames):
        others += state.holders(("device", name, None))
        if ids_are_names:
            others += (other for other in state.holders(("id", name)) if not (other.form.device or other.form.tunnel))
    if any(other is not None and not other.going and other.port_id != attachment.port_id for other in others):
        raise AlreadyAttached(f"Another attachment has device {link.name!r} already; unplug it there first.")


def cut_off(link: Link, why: str) -> str:
    """Why a device is not taken, in words for people."""
    return (
        f"{link.name} is not taken into a bridge, because {why} and the host would be cut off; take another device, "
        "or set 'force': true"
    )


def _device_name(state: State, attachment: Attachment, role: Role, view: HostView) -> str:
    form = attachment.form
    if role is Role.TUNNEL:
        for other in state.holders(tunnel_claim(form)):
            if other.network_id == attachment.network_id and "device" in other.data:
                return str(other.data["device"])
    if role is not Role.VLAN and form.device is not None and form.device.name is not None:
        return form.device.name

    def taken(name: str) -> bool:
        link = view.find(name)
        if link is not None and not (made_here(link) and attachment.port_id in marks(link)):
            return True
        return bool(state.holders(("device", name, None)))

    return default_device(attachment.port_id, role, taken)


def _check_room(state: State, network: Network, device: object) -> None:
    """Tunnels of one VNI share ``device`` and its bridge port; what is going frees its own in the same batch."""
    serials = state.network_attachments.get(network.id)
    if serials is None or len(serials) < MAX_PORTS:
        return
    staying = [one for serial in serials if not (one := state.attachments[serial]).going]
    ports = {one.data.get("device") if one.form.tunnel else one.serial for one in staying}
    if len(ports) >= MAX_PORTS and device not in ports:
        raise OverLimit(f"A Linux bridge takes {MAX_PORTS} ports, and network {network.id} has them; unplug one first.")


def _wrong(path: str, message: str) -> BadRequest:
    return BadRequest(f"{path}: {message}.", [FieldError(path, message)])
