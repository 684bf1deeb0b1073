"""The OpenAPI 3.1 document, derived from the routes and from the schemas that judge requests."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from functools import cached_property
from typing import Any

import quantumd
from quantumd.api.faults import http_status
from quantumd.api.headers import LONGEST_WAIT
from quantumd.api.jsonxml import singular
from quantumd.api.media import JSON, XML, Format, problem_type
from quantumd.api.pages import API_VERSION
from quantumd.api.route import Route
from quantumd.api.routes import EVENTS, ROUTES
from quantumd.api.schemas import UUID
from quantumd.api.settings import NONE, ApiSettings
from quantumd.api.shapes import ref, shapes
from quantumd.core.errors import Fault, ServiceUnavailable, TooManyRequests, Unauthorized, all_faults
from quantumd.core.model import Json
from quantumd.interfaces import INetworkPlugin

_ABOUT = (
    "Layer-2 networks, ports and attachments on one host: the Quantum API proposal of 2011, settled. What is accepted "
    "(202) is carried out in the order accepted; `Prefer: wait=N` waits for it. A path may end in `.json` or `.xml`; "
    "otherwise `Accept` chooses. In XML a scalar is an attribute (in requests, or a child element with text), an "
    "object is a child element, a list is an element whose children have the singular name, and null is left out (in "
    'requests, or a child element with `xsi:nil="true"`). In a list of attachments a `marker` may be followed by `/` '
    "and a number, as in the `Link` header, where an id alone is ambiguous."
)
_IDS: Mapping[str, Json] = {
    "network_id": {"description": "The id of a network", "schema": UUID},
    "port_id": {"description": "The id of a port of that network", "schema": UUID},
    "token_id": {"description": "The id of a token", "schema": UUID},
    "name": {"description": "The name of a fault", "schema": {"type": "string", "enum": sorted(all_faults())}},
}
#: Where the ids of a resource are in the reply that tells of it, by the reply's schema.
_FOUND: Mapping[str, Mapping[str, str]] = {
    "NetworkReply": {"network_id": "network/id"},
    "PortReply": {"network_id": "port/network_id", "port_id": "port/id"},
    "AttachmentReply": {"network_id": "attachment/network_id", "port_id": "attachment/port_id"},
    "IssuedToken": {"token_id": "token/id"},
}
_DESCRIPTIONS = {200: "Here it is", 201: "Made", 202: "Accepted", 204: "Done"}
#: What the schemas for XML are called beside those for JSON.
_XML = "Xml"
_STRING: Json = {"type": "string"}
_PREFER: Json = {
    "name": "Prefer",
    "in": "header",
    "description": f"wait=N: reply when the resource has settled, or N (at most {LONGEST_WAIT}) seconds are over",
    "schema": _STRING,
    "example": "wait=10",
}
_IF_MATCH: Json = {
    "name": "If-Match",
    "in": "header",
    "description": "Do it only if the resource still is the one with this ETag",
    "schema": _STRING,
}
_LAST_EVENT_ID: Json = {
    "name": "Last-Event-ID",
    "in": "header",
    "description": "Begin after the event with this id; without it, from now on",
    "schema": {"type": "string", "pattern": "^[0-9]+$"},
}
_HEADERS: Mapping[str, str] = {
    "ETag": "A strong entity tag, which changes with the revision; of what has none, with the content",
    "Location": "The path of the resource",
    "Preference-Applied": "How long was waited for at most, as wait=N",
    "Link": 'The next page, as <path>; rel="next", where there is one',
    "Retry-After": "In how many seconds to try again",
    "WWW-Authenticate": "What kind of credentials are asked for",
}


class OpenApi:
    """The document of one daemon. What the plugin takes is asked of it when the document is first wanted."""

    def __init__(self, plugin: INetworkPlugin, settings: ApiSettings) -> None:
        self._plugin = plugin
        self._settings = settings

    def document(self) -> Json:
        """The whole of it."""
        return self._document

    @cached_property
    def _document(self) -> Json:
        takes = self._plugin.capabilities
        bodies = [route.body(takes) for route in ROUTES if route.body is not None]
        schemas = {**shapes(takes), **{body.name: body.schema for body in bodies}}
        paths: defaultdict[str, dict[str, Any]] = defaultdict(dict)
        for route in ROUTES:
            paths[route.path.replace("<", "{").replace(">", "}")][route.method.lower()] = self._operation(route)
        return {
            "openapi": "3.1.0",
            "info": {"title": "quantumd", "version": API_VERSION, "description": _ABOUT},
            "servers": [{"url": "/"}],
            "paths": dict(paths),
            "components": {
                "schemas": {**schemas, **{f"{name}{_XML}": in_xml(schema) for name, schema in schemas.items()}},
                "securitySchemes": {"bearer": {"type": "http", "scheme": "bearer"}},
            },
            "x-version": quantumd.__version__,
            "x-faults": {
                name: {"status": http_status(fault, self._settings.status_codes), "description": fault.description}
                for name, fault in sorted(all_faults().items())
            },
        }

    def _operation(self, route: Route) -> Json:
        operation: dict[str, Any] = {
            "operationId": route.name,
            "summary": route.summary,
            "parameters": self._parameters(route),
            "responses": self._responses(route),
            "security": [] if route.public or self._settings.auth_mode == NONE else [{"bearer": []}],
        }
        if route.body is not None:
            body = route.body(self._plugin.capabilities)
            operation["requestBody"] = {"required": not body.optional, "content": _both(body.name)}
        return operation

    def _parameters(self, route: Route) -> list[Json]:
        path: list[Json] = [{"name": name, "in": "path", "required": True, **_IDS[name]} for name in route.parameters]
        query: list[Json] = [
            {"name": name, "in": "query", "schema": schema}
            for name, schema in route.query(self._plugin.capabilities).items()
        ]
        headers: list[Json] = [_PREFER] * route.waits + [_IF_MATCH] * route.matches
        return path + query + headers + [_LAST_EVENT_ID] * (route.media_type == EVENTS)

    def _responses(self, route: Route) -> Json:
        alone = {route.media_type: {"schema": ref(route.reply)}}
        media = _both(route.reply) if route.media_type is None else alone
        good = {
            "description": _DESCRIPTIONS[route.status],
            "headers": _headers(*_reply_headers(route)),
            **({"content": media} if route.reply else {}),
        }
        responses = {str(route.status): {**good, "links": _links(route)} if route.reply in _FOUND else good}
        if route.name == "show_health":
            responses["503"] = {"description": "The plugin's backend is away", "content": media}
        by_status: defaultdict[int, list[type[Fault]]] = defaultdict(list)
        for fault in route.every_fault():
            by_status[http_status(fault, self._settings.status_codes)].append(fault)
        for status, possible in sorted(by_status.items()):
            responses[str(status)] = {
                "description": " / ".join(f"{fault.name}: {fault.description}" for fault in possible),
                "headers": _headers(*(name for fault in possible for name in _fault_headers(fault))),
                "content": {
                    problem_type(Format.JSON): {"schema": ref("Problem")},
                    problem_type(Format.XML): {"schema": ref("Problem" + _XML)},
                },
            }
        return responses


def _both(name: str) -> Json:
    return {JSON: {"schema": ref(name)}, XML: {"schema": ref(name + _XML)}}


def _links(route: Route) -> Json:
    """What can be done with the resource that a reply tells of."""
    ids = {name: f"$response.body#/{place}" for name, place in _FOUND[route.reply].items()}
    return {
        other.name: {"operationId": other.name, "parameters": {name: ids[name] for name in other.parameters}}
        for other in ROUTES
        if other.parameters and set(other.parameters) <= set(ids)
    }


def in_xml(schema: Json) -> Json:
    """A schema of what is said in JSON, as one of what is said in XML by the rule of the contract."""
    properties = schema.get("properties", {})
    if len(properties) == 1:
        ((name, inner),) = properties.items()
        if not _is_scalar(inner):
            return _element(inner, name)
    return _element(schema, None)


def _element(schema: Json, name: str | None) -> Json:
    marked = {**schema, "xml": {"name": name}} if name is not None else dict(schema)
    if "$ref" in schema:
        marked["$ref"] = schema["$ref"] + _XML
    if "properties" in schema:
        marked["properties"] = {key: _member(key, inner) for key, inner in schema["properties"].items()}
    if "oneOf" in schema:
        marked["oneOf"] = [_element(inner, None) for inner in schema["oneOf"]]
    if "items" in schema:
        marked["items"] = _element(schema["items"], singular(name or ""))
        marked["xml"] = {"name": name, "wrapped": True}
    return marked


def _member(name: str, schema: Json) -> Json:
    """A member of an object. Null is left out, and a scalar is an attribute."""
    if "anyOf" in schema:
        rest = [inner for inner in schema["anyOf"] if inner != {"type": "null"}]
        if len(rest) == 1:
            return _member(name, rest[0])
    types = schema.get("type")
    if isinstance(types, list):
        some = [kind for kind in types if kind != "null"]
        return _member(name, {**schema, "type": some[0] if len(some) == 1 else tuple(some)})
    return {**schema, "xml": {"attribute": True}} if _is_scalar(schema) else _element(schema, name)


def _is_scalar(schema: Json) -> bool:
    return schema.get("type") not in (None, "object", "array")


def _reply_headers(route: Route) -> list[str]:
    names = ["ETag"] if route.media_type is None and route.status in (200, 202) else []
    names += ["Preference-Applied"] if route.waits else []
    names += ["Location"] if route.status in (201, 202) else []
    return names + ["Link"] * route.lists


def _fault_headers(fault: type[Fault]) -> tuple[str, ...]:
    if issubclass(fault, Unauthorized):
        return ("WWW-Authenticate",)
    return ("Retry-After",) if issubclass(fault, ServiceUnavailable | TooManyRequests) else ()


def _headers(*names: str) -> Json:
    return {name: {"description": _HEADERS[name], "schema": _STRING} for name in names}
