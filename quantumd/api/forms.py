"""From a body that was judged to what the application takes: normalised, so that what means the same is the same."""

from __future__ import annotations

import ipaddress
from typing import Any

from quantumd.core.model import Device, Form, Json, Tunnel


def network_form(body: Json) -> Json:
    """The members of a network to make or change. No options are the same as empty ones."""
    return _resource(body["network"])


def port_form(body: Json | None) -> Json:
    """The members of a port to make; without a body there are none."""
    return {} if body is None else _resource(body["port"])


def attachment_forms(body: Json) -> list[tuple[str, Form]]:
    """The forms to plug, each with the id of its network."""
    return [(asked["network_id"], _form(asked)) for asked in body["attachments"]]


def attachment_form(body: Json) -> Form:
    """The form to plug."""
    return _form(body["attachment"])


def _form(asked: Json) -> Form:
    device, tunnel = asked.get("device"), asked.get("tunnel")
    return Form(
        id=asked["id"],
        type=asked.get("type", "vif"),
        device=None if device is None else _device(device),
        vlan=asked.get("vlan"),
        tunnel=None if tunnel is None else _tunnel(tunnel),
        reference=asked.get("reference"),
        force=asked.get("force", False),
    )


def _resource(asked: Json) -> Json:
    return {name: value for name, value in asked.items() if not (name == "options" and not value)}


def _device(asked: Json) -> Device:
    members: dict[str, Any] = dict(asked)
    if "mac" in members:
        members["mac"] = members["mac"].lower()
    members["multi_queue"] = members.get("multi_queue") or None
    return Device(**members)


def _tunnel(asked: Json) -> Tunnel:
    members: dict[str, Any] = dict(asked)
    for name in ("remote", "local"):
        if name in members:
            members[name] = str(ipaddress.ip_address(members[name]))
    return Tunnel(**members)
