"""The one declaration of what goes in: request bodies and query parameters, as JSON Schema (2020-12).

Validation, the reading of XML, ``/extensions`` and the OpenAPI document all come from here. What depends on the plugin
(options, types, forms of device) comes from its :class:`~quantumd.interfaces.Capabilities`; the forms of the contract
are well-formed whatever the plugin takes, and it is the plugin that refuses them. ``x-says`` is what a person is told
where a value does not match; ``format`` names a check of :mod:`~quantumd.api.validation`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from attrs import evolve, field, frozen

from quantumd.api.jsonxml import UNSPEAKABLE
from quantumd.core.access import Role
from quantumd.core.model import AttachmentStatus, Json, Status
from quantumd.core.names import IFNAME_BYTES, TEXT_PATTERN
from quantumd.interfaces import Capabilities

#: Half a surrogate pair is refused before any schema is asked, and many readers of OpenAPI take no pattern with one.
_SURROGATES = r"\ud800-\udfff"
_TEXT = TEXT_PATTERN.replace(_SURROGATES, "")
_WORDS = "must have no control characters, surrogates or noncharacters"

UUID: Json = {
    "type": "string",
    "format": "uuid",
    "pattern": "^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$",
    "x-says": "must be a lower-case UUID, such as 3f2b8a7e-0c1d-4e5f-8a9b-0c1d2e3f4a5b",
}
NAME: Json = {"type": "string", "minLength": 1, "maxLength": 255, "pattern": _TEXT, "x-says": _WORDS}
ATTACHMENT_ID: Json = {
    "type": "string",
    "description": "The caller's own name for its resource, such as that of a VM's NIC",
    "minLength": 1,
    "maxLength": 255,
    "pattern": _TEXT.replace("^[^", "^[^/", 1),
    "x-says": f"{_WORDS}, and no '/'",
}
IFNAME: Json = {
    "type": "string",
    "description": f"The name of a network device: at most {IFNAME_BYTES} bytes",
    "minLength": 1,
    "format": "ifname",
}
MAC: Json = {"type": "string", "format": "mac", "description": "A unicast MAC address, such as 02:00:00:00:00:01"}
ADDRESS: Json = {"type": "string", "format": "ip", "description": "An IPv4 or IPv6 address of one host"}
NETNS: Json = {
    "type": "string",
    "format": "netns",
    "description": "A network namespace: a name as 'ip netns' knows it, that file's path, or /proc/PID/ns/net",
}
#: A uid or gid; the kernel keeps -1, which is 4294967295, for "none".
OWNER: Json = {"type": "integer", "minimum": 0, "maximum": 4294967294}
REFERENCE: Json = {
    "type": ["string", "null"],
    "description": "Any text of the caller's, kept and given back",
    "pattern": f"^[^{UNSPEAKABLE.replace(_SURROGATES, '')}]*$",
    "x-says": "must have no characters that XML cannot carry",
}
VLAN: Json = {"type": "integer", "minimum": 1, "maximum": 4094}
UDP_PORT: Json = {"type": "integer", "minimum": 1, "maximum": 65535, "default": 4789}
#: 0 and 16777215 are not given to anybody.
VNI: Json = {"type": "integer", "minimum": 1, "maximum": 16777214}
FORCE: Json = {
    "type": "boolean",
    "description": "Take the device even where it carries the host's own addresses or default route",
    "default": False,
}

#: How many attachments one request may plug: so many hold the reactor for some hundredths of a second.
MANY = 100

#: What the contract has of types, of devices that are made, and of kinds of tunnel.
TYPES = ("vif", "bridge", "tunnel")
DEVICES = ("tap", "veth")
TUNNELS = ("vxlan",)

_DEVICE: Mapping[str, Json] = {
    "name": IFNAME,
    "netns": NETNS,
    "ifname": IFNAME,
    "mac": MAC,
    "owner_uid": OWNER,
    "owner_gid": OWNER,
    "multi_queue": {"type": "boolean", "default": False},
}
#: What each form of device that quantumd makes takes, and what of that must be there; a plugin's own take everything.
_MADE: Mapping[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "tap": (("name", "mac", "owner_uid", "owner_gid", "multi_queue"), ()),
    "veth": (("name", "mac", "netns", "ifname"), ("netns", "ifname")),
    "internal": (("name", "mac", "netns", "ifname"), ("netns", "ifname")),
}


def record(properties: Mapping[str, Any], required: tuple[str, ...] = (), **more: Any) -> Json:
    """An object with these members and no others."""
    schema: dict[str, Any] = {"type": "object", "properties": dict(properties), "additionalProperties": False, **more}
    return {**schema, "required": list(required)} if required else schema


@frozen
class Body:
    """What a request's body may be. ``name`` is that of its schema in the OpenAPI document, ``key`` its one member.

    ``forms`` are the schemas of the whole body, of which just one is meant, found by ``select`` from the body itself
    (so that whoever errs is told what is wrong with the form that was meant, not with all of them). ``anything`` has
    the fields of all of them: it reads XML, and judges a body whose form cannot be told. ``fixed`` are fields that the
    resource has and the body may not. With ``each``, the member is a list, and each thing in it is judged like the
    member of that body; ``forms`` and ``anything`` are then of the list, and say nothing of what is in it.
    """

    name: str
    key: str
    forms: Mapping[str, Json]
    anything: Json
    select: Callable[[Any], str | None] = lambda _: "only"
    optional: bool = False
    fixed: frozenset[str] = field(default=frozenset())
    each: Body | None = None

    @property
    def schema(self) -> Json:
        """One schema that is fulfilled by just the bodies that are taken."""
        if self.each is not None:
            items = self.each.schema["properties"][self.each.key]
            (outer,) = self.forms.values()
            return record({self.key: {**outer["properties"][self.key], "items": items}}, (self.key,))
        forms = list(self.forms.values())
        if len(forms) == 1:
            return forms[0]
        inner = [form["properties"][self.key] for form in forms]
        return record({self.key: {"oneOf": inner}}, (self.key,))


def network_create(takes: Capabilities) -> Body:
    """Operation 3."""
    properties = {"id": UUID, "name": NAME, "tenant_id": NAME, "options": takes.network_options}
    return _single("NetworkCreate", "network", record(properties, ("name",)))


def network_update(takes: Capabilities) -> Body:
    """Operation 4: what is there is changed, an option that is null is taken back."""
    properties = {"name": NAME, "options": _patch(takes.network_options)}
    fixed = ("id", "tenant_id", "status", "fault", "plugin", "revision", "created_at", "updated_at")
    return _single("NetworkUpdate", "network", record(properties), fixed=frozenset(fixed))


def token_create(_: Capabilities) -> Body:
    """Who shall hold the token."""
    role: Json = {"type": "string", "enum": [str(role) for role in Role]}
    return _single("TokenCreate", "token", record({"tenant_id": NAME, "role": role}, ("tenant_id", "role")))


def port_create(takes: Capabilities) -> Body:
    """Operation 8."""
    return _single("PortCreate", "port", record({"id": UUID, "options": takes.port_options}), optional=True)


def attachment_plug(takes: Capabilities) -> Body:
    """Operations 11 and 14."""
    return _attachment_body("AttachmentPlug", takes, {})


def attachments_plug(takes: Capabilities) -> Body:
    """Many at once, each with the network that it goes to."""
    each = _attachment_body("AttachmentPlugAnywhere", takes, {"network_id": UUID})
    bounds = {"type": "array", "minItems": 1, "maxItems": MANY, "x-says": f"must have 1 to {MANY} attachments"}
    anything = {**bounds, "items": each.anything["properties"][each.key]}
    return Body(
        name="AttachmentsPlug",
        key="attachments",
        forms={"only": _whole("attachments", bounds)},
        anything=_whole("attachments", anything),
        each=each,
    )


def _attachment_body(name: str, takes: Capabilities, more: Mapping[str, Json]) -> Body:
    """An attachment in each of its forms, which all have ``more`` members."""
    types = dict.fromkeys((*TYPES, *takes.attachment_types), "")
    takes = evolve(
        takes,
        attachment_types=types,
        devices=tuple(dict.fromkeys((*DEVICES, *takes.devices))),
        tunnels=tuple(dict.fromkeys((*TUNNELS, *takes.tunnels))),
    )
    forms = {form: _more(schema, more) for form, schema in attachment_forms(takes).items()}
    return Body(
        name=name,
        key="attachment",
        forms={form: _whole("attachment", schema) for form, schema in forms.items()},
        anything=_whole("attachment", _more(_any_attachment(takes, forms), more)),
        select=lambda body: _attachment_form(body, forms),
    )


def _more(schema: Json, more: Mapping[str, Json]) -> Json:
    """The schema of a record with these members too, which all have to be there."""
    return {
        **schema,
        "properties": {**schema["properties"], **more},
        "required": list(dict.fromkeys((*schema["required"], *more))),
    }


def _single(name: str, key: str, inner: Json, *, optional: bool = False, fixed: frozenset[str] = frozenset()) -> Body:
    whole = _whole(key, inner)
    return Body(name=name, key=key, forms={"only": whole}, anything=whole, optional=optional, fixed=fixed)


def _whole(key: str, inner: Json) -> Json:
    return record({key: inner}, (key,))


def _patch(options: Json) -> Json:
    """The schema of options that are merged into those that are there."""
    properties = {name: _nullable(schema) for name, schema in options.get("properties", {}).items()}
    return {**{key: value for key, value in options.items() if key != "required"}, "properties": properties}


def _nullable(schema: Json) -> Json:
    types = schema.get("type")
    if types is None:
        return {"anyOf": [schema, {"type": "null"}]}
    nullable = {**schema, "type": [types, "null"] if isinstance(types, str) else [*types, "null"]}
    return {**nullable, "enum": [*schema["enum"], None]} if "enum" in schema else nullable


def attachment_forms(takes: Capabilities) -> dict[str, Json]:
    """The forms of an attachment that a plugin with these capabilities takes, by name."""
    common = {"id": ATTACHMENT_ID, "reference": REFERENCE, "force": FORCE}
    named = record({"name": IFNAME}, ("name",))
    forms: dict[str, Json] = {}
    for kind in takes.attachment_types:
        tagged = {**common, "type": {"const": kind, "type": "string"}}
        if kind == "bridge":
            forms[kind] = record({**tagged, "device": named, "vlan": VLAN}, ("id", "type", "device"))
        elif kind == "tunnel":
            forms[kind] = record({**tagged, "tunnel": _tunnel(takes)}, ("id", "type", "tunnel"))
        else:
            required = ("id",) if kind == "vif" else ("id", "type")
            forms[kind] = record(tagged, required)
            forms[f"{kind} device"] = record({**tagged, "device": named}, (*required, "device"))
            for create in takes.devices:
                form = record({**tagged, "device": _made(create)}, (*required, "device"))
                forms[f"{kind} {create}"] = form
    return forms


def _made(create: str) -> Json:
    fields, required = _MADE.get(create, (tuple(_DEVICE), ()))
    properties = {"create": {"const": create, "type": "string"}, **{name: _DEVICE[name] for name in fields}}
    return record(properties, ("create", *required))


def _tunnel(takes: Capabilities) -> Json:
    properties = {
        "kind": {"type": "string", "enum": list(takes.tunnels)},
        "remote": ADDRESS,
        "vni": VNI,
        "local": ADDRESS,
        "port": UDP_PORT,
    }
    return record(properties, ("kind", "remote", "vni"), **{"x-same-family": ["remote", "local"]})


def _any_attachment(takes: Capabilities, forms: Mapping[str, Json]) -> Json:
    properties = {name: schema for form in forms.values() for name, schema in form["properties"].items()}
    properties["type"] = {"type": "string", "enum": list(takes.attachment_types)}
    create = {"type": "string", "enum": list(takes.devices)}
    return record({**properties, "device": record({"create": create, **_DEVICE})}, ("id",))


def _attachment_form(body: Any, forms: Mapping[str, Json]) -> str | None:
    """The name of the form that is meant; None: it cannot be told."""
    attachment = body.get("attachment") if isinstance(body, dict) else None
    if not isinstance(attachment, dict):
        return None
    kind = attachment.get("type", "vif")
    if not isinstance(kind, str) or kind not in forms:
        return None
    if f"{kind} device" not in forms or "device" not in attachment:
        return kind
    device = attachment["device"]
    if not isinstance(device, dict) or "create" not in device:
        return f"{kind} device"
    create = device["create"]
    form = f"{kind} {create}"
    return form if form in forms and isinstance(create, str) and create != "device" else None


# --- query parameters

LIMIT: Json = {"type": "integer", "minimum": 1, "maximum": 1000, "description": "How many to list at most"}
MARKER: Json = {"type": "string", "description": "The id of the last one seen: list what comes after it"}
_STATUS: Json = {"type": "string", "enum": [str(status) for status in Status]}
_ATTACHMENT_STATUS: Json = {"type": "string", "enum": [str(status) for status in AttachmentStatus]}

PAGE: Mapping[str, Json] = {"limit": LIMIT, "marker": MARKER}
NETWORK_QUERY: Mapping[str, Json] = {**PAGE, "name": {"type": "string"}, "status": _STATUS}
PORT_QUERY: Mapping[str, Json] = {**PAGE, "status": _STATUS, "attachment": {"type": "string"}}

EVENT_QUERY: Mapping[str, Json] = {
    "also": {
        "type": "string",
        "enum": ["leftovers"],
        "description": "An admin is told of what belonged to nothing and was removed too, by events 'leftover'",
    }
}

QUOTA_QUERY: Mapping[str, Json] = {"tenant_id": {**NAME, "description": "Whose; an admin may ask for any tenant"}}


def attachment_query(takes: Capabilities) -> Mapping[str, Json]:
    """The parameters of the lists of attachments; a type is one that anybody could have plugged."""
    types = dict.fromkeys((*TYPES, *takes.attachment_types))
    return {
        **PAGE,
        "id": {"type": "string"},
        "type": {"type": "string", "enum": list(types)},
        "status": _ATTACHMENT_STATUS,
    }
