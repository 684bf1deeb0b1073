"""``quantumctl attachment …``"""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Sequence

from quantumd.cli import forms
from quantumd.cli.context import Change, Context
from quantumd.cli.render import Column, Row, resource_details, table, value_text
from quantumd.cli.resolve import attachment_path, find_network, find_port, network_path
from quantumd.cli.settle import Resource

_COLUMNS = (Column("ID"), Column("TYPE"), Column("STATUS", "status"), Column("PORT", "id"))
_COLUMNS_EVERYWHERE = (*_COLUMNS[:3], Column("NETWORK"), _COLUMNS[3])


def list_attachments(context: Context, args: Namespace) -> int:
    """What is plugged, in a network or anywhere."""
    network = None if args.network is None else find_network(context.api, args.network)
    path = "/attachments" if network is None else f"{network_path(network)}/attachments"

    def where(attachment: Resource) -> str:
        return attachment_path(network or attachment["network_id"], attachment["port_id"])

    def lines(attachments: Sequence[Resource]) -> list[str]:
        names = {}
        if network is None and attachments:
            names = {entry["id"]: entry["name"] for entry in context.api.get("/networks").part("networks")}
        rows = []
        for attachment, fault in zip(attachments, context.faults("attachment", attachments, where), strict=True):
            cells = [attachment["id"], attachment["type"], attachment["status"]]
            if network is None:
                cells.append(names.get(attachment["network_id"], attachment["network_id"]))
            rows.append(Row([*cells, attachment["port_id"]], fault))
        return table(_COLUMNS if network is not None else _COLUMNS_EVERYWHERE, rows, context.output.style)

    context.output.listing(context.api.get(path, forms.given(args, "id", "type", "status")), "attachments", lines)
    return 0


def show(context: Context, args: Namespace) -> int:
    """What is plugged into one port."""
    network = find_network(context.api, args.network)
    reply = context.api.get(attachment_path(network, find_port(context.api, network, args.port)))
    attachment = reply.part("attachment")
    context.output.result(reply.json, lambda: _details(context, attachment))
    return 0


def plug(context: Context, args: Namespace) -> int:
    """Plug something in, into the port that is named, else into one that the daemon chooses."""
    body = forms.attachment_body(args)
    network = find_network(context.api, args.network)
    if args.port is None:
        change = Change("attachment", "POST", f"{network_path(network)}/attachments", body)
    else:
        port = find_port(context.api, network, args.port)
        change = Change("attachment", "PUT", attachment_path(network, port), body)
    return context.change(
        change,
        lambda attachment: attachment_path(network, attachment["port_id"]),
        lambda attachment: _details(context, attachment),
    )


def unplug(context: Context, args: Namespace) -> int:
    """Unplug what is plugged into a port."""
    network = find_network(context.api, args.network)
    path = attachment_path(network, find_port(context.api, network, args.port))
    return context.change(
        Change("attachment", "DELETE", path),
        lambda _attachment: path,
        lambda attachment: [_gone(attachment, context)],
    )


def _gone(attachment: Resource, context: Context) -> str:
    return f"attachment {value_text(attachment['id'])}: {context.output.style.status(str(attachment.get('status')))}"


def _details(context: Context, attachment: Resource) -> list[str]:
    managed = attachment.get("managed")
    pairs = [
        ("network", value_text(attachment.get("network_id"))),
        ("port", value_text(attachment.get("port_id"))),
        ("type", value_text(attachment.get("type"))),
        ("device", value_text(attachment.get("device"))),
        ("made by", "" if managed is None else "quantumd" if managed else "somebody else"),
        ("vlan", value_text(attachment.get("vlan"))),
        ("tunnel", value_text(attachment.get("tunnel"))),
        ("reference", value_text(attachment.get("reference"))),
    ]
    return resource_details(f"attachment {attachment['id']}", attachment, pairs, context.output.style)
