"""Tables and details for people: pure functions from values to lines of text.

Everything that comes from the daemon is made harmless first: a name or a message must not be able to move the cursor
of whoever reads it.
"""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

_GAP = "  "
_SHORTEST_ID = 8
_NARROWEST = 10
_COLOURS = {
    "Active": "32",
    "Attached/UP": "32",
    "up": "32",
    "InProgress": "33",
    "Attached/DOWN": "33",
    "Deleting": "33",
    "Detaching": "33",
    "Failed": "31",
    "down": "31",
}


class Style(NamedTuple):
    """What the reader's device can do: ``width`` in columns, or None where nothing is ever shortened."""

    colour: bool = False
    width: int | None = None

    def paint(self, text: str, code: str) -> str:
        """The text in a colour (an SGR code), where there are colours."""
        return f"\x1b[{code}m{text}\x1b[0m" if self.colour and text and code else text

    def status(self, text: str) -> str:
        """A status in its colour; blanks around it are kept."""
        return self.paint(text, _COLOURS.get(text.strip(), ""))

    def bold(self, text: str) -> str:
        """A heading."""
        return self.paint(text, "1")

    def faint(self, text: str) -> str:
        """What matters less."""
        return self.paint(text, "2")

    def bad(self, text: str) -> str:
        """A fault."""
        return self.paint(text, "31")


class Column(NamedTuple):
    """A column of a table. ``kind`` is ``id`` (may be cut to a prefix), ``text`` (may lose its end) or ``status``."""

    title: str
    kind: str = "text"


class Row(NamedTuple):
    """A row of a table: a cell for each column, and what is wrong with it, shown below it."""

    cells: Sequence[str]
    fault: str | None = None


def printable(text: str) -> str:
    """The text without anything that acts on a terminal: control characters and bidirectional overrides."""
    return "".join(
        character
        if unicodedata.category(character) not in ("Cc", "Cs", "Zl", "Zp")
        and unicodedata.bidirectional(character) not in ("LRO", "RLO", "LRE", "RLE", "PDF")
        else f"\\x{ord(character):02x}"
        for character in text
    )


def columns_of(text: str) -> int:
    """How many columns of a terminal the text takes."""
    if text.isascii():
        return len(text)
    return sum(
        0 if unicodedata.combining(character) else 1 + (unicodedata.east_asian_width(character) in "WF")
        for character in text
    )


def value_text(value: object) -> str:
    """A value of an option, or of what a plugin reports, on one line: ``mtu=1450 tags=a,b``."""
    if value is None:
        return "-"
    if isinstance(value, str):
        return printable(value)
    if isinstance(value, Mapping):
        return " ".join(f"{printable(str(key))}={value_text(item)}" for key, item in value.items()) or "-"
    if isinstance(value, list):
        return ",".join(value_text(item) for item in value) or "-"
    return printable(json.dumps(value))


def fault_text(fault: Mapping[str, Any] | None) -> str | None:
    """A resource's fault on one line."""
    if not fault:
        return None
    return printable(f"{fault.get('name')}: {fault.get('message')}")


def time_text(time: str) -> str:
    """An RFC 3339 time, for reading: to the second, with a blank for the T."""
    day, separator, clock = time.partition("T")
    return f"{day} {clock[:8]}Z" if separator and clock.endswith(("Z", "+00:00")) else printable(time)


def table(columns: Sequence[Column], rows: Iterable[Row], style: Style) -> list[str]:
    """Aligned columns under their titles; too wide a table is made to fit, ids first, then the widest texts."""
    rows = list(rows)
    grid = [[printable(cell) for cell in row.cells] for row in rows]
    widths = _widths(columns, grid)
    if style.width is not None and _total(widths) > style.width:
        _shorten_ids(columns, grid)
        widths = _fit(columns, _widths(columns, grid), style.width)
    lines = [style.bold(_line([column.title for column in columns], widths, [str] * len(columns)))]
    painters = [style.status if column.kind == "status" else str for column in columns]
    for cells, row in zip(grid, rows, strict=True):
        lines.append(_line(cells, widths, painters))
        if row.fault is not None:
            lines.append(_GAP + style.bad(row.fault))
    return lines


def details(title: str, status: str, pairs: Iterable[tuple[str, str]], fault: str | None, style: Style) -> list[str]:
    """A name and a status, what is wrong, and a line for each field that says something."""
    lines = [f"{style.bold(printable(title))}{_GAP}{style.status(printable(status))}"]
    if fault is not None:
        lines.append(_GAP + style.bad(fault))
    shown = [(name, value) for name, value in pairs if value not in ("", "-")]
    widest = max((len(name) for name, _value in shown), default=0)
    lines += [f"{_GAP}{style.faint(name.ljust(widest))}{_GAP}{value}" for name, value in shown]
    return lines


def resource_details(
    title: str, resource: Mapping[str, Any], pairs: Iterable[tuple[str, str]], style: Style
) -> list[str]:
    """One resource of the API: ``pairs``, and then the fields that all of them have."""
    common = [(name, value_text(resource.get(name))) for name in ("options", "plugin", "revision")]
    times = [(name, time_text(resource.get(f"{name}_at") or "")) for name in ("created", "updated")]
    fault = fault_text(resource.get("fault"))
    return details(title, str(resource.get("status")), [*pairs, *common, *times], fault, style)


def _line(cells: Sequence[str], widths: Sequence[int], painters: Sequence[Callable[[str], str]]) -> str:
    padded = [
        paint(_cut(cell, width) + " " * (width - columns_of(_cut(cell, width))))
        for cell, width, paint in zip(cells, widths, painters, strict=True)
    ]
    return _GAP.join(padded).rstrip()


def _cut(text: str, width: int) -> str:
    if columns_of(text) <= width:
        return text
    while columns_of(text) > width - 1:
        text = text[:-1]
    return text + "…"


def _widths(columns: Sequence[Column], grid: Sequence[Sequence[str]]) -> list[int]:
    return [
        max(len(column.title), *(columns_of(cells[index]) for cells in grid)) if grid else len(column.title)
        for index, column in enumerate(columns)
    ]


def _total(widths: Sequence[int]) -> int:
    return sum(widths) + len(_GAP) * (len(widths) - 1)


def _shorten_ids(columns: Sequence[Column], grid: Sequence[list[str]]) -> None:
    """Cut each id to a prefix that is its own in this table: what is shown can be typed again."""
    for index, column in enumerate(columns):
        if column.kind == "id":
            length = _prefix_length({cells[index] for cells in grid})
            for cells in grid:
                cells[index] = cells[index][:length]


def _prefix_length(idents: set[str]) -> int:
    length = _SHORTEST_ID
    longest = max((len(ident) for ident in idents), default=0)
    while length < longest and len({ident[:length] for ident in idents}) < len(idents):
        length += 1
    return length


def _fit(columns: Sequence[Column], widths: list[int], width: int) -> list[int]:
    """Take columns of the terminal from the widest texts until the table fits or none can give any more."""
    elastic = [index for index, column in enumerate(columns) if column.kind == "text"]
    while (over := _total(widths) - width) > 0:
        index = max(elastic, key=lambda index: widths[index], default=None)
        if index is None or widths[index] <= _NARROWEST:
            break
        others = [widths[other] for other in elastic if other != index]
        widths[index] = max(widths[index] - over, min(widths[index] - 1, max(others, default=0)), _NARROWEST)
    return widths
