"""What is not about networks: the root, extensions, health, faults, metrics and the OpenAPI document."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import orjson
from attrs import frozen
from prometheus_client import CollectorRegistry, generate_latest

import quantumd
from quantumd.api.faults import fault_path, http_status
from quantumd.api.operations import Call, Handler, Reply
from quantumd.api.schemas import attachment_forms
from quantumd.core.errors import all_faults
from quantumd.core.model import Json
from quantumd.interfaces import INetworkPlugin

#: The version of the API: of the proposal of 2011, settled.
API_VERSION = "1.0"

#: The media type of ``generate_latest``, which older and newer versions of the library call by different names.
EXPOSITION = "text/plain; version=0.0.4; charset=utf-8"

LINKS: Mapping[str, str] = {
    "networks": "/networks",
    "attachments": "/attachments",
    "extensions": "/extensions",
    "events": "/events",
    "quotas": "/quotas",
    "tokens": "/tokens",
    "openapi": "/openapi.json",
    "health": "/health",
    "metrics": "/metrics",
}


@frozen
class Pages:
    """Each method is the operation of that name in :mod:`~quantumd.api.routes`; ``openapi`` makes the document."""

    plugin: INetworkPlugin
    status_codes: str
    registry: CollectorRegistry
    openapi: Callable[[], Json]

    @property
    def handlers(self) -> Mapping[str, Handler]:
        """The operations by name."""
        return {
            "show_service": self.show_service,
            "show_extensions": self.show_extensions,
            "show_openapi": self.show_openapi,
            "show_health": self.show_health,
            "show_metrics": self.show_metrics,
            "show_fault": self.show_fault,
        }

    def show_service(self, _: Call) -> Reply:
        """``GET /``."""
        plugin = {"name": self.plugin.name, **self._health(), "capabilities": self._capabilities()}
        return Reply(
            body={
                "service": "quantumd",
                "version": quantumd.__version__,
                "api_version": API_VERSION,
                "plugin": plugin,
                "links": LINKS,
            }
        )

    def show_extensions(self, _: Call) -> Reply:
        """``GET /extensions``: formats are JSON Schemas."""
        takes = self.plugin.capabilities
        forms: dict[str, list[Json]] = {kind: [] for kind in takes.attachment_types}
        for form in attachment_forms(takes).values():
            forms[form["properties"]["type"]["const"]].append(form)
        types = {
            kind: {"description": description, "schema": {"oneOf": forms[kind]}}
            for kind, description in takes.attachment_types.items()
        }
        return Reply(
            body={
                "network_options": takes.network_options,
                "port_options": takes.port_options,
                "attachment_types": types,
                "capabilities": self._capabilities(),
            }
        )

    def show_openapi(self, _: Call) -> Reply:
        """``GET /openapi.json``."""
        return Reply(body=orjson.dumps(self.openapi()))

    def show_health(self, _: Call) -> Reply:
        """``GET /health``."""
        health = self._health()
        return Reply(body=health, status=200 if health["status"] == "up" else 503)

    def show_metrics(self, _: Call) -> Reply:
        """``GET /metrics``."""
        return Reply(body=generate_latest(self.registry), headers={"Content-Type": EXPOSITION})

    def show_fault(self, call: Call) -> Reply:
        """``GET /faults/{name}``."""
        fault = all_faults()[call.ids["name"]]
        return Reply(
            body={
                "name": fault.name,
                "type": fault_path(fault),
                "title": fault.title,
                "status": http_status(fault, self.status_codes),
                "description": fault.description,
            }
        )

    def _health(self) -> dict[str, Any]:
        why = self.plugin.unavailable
        return {"status": "up", "reason": None} if why is None else {"status": "down", "reason": why}

    def _capabilities(self) -> dict[str, Any]:
        takes = self.plugin.capabilities
        return {
            **takes.features,
            "attachment_types": list(takes.attachment_types),
            "devices": list(takes.devices),
            "tunnels": list(takes.tunnels),
            "fixed_ports": self.plugin.fixed_ports,
        }
