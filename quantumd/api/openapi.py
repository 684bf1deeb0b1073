"""The OpenAPI 3.1 document, derived from the routes and from the schemas that judge requests."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from functools import cached_property
from typing import Any

import quantumd
from quantumd.api.faults import http_status
from quantumd.api.headers import LONGEST_WAIT
from quantumd.api.media import JSON, XML, Format, problem_type
from quantumd.api.pages import API_VERSION
from quantumd.api.routes import EVENTS, ROUTES, Route
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
_IDS = {
    "network_id": "The id of a network",
    "port_id": "The id of a port of that network",
    "name": "The name of a fault",
}
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
    "ETag": "A strong entity tag, which changes with the revision",
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
        paths: defaultdict[str, dict[str, Any]] = defaultdict(dict)
        for route in ROUTES:
            paths[route.path.replace("<", "{").replace(">", "}")][route.method.lower()] = self._operation(route)
        return {
            "openapi": "3.1.0",
            "info": {"title": "quantumd", "version": API_VERSION, "description": _ABOUT},
            "servers": [{"url": "/"}],
            "paths": dict(paths),
            "components": {
                "schemas": {**shapes(takes), **{body.name: body.schema for body in bodies}},
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
            operation["requestBody"] = {"required": not body.optional, "content": _both(ref(body.name))}
        return operation

    def _parameters(self, route: Route) -> list[Json]:
        path: list[Json] = [
            {"name": name, "in": "path", "required": True, "description": _IDS[name], "schema": _STRING}
            for name in route.parameters
        ]
        query: list[Json] = [
            {"name": name, "in": "query", "schema": schema}
            for name, schema in route.query(self._plugin.capabilities).items()
        ]
        headers: list[Json] = [_PREFER] * route.waits + [_IF_MATCH] * route.matches
        return path + query + headers + [_LAST_EVENT_ID] * (route.media_type == EVENTS)

    def _responses(self, route: Route) -> Json:
        media = (
            _both(ref(route.reply)) if route.media_type is None else {route.media_type: {"schema": ref(route.reply)}}
        )
        responses = {
            str(route.status): {
                "description": "Accepted" if route.status == 202 else "Here it is",
                "headers": _headers(*_reply_headers(route)),
                "content": media,
            }
        }
        if route.name == "show_health":
            responses["503"] = {"description": "The plugin's backend is away", "content": media}
        by_status: defaultdict[int, list[type[Fault]]] = defaultdict(list)
        for fault in route.every_fault():
            by_status[http_status(fault, self._settings.status_codes)].append(fault)
        for status, possible in sorted(by_status.items()):
            responses[str(status)] = {
                "description": " / ".join(f"{fault.name}: {fault.description}" for fault in possible),
                "headers": _headers(*(name for fault in possible for name in _fault_headers(fault))),
                "content": {problem_type(form): {"schema": ref("Problem")} for form in Format},
            }
        return responses


def _both(schema: Json) -> Json:
    return {JSON: {"schema": schema}, XML: {"schema": schema}}


def _reply_headers(route: Route) -> list[str]:
    names = ["ETag", "Preference-Applied"] if route.waits else []
    names += ["Location"] if route.status == 202 else []
    return names + ["Link"] * route.lists


def _fault_headers(fault: type[Fault]) -> tuple[str, ...]:
    if issubclass(fault, Unauthorized):
        return ("WWW-Authenticate",)
    return ("Retry-After",) if issubclass(fault, ServiceUnavailable | TooManyRequests) else ()


def _headers(*names: str) -> Json:
    return {name: {"description": _HEADERS[name], "schema": _STRING} for name in names}
