"""Records and events to JSON and back, as they are kept on disk.

Every field is written, defaults included, so that a row means the same after a default has changed; a row with a field
that is not known is refused, so that nothing is dropped in silence. Changing a record's shape needs a migration.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from operator import attrgetter
from typing import Any, TypeVar

import orjson
from attrs import fields
from cattrs.preconf.orjson import make_converter

from quantumd.core.model import (
    Attachment,
    Device,
    Event,
    FaultRecord,
    Form,
    Json,
    Network,
    Port,
    Stored,
    Token,
    Tunnel,
)

_T = TypeVar("_T")

_converter = make_converter(forbid_extra_keys=True, detailed_validation=False)
_EMPTY: Json = {}


def _shared(value: dict[str, Any]) -> Json:
    """The object, with one text for all equal ones and one object for all empty ones, of which records have many: a
    network's id is in each of its ports, and nobody changes them in place. The parser has seen to the names."""
    for name, inner in value.items():
        kind = type(inner)
        if kind is str:
            value[name] = sys.intern(inner)
        elif kind is dict:
            value[name] = _shared(inner) if inner else _EMPTY
        elif kind is list:
            value[name] = [_shared(one) if type(one) is dict else one for one in inner]
    return value


def _object(value: Any, _: Any) -> Json:
    """As it is: a copy of each would be what :func:`_shared` saves."""
    if not isinstance(value, dict):
        raise ValueError(f"{value!r} is no object")
    return value


_converter.register_structure_hook_func(lambda kind: kind == Json, _object)

_Reader = tuple[tuple[str, ...], Callable[[Any], tuple[Any, ...]]]


def _reader(kind: type[Any]) -> _Reader:
    names = tuple(one.name for one in fields(kind))
    return names, attrgetter(*names)


#: Of each class its fields' names, and what reads all of them at once.
_READERS: dict[type[Any], _Reader] = {
    kind: _reader(kind) for kind in (Network, Port, Attachment, Token, Event, Form, Device, Tunnel, FaultRecord)
}


def _as_object(value: object) -> dict[str, Any]:
    names, read = _READERS[type(value)]
    return dict(zip(names, read(value), strict=True))


def encode(value: Stored | Event) -> str:
    """The JSON text of a record, a token or an event."""
    return orjson.dumps(value, default=_as_object).decode()


def decode(kind: type[_T], body: str) -> _T:
    """The record, token or event of that class which :func:`encode` wrote.

    Raises ValueError where the text is not what encode writes.
    """
    try:
        return _converter.structure(_shared(orjson.loads(body)), kind)
    except Exception as error:  # cattrs raises whatever a constructor or a conversion raises
        raise ValueError(f"not a {kind.__name__.lower()}: {error or type(error).__name__}") from error
