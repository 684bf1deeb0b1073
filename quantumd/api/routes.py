"""The table of everything that can be asked for: the only list of paths, verbs, parameters and faults there is."""

from __future__ import annotations

from quantumd.api import schemas
from quantumd.api.route import Ids, Route
from quantumd.core.access import Caller, find_token, visible_network
from quantumd.core.errors import (
    AlreadyAttached,
    AttachmentNotFound,
    AttachmentsPlugged,
    IdInUse,
    NetworkNotFound,
    NotFound,
    PluginFault,
    PortInUse,
    PortNotFound,
    PreconditionFailed,
    ServiceUnavailable,
    all_faults,
)
from quantumd.core.intent import find_attachment, find_port, live_network, live_port
from quantumd.core.state import State

TEXT = "text/plain"
EVENTS = "text/event-stream"
JSON_ONLY = "application/json"


def _network(state: State, caller: Caller, ids: Ids) -> object:
    return visible_network(state, caller, ids["network_id"])


def _live_network(state: State, caller: Caller, ids: Ids) -> object:
    _network(state, caller, ids)
    return live_network(state, ids["network_id"])


def _port(state: State, caller: Caller, ids: Ids) -> object:
    _network(state, caller, ids)
    return find_port(state, ids["network_id"], ids["port_id"])


def _live_port(state: State, caller: Caller, ids: Ids) -> object:
    _network(state, caller, ids)
    return live_port(state, ids["network_id"], ids["port_id"])


def _attachment(state: State, caller: Caller, ids: Ids) -> object:
    _network(state, caller, ids)
    return find_attachment(state, ids["network_id"], ids["port_id"])


def _token(state: State, _: Caller, ids: Ids) -> object:
    return find_token(state, ids["token_id"])


def _fault(_: State, __: Caller, ids: Ids) -> object:
    if ids["name"] not in all_faults():
        raise NotFound("There is no fault of this name; the 'type' of a fault is the path of its description.")
    return None


_NETWORK = "/networks/<network_id>"
_PORT = f"{_NETWORK}/ports/<port_id>"
_PLUG = (NetworkNotFound, AlreadyAttached, PortInUse, PluginFault, ServiceUnavailable)

ROUTES: tuple[Route, ...] = (
    Route(
        name="list_networks",
        method="GET",
        path="/networks",
        summary="List the networks, oldest first",
        reply="Networks",
        lists=True,
        query=lambda _: schemas.NETWORK_QUERY,
    ),
    Route(
        name="create_network",
        method="POST",
        path="/networks",
        summary="Make a network",
        reply="NetworkReply",
        status=202,
        body=schemas.network_create,
        faults=(IdInUse, PluginFault, ServiceUnavailable),
        waits=True,
    ),
    Route(
        name="show_network",
        method="GET",
        path=_NETWORK,
        summary="Show a network",
        reply="NetworkReply",
        target=_network,
        faults=(NetworkNotFound,),
        waits=True,
    ),
    Route(
        name="update_network",
        method="PUT",
        path=_NETWORK,
        summary="Rename a network, or change its options",
        reply="NetworkReply",
        status=202,
        body=schemas.network_update,
        target=_live_network,
        faults=(NetworkNotFound, PreconditionFailed, IdInUse, PluginFault, ServiceUnavailable),
        waits=True,
        matches=True,
    ),
    Route(
        name="delete_network",
        method="DELETE",
        path=_NETWORK,
        summary="Delete a network and its ports, into which nothing may be plugged",
        reply="NetworkReply",
        status=202,
        target=_network,
        faults=(NetworkNotFound, PreconditionFailed, AttachmentsPlugged, PluginFault, ServiceUnavailable),
        waits=True,
        matches=True,
    ),
    Route(
        name="list_ports",
        method="GET",
        path=f"{_NETWORK}/ports",
        summary="List the ports of a network, oldest first",
        reply="Ports",
        lists=True,
        query=lambda _: schemas.PORT_QUERY,
        target=_network,
        faults=(NetworkNotFound,),
    ),
    Route(
        name="create_port",
        method="POST",
        path=f"{_NETWORK}/ports",
        summary="Make a port",
        reply="PortReply",
        status=202,
        body=schemas.port_create,
        target=_live_network,
        faults=(NetworkNotFound, IdInUse, PluginFault, ServiceUnavailable),
        waits=True,
    ),
    Route(
        name="show_port",
        method="GET",
        path=_PORT,
        summary="Show a port and what is plugged into it",
        reply="PortReply",
        target=_port,
        faults=(NetworkNotFound, PortNotFound),
        waits=True,
    ),
    Route(
        name="delete_port",
        method="DELETE",
        path=_PORT,
        summary="Delete a port, into which nothing may be plugged",
        reply="PortReply",
        status=202,
        target=_port,
        faults=(
            NetworkNotFound,
            PortNotFound,
            PreconditionFailed,
            AttachmentsPlugged,
            PluginFault,
            ServiceUnavailable,
        ),
        waits=True,
        matches=True,
    ),
    Route(
        name="show_attachment",
        method="GET",
        path=f"{_PORT}/attachment",
        summary="Show what is plugged into a port",
        reply="AttachmentReply",
        target=_attachment,
        faults=(NetworkNotFound, PortNotFound, AttachmentNotFound),
        waits=True,
    ),
    Route(
        name="plug_attachment",
        method="PUT",
        path=f"{_PORT}/attachment",
        summary="Plug something into a port",
        reply="AttachmentReply",
        status=202,
        body=schemas.attachment_plug,
        target=_live_port,
        faults=(*_PLUG, PortNotFound, PreconditionFailed, IdInUse),
        waits=True,
        matches=True,
    ),
    Route(
        name="unplug_attachment",
        method="DELETE",
        path=f"{_PORT}/attachment",
        summary="Unplug what is in a port",
        reply="AttachmentReply",
        status=202,
        target=_attachment,
        faults=(
            NetworkNotFound,
            PortNotFound,
            AttachmentNotFound,
            PreconditionFailed,
            PluginFault,
            ServiceUnavailable,
        ),
        waits=True,
        matches=True,
    ),
    Route(
        name="list_network_attachments",
        method="GET",
        path=f"{_NETWORK}/attachments",
        summary="List what is plugged into a network, oldest first",
        reply="Attachments",
        lists=True,
        query=schemas.attachment_query,
        target=_network,
        faults=(NetworkNotFound,),
    ),
    Route(
        name="plug_anywhere",
        method="POST",
        path=f"{_NETWORK}/attachments",
        summary="Plug something into a free port of a network, or into a new one",
        reply="AttachmentReply",
        status=202,
        body=schemas.attachment_plug,
        target=_live_network,
        faults=(*_PLUG, IdInUse),
        waits=True,
    ),
    Route(
        name="list_attachments",
        method="GET",
        path="/attachments",
        summary="List what is plugged into any network, oldest first",
        reply="AttachmentsAnywhere",
        lists=True,
        query=schemas.attachment_query,
    ),
    Route(
        name="plug_many",
        method="POST",
        path="/attachments",
        summary="Plug several things into networks, each into a free port or a new one: all of them, or none",
        reply="PluggedAttachments",
        status=202,
        body=schemas.attachments_plug,
        faults=(*_PLUG, IdInUse),
        waits=True,
    ),
    Route(
        name="list_tokens",
        method="GET",
        path="/tokens",
        summary="List the tokens, oldest first, without their secrets",
        reply="Tokens",
        lists=True,
        admin=True,
        query=lambda _: schemas.PAGE,
    ),
    Route(
        name="create_token",
        method="POST",
        path="/tokens",
        summary="Make a token; its secret is told now and never again",
        reply="IssuedToken",
        status=201,
        body=schemas.token_create,
        faults=(ServiceUnavailable,),
        admin=True,
    ),
    Route(
        name="show_token",
        method="GET",
        path="/tokens/<token_id>",
        summary="Show a token, without its secret",
        reply="TokenReply",
        target=_token,
        faults=(NotFound,),
        admin=True,
    ),
    Route(
        name="revoke_token",
        method="DELETE",
        path="/tokens/<token_id>",
        summary="Revoke a token, at once; event streams that were opened with it end",
        reply="",
        status=204,
        target=_token,
        faults=(NotFound, ServiceUnavailable),
        admin=True,
    ),
    Route(
        name="show_quotas",
        method="GET",
        path="/quotas",
        summary="Show how much the caller's tenant may have, and has",
        reply="QuotasReply",
        query=lambda _: schemas.QUOTA_QUERY,
    ),
    Route(
        name="show_service",
        method="GET",
        path="/",
        summary="What this is, and where to go from here",
        reply="Service",
        root="quantumd",
        of_plugin=True,
    ),
    Route(
        name="show_extensions",
        method="GET",
        path="/extensions",
        summary="What the plugin takes: options, types of attachment, capabilities",
        reply="Extensions",
        root="extensions",
        of_plugin=True,
    ),
    Route(
        name="follow_events",
        method="GET",
        path="/events",
        summary="Follow what happens, as server-sent events",
        reply="Events",
        query=lambda _: schemas.EVENT_QUERY,
        media_type=EVENTS,
    ),
    Route(
        name="show_openapi",
        method="GET",
        path="/openapi.json",
        summary="This document",
        reply="OpenApi",
        media_type=JSON_ONLY,
        public=True,
        of_plugin=True,
    ),
    Route(
        name="show_health",
        method="GET",
        path="/health",
        summary="Whether the plugin's backend can be used (200), or is away (503)",
        reply="Health",
        root="health",
        public=True,
        of_plugin=True,
    ),
    Route(
        name="show_metrics",
        method="GET",
        path="/metrics",
        summary="Counts and durations, in the text format of Prometheus",
        reply="Metrics",
        media_type=TEXT,
        of_plugin=True,
    ),
    Route(
        name="take_backup",
        method="GET",
        path="/backup",
        summary="A consistent copy of the whole state, which twistd quantumd --restore takes",
        reply="BackupReply",
        faults=(ServiceUnavailable,),
        admin=True,
    ),
    Route(
        name="show_fault",
        method="GET",
        path="/faults/<name>",
        summary="What a fault means",
        reply="FaultDescription",
        target=_fault,
        faults=(NotFound,),
        root="fault",
        public=True,
    ),
)
