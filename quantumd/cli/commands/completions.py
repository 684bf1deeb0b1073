"""``quantumctl completion``: the scripts for the shells, and the names that the scripts ask for."""

from __future__ import annotations

from argparse import Namespace
from collections import Counter

from quantumd.cli.completion.bash import bash_script
from quantumd.cli.completion.tree import describe
from quantumd.cli.completion.zsh import zsh_script
from quantumd.cli.context import Context
from quantumd.cli.errors import CommandFailed, WrongUsage
from quantumd.cli.parser import build_parser
from quantumd.cli.resolve import find_network, network_path

_SCRIPTS = {"bash": bash_script, "zsh": zsh_script}
#: Nobody waits longer than this, in seconds, for what the Tab key brings.
_PATIENCE = 1.0


def completion(context: Context, args: Namespace) -> int:
    """Print a script, or (``names KIND [NET]``) what the daemon knows: a line for each, with a tab before a remark."""
    if args.shell != "names":
        if args.names:
            raise WrongUsage(f"nothing may follow {args.shell!r}")
        context.output.line(_SCRIPTS[args.shell](describe(build_parser())).rstrip("\n"))
        return 0
    context.api.timeout = _PATIENCE
    kind, network = [*args.names, "", ""][:2]
    try:
        for name, remark in _names(context, kind, network):
            if "\n" not in name and "\t" not in name:
                context.output.line(f"{name}\t{remark}")
    except CommandFailed:  # a shell that completes a line is no place for a message
        return 1
    return 0


def _names(context: Context, kind: str, network: str) -> list[tuple[str, str]]:
    if kind == "NET":
        networks = context.api.get("/networks").part("networks")
        uses = Counter(entry["name"] for entry in networks)
        return [
            (entry["name"], entry["status"])
            if uses[entry["name"]] == 1
            else (entry["id"], f"{entry['name']} {entry['status']}")
            for entry in networks
        ]
    if kind == "PORT":
        path = f"{network_path(find_network(context.api, network))}/ports"
        ports = context.api.get(path).part("ports")
        plugged = [port["attachment"] for port in ports if port.get("attachment")]
        return [(entry["id"], entry["status"]) for entry in plugged] + [
            (port["id"], (port.get("attachment") or {"id": "free"})["id"]) for port in ports
        ]
    if kind == "ATTACHMENT":
        attachments = context.api.get("/attachments").part("attachments")
        return [(entry["id"], entry["status"]) for entry in attachments]
    if kind == "TOKEN":
        tokens = context.api.get("/tokens").part("tokens")
        return [(token["id"], f"{token['role']} of {token['tenant_id']}") for token in tokens]
    raise WrongUsage("completion names NET, PORT NET, ATTACHMENT or TOKEN")
