"""How each kind of device of our own is to be made."""

from __future__ import annotations

from quantumd.host.mac import derived_mac
from quantumd.host.netlink import messages
from quantumd.host.netlink.parse import Link
from quantumd.plugins.linuxbridge.making import Inner, Making, TapPlan
from quantumd.plugins.linuxbridge.marks import MAKING, port_alias, tunnel_alias
from quantumd.plugins.linuxbridge.terms import Plug, Role, local_of, remote_of


def making_of(plug: Plug, bridge: Link, inner: Inner | None, below: Link | None) -> Making:
    """The device of an attachment, to be plugged into ``bridge``.

    ``inner`` is where a veth's other end goes, ``below`` what a VLAN sub-interface is made on.
    """
    form, name = plug.attachment.form, plug.device
    alias = port_alias(plug.ident)
    if plug.role is Role.TUNNEL:
        assert form.tunnel is not None
        create = messages.create_vxlan(
            name,
            vni=form.tunnel.vni,
            port=form.tunnel.port,
            local=local_of(form.tunnel),
            ipv6=remote_of(form.tunnel).version == 6,
            mac=derived_mac(plug.device),
            mtu=plug.mtu,
            group=MAKING,
            master=bridge.index,
        )
        alias = tunnel_alias(plug.attachment.network_id)
        return Making(plug.device, plug.ident, alias, create, plug.mtu, bridge.index, isolated=True)
    assert form.device is not None
    if plug.role is Role.VLAN:
        assert below is not None
        assert form.vlan is not None
        create = messages.create_vlan(
            name, below=below.index, vid=form.vlan, mtu=plug.mtu, group=MAKING, master=bridge.index
        )
    elif plug.role is Role.VETH:
        assert inner is not None
        create = messages.create_veth(
            name,
            peer=inner.name,
            netns_fd=inner.netns_fd,
            mac=derived_mac(plug.ident),
            peer_mac=form.device.mac,
            mtu=plug.mtu,
            group=MAKING,
            master=bridge.index,
        )
    else:
        device = form.device
        tap = TapPlan(bool(device.multi_queue), device.owner_uid, device.owner_gid)
        return Making(plug.device, plug.ident, alias, tap, plug.mtu, bridge.index)
    return Making(plug.device, plug.ident, alias, create, plug.mtu, bridge.index, inner=inner)
