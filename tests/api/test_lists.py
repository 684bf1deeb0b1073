"""Pages and filters."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote_plus

from tests.api.support import NO_ID, ApiTestCase


class PageTests(ApiTestCase):
    """``limit``, ``marker`` and ``Link``."""

    def pages(self, target: str) -> Iterator[list[Any]]:
        """Follow the links."""
        for _ in range(20):
            response = self.get(target)
            self.assertEqual(response.status, 200, response.body)
            yield next(iter(response.json.values()))
            if "link" not in response.headers:
                return
            found = re.fullmatch('<(/[^>]*)>; rel="next"', response.headers["link"])
            assert found is not None
            target = found[1]
        self.fail("the pages have no end")

    def test_networks(self) -> None:
        ids = [self.network(f"n{number}") for number in range(7)]
        for limit, sizes in ((1, [1] * 7), (3, [3, 3, 1]), (7, [7]), (1000, [7])):
            pages = list(self.pages(f"/networks?limit={limit}"))
            self.assertEqual([len(page) for page in pages], sizes)
            self.assertEqual([one["id"] for page in pages for one in page], ids)
        after = self.get(f"/networks?marker={ids[4]}").json["networks"]
        self.assertEqual([one["id"] for one in after], ids[5:])
        self.assertEqual(self.get(f"/networks?marker={ids[6]}&limit=1").json, {"networks": []})

    def test_the_link_keeps_the_rest(self) -> None:
        """The next page has the same filters and format."""
        for name in ("a&b", "x", "a&b", "a&b"):
            self.network(name)
        response = self.get("/networks.xml?name=a%26b&limit=2")
        self.assertTrue(response.headers["link"].startswith("</networks.xml?"), response.headers["link"])
        pages = list(self.pages("/networks?name=a%26b&limit=2"))
        self.assertEqual([[one["name"] for one in page] for page in pages], [["a&b"] * 2, ["a&b"]])

    def test_ports(self) -> None:
        network = self.network()
        ids = [self.port(network) for _ in range(5)]
        pages = list(self.pages(f"/networks/{network}/ports?limit=2"))
        self.assertEqual([[one["id"] for one in page] for page in pages], [ids[:2], ids[2:4], ids[4:]])

    def test_attachments(self) -> None:
        """Also while a VIF moves and is there twice under one id."""
        network = self.network()
        first, second = self.port(network), self.port(network)
        path = self.plug(network, first, "vm 1")
        self.plug(network, second, "b")
        self.settle()
        self.delete(path)
        self.plug(network, self.port(network), "vm 1")
        for target in ("/attachments?limit=1", f"/networks/{network}/attachments?limit=1"):
            ids = [page[0]["id"] for page in self.pages(target)]
            self.assertEqual(ids, ["vm 1", "b", "vm 1"])
        self.assertEqual(self.get("/attachments?marker=b").json["attachments"][0]["id"], "vm 1")
        self.assertEqual(self.get("/attachments?marker=vm+1").json["attachments"], [])

    def test_marker_that_matches_no_filter(self) -> None:
        """What was seen last may have changed since."""
        ids = [self.network(name) for name in ("a", "b", "a")]
        self.assertEqual(len(self.get(f"/networks?name=a&marker={ids[1]}").json["networks"]), 1)

    def test_bad(self) -> None:
        network = self.network()
        elsewhere = self.port(self.network())
        for target, path in (
            ("/networks?limit=0", "limit"),
            ("/networks?limit=1001", "limit"),
            ("/networks?limit=", "limit"),
            ("/networks?limit=x", "limit"),
            ("/networks?limit=1.0", "limit"),
            ("/networks?limit=+1", "limit"),
            ("/networks?limit=-1", "limit"),
            ("/networks?limit=01", "limit"),
            ("/networks?limit=%D9%A3", "limit"),
            (f"/networks?limit={'9' * 5000}", "limit"),
            ("/networks?limit=1&limit=1", "limit"),
            ("/networks?marker=", "marker"),
            (f"/networks?marker={NO_ID}", "marker"),
            (f"/networks/{network}/ports?marker={elsewhere}", "marker"),
            ("/attachments?marker=x", "marker"),
            ("/networks?name=%FF", "query"),
            ("/networks?Limit=1", "Limit"),
            ("/networks?=1", ""),
        ):
            response = self.get(target)
            self.assertEqual(response.status, 400, target)
            self.assertEqual(response.json["errors"][0]["path"] or "", path or "body", target)


class FilterTests(ApiTestCase):
    """Each filter, and all together."""

    def names(self, query: str) -> list[str]:
        return [one["name"] for one in self.get(f"/networks?{query}").json["networks"]]

    def test_networks(self) -> None:
        self.network("old")
        self.settle()
        for name in ("new", "a b+c&d=é"):
            self.network(name)
        self.assertEqual(self.names("status=Active"), ["old"])
        self.assertEqual(self.names("status=InProgress"), ["new", "a b+c&d=é"])
        self.assertEqual(self.names(f"name={quote_plus('a b+c&d=é')}"), ["a b+c&d=é"])
        self.assertEqual(self.names("name=new&status=Active"), [])
        self.assertEqual(self.names("name="), [])
        self.assertEqual(self.names(""), ["old", "new", "a b+c&d=é"])

    def test_ports(self) -> None:
        network = self.network()
        first, second = self.port(network), self.port(network)
        self.settle()
        self.plug(network, second, "vm: 1&2#?")
        third = self.port(network)
        path = f"/networks/{network}/ports"

        def ids(query: str) -> list[str]:
            return [one["id"] for one in self.get(f"{path}?{query}").json["ports"]]

        self.assertEqual(ids(f"attachment={quote_plus('vm: 1&2#?')}"), [second])
        self.assertEqual(ids("attachment=nobody"), [])
        self.assertEqual(ids("status=Active"), [first, second])
        self.assertEqual(ids("status=InProgress"), [third])

    def test_attachments(self) -> None:
        network = self.network()
        self.plug(network, self.port(network), "vm1")
        self.settle()
        self.plug(network, self.port(network), "eth1", type="bridge", device={"name": "eth1"})

        for path in ("/attachments", f"/networks/{network}/attachments"):

            def ids(query: str, path: str = path) -> list[str]:
                return [one["id"] for one in self.get(f"{path}?{query}").json["attachments"]]

            self.assertEqual(ids("type=vif"), ["vm1"])
            self.assertEqual(ids("type=bridge"), ["eth1"])
            self.assertEqual(ids("type=tunnel"), [])
            self.assertEqual(ids("status=Attached/UP"), ["vm1"])
            self.assertEqual(ids("status=Attached%2FUP&type=bridge"), [])
            self.assertEqual(ids("id=eth1"), ["eth1"])

    def test_what_does_not_exist(self) -> None:
        path = f"/networks/{self.network()}"
        for target, name in (
            ("/networks?status=active", "status"),
            ("/networks?status=Deleted", "status"),
            ("/networks?status=Detaching", "status"),
            (f"{path}/ports?status=Attached/UP", "status"),
            ("/attachments?status=Active", "status"),
            ("/attachments?type=nonsense", "type"),
            (f"{path}/attachments?type=", "type"),
            ("/networks?tenant_id=x", "tenant_id"),
            (f"{path}?name=x", "name"),
        ):
            self.assertEqual(self.get(target).paths, [name], target)
