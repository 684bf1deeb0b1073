"""Records and events to JSON and back, as they are kept on disk.

Every field is written, defaults included, so that a row means the same after a default has changed; a row with a field
that is not known is refused, so that nothing is dropped in silence. Changing a record's shape needs a migration.
"""

from __future__ import annotations

from typing import Any, TypeVar

import orjson
from cattrs.preconf.orjson import make_converter

from quantumd.core.model import Event, Stored

_T = TypeVar("_T")

_converter = make_converter(forbid_extra_keys=True, detailed_validation=False)


def encode(value: Stored | Event) -> str:
    """The JSON text of a record, a token or an event."""
    return orjson.dumps(_converter.unstructure(value)).decode()


def decode(kind: type[_T], body: str) -> _T:
    """The record, token or event of that class which :func:`encode` wrote.

    Raises ValueError where the text is not what encode writes.
    """
    try:
        raw: Any = orjson.loads(body)
        return _converter.structure(raw, kind)
    except Exception as error:  # cattrs raises whatever a constructor or a conversion raises
        raise ValueError(f"not a {kind.__name__.lower()}: {error or type(error).__name__}") from error
