"""Resources as a client sees them. Shapes and names are those of section 1 of the contract."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from attrs import asdict

from quantumd.core.model import Attachment, Device, Event, FaultRecord, Kind, Network, Port, Record, Token, Tunnel
from quantumd.core.state import State
from quantumd.service.tokens import Issued

#: What a DELETE that has finished is answered with; no resource is ever listed with it.
DELETED = "Deleted"

Representation = dict[str, Any]


def represent(record: Record, state: State) -> Representation:
    """The body for one resource: its representation under the name of its kind."""
    if isinstance(record, Network):
        return {"network": network(record)}
    if isinstance(record, Port):
        return {"port": port(record, state)}
    return {"attachment": attachment(record)}


def location(record: Record) -> str:
    """The path at which the resource is."""
    if isinstance(record, Network):
        return f"/networks/{record.id}"
    if isinstance(record, Port):
        return f"/networks/{record.network_id}/ports/{record.id}"
    return f"/networks/{record.network_id}/ports/{record.port_id}/attachment"


def network(record: Network) -> Representation:
    """A whole network."""
    return {
        "id": record.id,
        "name": record.name,
        "tenant_id": record.tenant_id,
        "status": record.status,
        "fault": _fault(record.fault),
        "options": record.options,
        "plugin": record.plugin,
        "revision": record.revision,
        "created_at": record.created_at,
        "updated_at": record.updated_at,
    }


def network_entry(record: Network) -> Representation:
    """A network in a list."""
    return {"id": record.id, "name": record.name, "status": record.status, "tenant_id": record.tenant_id}


def port(record: Port, state: State) -> Representation:
    """A whole port, with what is in it."""
    return {
        "id": record.id,
        "network_id": record.network_id,
        "status": record.status,
        "fault": _fault(record.fault),
        "options": record.options,
        "attachment": _plugged(record, state),
        "plugin": record.plugin,
        "revision": record.revision,
        "created_at": record.created_at,
        "updated_at": record.updated_at,
    }


def port_entry(record: Port, state: State) -> Representation:
    """A port in a list."""
    return {"id": record.id, "status": record.status, "attachment": _plugged(record, state)}


def attachment(record: Attachment) -> Representation:
    """A whole attachment."""
    form = record.form
    return {
        "id": record.id,
        "network_id": record.network_id,
        "port_id": record.port_id,
        "type": form.type,
        "status": record.status,
        "fault": _fault(record.fault),
        "managed": form.managed,
        "reference": form.reference,
        "device": _given(form.device),
        "vlan": form.vlan,
        "tunnel": _given(form.tunnel),
        "plugin": record.plugin,
        "revision": record.revision,
        "created_at": record.created_at,
        "updated_at": record.updated_at,
    }


def attachment_entry(record: Attachment) -> Representation:
    """An attachment in the list of one network."""
    return {"id": record.id, "type": record.form.type, "status": record.status, "port_id": record.port_id}


def attachment_entry_anywhere(record: Attachment) -> Representation:
    """An attachment in the list of all networks."""
    return {**attachment_entry(record), "network_id": record.network_id}


def token(record: Token) -> Representation:
    """A token, without its secret, which nobody has."""
    return {"id": record.id, "tenant_id": record.tenant_id, "role": record.role, "created_at": record.created_at}


def issued_token(issued: Issued) -> Representation:
    """A token at its making, the one time that its secret is told."""
    record = issued.token
    return {"id": record.id, "tenant_id": record.tenant_id, "role": record.role, "secret": issued.secret}


def event(told: Event) -> Representation:
    """The data of an event; ``detail``, of a repair only, says what was found amiss, or what was left over."""
    if told.kind is Kind.LEFTOVER:
        return {"action": told.action, "at": told.at, "detail": told.detail}
    data = {
        "action": told.action,
        "at": told.at,
        "tenant_id": told.tenant_id,
        "network_id": told.network_id,
        "port_id": told.port_id,
        "attachment_id": told.attachment_id,
        "status": told.status,
        "fault": _fault(told.fault),
    }
    return data if told.detail is None else {**data, "detail": told.detail}


def _plugged(record: Port, state: State) -> Representation | None:
    latest = state.latest(record.id)
    return None if latest is None else {"id": latest.id, "type": latest.form.type, "status": latest.status}


def _fault(record: FaultRecord | None) -> Representation | None:
    return None if record is None else {"name": record.name, "message": record.message, "at": record.at}


def _given(part: Device | Tunnel | None) -> Mapping[str, Any] | None:
    """What was asked for of a device or tunnel, without what was not said."""
    return None if part is None else {name: value for name, value in asdict(part).items() if value is not None}
