"""Which format a reply is in, and headers that say more."""

from __future__ import annotations

import time

from twisted.trial.unittest import SynchronousTestCase

from quantumd.api.headers import tags_of, wait_of
from quantumd.api.media import REPRESENTATIONS, acceptable
from tests.api.support import ApiTestCase


class AcceptTests(SynchronousTestCase):
    """RFC 9110, 12.5.1."""

    def test_choice(self) -> None:
        json, xml = "application/json", "application/xml"
        for accept, expected in (
            (None, json),
            ("", json),
            ("*/*", json),
            ("application/*", json),
            ("text/*", "text/xml"),
            ("text/xml", "text/xml"),
            (xml, xml),
            ("APPLICATION/XML; charset=utf-8", xml),
            (f"{json}, {xml}", json),
            (f"{xml}, {json}", json),
            (f"{json};q=0.5, {xml}", xml),
            (f"{xml};q=0.5, */*;q=0.4", xml),
            (f"{json};q=0, */*", xml),
            (f"{json};q=0, application/*", xml),
            (f"{json};q=0", None),
            ("text/html, application/xhtml+xml, application/xml;q=0.9, */*;q=0.8", xml),
            ("text/html", None),
            ("image/png, text/html", None),
            ("*/*;q=0", None),
            ("nonsense", json),
            ("*/json", json),
            ("application/json;q=x", json),
            ("application/json;q=2", json),
            (f"nonsense, {xml}", xml),
            (",,;,", json),
        ):
            self.assertEqual(acceptable(accept, REPRESENTATIONS), expected, accept)


class NegotiationTests(ApiTestCase):
    """Suffix, Accept and Content-Type together."""

    def test_reply(self) -> None:
        path = f"/networks/{self.network()}"
        for target, accept, expected in (
            (path, "application/xml", "application/xml"),
            (path, "text/xml", "text/xml"),
            (path, "*/*", "application/json"),
            (f"{path}.xml", "application/json", "application/xml"),
            (f"{path}.json", "application/xml", "application/json"),
            (f"{path}.json", "image/png", "application/json"),
            (f"{path}.xml/", "application/json", "application/xml"),
        ):
            response = self.get(target, Accept=accept)
            self.assertEqual((response.status, response.headers["content-type"]), (200, expected))

    def test_not_acceptable(self) -> None:
        response = self.get("/networks", Accept="text/html")
        self.assertEqual((response.status, response.fault), (406, "NotAcceptable"))
        self.assertEqual(self.get("/events", Accept="application/json").status, 406)
        self.assertEqual(self.get("/metrics", Accept="application/json").status, 406)
        self.assertEqual(self.get("/openapi.json", Accept="text/html").status, 200)

    def test_nothing_is_done_for_who_cannot_read_the_answer(self) -> None:
        before = self.store.state
        self.assertEqual(self.post("/networks", {"network": {"name": "a"}}, Accept="text/html").status, 406)
        self.assertEqual(self.store.state, before)

    def test_faults(self) -> None:
        for target, accept, expected in (
            ("/x", "*/*", "application/problem+json"),
            ("/x", "application/xml", "application/problem+xml"),
            ("/x", "application/problem+xml", "application/problem+xml"),
            ("/x", "application/problem+xml;q=0.1, application/problem+json", "application/problem+json"),
            ("/x", "text/xml", "application/problem+xml"),
            ("/x", "image/png", "application/problem+json"),
            ("/x.xml", "application/json", "application/problem+xml"),
            ("/x.json", "application/xml", "application/problem+json"),
            ("/%ff.xml", "application/json", "application/problem+xml"),
            ("/%ff.xml/", "application/json", "application/problem+xml"),
            ("/a%2Fb.json", "application/xml", "application/problem+json"),
        ):
            response = self.get(target, Accept=accept)
            self.assertEqual((response.status, response.headers["content-type"]), (404, expected))


class HeaderTests(SynchronousTestCase):
    """``Prefer`` and ``If-Match``."""

    def test_wait(self) -> None:
        for header, expected in (
            ("wait=5", 5),
            ("wait = 5", 5),
            ('foo="a, wait=1", wait=5', 5),
            ('foo="a\\", wait=1", wait=5', 5),
            ("wait=5;x=1;y", 5),
            ("wait=60", 60),
            ("wait=61", 60),
            ("wait=0000000000000000000000000000005", 5),
            ("wait=\xb2", None),
            ("x;wait=5", None),
            ('"wait=5', None),
        ):
            self.assertEqual(wait_of([header]), expected, header)
        self.assertEqual(wait_of(["respond-async", "wait=5", "wait=6"]), 5)
        self.assertIsNone(wait_of([]))

    def test_tags(self) -> None:
        self.assertIsNone(tags_of([]))
        self.assertEqual(tags_of([" * "]), ["*"])
        self.assertEqual(tags_of(['"a", W/"b" ,"c,d"', '"e"', "f", '"*"', '""', '"g']), ["a", "c,d", "e"])

    def test_no_header_takes_long(self) -> None:
        """What an odd header costs grows with its length, not with the square of it."""
        began = time.process_time()
        for piece in (" ", '"', ",", ";", '",', '"a', "W/", "a ", "=", '\\"', ", ", '" '):
            header = (";" + piece * 16000)[:16000] + ";"
            wait_of([header])
            tags_of([header])
            acceptable(header, REPRESENTATIONS)
        self.assertLess(time.process_time() - began, 2)
