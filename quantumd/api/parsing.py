"""From the bytes of a body to a JSON value that is safe to judge: strictly, and without coercing anything."""

from __future__ import annotations

import json
import math
from collections import Counter
from typing import Any, NoReturn

from quantumd.api.jsonxml import MAX_DEPTH, from_xml
from quantumd.api.media import Format
from quantumd.api.mistakes import shown
from quantumd.core.errors import BadRequest, FieldError
from quantumd.core.model import Json

_HALF = "has half of a surrogate pair"
_HOW = {
    Format.JSON: "The body is malformed; send one JSON object in UTF-8.",
    Format.XML: "The body is malformed; send one XML document in UTF-8.",
}


def parse(body: bytes, form: Format, schema: Json) -> Any:
    """The body as a JSON value. Raises BadRequest for everything that is no JSON (RFC 8259) or XML in UTF-8, has a name
    twice in one object, a number that is none, half a surrogate pair, or more levels than anybody needs.

    The schema tells what a text in XML means, and has no say for JSON.
    """
    try:
        text = body.decode("utf-8")
    except UnicodeDecodeError as error:
        raise _malformed(form, f"is not UTF-8 from byte {error.start} on") from None
    value = from_xml(text, schema) if form is Format.XML else _json(text)
    errors: list[FieldError] = []
    _walk(value, (), form, errors)
    if errors:
        raise BadRequest(_HOW[form], errors)
    return value


def _json(text: str) -> Any:
    if text.startswith("\ufeff"):
        raise _malformed(Format.JSON, "begins with a byte order mark; leave it out")
    try:
        return _DECODER.decode(text)
    except RecursionError:
        raise _malformed(Format.JSON, f"has more than {MAX_DEPTH} levels") from None
    except json.JSONDecodeError as error:
        raise _malformed(Format.JSON, f"{error.msg} at line {error.lineno}, column {error.colno}") from None


class _Twice(dict[str, Any]):
    """An object that has a name more than once; :attr:`names` are those."""

    names: tuple[str, ...]


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    fields = dict(pairs)
    if len(fields) == len(pairs):
        return fields
    twice = _Twice(fields)
    twice.names = tuple(name for name, count in Counter(name for name, _ in pairs).items() if count > 1)
    return twice


def _constant(name: str) -> NoReturn:
    raise _malformed(Format.JSON, f"{name} is no JSON number")


def _int(digits: str) -> int:
    # No integer of the contract needs more than 64 bits, and what is stored and sent cannot have more.
    value = int(digits) if len(digits) <= 20 else None
    if value is None or not -(2**63) <= value < 2**63:
        raise _malformed(Format.JSON, f"the number {shown(digits)} is too large")
    return value


def _float(digits: str) -> float:
    value = float(digits)
    if math.isinf(value):
        raise _malformed(Format.JSON, f"the number {shown(digits)} is too large")
    return value


# Made once: json.loads would make one for each text.
_DECODER = json.JSONDecoder(object_pairs_hook=_object, parse_constant=_constant, parse_float=_float, parse_int=_int)


def _walk(value: Any, path: tuple[str | int, ...], form: Format, errors: list[FieldError]) -> None:
    """Look at every text and level; tell of the texts that cannot be written in UTF-8, and of names given twice."""
    if isinstance(value, str):
        if not _is_writable(value):
            errors.append(FieldError(_dotted(path) or "body", _HALF))
    elif len(path) >= MAX_DEPTH:
        raise _malformed(form, f"has more than {MAX_DEPTH} levels")
    elif isinstance(value, dict):
        if isinstance(value, _Twice):
            errors += (FieldError(_dotted((*path, name)), "is given more than once") for name in value.names)
        for name, inner in value.items():
            if not _is_writable(name):
                errors.append(FieldError(_dotted((*path, name)), _HALF))
            _walk(inner, (*path, name), form, errors)
    elif isinstance(value, list):
        for at, inner in enumerate(value):
            _walk(inner, (*path, at), form, errors)


def _dotted(path: tuple[str | int, ...]) -> str:
    return ".".join(shown(step) for step in path)


def _is_writable(text: str) -> bool:
    if text.isascii():
        return True
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def _malformed(form: Format, message: str) -> BadRequest:
    return BadRequest(_HOW[form], [FieldError("body", message)])
