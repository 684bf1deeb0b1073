"""The schemas of the edge, compiled; where the contract is stricter than JSON Schema, by keywords of our own."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from jsonschema_rs import Draft202012Validator, Validator

from quantumd.core.model import Json
from quantumd.core.names import ifname_problem, mac_problem

_INTEGER = "x-integer"
#: ``x-same-family``: of these two addresses, either both are IPv4 or both are IPv6.
SAME_FAMILY = "x-same-family"

_NETNS_PATH = re.compile(r"/proc/[1-9][0-9]{0,9}/ns/net|(?:/var)?/run/netns/([^/]+)")
#: Keywords whose value is no schema, and has none in it.
_DATA = ("const", "enum", "default", "examples", "dependentRequired")
#: Keywords whose value has schemas, by names that are anybody's.
_NAMED = ("properties", "patternProperties", "dependentSchemas", "dependencies", "$defs", "definitions")


def compiled(schema: Json) -> Validator:
    """What judges by that schema (2020-12). Raises ValueError for one that is none, or that refers to elsewhere.

    An error that :func:`is_integers` knows is one of the type of the same schema.
    """
    keywords: Any = {_INTEGER: _Integer, SAME_FAMILY: _SameFamily}
    formats: Any = {name: lambda text, problem=problem: problem(text) is None for name, problem in FORMATS.items()}
    return Draft202012Validator(
        _strict(schema), keywords=keywords, formats=formats, validate_formats=True, offline=True
    )


def is_integers(schema: Json, number: object) -> bool:
    """Whether the part of ``allOf`` by that number is what :func:`compiled` has added to the schema."""
    return number == len(schema.get("allOf", ()))


def _strict(schema: Any) -> Any:
    """The schema where an integer is one (1.0 is an integer to JSON Schema, but not here), and with our formats only:
    all others tell something and do not judge."""
    if isinstance(schema, list | tuple):
        return [_strict(one) for one in schema]
    if not isinstance(schema, Mapping):
        return schema
    strict: dict[str, Any] = {}
    for keyword, value in schema.items():
        if keyword in _NAMED and isinstance(value, Mapping):
            strict[keyword] = {name: _strict(one) for name, one in value.items()}
        elif keyword != "format" or value in FORMATS:
            strict[keyword] = value if keyword in _DATA else _strict(value)
    types = schema.get("type")
    if types == "integer" or (isinstance(types, list | tuple) and "integer" in types and "number" not in types):
        # The engine tells the way to a keyword of ours wrongly behind a "$ref", but that to an "anyOf" rightly.
        strict["allOf"] = [*strict.get("allOf", ()), {"anyOf": [{_INTEGER: True}]}]
    return strict


class _Keyword:
    """A keyword of ours; it says what is wrong by a ValueError."""

    def __init__(self, _: Json, wanted: Any, __: Sequence[str | int]) -> None:
        self._wanted = wanted


class _Integer(_Keyword):
    def validate(self, value: object) -> None:
        if isinstance(value, float):
            raise ValueError("is a number with a fraction")


class _SameFamily(_Keyword):
    def validate(self, value: object) -> None:
        if not isinstance(value, Mapping):
            return
        first, second = (_address(value.get(name)) for name in self._wanted)
        if first is not None and second is not None and first.version != second.version:
            raise ValueError(f"must be an IPv{first.version} address, as {self._wanted[0]!r} is one")


def _address(text: object) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(text) if isinstance(text, str) else None
    except ValueError:
        return None


# --- formats: each says why a text has not that format, or None


def _ip_problem(text: str) -> str | None:
    address = _address(text)
    if address is None or "%" in text:
        return "must be an IPv4 or IPv6 address, such as 192.0.2.1 or 2001:db8::1"
    if address.is_multicast or address.is_unspecified or str(address) == "255.255.255.255":
        return "must be the address of one host"
    return None


def _netns_problem(text: str) -> str | None:
    path = _NETNS_PATH.fullmatch(text)
    name = path[1] if path else text
    if name is None:  # a process's
        return None
    if "/" not in name and name not in ("", ".", "..") and name.isprintable() and len(name.encode()) <= 255:
        return None
    return "must be a name as 'ip netns' knows it, its path under /run/netns or /var/run/netns, or /proc/PID/ns/net"


FORMATS: Mapping[str, Callable[[str], str | None]] = {
    "ifname": ifname_problem,
    "mac": mac_problem,
    "ip": _ip_problem,
    "netns": _netns_problem,
}
