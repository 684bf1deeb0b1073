"""Records and events to JSON and back, as they are kept on disk.

Every field is written, defaults included, so that a row means the same after a default has changed; a row with a field
that is not known is refused, so that nothing is dropped in silence. Changing a record's shape needs a migration.
"""

from __future__ import annotations

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
    Network,
    Port,
    Stored,
    Token,
    Tunnel,
)

_T = TypeVar("_T")

_converter = make_converter(forbid_extra_keys=True, detailed_validation=False)


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
        raw: Any = orjson.loads(body)
        return _converter.structure(raw, kind)
    except Exception as error:  # cattrs raises whatever a constructor or a conversion raises
        raise ValueError(f"not a {kind.__name__.lower()}: {error or type(error).__name__}") from error
