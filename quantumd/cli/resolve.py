"""From what a person types (a name, the beginning of an id) to the id that the API wants.

Networks are known by id, name or a prefix of the id; ports by id, the id of what is plugged into them, or a prefix of
the id; tokens by id or a prefix of it. A whole id is taken as it is, without asking the daemon.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote

from quantumd.cli.client import Client
from quantumd.cli.errors import CommandFailed, WrongUsage
from quantumd.cli.terms import LEAVING

_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_PREFIX = re.compile(r"[0-9a-f-]+")


def network_path(network: str) -> str:
    """Where a network with this id is."""
    return f"/networks/{quote(network, safe='')}"


def port_path(network: str, port: str) -> str:
    """Where a port of a network is, both by id."""
    return f"{network_path(network)}/ports/{quote(port, safe='')}"


def attachment_path(network: str, port: str) -> str:
    """Where what is plugged into a port is."""
    return f"{port_path(network, port)}/attachment"


def find_network(api: Client, text: str) -> str:
    """The id of the network that ``text`` names; :class:`CommandFailed` where it names none, or more than one."""
    ident = _whole_id(text, "network")
    if ident is not None:
        return ident
    named = api.get("/networks", {"name": text}).part("networks")
    found = _present(named) or _present(_with_prefix(api.get("/networks").part("networks"), text))
    if not found:
        raise CommandFailed(
            "NetworkNotFound",
            f"no network is called {text!r} or has an id that begins so; 'quantumctl network list' shows them",
        )
    return _only(found, text, "networks", "name")


def find_port(api: Client, network: str, text: str) -> str:
    """The id of a port of a network (by id) that ``text`` names."""
    ident = _whole_id(text, "port")
    if ident is not None:
        return ident
    ports = api.get(f"{network_path(network)}/ports").part("ports")
    plugged = [port for port in ports if (port.get("attachment") or {}).get("id") == text]
    staying = [port for port in plugged if port["attachment"].get("status") not in LEAVING]
    found = _present(staying or plugged) or _present(_with_prefix(ports, text))
    if not found:
        raise CommandFailed(
            "PortNotFound",
            f"no port of that network has an id that begins with {text!r}, nor is such a thing plugged into one; "
            "'quantumctl port list NET' shows them",
        )
    return _only(found, text, "ports", "status")


def find_token(api: Client, text: str) -> str:
    """The id of the token that ``text`` names."""
    tokens = api.get("/tokens").part("tokens")
    found = [token for token in tokens if token["id"] == text] or [
        token for token in tokens if text and token["id"].startswith(text)
    ]
    if not found:
        raise CommandFailed(
            "NotFound", f"no token has an id that begins with {text!r}; 'quantumctl token list' shows them"
        )
    return _only(found, text, "tokens", "role")


def _whole_id(text: str, what: str) -> str | None:
    if not text:
        raise WrongUsage(f"which {what}? its name or id is empty")
    return text.lower() if _UUID.fullmatch(text.lower()) else None


def _with_prefix(entries: Sequence[Mapping[str, Any]], text: str) -> list[Mapping[str, Any]]:
    prefix = text.lower()
    return [entry for entry in entries if _PREFIX.fullmatch(prefix) and entry["id"].startswith(prefix)]


def _present(entries: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Those that are to stay; where all are on their way out, all of them."""
    return [entry for entry in entries if entry.get("status") not in LEAVING] or list(entries)


def _only(entries: Sequence[Mapping[str, Any]], text: str, what: str, beside: str) -> str:
    if len(entries) > 1:
        raise CommandFailed(
            "Ambiguous",
            f"{text!r} fits {len(entries)} {what}; say which, by more of its id:",
            [f"{entry['id']}  {entry.get(beside) or '-'}" for entry in entries],
        )
    return str(entries[0]["id"])
