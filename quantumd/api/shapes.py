"""What comes out, as JSON Schema (2020-12): one declaration for each representation of section 1 of the contract."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from quantumd.api.representations import DELETED
from quantumd.api.schemas import TYPES, UUID, VLAN
from quantumd.core.access import Role
from quantumd.core.errors import all_faults
from quantumd.core.model import AttachmentStatus, Json, Kind, Status
from quantumd.core.quotas import COUNTED
from quantumd.interfaces import Capabilities

_TEXT: Json = {"type": "string"}
_TIME: Json = {"type": "string", "format": "date-time", "description": "RFC 3339, UTC"}
_REVISION: Json = {
    "type": "integer",
    "minimum": 1,
    "description": "Grows with each accepted change of what was asked for",
}
_REPORT: Json = {"type": "object", "description": "What the plugin reports, such as the bridge and the device"}
_STATUS: Json = {"type": "string", "enum": [*map(str, Status), DELETED]}
_ATTACHMENT_STATUS: Json = {"type": "string", "enum": [*map(str, AttachmentStatus), DELETED]}
_INTEGER: Json = {"type": "integer"}
_TOLD = (Kind.NETWORK, Kind.PORT, Kind.ATTACHMENT)
_SCHEMA: Json = {"type": "object", "description": "A JSON Schema (2020-12)"}


def ref(name: str) -> Json:
    """A reference to one of the shapes."""
    return {"$ref": f"#/components/schemas/{name}"}


def _shape(properties: Mapping[str, Any], *optional: str) -> Json:
    """An object that has all of these members but the optional ones, and may get more in later versions."""
    return {
        "type": "object",
        "properties": dict(properties),
        "required": [name for name in properties if name not in optional],
    }


def _or_null(schema: Json) -> Json:
    return {"anyOf": [schema, {"type": "null"}]}


def _list(key: str, entry: Json) -> Json:
    return _shape({key: {"type": "array", "items": entry}})


_FAULT = _or_null(ref("Fault"))
_LIFE: Mapping[str, Json] = {"plugin": _REPORT, "revision": _REVISION, "created_at": _TIME, "updated_at": _TIME}
_PLUGGED = _shape({"id": _TEXT, "type": _TEXT, "status": _ATTACHMENT_STATUS})
_ENTRY: Mapping[str, Json] = {"id": _TEXT, "type": _TEXT, "status": _ATTACHMENT_STATUS, "port_id": UUID}
_TOKEN: Mapping[str, Json] = {
    "id": UUID,
    "tenant_id": _TEXT,
    "role": {"type": "string", "enum": [str(role) for role in Role]},
}
_SECRET: Json = {"type": "string", "description": "What to send as 'Authorization: Bearer ...'; told this once"}
_USAGE: Mapping[str, Json] = {
    what: _shape({"limit": {"type": ["integer", "null"], "description": "null: none"}, "used": _INTEGER})
    for what in COUNTED
}
_UP_OR_DOWN: Json = {"type": "string", "enum": ["up", "down"]}
_REASON: Json = {"type": ["string", "null"], "description": "Why it is down"}


def shapes(takes: Capabilities) -> dict[str, Json]:
    """Everything that is answered, by the names that routes and other shapes call it."""
    return {
        "Fault": _shape({"name": {"type": "string", "enum": sorted(all_faults())}, "message": _TEXT, "at": _TIME}),
        "Network": _shape(
            {
                "id": UUID,
                "name": _TEXT,
                "tenant_id": _TEXT,
                "status": _STATUS,
                "fault": _FAULT,
                "options": takes.network_options,
                **_LIFE,
            }
        ),
        "Port": _shape(
            {
                "id": UUID,
                "network_id": UUID,
                "status": _STATUS,
                "fault": _FAULT,
                "options": takes.port_options,
                "attachment": _or_null(_PLUGGED),
                **_LIFE,
            }
        ),
        "Attachment": _shape(
            {
                "id": _TEXT,
                "network_id": UUID,
                "port_id": UUID,
                "type": {"type": "string", "enum": list(dict.fromkeys((*TYPES, *takes.attachment_types)))},
                "status": _ATTACHMENT_STATUS,
                "fault": _FAULT,
                "managed": {"type": "boolean", "description": "quantumd makes and removes the device"},
                "reference": {"type": ["string", "null"]},
                "device": {"type": ["object", "null"], "description": "As it was asked for"},
                "vlan": _or_null(VLAN),
                "tunnel": {"type": ["object", "null"], "description": "As it was asked for"},
                **_LIFE,
            }
        ),
        "NetworkReply": _shape({"network": ref("Network")}),
        "PortReply": _shape({"port": ref("Port")}),
        "AttachmentReply": _shape({"attachment": ref("Attachment")}),
        "PluggedAttachments": _list("attachments", ref("Attachment")),
        "Networks": _list("networks", _shape({"id": UUID, "name": _TEXT, "status": _STATUS, "tenant_id": _TEXT})),
        "Ports": _list("ports", _shape({"id": UUID, "status": _STATUS, "attachment": _or_null(_PLUGGED)})),
        "Attachments": _list("attachments", _shape(_ENTRY)),
        "AttachmentsAnywhere": _list("attachments", _shape({**_ENTRY, "network_id": UUID})),
        "Event": {
            **_shape(
                {
                    "action": {"type": "string", "enum": ["created", "updated", "status", "deleted", "repaired"]},
                    "at": _TIME,
                    "tenant_id": _TEXT,
                    "network_id": UUID,
                    "port_id": _or_null(UUID),
                    "attachment_id": {"type": ["string", "null"]},
                    "status": _TEXT,
                    "fault": _FAULT,
                    "detail": {"type": "string", "description": "What a repair found amiss"},
                },
                "detail",
            ),
            "description": f"The data of an event whose name is one of {', '.join(_TOLD)}",
        },
        "Leftover": {
            **_shape(
                {
                    "action": {"type": "string", "enum": ["removed"]},
                    "at": _TIME,
                    "detail": {"type": "string", "description": "What it was"},
                }
            ),
            "description": "The data of an event whose name is leftover",
        },
        "Events": {
            "type": "string",
            "description": "Server-sent events: 'id' is a sequence number, 'event' is network, port or attachment and "
            "'data' an Event; with also=leftovers, it may be leftover and 'data' a Leftover. An event 'reset' says "
            "that those after Last-Event-ID are gone: read everything again",
        },
        "Token": _shape({**_TOKEN, "created_at": _TIME}),
        "TokenReply": _shape({"token": ref("Token")}),
        "Tokens": _list("tokens", ref("Token")),
        "IssuedToken": _shape({"token": _shape({**_TOKEN, "secret": _SECRET})}),
        "QuotasReply": _shape({"quotas": _shape({"tenant_id": _TEXT, **_USAGE, "total": _or_null(_shape(_USAGE))})}),
        "Service": _shape(
            {
                "service": _TEXT,
                "version": _TEXT,
                "api_version": _TEXT,
                "plugin": _shape(
                    {"name": _TEXT, "status": _UP_OR_DOWN, "reason": _REASON, "capabilities": {"type": "object"}}
                ),
                "links": {"type": "object", "additionalProperties": _TEXT},
            }
        ),
        "Extensions": _shape(
            {
                "network_options": _SCHEMA,
                "port_options": _SCHEMA,
                "attachment_types": {
                    "type": "object",
                    "additionalProperties": _shape({"description": _TEXT, "schema": _SCHEMA}),
                },
                "capabilities": {"type": "object"},
            }
        ),
        "OpenApi": {"type": "object", "description": "An OpenAPI 3.1 document"},
        "Health": _shape({"status": _UP_OR_DOWN, "reason": _REASON}),
        "Metrics": {"type": "string", "description": "The text format of Prometheus"},
        "BackupReply": _shape({"backup": _shape({"format": _TEXT, "bytes": _INTEGER, "content": _TEXT})}),
        "FaultDescription": _shape(
            {"name": _TEXT, "type": _TEXT, "title": _TEXT, "status": _INTEGER, "description": _TEXT}
        ),
        "Problem": _shape(
            {
                "type": {"type": "string", "description": "The path of the fault's description"},
                "title": _TEXT,
                "status": _INTEGER,
                "detail": {"type": "string", "description": "What happened, and what to do"},
                "errors": {
                    "type": "array",
                    "description": "Of a BadRequest: every field at fault",
                    "items": _shape({"path": _TEXT, "message": _TEXT}),
                },
            },
            "errors",
        ),
    }
