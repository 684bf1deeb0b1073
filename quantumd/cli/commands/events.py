"""``quantumctl events``: the event stream, a line for each event, over restarts of the daemon too."""

from __future__ import annotations

import json
import time
from argparse import Namespace
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from quantumd.cli.context import Context
from quantumd.cli.errors import Unreachable
from quantumd.cli.render import Style, fault_text, printable, time_text, value_text

_FIRST_PAUSE = 0.5
_LONGEST_PAUSE = 10.0
_SHORT_ID = 8
_UUID_LENGTH = 36


class Event(NamedTuple):
    """One event: its sequence number, its kind (``network``, ``port``, ``attachment``, ``reset``), its data."""

    seq: str
    kind: str
    data: Mapping[str, Any]


def follow(context: Context, args: Namespace) -> int:
    """Print events as they come, until the reader has had enough; a stream that breaks off is taken up again."""
    last = None if args.after is None else str(args.after)
    pause = _FIRST_PAUSE
    reached = False
    while True:
        try:
            headers = {"Accept": "text/event-stream"} | ({} if last is None else {"Last-Event-ID": last})
            lines = context.api.lines("/events", headers)
            reached, pause = True, _FIRST_PAUSE
            for event in parse_events(lines):
                last = event.seq or last
                _print(context, event)
            context.output.remark("the stream has ended; taking it up again")
        except Unreachable as lost:
            if not reached:
                raise
            context.output.remark(f"{lost.detail}; trying again")
        context.api.close()
        time.sleep(pause)
        pause = min(2 * pause, _LONGEST_PAUSE)


def parse_events(lines: Iterable[str]) -> Iterator[Event]:
    """The events of a ``text/event-stream`` (WHATWG HTML, "Server-sent events"); comments are left out.

    An event without data is none. One that has an id passes it on to those after it, as the standard says.
    """
    seq, kind = "", ""
    data: list[str] = []
    for line in lines:
        if not line:
            if data:
                yield Event(seq, kind or "message", _object("\n".join(data)))
            kind, data = "", []
            continue
        field, _colon, value = line.partition(":")
        value = value.removeprefix(" ")
        if field == "id":
            seq = value
        elif field == "event":
            kind = value
        elif field == "data":
            data.append(value)


def _object(text: str) -> Mapping[str, Any]:
    try:
        value = json.loads(text) if text else {}
    except ValueError:
        return {"message": text}
    return value if isinstance(value, dict) else {"message": value}


def _print(context: Context, event: Event) -> None:
    body = {"id": event.seq, "event": event.kind, "data": event.data}
    context.output.event(body, lambda: event_line(event, context.output.style))


def event_line(event: Event, style: Style) -> str:
    """An event for a person: its number (for ``--after``), when, what, and how it is now."""
    data = event.data
    if event.kind == "reset":
        return style.bad("reset: events before this one have been lost; list again what you follow")
    subject = _ident(data.get(f"{event.kind}_id"), style)
    where = [
        f"{name} {_ident(data.get(f'{name}_id'), style)}"
        for name in ("network", "port")
        if name != event.kind and data.get(f"{name}_id")
    ]
    fault = fault_text(data.get("fault"))
    parts = [
        style.faint(f"{printable(event.seq)}  {time_text(str(data.get('at') or ''))}"),
        f"{event.kind} {subject}",
        value_text(data.get("action")),
        style.status(value_text(data.get("status"))) if data.get("status") else "",
        style.faint(f"in {', '.join(where)}") if where else "",
        value_text(data["detail"]) if data.get("detail") else "",
        style.bad(fault) if fault else "",
    ]
    return "  ".join(part for part in parts if part)


def _ident(ident: object, style: Style) -> str:
    """An id; on a terminal a UUID is shown by its beginning, which is enough to type."""
    text = value_text(ident)
    return text[:_SHORT_ID] if style.width is not None and len(text) == _UUID_LENGTH else text
