"""``quantumctl events``."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from quantumd.cli.commands.events import Event, event_line, parse_events
from quantumd.cli.render import Style

from .case import NOWHERE, CliCase

NET = "0a1b2c3d-0000-4000-8000-000000000001"
PORT = "1a1b2c3d-0000-4000-8000-000000000002"


def data(**fields: Any) -> dict[str, Any]:
    common = {"at": "2026-11-24T06:00:01.5Z", "tenant_id": "default", "network_id": NET, "action": "status"}
    return common | {"port_id": None, "attachment_id": None, "status": "Active", "fault": None} | fields


def sse(seq: int, kind: str, **fields: Any) -> str:
    return f"id: {seq}\nevent: {kind}\ndata: {json.dumps(data(**fields))}\n\n"


class ParseTests(SynchronousTestCase):
    """The format of the stream."""

    def parse(self, text: str) -> list[Event]:
        return list(parse_events(text.split("\n")))

    def test_events(self) -> None:
        """Fields in any order, comments, several lines of data, blank lines, an end without one."""
        text = ': hello\n\nid: 7\nevent: network\ndata: {"a":\ndata: 1}\n\n'
        text += ':\ndata:{"b": 2}\nretry: 5\nevent:port\n\ndata: 3'
        self.assertEqual(self.parse(text), [Event("7", "network", {"a": 1}), Event("7", "port", {"b": 2})])

    def test_reset(self) -> None:
        """An event whose data is empty is still one; one without data is none."""
        self.assertEqual(self.parse("event: reset\ndata:\n\nevent: reset\n\n"), [Event("", "reset", {})])

    @given(st.lists(st.text(alphabet='abid:ven t{}0"', max_size=9)))
    def test_anything(self, lines: list[str]) -> None:
        """No stream makes it stumble."""
        for event in parse_events(lines):
            self.assertIsInstance(event.data, dict)


class LineTests(SynchronousTestCase):
    """An event for a person."""

    def test_network(self) -> None:
        """When, what, how."""
        line = event_line(Event("1", "network", data()), Style())
        self.assertEqual(line, f"1  2026-11-24 06:00:01Z  network {NET}  status  Active")

    def test_attachment(self) -> None:
        """With where it is, and what is wrong; on a terminal with short ids."""
        fields = data(
            attachment_id="vif1", port_id=PORT, status="Failed", fault={"name": "F", "message": "no"}, action="updated"
        )
        line = event_line(Event("1", "attachment", fields), Style(width=80))
        self.assertEqual(
            line,
            "1  2026-11-24 06:00:01Z  attachment vif1  updated  Failed  in network 0a1b2c3d, port 1a1b2c3d  F: no",
        )

    def test_deleted(self) -> None:
        """What has gone has no status."""
        line = event_line(Event("1", "port", data(port_id=PORT, status=None, action="deleted")), Style())
        self.assertEqual(line, f"1  2026-11-24 06:00:01Z  port {PORT}  deleted  in network {NET}")

    def test_repaired(self) -> None:
        """What was found amiss is said."""
        line = event_line(Event("1", "network", data(action="repaired", detail="the bridge was down")), Style())
        self.assertEqual(line, f"1  2026-11-24 06:00:01Z  network {NET}  repaired  Active  the bridge was down")

    def test_reset(self) -> None:
        """That events are lost is said plainly."""
        self.assertIn("have been lost", event_line(Event("", "reset", {}), Style()))


class FollowTests(CliCase):
    """The command itself, as a process that is stopped from outside."""

    def follow(self, *words: str, count: int) -> list[str]:
        """The first lines that it prints."""
        environ = os.environ | self.environ
        with subprocess.Popen(
            [sys.executable, "-m", "quantumd.cli", "events", *words],
            env=environ,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        ) as process:
            assert process.stdout is not None
            assert process.stderr is not None
            try:
                lines = [process.stdout.readline().rstrip("\n") for _number in range(count)]
            finally:
                process.terminate()
                self.said = process.stderr.read()
        return lines

    def test_lines(self) -> None:
        """A line each, as they come; the stream stays open."""
        self.api.streams = [sse(1, "network") + sse(2, "network", status="Failed")]
        lines = self.follow(count=2)
        self.assertIn("Active", lines[0])
        self.assertIn("Failed", lines[1])
        self.assertEqual(self.said, "")
        self.assertEqual(self.api.requests[0].headers["accept"], "text/event-stream")
        self.assertNotIn("last-event-id", self.api.requests[0].headers)

    def test_json(self) -> None:
        """JSON, a line each."""
        self.api.streams = [sse(1, "network")]
        (line,) = self.follow("-f", "json", "--after", "0", count=1)
        self.assertEqual(json.loads(line), {"id": "1", "event": "network", "data": data()})
        self.assertEqual(self.api.requests[0].headers["last-event-id"], "0")

    def test_taken_up_again(self) -> None:
        """A stream that ends is taken up again after the last event that came."""
        self.api.streams = [sse(1, "network") + sse(2, "network"), sse(3, "network", status="Deleting")]
        lines = self.follow(count=3)
        self.assertIn("Deleting", lines[2])
        self.assertIn("taking it up again", self.said)
        self.assertEqual(self.api.requests[1].headers["last-event-id"], "2")

    def test_nobody_there(self) -> None:
        """Who was never reached is not waited for."""
        self.api.streams = []
        result = self.ctl(["--endpoint", NOWHERE, "events"])
        self.assertEqual(result.status, 1)
        self.assertIn("cannot reach", result.err)
