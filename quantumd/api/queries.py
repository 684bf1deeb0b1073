"""Query parameters, and the pages of a list."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar
from urllib.parse import parse_qsl, urlencode

from attrs import frozen

from quantumd.api.mistakes import shown
from quantumd.api.schemas import record
from quantumd.api.validation import Judge
from quantumd.core.errors import BadRequest, FieldError
from quantumd.core.model import Json

T = TypeVar("T")

_INTEGER = re.compile(r"0|[1-9][0-9]{0,17}")


class QueryJudge:
    """Reads and judges the query of one route; ``parameters`` are the schemas of those that it takes."""

    def __init__(self, parameters: Mapping[str, Json]) -> None:
        self._parameters = parameters
        self._judge = Judge(record(parameters))

    def read(self, query: bytes) -> tuple[dict[str, Any], list[FieldError]]:
        """The parameters by name, and everything that is wrong with them."""
        if not query:
            return {}, []
        try:
            pairs = parse_qsl(query.decode("utf-8"), keep_blank_values=True, errors="strict")
        except UnicodeDecodeError:
            return {}, [FieldError("query", "must be percent-encoded UTF-8")]
        values: dict[str, Any] = {}
        errors = []
        for name, text in pairs:
            if name in values:
                errors.append(FieldError(shown(name), "is given more than once"))
            values[name] = self._typed(name, text)
        return values, errors + self._judge.errors(values)

    def _typed(self, name: str, text: str) -> str | int:
        integer = self._parameters.get(name, {}).get("type") == "integer" and _INTEGER.fullmatch(text)
        return int(text) if integer else text


@frozen
class Page:
    """A part of a list; ``next_marker`` is where the next part begins, None where there is none."""

    entries: Sequence[Any]
    next_marker: str | None = None


def page(
    records: Sequence[T],
    query: Mapping[str, Any],
    filters: Mapping[str, Callable[[T], object]],
    marker_of: Callable[[T], str],
    at_marker: Callable[[T, str], bool],
) -> Page:
    """The records, in their order, that the query asks for.

    ``filters`` says what a parameter is compared with, ``marker_of`` what names a record as a marker, ``at_marker``
    whether a record is the one of that marker (of several, the newest). Raises BadRequest for a marker that is of no
    record.
    """
    start = 0
    if "marker" in query:
        start = _after(records, query["marker"], at_marker)
    wanted = [(read, query[name]) for name, read in filters.items() if name in query]
    limit = query.get("limit")
    found: list[T] = []
    for at in range(start, len(records)):
        one = records[at]
        if all(read(one) == value for read, value in wanted):
            if limit is not None and len(found) == limit:
                return Page(found, marker_of(found[-1]))
            found.append(one)
    return Page(found)


def next_link(path: str, query: Mapping[str, Any], next_marker: str) -> str:
    """The value of a ``Link`` header (RFC 8288) to the next page."""
    return f'<{path}?{urlencode({**query, "marker": next_marker})}>; rel="next"'


def _after(records: Sequence[T], marker: str, at_marker: Callable[[T, str], bool]) -> int:
    for at in range(len(records) - 1, -1, -1):
        if at_marker(records[at], marker):
            return at + 1
    raise BadRequest(
        "The marker is of nothing that is in this list (any more); begin again without a marker.",
        [FieldError("marker", "must be the id of something in the list")],
    )
