"""Request headers that say more than a format: ``Prefer``, ``If-Match``, ``Last-Event-ID``."""

from __future__ import annotations

import re
from collections.abc import Sequence

from quantumd.core.errors import BadRequest, FieldError

#: The longest that a request can wait for its resource to settle, in seconds.
LONGEST_WAIT = 60

_ENTRY = re.compile(r'(?:[^,"]|"(?:[^"\\]|\\.)*"?)+')
_ENTITY_TAG = re.compile(r'\s*(W/)?"([\x21\x23-\x7e\x80-\xff]*)"\s*(?:,|$)|[^,]*(?:,|$)')


def wait_of(values: Sequence[str]) -> int | None:
    """The seconds of the first ``wait`` in the ``Prefer`` headers (RFC 7240), at most 60; None without a valid one."""
    if not values:
        return None
    for entry in _ENTRY.findall(",".join(values)):
        name, _, value = entry.partition(";")[0].partition("=")
        if name.strip().lower() == "wait":
            digits = value.strip().strip('"')
            if not re.fullmatch("[0-9]+", digits):
                return None
            return LONGEST_WAIT if len(digits.lstrip("0")) > 2 else min(LONGEST_WAIT, int(digits))
    return None


def tags_of(values: Sequence[str]) -> list[str] | None:
    """The entity tags of the ``If-Match`` headers, without their quotes; ``["*"]`` for any, None without a header.

    What is no strong entity tag can match nothing, and is left out.
    """
    if not values:
        return None
    header = ",".join(values)
    if header.strip() == "*":
        return ["*"]
    return [tag for weak, tag in _ENTITY_TAG.findall(header) if tag not in ("", "*") and not weak]


def last_event_of(value: str | None) -> int | None:
    """The number in ``Last-Event-ID``; None without the header. Raises BadRequest where it is no number."""
    if value is None:
        return None
    if not re.fullmatch("[0-9]+", value):
        raise BadRequest(
            "Last-Event-ID is malformed; send the id of the last event that you have seen, or leave it out.",
            [FieldError("Last-Event-ID", "must be the id of an event, a number")],
        )
    # A number that no store ever reaches stands for all of those that are too long to be read as one.
    return int(value) if len(value) <= 18 else 10**18
