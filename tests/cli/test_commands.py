"""Every verb, against a fake API: the requests that it makes, and what it prints."""

from __future__ import annotations

from .case import CliCase

UUID = "0a1b2c3d-0000-4000-8000-000000000001"


class NetworkTests(CliCase):
    """``quantumctl network``."""

    def test_list(self) -> None:
        """A table with whole ids when piped; the API's own body as JSON."""
        blue = self.api.network("blue")
        self.api.network("red", status="InProgress")
        result = self.done("network list")
        self.assertEqual(result.out.splitlines()[0].split(), ["ID", "NAME", "STATUS", "TENANT"])
        self.assertEqual(result.rows[0], [blue, "blue", "Active", "default"])
        body = self.done("network list -f json").json
        self.assertEqual(body["networks"][0], {"id": blue, "name": "blue", "status": "Active", "tenant_id": "default"})

    def test_list_filters(self) -> None:
        """The filters are the API's."""
        self.api.network("blue")
        self.api.network("a b&c=d")
        self.assertEqual(len(self.done(["network", "list", "--name", "a b&c=d"]).rows), 1)
        self.assertEqual(self.api.requests[-1].path, "/networks?name=a+b%26c%3Dd")
        self.assertEqual(len(self.done("network list --status Failed").rows), 0)

    def test_list_faults(self) -> None:
        """What has failed says why, below its row; what has not is not asked."""
        self.api.network("blue")
        self.api.network("bad", status="InProgress")
        out = self.done("network list").out.splitlines()
        self.assertEqual(out[3], "  PluginFault: the kernel says no")
        self.assertEqual(len(self.asked()), 2)

    def test_list_of_many_faults(self) -> None:
        """A list of a thousand faults does not make a thousand requests."""
        for number in range(30):
            self.api.network(f"bad{number}", status="InProgress")
        self.assertEqual(len(self.done("network list").out.splitlines()), 1 + 30 + 20)
        self.assertEqual(len(self.asked()), 21)

    def test_list_json_is_one_request(self) -> None:
        """JSON is what the API answers, and nothing more."""
        self.api.network("bad", status="InProgress")
        self.done("network list -f json")
        self.assertEqual(self.asked(), [("GET", "/networks")])

    def test_create(self) -> None:
        """The body says what was said, and no more."""
        result = self.done("network create blue")
        self.assertEqual(self.api.requests[-1].body, {"network": {"name": "blue"}})
        self.assertIn("network blue  InProgress", result.out)
        self.done(f"network create red --id {UUID} --tenant acme --option mtu=1400 --option mode=fancy")
        options = {"mtu": 1400, "mode": "fancy"}
        body = {"network": {"name": "red", "id": UUID, "tenant_id": "acme", "options": options}}
        self.assertEqual(self.api.requests[-1].body, body)
        self.assertEqual(self.api.requests[-1].headers["content-type"], "application/json")

    def test_create_any_name(self) -> None:
        """Names of any script arrive as they were typed, and even bytes that are no text do no harm."""
        for name in ("grün 網路", "--", "a'b\"c"):
            self.assertEqual(self.ctl(["network", "create", "--", name]).status, 0)
            self.assertEqual(self.api.requests[-1].body, {"network": {"name": name}})
        self.ctl(["network", "create", "x\udcff"])
        self.assertEqual(self.api.requests[-1].body, {"network": {"name": "x\udcff"}})
        self.assertEqual(self.ctl(["network", "show", "x\udcfe"]).status, 1)

    def test_show(self) -> None:
        """All that is known of it."""
        ident = self.api.network("blue")
        out = self.done("network show blue").out
        for words in ("network blue  Active", ident, "default", "bridge=q-1a2b", "2026-11-24 06:00:00Z"):
            self.assertIn(words, out)
        self.assertEqual(self.done("network show blue -f json").json["network"]["id"], ident)

    def test_rename_and_set(self) -> None:
        """PUTs of what changes."""
        ident = self.api.network("blue")
        self.done("network rename blue red")
        self.assertEqual(self.api.requests[-1][:2], ("PUT", f"/networks/{ident}"))
        self.assertEqual(self.api.requests[-1].body, {"network": {"name": "red"}})
        self.done("network set red mtu=1400 mode=null")
        self.assertEqual(self.api.requests[-1].body, {"network": {"options": {"mtu": 1400, "mode": None}}})

    def test_delete(self) -> None:
        """One line."""
        self.api.network("blue")
        self.assertEqual(self.done("network delete blue").out, "network blue: Deleting\n")

    def test_delete_waiting(self) -> None:
        """With ``--wait``, it is gone."""
        self.api.network("blue")
        self.assertEqual(self.done("network delete blue --wait").out, "network blue: Deleted\n")
        self.assertEqual(self.api.networks, {})

    def test_delete_plugged(self) -> None:
        """Without ``--cascade`` what is plugged stands in the way."""
        network = self.api.network("blue")
        self.api.plug(network, "vif1")
        self.assertIn("AttachmentsPlugged", self.ctl("network delete blue").err)

    def test_cascade(self) -> None:
        """With it, all is unplugged first."""
        network = self.api.network("blue")
        for name in ("vif1", "vif2"):
            self.api.plug(network, name)
        other = self.api.plug(self.api.network("red"), "vif3")
        self.assertEqual(self.done("network delete blue --cascade --wait").out, "network blue: Deleted\n")
        self.assertEqual(list(self.api.attachments), [other])
        methods = [method for method, _path in self.asked() if method == "DELETE"]
        self.assertEqual(len(methods), 3)

    def test_cascade_of_nothing(self) -> None:
        """It is no fault that nothing was plugged."""
        self.api.network("blue")
        self.done("network delete blue --cascade --wait")

    def test_cascade_against_somebody(self) -> None:
        """What is plugged between the last look and the delete is unplugged too."""
        network = self.api.network("blue")
        self.api.plug(network, "vif1")
        self.api.before["DELETE network"] = lambda: self.api.plug(network, "vif2") and None
        self.done("network delete blue --cascade --wait")
        self.assertEqual((self.api.networks, self.api.attachments), ({}, {}))

    def test_cascade_beside_somebody(self) -> None:
        """What somebody else unplugs at the same time is no fault."""
        network = self.api.network("blue")
        port = self.api.plug(network, "vif1")
        self.api.before["DELETE attachment"] = lambda: self.api.attachments.pop(port) and None
        self.done("network delete blue --cascade --wait")

    def test_cascade_refused(self) -> None:
        """What cannot be unplugged is named, and the network stays."""
        network = self.api.network("blue")
        self.api.plug(network, "vif1")
        self.api.veto = "vif1"
        result = self.ctl("network delete blue --cascade")
        self.assertEqual((result.status, result.out), (1, ""))
        self.assertEqual(
            result.err.splitlines(),
            [
                "quantumctl: vif1 cannot be unplugged",
                "quantumctl: PluginFault: The plugin does not let go of it.",
            ],
        )
        self.assertIn(network, self.api.networks)


class PortTests(CliCase):
    """``quantumctl port``."""

    def setUp(self) -> None:
        super().setUp()
        self.net = self.api.network("blue")

    def test_list(self) -> None:
        """Free ports have dashes where the attachment would be."""
        free = self.api.port(self.net)
        plugged = self.api.plug(self.net, "vif1")
        result = self.done("port list blue")
        self.assertEqual(result.rows[0], [free, "Active", "-", "-", "-"])
        self.assertEqual(result.rows[1], [plugged, "Active", "vif1", "vif", "Attached/UP"])
        self.assertEqual(len(self.done("port list blue --attachment vif1 --status Active").rows), 1)
        self.assertEqual(self.done("port list blue -f json").json["ports"][0]["id"], free)

    def test_create(self) -> None:
        """With nothing said, and with everything."""
        out = self.done("port create blue").out
        self.assertIn("InProgress", out)
        self.assertEqual(self.api.requests[-1].body, {"port": {}})
        self.done(f"port create blue --id {UUID} --option x=1")
        self.assertEqual(self.api.requests[-1].body, {"port": {"id": UUID, "options": {"x": 1}}})

    def test_show(self) -> None:
        """With what is plugged into it."""
        self.api.plug(self.net, "vif1")
        out = self.done("port show blue vif1").out
        self.assertIn("vif1 vif Attached/UP", out)
        self.assertIn(self.net, out)

    def test_delete(self) -> None:
        """One line."""
        port = self.api.port(self.net)
        self.assertEqual(self.done(f"port delete blue {port[:8]} --wait").out, f"port {port}: Deleted\n")


class AttachmentTests(CliCase):
    """``quantumctl attachment``."""

    def setUp(self) -> None:
        super().setUp()
        self.net = self.api.network("blue")

    def test_list(self) -> None:
        """Of one network, and of all with the networks' names."""
        port = self.api.plug(self.net, "vif1")
        far = self.api.plug(self.api.network("red"), "vif2")
        self.assertEqual(self.done("attachment list blue").rows, [["vif1", "vif", "Attached/UP", port]])
        self.assertEqual(
            self.done("attachment list").rows,
            [["vif1", "vif", "Attached/UP", "blue", port], ["vif2", "vif", "Attached/UP", "red", far]],
        )
        self.assertEqual(len(self.done("attachment list --id vif2 --type vif --status Attached/UP").rows), 1)
        self.assertEqual(len(self.done("attachment list -f json").json["attachments"]), 2)

    def test_list_faults(self) -> None:
        """What has failed says why, in both lists."""
        self.api.plug(self.net, "bad-vif", status="InProgress")
        for line in ("attachment list", "attachment list blue"):
            self.assertIn("\n  PluginFault: the kernel says no\n", self.done(line).out)

    def test_fault_of_what_has_gone(self) -> None:
        """What goes away between the list and the question is no fault of the list's."""
        self.api.plug(self.net, "bad-vif", status="InProgress")
        self.api.before["GET attachment"] = self.api.attachments.clear
        self.assertEqual(len(self.done("attachment list blue").rows), 1)

    def test_show(self) -> None:
        """All that is known of it, by the port or by its own id."""
        self.api.plug(self.net, "vif1")
        out = self.done("attachment show blue vif1").out
        self.assertIn("attachment vif1  Attached/UP", out)
        self.assertIn("made by   somebody else", out)

    def test_plug_without_port(self) -> None:
        """The daemon chooses the port."""
        result = self.done("attachment plug blue vm1-eth0 --tap --owner-uid 1000 --wait")
        self.assertEqual(self.api.requests[-1][:2], ("POST", f"/networks/{self.net}/attachments"))
        device = {"create": "tap", "owner_uid": 1000}
        self.assertEqual(self.api.requests[-1].body, {"attachment": {"id": "vm1-eth0", "device": device}})
        self.assertIn("attachment vm1-eth0  Attached/UP", result.out)
        self.assertIn("device    create=tap owner_uid=1000", result.out)
        self.assertIn("made by   quantumd", result.out)

    def test_plug_into_port(self) -> None:
        """Or the caller does."""
        port = self.api.port(self.net)
        self.done(f"attachment plug blue --reference vm-7 {port[:8]} vif1 --wait")
        path = f"/networks/{self.net}/ports/{port}/attachment"
        self.assertEqual(self.api.requests[-1][:2], ("PUT", path))
        self.assertEqual(self.api.requests[-1].body, {"attachment": {"id": "vif1", "reference": "vm-7"}})
        self.assertIn("PortInUse", self.ctl(f"attachment plug blue {port} vif2").err)

    def test_unplug(self) -> None:
        """One line."""
        self.api.plug(self.net, "vif1")
        self.assertEqual(self.done("attachment unplug blue vif1 --wait").out, "attachment vif1: Deleted\n")

    def test_unplug_refused(self) -> None:
        """A plugin may not let go."""
        self.api.plug(self.net, "vif1")
        self.api.veto = "vif1"
        result = self.ctl("attachment unplug blue vif1 --wait")
        self.assertEqual((result.status, result.out), (1, ""))
        self.assertIn("PluginFault: The plugin does not let go of it.", result.err)


class TokenTests(CliCase):
    """``quantumctl token``."""

    def test_create(self) -> None:
        """The secret is printed once; that it is the only time is told to people only."""
        result = self.done("token create --tenant acme --role member")
        self.assertEqual(self.api.requests[-1].body, {"token": {"tenant_id": "acme", "role": "member"}})
        self.assertEqual(result.out.splitlines(), ["id      t0", "tenant  acme", "role    member", "secret  qd_s3cret"])
        terminal = self.ctl("token create --tenant acme --role member", terminal=True)
        self.assertIn("not shown again", terminal.err)
        json = self.done("token create --tenant acme --role reader -f json").json
        self.assertEqual(json["token"]["secret"], "qd_s3cret")

    def test_list_and_revoke(self) -> None:
        """Without secrets; and gone."""
        self.done("token create --tenant acme --role member")
        self.assertEqual(self.done("token list").rows, [["t0", "acme", "member", "2026-11-24", "06:00:00Z"]])
        self.assertEqual(self.done("token revoke t0").out, "token t0: Revoked\n")
        self.assertEqual(self.asked()[-1], ("DELETE", "/tokens/t0"))
        self.assertEqual(self.done("token list").rows, [])


class TerminalTests(CliCase):
    """What a person sees."""

    def test_nothing_there(self) -> None:
        """Empty lists say so to a person, and are an empty table to a program."""
        network = self.api.network("blue")
        for line, words in (
            ("port list blue", "no ports\n"),
            ("attachment list blue", "no attachments\n"),
            ("attachment list", "no attachments\n"),
            ("token list", "no tokens\n"),
        ):
            self.assertEqual(self.ctl(line, terminal=True).out, words)
            self.assertEqual(len(self.done(line).out.splitlines()), 1)
        del self.api.networks[network]
        self.assertEqual(self.ctl("network list", terminal=True).out, "no networks\n")
        self.assertEqual(self.done("network list").out, "ID  NAME  STATUS  TENANT\n")

    def test_colours(self) -> None:
        """On a terminal only, and not where they are unwanted."""
        self.api.network("blue")
        self.assertIn("\x1b[32mActive", self.ctl("network list", terminal=True).out)
        for environ in ({"NO_COLOR": "1"}, {"TERM": "dumb"}):
            self.assertNotIn("\x1b", self.ctl("network list", terminal=True, **environ).out)
        self.assertIn("\x1b[32m", self.ctl("network list", terminal=True, NO_COLOR="").out)
        self.assertNotIn("\x1b", self.done("network list").out)
        self.assertNotIn("\x1b", self.ctl("network list -f json", terminal=True).out)

    def test_width(self) -> None:
        """Tables fit; what they show of an id can be typed again."""
        network = self.api.network("a-network-with-quite-a-long-name")
        out = self.ctl("network list", terminal=True, COLUMNS="60", NO_COLOR="1").out
        self.assertLessEqual(max(map(len, out.splitlines())), 60)
        prefix = out.splitlines()[1].split()[0]
        self.assertEqual(len(prefix), 8)
        self.assertEqual(self.done(f"network show {prefix} -f json").json["network"]["id"], network)
        self.assertIn(network, self.ctl("network list", terminal=True, COLUMNS="200").out)

    def test_json_is_one_document(self) -> None:
        """With accents as they are."""
        self.api.network("grün")
        self.assertIn("grün", self.done("network list -f json").out)
