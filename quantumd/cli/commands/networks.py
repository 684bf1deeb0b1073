"""``quantumctl network …``"""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Sequence

from quantumd.cli import forms
from quantumd.cli.context import Change, Context
from quantumd.cli.errors import Refused
from quantumd.cli.render import Column, Row, resource_details, table, value_text
from quantumd.cli.resolve import attachment_path, find_network, network_path
from quantumd.cli.settle import Resource
from quantumd.cli.terms import LEAVING

_COLUMNS = (Column("ID", "id"), Column("NAME"), Column("STATUS", "status"), Column("TENANT"))
#: How often ``delete --cascade`` looks for what was plugged while it was unplugging.
_CASCADES = 5


def list_networks(context: Context, args: Namespace) -> int:
    """All networks, or those of a name or status."""

    def lines(networks: Sequence[Resource]) -> list[str]:
        faults = context.faults("network", networks, _where)
        rows = [
            Row([network["id"], network["name"], network["status"], value_text(network["tenant_id"])], fault)
            for network, fault in zip(networks, faults, strict=True)
        ]
        return table(_COLUMNS, rows, context.output.style)

    context.output.listing(context.api.get("/networks", forms.given(args, "name", "status")), "networks", lines)
    return 0


def create(context: Context, args: Namespace) -> int:
    """A new network."""
    body = forms.given(args, "name", "id")
    if args.tenant is not None:
        body["tenant_id"] = args.tenant
    if args.option:
        body["options"] = forms.options(args.option)
    return _change(context, Change("network", "POST", "/networks", body))


def show(context: Context, args: Namespace) -> int:
    """One network."""
    reply = context.api.get(network_path(find_network(context.api, args.network)))
    network = reply.part("network")
    context.output.result(reply.json, lambda: _details(context, network))
    return 0


def rename(context: Context, args: Namespace) -> int:
    """Another name for a network."""
    path = network_path(find_network(context.api, args.network))
    return _change(context, Change("network", "PUT", path, {"name": args.name}))


def set_options(context: Context, args: Namespace) -> int:
    """Other options for a network."""
    options = forms.options(args.options)
    path = network_path(find_network(context.api, args.network))
    return _change(context, Change("network", "PUT", path, {"options": options}))


def delete(context: Context, args: Namespace) -> int:
    """Destroy a network; with ``--cascade``, unplug everything first."""
    network = find_network(context.api, args.network)
    for _round in range(_CASCADES if args.cascade else 0):
        _unplug_all(context, network)
        try:
            return _delete(context, network)
        except Refused as refused:  # somebody has plugged something since we looked
            if refused.name != "AttachmentsPlugged":
                raise
    return _delete(context, network)


def _delete(context: Context, network: str) -> int:
    return _change(context, Change("network", "DELETE", network_path(network)))


def _unplug_all(context: Context, network: str) -> None:
    for attachment in context.api.get(f"{network_path(network)}/attachments").part("attachments"):
        if attachment["status"] in LEAVING:
            continue
        try:
            context.api.request("DELETE", attachment_path(network, attachment["port_id"]))
        except Refused as refused:
            if not refused.not_found:
                context.output.remark(f"{attachment['id']} cannot be unplugged")
                raise


def _change(context: Context, change: Change) -> int:
    if change.method == "DELETE":
        return context.change(change, _where, lambda network: [_gone(network, context)])
    return context.change(change, _where, lambda network: _details(context, network))


def _where(network: Resource) -> str:
    return network_path(network["id"])


def _gone(network: Resource, context: Context) -> str:
    name = value_text(network.get("name") or network["id"])
    return f"network {name}: {context.output.style.status(str(network.get('status')))}"


def _details(context: Context, network: Resource) -> list[str]:
    pairs = [(label, value_text(network.get(key))) for label, key in (("id", "id"), ("tenant", "tenant_id"))]
    return resource_details(f"network {network.get('name')}", network, pairs, context.output.style)
