"""Tables and details, as lines of text."""

from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from quantumd.cli.render import (
    Column,
    Row,
    Style,
    columns_of,
    details,
    printable,
    resource_details,
    table,
    time_text,
    value_text,
)

COLUMNS = (Column("ID", "id"), Column("NAME"), Column("STATUS", "status"))
UUIDS = ("0a1b2c3d-0000-4000-8000-000000000001", "0a1b2c3d-0001-4000-8000-000000000002")
ESCAPES = re.compile(r"\x1b\[[0-9]*m")


class TableTests(SynchronousTestCase):
    """Columns, widths, colours, faults."""

    def test_aligned(self) -> None:
        """Cells stand below their titles, with no blanks at the ends of lines."""
        lines = table(COLUMNS, [Row(["a", "blue", "Active"]), Row(["bbb", "x", "Failed"])], Style())
        self.assertEqual(lines, ["ID   NAME  STATUS", "a    blue  Active", "bbb  x     Failed"])

    def test_empty(self) -> None:
        """A table of nothing is its heading."""
        self.assertEqual(table(COLUMNS, [], Style()), ["ID  NAME  STATUS"])

    def test_wide_characters(self) -> None:
        """Characters of two columns and of none are counted as such."""
        lines = table(COLUMNS, [Row(["a", "網路", "Active"]), Row(["a", "e\u0301t", "Active"])], Style())
        self.assertEqual([columns_of(line.partition("Active")[0]) for line in lines[1:]], [10, 10])

    def test_fault_below(self) -> None:
        """What is wrong with a row stands below it."""
        lines = table(COLUMNS, [Row(["a", "b", "Failed"], "PluginFault: no"), Row(["c", "d", "Active"])], Style())
        self.assertEqual(lines[2], "  PluginFault: no")
        self.assertEqual(len(lines), 4)

    def test_colours(self) -> None:
        """Statuses have colours, where there are any; alignment does not depend on it."""
        rows = [Row(["a", "b", "Active"]), Row(["c", "d", "InProgress"]), Row(["e", "f", "Failed"], "why")]
        coloured = table(COLUMNS, rows, Style(colour=True))
        for line, code in zip(coloured[1:], ("32", "33", "31", "31"), strict=True):
            self.assertIn(f"\x1b[{code}m", line)
        self.assertEqual([ESCAPES.sub("", line).rstrip() for line in coloured], table(COLUMNS, rows, Style()))

    def test_ids_give_way_first(self) -> None:
        """On a narrow terminal ids are cut to what still tells them apart."""
        rows = [Row([uuid, "blue", "Active"]) for uuid in UUIDS]
        self.assertIn(UUIDS[0], table(COLUMNS, rows, Style(width=80))[1])
        lines = table(COLUMNS, rows, Style(width=40))
        self.assertEqual([line.split()[0] for line in lines[1:]], ["0a1b2c3d-0000", "0a1b2c3d-0001"])
        self.assertEqual(table(COLUMNS, rows[:1], Style(width=40))[1].split()[0], "0a1b2c3d")

    def test_then_texts(self) -> None:
        """Then the widest texts lose their ends, and say so."""
        lines = table(COLUMNS, [Row([UUIDS[0], "n" * 60, "Active"])], Style(width=40))
        self.assertEqual(lines[1], f"0a1b2c3d  {'n' * 21}…  Active")
        self.assertEqual(columns_of(lines[1]), 40)

    def test_nothing_is_cut_in_a_pipe(self) -> None:
        """Who reads a pipe gets all of it."""
        self.assertIn("n" * 300, table(COLUMNS, [Row([UUIDS[0], "n" * 300, "Active"])], Style())[1])

    @given(
        st.lists(st.tuples(st.uuids().map(str), st.text(), st.text(max_size=255)), max_size=6),
        st.integers(min_value=42, max_value=120),
    )
    def test_fits(self, cells: list[tuple[str, str, str]], width: int) -> None:
        """Whatever the texts, a table fits into a terminal of a bearable width, and moves no cursor."""
        columns = (Column("ID", "id"), Column("NAME"), Column("TENANT"))
        lines = table(columns, [Row(row) for row in cells], Style(width=width))
        for line in lines:
            self.assertLessEqual(columns_of(line), width)
            self.assertTrue(line.isprintable() or not re.search(r"[\x00-\x1f\x7f-\x9f]", line))
        self.assertEqual(len(lines), len(cells) + 1)


class TextTests(SynchronousTestCase):
    """Values as text."""

    def test_printable(self) -> None:
        """What would act on a terminal is spelled out; all else stays."""
        self.assertEqual(printable("bl\x1b[31mue\n\u202e\x9b"), "bl\\x1b[31mue\\x0a\\x202e\\x9b")
        for text in ("grün 網路 👩‍🔧", "שלום", "a b"):
            self.assertEqual(printable(text), text)

    def test_values(self) -> None:
        """Scalars, objects and lists on one line."""
        for value, text in (
            (None, "-"),
            ("x", "x"),
            (1400, "1400"),
            (True, "true"),
            ({}, "-"),
            ({"mtu": 1400, "tags": ["a", 1]}, "mtu=1400 tags=a,1"),
            ([], "-"),
            ({"name": "tap7", "mac": None}, "name=tap7 mac=-"),
        ):
            self.assertEqual(value_text(value), text)

    def test_times(self) -> None:
        """Times in UTC are shown to the second; what is no such time is shown as it is."""
        self.assertEqual(time_text("2026-11-24T06:00:01.123456Z"), "2026-11-24 06:00:01Z")
        self.assertEqual(time_text("2026-11-24T06:00:01+00:00"), "2026-11-24 06:00:01Z")
        self.assertEqual(time_text("2026-11-24T06:00:01+02:00"), "2026-11-24T06:00:01+02:00")
        self.assertEqual(time_text(""), "")


class DetailsTests(SynchronousTestCase):
    """One resource."""

    def test_lines(self) -> None:
        """The status beside the name, the fault below it, and only what says something."""
        lines = details("port p", "Failed", [("id", "1"), ("network", "n"), ("vlan", "-"), ("x", "")], "F: no", Style())
        self.assertEqual(lines, ["port p  Failed", "  F: no", "  id       1", "  network  n"])

    def test_common_fields(self) -> None:
        """What all resources have comes last."""
        resource = {
            "status": "Active",
            "fault": None,
            "options": {"mtu": 1400},
            "plugin": {},
            "revision": 2,
            "created_at": "2026-11-24T06:00:01Z",
            "updated_at": "2026-11-24T06:00:02Z",
        }
        lines = resource_details("network blue", resource, [("id", "1")], Style())
        self.assertEqual(
            [line.split(maxsplit=1)[0] for line in lines],
            ["network", "id", "options", "revision", "created", "updated"],
        )
