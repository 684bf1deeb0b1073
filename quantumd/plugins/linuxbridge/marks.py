"""How this plugin knows its own on the host.

Everything that it made or plugged has the altname ``quantum-<port id>`` or ``quantum-net-<network id>``; what it
*made* also has an ifalias that begins with ``quantumd``, which is for people, tells a managed device from a foreign
one, and is the only mark on kernels without altnames. A device is born into a link group of ours, which it leaves when
it is marked and whole: what is in that group is half made, and whatever has a name of ours without a mark and without
that group is somebody else's.
"""

from __future__ import annotations

import re

from quantumd.core.names import MARK
from quantumd.core.state import State
from quantumd.host.netlink.parse import Link

_ALIAS = re.compile(r"quantumd (network|port|tunnel) ([0-9a-f-]{36})\b")
_ALIAS_PREFIX = "quantumd "
_NETWORK = "net-"
#: The link group of what is being made: a number that luck chose. The group is the one thing that a device can be born
#: with and get rid of together with being set up (a name costs a wait for all readers to change).
MAKING = 0x6CDC4E5D


def network_ident(network_id: str) -> str:
    """What a network is called in marks: a port may have the same id, since ids are unique among their kind only."""
    return _NETWORK + network_id


def is_known(state: State, ident: str) -> bool:
    """Whether a record accounts for what bears that mark: a network, or something plugged into a port."""
    if ident.startswith(_NETWORK):
        return ident.removeprefix(_NETWORK) in state.networks
    return state.latest(ident) is not None


def network_alias(network_id: str) -> str:
    """The ifalias of a network's bridge."""
    return f"{_ALIAS_PREFIX}network {network_id}"


def port_alias(port_id: str) -> str:
    """The ifalias of the device that was made for a port."""
    return f"{_ALIAS_PREFIX}port {port_id}"


def tunnel_alias(network_id: str) -> str:
    """The ifalias of a VXLAN device, which serves all remotes of one VNI."""
    return f"{_ALIAS_PREFIX}tunnel {network_id}"


def is_half_made(link: Link) -> bool:
    """Whether a process of ours ended while it made the device."""
    return link.group == MAKING


def marks(link: Link) -> set[str]:
    """The ids of the ports, and :func:`network_ident` of the networks, that the device is marked for."""
    alias = _ALIAS.match(link.alias)
    if alias is None:
        return _altmarks(link)
    return _altmarks(link) | {alias[2] if alias[1] == "port" else network_ident(alias[2])}


def owners(link: Link) -> set[str]:
    """The ids of what the device is there for: as its altnames say, else as its alias does.

    The alias of a VXLAN device names its network, which may be there still when the last tunnel has gone.
    """
    return _altmarks(link) or marks(link)


def _altmarks(link: Link) -> set[str]:
    return {name.removeprefix(MARK) for name in link.altnames if name.startswith(MARK)}


def made_here(link: Link) -> bool:
    """Whether the device was made by quantumd, and not only plugged."""
    return is_half_made(link) or _ALIAS.match(link.alias) is not None


def is_made_for(link: Link, port_id: str) -> bool:
    """Whether the device was made by quantumd for that port."""
    return link.alias == port_alias(port_id) or (made_here(link) and port_id in marks(link))


def describe(link: Link) -> str:
    """A device in words for people, with whose it is as far as that can be seen."""
    kind = f"{link.kind} device" if link.kind else "device"
    whose = marks(link)
    if whose:
        return f"{kind} {link.name} (quantumd's, for {', '.join(sorted(whose))})"
    return f"{kind} {link.name} (index {link.index}{f', alias {link.alias!r}' if link.alias else ''})"
