"""What can be said of a change at once, before anything is recorded: refusals, VLANs, names of what will be made."""

from __future__ import annotations

import hashlib
from collections.abc import Callable

from quantumd.core.changes import Attach, EnsureNetwork, RecordChange
from quantumd.core.errors import BadRequest, FieldError, IdInUse, OverLimit, PluginFault
from quantumd.core.model import Attachment, Form, Json, Network
from quantumd.core.names import derived
from quantumd.core.state import State
from quantumd.host.netlink.parse import Link
from quantumd.plugins.linuxbridge.judge import check_device, cut_off, recorded_namespace
from quantumd.plugins.linuxbridge.marks import made_here, marks
from quantumd.plugins.linuxbridge.terms import local_of, remote_of
from quantumd.plugins.linuxbridge.view import HostView
from quantumd.plugins.ovs.features import Features
from quantumd.plugins.ovs.tables import Switch, mark_of
from quantumd.plugins.ovs.terms import Role, role_of

#: VLAN ids are 1 to this (IEEE 802.1Q, table 9-2).
LAST_VLAN = 4094

_PREFIXES = {Role.TAP: "qt", Role.VETH: "qv", Role.INTERNAL: "qi", Role.TUNNEL: "qx", Role.UPLINK: "qu"}


class Judge:
    """See :meth:`quantumd.interfaces.INetworkPlugin.judge`.

    Remembers nothing that matters: the VLAN to begin to look for a free one at, so that finding it does not take
    longer the more there are.
    """

    def __init__(self) -> None:
        self._next_vlan = 1

    def judge(
        self, state: State, change: RecordChange, view: HostView, switch: Switch | None, features: Features
    ) -> Json:
        """``switch`` is None while it is away."""
        match change:
            case EnsureNetwork(network):
                return {"vlan": self._vlan(state, network)}
            case Attach(attachment):
                return _judge_attachment(state, attachment, view, switch, features)
            case _:
                return {}

    def _vlan(self, state: State, network: Network) -> int:
        wanted: int | None = network.options.get("vlan")
        if wanted is not None:
            owner = state.owner("vlan", wanted)
            if owner not in (None, network.id):
                raise IdInUse(f"VLAN {wanted} is another network's on this switch; choose another or leave it out.")
            return wanted
        if "vlan" in network.data:
            return int(network.data["vlan"])
        if len(state.networks) < LAST_VLAN:
            for step in range(LAST_VLAN):
                vlan = (self._next_vlan - 1 + step) % LAST_VLAN + 1
                if state.owner("vlan", vlan) is None:
                    self._next_vlan = vlan % LAST_VLAN + 1
                    return vlan
        raise OverLimit(f"Open vSwitch has {LAST_VLAN} VLANs, and each has its network; delete one first.")


def _judge_attachment(
    state: State, attachment: Attachment, view: HostView, switch: Switch | None, features: Features
) -> Json:
    role, form = role_of(attachment), attachment.form
    _check_kernel(form, role, features)
    if role is Role.TUNNEL:
        _check_tunnel(form)
    _guard(form, role, view, switch)
    if role is Role.NAMED:
        check_device(state, attachment, view, False)
    if role in (Role.BOUND, Role.NAMED):
        return {}
    data: dict[str, object] = {}
    if role in (Role.VETH, Role.INTERNAL):
        data = recorded_namespace(form)
    if role is Role.UPLINK:
        data["patch"] = derived(
            _PREFIXES[role], _digest(attachment.port_id), _taken(state, attachment.port_id, view, switch)
        )
    elif form.device is not None and form.device.name is not None:
        data["device"] = form.device.name
    else:
        data["device"] = derived(_PREFIXES[role], attachment.port_id, _taken(state, attachment.port_id, view, switch))
    return data


def _digest(ident: str) -> str:
    # The state has no index of patch ports' names, so they follow from the whole of the id.
    return hashlib.blake2b(ident.encode()).hexdigest()


def _taken(state: State, port_id: str, view: HostView, switch: Switch | None) -> Callable[[str], bool]:
    def taken(name: str) -> bool:
        link = view.find(name)
        if (
            link is not None
            and not (made_here(link) and port_id in marks(link))
            and not _is_ours(switch, name, port_id)
        ):
            return True
        port = switch.port(name) if switch is not None else None
        if port is not None and mark_of(port) != port_id:
            return True
        return bool(state.holders(("device", name, None)))

    return taken


def _is_ours(switch: Switch | None, name: str, port_id: str) -> bool:
    """Whether the name is that of a port of ours on the switch: the device of an internal port has no other mark."""
    port = switch.port(name) if switch is not None else None
    return port is not None and mark_of(port) == port_id


def _check_kernel(form: Form, role: Role, features: Features) -> None:
    if role is Role.TAP and features.no_tap:
        raise PluginFault(f"There are no taps: {features.no_tap}")
    if role is Role.VETH and not features.veth:
        raise PluginFault("This kernel has no veth pairs: try 'modprobe veth' and restart quantumd.")
    if form.device is not None and form.device.multi_queue and not features.multi_queue:
        raise PluginFault("This kernel has no multi-queue taps; leave multi_queue out.")


def _check_tunnel(form: Form) -> None:
    assert form.tunnel is not None
    remote, local = remote_of(form.tunnel), local_of(form.tunnel)
    if remote.is_multicast or remote.is_unspecified:
        raise _wrong("attachment.tunnel.remote", "a remote end is one host's address")
    if local is not None and (local.is_multicast or local.is_unspecified):
        raise _wrong("attachment.tunnel.local", "a local end is one of this host's addresses")
    if local is not None and local.version != remote.version:
        raise _wrong("attachment.tunnel.local", f"it has to be IPv{remote.version}, as the remote end is")


def _guard(form: Form, role: Role, view: HostView, switch: Switch | None) -> None:
    """Keep the host from being cut off, as far as can be seen now."""
    if form.force or role not in (Role.BOUND, Role.NAMED, Role.UPLINK):
        return
    for link in _devices(form, view, switch):
        why = view.cuts_off(link)
        if why is not None:
            raise _wrong("attachment.device.name" if form.device else "attachment.id", cut_off(link, why))


def _devices(form: Form, view: HostView, switch: Switch | None) -> list[Link]:
    if form.device is not None and form.device.name is not None:
        names = [form.device.name]
    else:
        names = [interface.name for _, interface in switch.bound(form.id)] if switch is not None else []
    return [link for name in names if (link := view.find(name)) is not None]


def _wrong(path: str, message: str) -> BadRequest:
    return BadRequest(f"{path}: {message}.", [FieldError(path, message)])
