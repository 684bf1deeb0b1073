"""What the values of options look like, and the body of an attachment that they add up to."""

from __future__ import annotations

import json
from argparse import ArgumentTypeError, Namespace
from collections.abc import Iterable
from typing import Any

from quantumd.cli.errors import WrongUsage

#: The options that say what is plugged, as attributes of the parsed command line; one of them at most.
_FORMS = ("device", "tap", "veth", "uplink", "vxlan", "body")
#: The options that only some of those can be combined with.
_ONLY_WITH = {
    "name": ("tap", "veth"),
    "mac": ("tap", "veth"),
    "owner_uid": ("tap",),
    "owner_gid": ("tap",),
    "multi_queue": ("tap",),
    "vxlan_local": ("vxlan",),
    "vxlan_port": ("vxlan",),
}


def key_value(text: str) -> tuple[str, Any]:
    """``KEY=VALUE``. The value is JSON if it can be (``mtu=1400``, ``x=null``, ``x="10"``), else a string."""
    key, separator, value = text.partition("=")
    if not key or not separator:
        raise ArgumentTypeError(f"{text!r} is not KEY=VALUE")
    try:
        return key, json.loads(value, parse_constant=_no_constant)
    except ValueError:
        return key, value


def veth(text: str) -> dict[str, Any]:
    """``NETNS:IFNAME``, the namespace by name or path."""
    netns, separator, ifname = text.rpartition(":")
    if not (netns and separator and ifname):
        raise ArgumentTypeError(f"{text!r} is not NETNS:IFNAME, such as vm1:eth0 or /proc/123/ns/net:eth0")
    return {"netns": netns, "ifname": ifname}


def uplink(text: str) -> dict[str, Any]:
    """``DEVICE`` or ``DEVICE:VLAN``."""
    device, separator, vlan = text.partition(":")
    if not device or (separator and not (_is_number(vlan) and 1 <= int(vlan) <= 4094)):
        raise ArgumentTypeError(f"{text!r} is not DEVICE[:VLAN], such as eth1 or eth1:100 (a VLAN is from 1 to 4094)")
    return {"device": {"name": device}} | ({"vlan": int(vlan)} if separator else {})


def vxlan(text: str) -> dict[str, Any]:
    """``REMOTE:VNI``; an IPv6 address may stand in brackets."""
    remote, separator, vni = text.rpartition(":")
    if not (remote and separator and _is_number(vni)):
        raise ArgumentTypeError(f"{text!r} is not REMOTE:VNI, such as 192.0.2.7:1001 or [2001:db8::7]:1001")
    return {"remote": remote.removeprefix("[").removesuffix("]"), "vni": int(vni)}


def json_object(text: str) -> dict[str, Any]:
    """An object in JSON."""
    try:
        value = json.loads(text, parse_constant=_no_constant)
    except ValueError as error:
        raise ArgumentTypeError(f"{text!r} is not JSON: {error}") from None
    if not isinstance(value, dict):
        raise ArgumentTypeError(f"{text!r} is not a JSON object, such as {{}}")
    return value


def number(text: str) -> int:
    """A number that is not negative."""
    if not _is_number(text):
        raise ArgumentTypeError(f"{text!r} is not a whole number")
    return int(text)


def seconds(text: str) -> float:
    """A time of more than nothing, in seconds."""
    try:
        value = float(text)
    except ValueError:
        value = 0
    if not 0 < value < float("inf"):
        raise ArgumentTypeError(f"{text!r} is not a number of seconds")
    return value


def options(pairs: Iterable[tuple[str, Any]] | None) -> dict[str, Any]:
    """The options given as ``KEY=VALUE``, as one object."""
    gathered: dict[str, Any] = {}
    for key, value in pairs or ():
        if key in gathered:
            raise WrongUsage(f"the option {key!r} is given twice")
        gathered[key] = value
    return gathered


def given(args: Namespace, *names: str) -> dict[str, Any]:
    """Those of the named options that are on the command line."""
    return {name: getattr(args, name) for name in names if _is_given(args, name)}


def attachment_body(args: Namespace) -> dict[str, Any]:
    """The ``attachment`` of a request, from the options of ``attachment plug``."""
    form = next((name for name in _FORMS if _is_given(args, name)), None)
    for name, forms in _ONLY_WITH.items():
        if _is_given(args, name) and form not in forms:
            wanted = " or ".join(f"--{other}" for other in forms)
            raise WrongUsage(f"--{name.replace('_', '-')} goes with {wanted} only")
    body: dict[str, Any] = {"id": args.id}
    if form is not None:
        body |= _FORM_BODIES[form](args)
    if args.reference is not None:
        body["reference"] = args.reference
    if args.force:
        body["force"] = True
    return body


def _device(args: Namespace) -> dict[str, Any]:
    return {"device": {"name": args.device}}


def _tap(args: Namespace) -> dict[str, Any]:
    return {"device": {"create": "tap"} | given(args, "name", "mac", "owner_uid", "owner_gid", "multi_queue")}


def _veth(args: Namespace) -> dict[str, Any]:
    return {"device": {"create": "veth"} | args.veth | given(args, "name", "mac")}


def _uplink(args: Namespace) -> dict[str, Any]:
    body: dict[str, Any] = {"type": "bridge"} | args.uplink
    return body


def _vxlan(args: Namespace) -> dict[str, Any]:
    tunnel: dict[str, Any] = {"kind": "vxlan"} | args.vxlan
    tunnel |= {name.removeprefix("vxlan_"): value for name, value in given(args, "vxlan_local", "vxlan_port").items()}
    return {"type": "tunnel", "tunnel": tunnel}


def _body(args: Namespace) -> dict[str, Any]:
    body: dict[str, Any] = args.body
    return body


_FORM_BODIES = {"device": _device, "tap": _tap, "veth": _veth, "uplink": _uplink, "vxlan": _vxlan, "body": _body}


def _is_given(args: Namespace, name: str) -> bool:
    value = getattr(args, name)
    return value is not None and value is not False  # 0 is a user, and given


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdecimal() and len(text) < 20


def _no_constant(text: str) -> Any:
    raise ValueError(text)
