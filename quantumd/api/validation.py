"""Judging a body or query by its schema: all that is wrong, at its dotted path, in plain words."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any

from jsonschema import Draft202012Validator, FormatChecker, ValidationError
from jsonschema.validators import extend

from quantumd.api.schemas import Body
from quantumd.core.errors import FieldError
from quantumd.core.model import Json
from quantumd.core.names import ifname_problem, mac_problem

_NETNS_PATH = re.compile(r"/proc/[1-9][0-9]{0,9}/ns/net|(?:/var)?/run/netns/([^/]+)")
_FORMATS = FormatChecker(formats=())
_KINDS = {
    "string": "a string",
    "integer": "an integer",
    "number": "a number",
    "boolean": "true or false",
    "object": "an object",
    "array": "a list",
    "null": "null",
}
_SHOWN = 100
#: The keyword that forbids fields which are not listed.
_EXTRA = "additionalProperties"


class Judge:
    """Judges values by one schema, compiled once."""

    def __init__(self, schema: Json, fixed: frozenset[str] = frozenset(), known: Json | None = None) -> None:
        self._validator = _Validator(schema, format_checker=_FORMATS)
        self._fixed = fixed
        self._known = schema if known is None else known

    def errors(self, value: Any) -> list[FieldError]:
        """Every field that is wrong, with the first thing that is wrong with it."""
        errors: dict[str, FieldError] = {}
        for error in self._validator.iter_errors(value):
            found = self._explain(error)
            errors.setdefault(found.path, found)
        return list(errors.values())

    def _explain(self, error: ValidationError) -> FieldError:
        path = list(error.absolute_path)
        return FieldError(_dotted(path), self._unknown(path, error) if error.validator == _EXTRA else _says(error))

    def _unknown(self, path: Sequence[str | int], error: ValidationError) -> str:
        """What to say of a field that should not be there."""
        *parents, name = path
        if name in self._fixed and len(parents) == 1:  # of the resource itself, and not of its options
            return "cannot be changed"
        if name in _properties(self._known, parents):
            return "does not go with this form of attachment"
        siblings = ", ".join(error.schema.get("properties", {}))
        return f"is unknown; there can be {siblings or 'nothing here'}"


class BodyJudge:
    """Judges a request's body by the form that it means to have."""

    def __init__(self, body: Body) -> None:
        self._body = body
        self._forms = {name: Judge(form, body.fixed, body.anything) for name, form in body.forms.items()}
        self._anything = Judge(body.anything, body.fixed)

    def errors(self, value: Any) -> list[FieldError]:
        """Everything that is wrong with the body."""
        form = self._body.select(value)
        return (self._anything if form is None else self._forms[form]).errors(value)


def shown(value: object) -> str:
    """A value of a request as it may stand in a message: short, and without what cannot be written."""
    text = value if isinstance(value, str) else str(value)
    text = text.encode("utf-8", "replace").decode("utf-8")
    return text if len(text) <= _SHOWN else text[:_SHOWN] + "..."


def _properties(schema: Any, path: Sequence[str | int]) -> Json:
    """What the schema says of the members of the object at that path."""
    for step in path:
        schema = schema.get("properties", {}).get(step, {})
    found: Json = schema.get("properties", {})
    return found


def _dotted(path: Sequence[str | int]) -> str:
    return ".".join(shown(step) for step in path) or "body"


def _says(error: ValidationError) -> str:
    """What is wrong, in plain words."""
    wanted, schema = error.validator_value, error.schema
    match error.validator:
        case "type":
            types = [wanted] if isinstance(wanted, str) else wanted
            return f"must be {' or '.join(_KINDS[kind] for kind in types)}, not {_kind(error.instance)}"
        case "enum":
            choices = [choice for choice in wanted if choice is not None]
            return f"must be one of {', '.join(str(choice) for choice in choices)}" if choices else "cannot be taken"
        case "required":
            return "is missing"
        case "const":
            return f"must be {wanted}"
        case "minLength":
            return "must not be empty" if wanted == 1 else f"must have at least {wanted} characters"
        case "maxLength":
            return f"must have at most {wanted} characters"
        case "minimum":
            return f"must be at least {wanted}"
        case "maximum":
            return f"must be at most {wanted}"
        case "pattern":
            return str(schema.get("x-says", f"must match {wanted}"))
        case "format":
            return str(error.cause)
    return shown(error.message)


def _kind(value: object) -> str:
    if isinstance(value, bool):
        return "a boolean"
    if value is None:
        return "null"
    if isinstance(value, float):
        return "a number with a fraction"
    for kind, cls in (("string", str), ("integer", int), ("object", Mapping)):
        if isinstance(value, cls):
            return _KINDS[kind]
    return "a list"


# --- where JSON Schema, as jsonschema reads it, is laxer than the contract


def _is_integer(_: object, value: object) -> bool:
    """1.0 is an integer to JSON Schema, but not here."""
    return isinstance(value, int) and not isinstance(value, bool)


@lru_cache(maxsize=256)
def _compiled(pattern: str) -> re.Pattern[str]:
    # To JSON Schema (ECMA-262), "$" is the end of the text; to Python, a newline may follow.
    return re.compile(pattern[:-1] + r"\Z" if pattern.endswith("$") and not pattern.endswith("\\$") else pattern)


def _pattern(validator: Any, pattern: str, value: object, _: Json) -> Iterator[ValidationError]:
    if validator.is_type(value, "string") and not _compiled(pattern).search(str(value)):
        yield ValidationError("does not match")


def _required(_: Any, names: Sequence[str], value: object, __: Json) -> Iterator[ValidationError]:
    """An error for each missing part, at the path where it should be."""
    if isinstance(value, Mapping):
        yield from (ValidationError("is missing", path=[name]) for name in names if name not in value)


def _additional(validator: Any, allowed: Any, value: object, schema: Json) -> Iterator[ValidationError]:
    """An error for each unknown field, at its own path."""
    if allowed is not False:
        yield from Draft202012Validator.VALIDATORS[_EXTRA](validator, allowed, value, schema)
    elif isinstance(value, Mapping):
        known = schema.get("properties", {})
        yield from (ValidationError("is unknown", path=[name]) for name in value if name not in known)


def _same_family(_: Any, fields: Sequence[str], value: object, __: Json) -> Iterator[ValidationError]:
    """``x-same-family``: of these two addresses, either both are IPv4 or both are IPv6."""
    if not isinstance(value, Mapping):
        return
    first, second = (_address(value.get(name)) for name in fields)
    if first is not None and second is not None and first.version != second.version:
        message = f"must be an IPv{first.version} address, as {fields[0]!r} is one"
        yield ValidationError(message, path=[fields[1]])


def _address(text: object) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(text) if isinstance(text, str) else None
    except ValueError:
        return None


_Validator = extend(
    Draft202012Validator,
    {"pattern": _pattern, "required": _required, _EXTRA: _additional, "x-same-family": _same_family},
    type_checker=Draft202012Validator.TYPE_CHECKER.redefine("integer", _is_integer),
)


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


def _check(problem: Callable[[str], str | None]) -> Callable[[object], bool]:
    def check(value: object) -> bool:
        found = problem(value) if isinstance(value, str) else None
        if found is not None:
            raise ValueError(found)
        return True

    return check


for _name, _problem in {
    "ifname": ifname_problem,
    "mac": mac_problem,
    "ip": _ip_problem,
    "netns": _netns_problem,
}.items():
    _FORMATS.checks(_name, raises=ValueError)(_check(_problem))
