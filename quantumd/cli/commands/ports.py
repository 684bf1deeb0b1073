"""``quantumctl port …``"""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Sequence

from quantumd.cli import forms
from quantumd.cli.context import Change, Context
from quantumd.cli.render import Column, Row, resource_details, table, value_text
from quantumd.cli.resolve import find_network, find_port, network_path, port_path
from quantumd.cli.settle import Resource

_COLUMNS = (
    Column("ID", "id"),
    Column("STATUS", "status"),
    Column("ATTACHMENT"),
    Column("TYPE"),
    Column("ATTACHMENT STATUS", "status"),
)


def list_ports(context: Context, args: Namespace) -> int:
    """The ports of a network."""
    network = find_network(context.api, args.network)

    def lines(ports: Sequence[Resource]) -> list[str]:
        faults = context.faults("port", ports, lambda port: port_path(network, port["id"]))
        rows = []
        for port, fault in zip(ports, faults, strict=True):
            plugged = port.get("attachment") or {}
            attachment = [value_text(plugged.get(key)) for key in ("id", "type", "status")]
            rows.append(Row([port["id"], port["status"], *attachment], fault))
        return table(_COLUMNS, rows, context.output.style)

    reply = context.api.get(f"{network_path(network)}/ports", forms.given(args, "status", "attachment"))
    context.output.listing(reply, "ports", lines)
    return 0


def create(context: Context, args: Namespace) -> int:
    """A new port."""
    network = find_network(context.api, args.network)
    body = forms.given(args, "id")
    if args.option:
        body["options"] = forms.options(args.option)
    change = Change("port", "POST", f"{network_path(network)}/ports", body)
    return context.change(change, lambda port: port_path(network, port["id"]), lambda port: _details(context, port))


def show(context: Context, args: Namespace) -> int:
    """One port."""
    network = find_network(context.api, args.network)
    reply = context.api.get(port_path(network, find_port(context.api, network, args.port)))
    port = reply.part("port")
    context.output.result(reply.json, lambda: _details(context, port))
    return 0


def delete(context: Context, args: Namespace) -> int:
    """Delete a port."""
    network = find_network(context.api, args.network)
    path = port_path(network, find_port(context.api, network, args.port))
    return context.change(Change("port", "DELETE", path), lambda _port: path, lambda port: [_gone(port, context)])


def _gone(port: Resource, context: Context) -> str:
    return f"port {value_text(port['id'])}: {context.output.style.status(str(port.get('status')))}"


def _details(context: Context, port: Resource) -> list[str]:
    plugged = port.get("attachment") or {}
    attachment = " ".join(value_text(plugged[key]) for key in ("id", "type", "status") if key in plugged)
    pairs = [("network", value_text(port.get("network_id"))), ("attachment", attachment)]
    return resource_details(f"port {port['id']}", port, pairs, context.output.style)
