"""``quantumctl status``: is all well?"""

from __future__ import annotations

from argparse import Namespace
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Any, NamedTuple

from quantumd.cli.context import Context
from quantumd.cli.errors import Refused
from quantumd.cli.render import Column, Row, details, fault_text, table, time_text, value_text
from quantumd.cli.resolve import attachment_path, network_path, port_path
from quantumd.cli.settle import Resource
from quantumd.cli.terms import FAULTY, UNSETTLED

_FAULT_COLUMNS = (
    Column("FAULT IN"),
    Column("ID", "id"),
    Column("NETWORK"),
    Column("STATUS", "status"),
    Column("SINCE", "fixed"),
)


class _Entry(NamedTuple):
    """A resource of a list, and where the whole of it is."""

    kind: str
    network: Mapping[str, Any]
    resource: Resource
    path: str


def show(context: Context, _args: Namespace) -> int:
    """The daemon, its plugin, what there is, what is still to be done, and everything that has a fault."""
    root = context.api.get("/").json
    entries = list(_entries(context))
    faults = [fault for entry in entries if (fault := _fault(context, entry)) is not None]
    counts = {
        f"{kind}s": dict(Counter(entry.resource["status"] for entry in entries if entry.kind == kind))
        for kind in ("network", "port", "attachment")
    }
    backlog = sum(entry.resource["status"] in UNSETTLED for entry in entries)
    body = {key: root.get(key) for key in ("service", "version", "api_version", "plugin")}
    body |= {"endpoint": context.api.endpoint.text, "backlog": backlog} | counts | {"faults": faults}
    body |= _drift_and_store(context)
    context.output.result(body, lambda: _status_lines(context, body, counts, faults))
    return 0


def _drift_and_store(context: Context) -> dict[str, Any]:
    """What was repaired since the daemon started, and whether its state can be written; None: it does not say."""
    numbers: dict[str, float] = {}
    with suppress(Refused):
        for line in context.api.get("/metrics").text.splitlines():
            name, _, number = line.rpartition(" ")
            if name.startswith("quantumd_") and "{" not in name:
                numbers[name] = float(number)
    if not numbers.keys() >= {"quantumd_repairs_total", "quantumd_leftovers_total", "quantumd_store_up"}:
        return {"drift": None, "store": None}
    return {
        "drift": {
            "repaired": int(numbers["quantumd_repairs_total"]),
            "leftovers_removed": int(numbers["quantumd_leftovers_total"]),
        },
        "store": "up" if numbers["quantumd_store_up"] else "down",
    }


def _entries(context: Context) -> Iterable[_Entry]:
    networks = {network["id"]: network for network in context.api.get("/networks").part("networks")}
    for network in networks.values():
        path = network_path(network["id"])
        yield _Entry("network", network, network, path)
        try:
            ports = context.api.get(f"{path}/ports").part("ports")
        except Refused as refused:  # it has gone in the meantime
            if refused.not_found:
                continue
            raise
        for port in ports:
            yield _Entry("port", network, port, port_path(network["id"], port["id"]))
    for attachment in context.api.get("/attachments").part("attachments"):
        network_id = attachment["network_id"]
        path = attachment_path(network_id, attachment["port_id"])
        yield _Entry("attachment", networks.get(network_id, {"id": network_id}), attachment, path)


def _fault(context: Context, entry: _Entry) -> dict[str, Any] | None:
    if entry.resource["status"] not in FAULTY:
        return None
    fault = context.fault(entry.kind, entry.path)
    if fault is None:
        return None
    return {
        "kind": entry.kind,
        "id": entry.resource["id"],
        "network_id": entry.network["id"],
        "network_name": entry.network.get("name"),
        "status": entry.resource["status"],
        "fault": fault,
    }


def _status_lines(
    context: Context,
    body: Mapping[str, Any],
    counts: Mapping[str, Mapping[str, int]],
    faults: Sequence[Mapping[str, Any]],
) -> list[str]:
    style = context.output.style
    plugin = body["plugin"] or {}
    state = str(plugin.get("status"))
    reason = f": {value_text(plugin['reason'])}" if plugin.get("reason") else ""
    pairs = [
        ("endpoint", value_text(body["endpoint"])),
        ("API", value_text(body["api_version"])),
        ("plugin", f"{value_text(plugin.get('name'))} {style.status(value_text(state))}{reason}"),
    ]
    for name, count in counts.items():
        parts = ", ".join(f"{number} {style.status(word)}" for word, number in sorted(count.items()))
        pairs.append((name, f"{sum(count.values())}{f' ({parts})' if parts else ''}"))
    backlog = body["backlog"]
    pairs.append(("backlog", f"{backlog} still to be carried out" if backlog else "nothing to be done"))
    if body["drift"] is not None:
        drift = body["drift"]
        repaired = f"{drift['repaired']} repaired, {drift['leftovers_removed']} left over and removed, since its start"
        pairs.append(("drift", repaired if any(drift.values()) else "none since its start"))
        pairs.append(("store", style.status(body["store"])))
    pairs.append(("faults", style.bad(str(len(faults))) if faults else "none"))
    lines = details(f"{body['service']} {body['version']}", state, pairs, None, style)
    if faults:
        rows = [
            Row(
                [
                    fault["kind"],
                    fault["id"],
                    fault["network_name"] or fault["network_id"],
                    fault["status"],
                    time_text(fault["fault"].get("at") or ""),
                ],
                fault_text(fault["fault"]),
            )
            for fault in faults
        ]
        lines += ["", *table(_FAULT_COLUMNS, rows, style)]
    return lines
