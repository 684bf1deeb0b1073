"""Names, ids and the beginnings of ids."""

from __future__ import annotations

from .case import CliCase

A = "aa000000-0000-4000-8000-000000000001"
B = "aa000000-0000-4000-8000-000000000002"
C = "bb000000-0000-4000-8000-000000000003"


class NetworkTests(CliCase):
    """Networks by id, name, and prefix."""

    def setUp(self) -> None:
        super().setUp()
        self.api.network("blue", ident=A)
        self.api.network("red", ident=B)
        self.api.network("bb", ident=C)

    def shown(self, text: str) -> str:
        return str(self.done(["network", "show", text, "-f", "json"]).json["network"]["id"])

    def test_name(self) -> None:
        """By name."""
        self.assertEqual(self.shown("blue"), A)

    def test_whole_id(self) -> None:
        """By id, in either case of letters, with one request."""
        self.assertEqual(self.shown(A), A)
        self.assertEqual(self.shown(B.upper()), B)
        self.assertEqual(self.asked(), [("GET", f"/networks/{A}"), ("GET", f"/networks/{B}")])

    def test_prefix(self) -> None:
        """By the beginning of an id, if it is the beginning of one only."""
        self.assertEqual(self.shown(B[:-1] + "2"), B)
        self.assertEqual(self.shown("BB0"), C)

    def test_a_name_wins(self) -> None:
        """A name is taken before a prefix."""
        self.api.network("aa", ident=C)
        self.assertEqual(self.shown("aa"), C)

    def test_ambiguous_prefix(self) -> None:
        """The beginning of two ids is a fault that lists them."""
        result = self.ctl("network show aa")
        self.assertEqual((result.status, result.out), (1, ""))
        self.assertEqual(
            result.err.splitlines(),
            [
                "quantumctl: Ambiguous: 'aa' fits 2 networks; say which, by more of its id:",
                f"  {A}  blue",
                f"  {B}  red",
            ],
        )

    def test_ambiguous_name(self) -> None:
        """So is a name that two networks have."""
        other = self.api.network("blue")
        result = self.ctl("network delete blue")
        self.assertEqual(result.status, 1)
        self.assertIn(other, result.err)
        self.assertEqual({method for method, _path in self.asked()}, {"GET"})

    def test_one_on_its_way_out(self) -> None:
        """A network that is being deleted does not stand in the way of the next one of its name."""
        other = self.api.network("stuck", status="Deleting")
        self.api.networks[other]["name"] = "stuck"
        self.assertEqual(self.shown("stuck"), other)
        successor = self.api.network("stuck", status="Active")
        self.assertEqual(self.shown("stuck"), successor)

    def test_none(self) -> None:
        """What fits nothing is a fault that says where to look."""
        for text in ("green", "cc", "b%s", "ü/?&", "%"):
            result = self.ctl(["network", "show", text])
            self.assertEqual((result.status, result.out), (1, ""))
            self.assertTrue(result.err.startswith("quantumctl: NetworkNotFound: no network is called"), result.err)
            self.assertIn("quantumctl network list", result.err)

    def test_empty(self) -> None:
        """An empty name is a mistake of a script's, not a prefix of everything."""
        for line in (["network", "delete", ""], ["port", "delete", "blue", ""]):
            result = self.ctl(line)
            self.assertEqual(result.status, 2)
            self.assertIn("is empty", result.err)


class PortTests(CliCase):
    """Ports by id, prefix, and what is plugged into them."""

    def setUp(self) -> None:
        super().setUp()
        self.net = self.api.network("blue")
        for ident in (A, B, C):
            self.api.port(self.net, ident=ident)
        self.api.plug(self.net, "vm1-eth0", port=A)

    def shown(self, text: str) -> str:
        return str(self.done(f"port show blue {text} -f json").json["port"]["id"])

    def test_all_ways(self) -> None:
        """Each way leads to the port."""
        self.assertEqual(self.shown(A), A)
        self.assertEqual(self.shown("bb"), C)
        self.assertEqual(self.shown("vm1-eth0"), A)

    def test_ambiguous(self) -> None:
        """The candidates are listed."""
        result = self.ctl("port delete blue aa00")
        self.assertEqual(result.status, 1)
        self.assertIn("'aa00' fits 2 ports", result.err)
        self.assertIn(f"  {B}  Active", result.err)

    def test_none(self) -> None:
        """Nothing there."""
        for text in ("cc", "vm2-eth0"):
            result = self.ctl(f"attachment unplug blue {text}")
            self.assertEqual(result.status, 1)
            self.assertIn("PortNotFound", result.err)

    def test_moving(self) -> None:
        """While something moves between two ports, its id means the one that it moves to."""
        self.api.attachments[A]["status"] = "Detaching"
        self.api.rounds = 9
        self.api.attachments[A]["_rounds"] = 9
        self.api.plug(self.net, "vm1-eth0", port=B, status="InProgress")
        self.assertEqual(self.shown("vm1-eth0"), B)


class TokenTests(CliCase):
    """Tokens by id and prefix."""

    def test_all_ways(self) -> None:
        """A whole id wins over a prefix; more than one is a fault, and so is none."""
        for ident in ("ab", "abc", "abd"):
            self.api.tokens[ident] = {"id": ident, "tenant_id": "t", "role": "reader", "created_at": "2026"}
        self.done("token revoke ab")
        self.done("token revoke abc")
        self.assertEqual(list(self.api.tokens), ["abd"])
        self.api.tokens["abe"] = {"id": "abe", "role": "admin"}
        self.assertIn("'ab' fits 2 tokens", self.ctl("token revoke ab").err)
        self.assertIn("NotFound: no token", self.ctl("token revoke x").err)
        self.assertIn("NotFound: no token", self.ctl(["token", "revoke", ""]).err)
