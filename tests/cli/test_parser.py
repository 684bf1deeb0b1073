"""The command line: what is understood, in which order, and what is refused."""

from __future__ import annotations

import argparse
from importlib import import_module

from twisted.trial.unittest import SynchronousTestCase

from quantumd.cli.parser import build_parser

from .case import ctl


def parse(line: str) -> argparse.Namespace:
    return build_parser().parse_args(line.split())


def verbs(parser: argparse.ArgumentParser) -> list[argparse.ArgumentParser]:
    """All parsers that have a function to run."""
    found = [parser] if parser.get_default("run") else []
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for child in action.choices.values():
                found += verbs(child)
    return found


class PlacementTests(SynchronousTestCase):
    """Options may stand anywhere."""

    def test_globals_anywhere(self) -> None:
        """What is taken anywhere means the same before the noun, between noun and verb, and after the verb."""
        for line in (
            "-f json --endpoint unix:/x --token t network list",
            "network -f json --endpoint unix:/x --token t list",
            "network list -f json --endpoint unix:/x --token t",
            "--token t network -fjson list --endpoint=unix:/x",
            "--token t network list --format json --endpoint=unix:/x",
        ):
            args = parse(line)
            self.assertEqual((args.format, args.endpoint, args.token), ("json", "unix:/x", "t"), line)

    def test_defaults(self) -> None:
        """Without them: a table, and whatever the environment says."""
        args = parse("network list")
        self.assertEqual((args.format, args.endpoint, args.token), ("table", None, None))

    def test_optional_port_survives_options(self) -> None:
        """``plug NET [PORT] ID`` is understood wherever its options stand."""
        for line in (
            "attachment plug --mac 1 NET P ID --tap --name x",
            "attachment plug NET --mac 1 P --name x ID --tap",
            "attachment plug --tap --name x NET P --mac=1 ID",
            "attachment plug NET --tap --mac 1 --name x -- P ID",
        ):
            args = parse(line)
            self.assertEqual((args.network, args.port, args.id), ("NET", "P", "ID"), line)
            self.assertEqual((args.tap, args.mac, args.name), (True, "1", "x"), line)
        for line in ("attachment plug NET ID --tap", "attachment plug NET --tap ID", "attachment plug --tap NET ID"):
            args = parse(line)
            self.assertEqual((args.network, args.port, args.id), ("NET", None, "ID"), line)

    def test_operands_after_two_dashes(self) -> None:
        """What begins with a dash can still be an operand."""
        self.assertEqual(parse("network create --wait -- -x").name, "-x")
        self.assertEqual(parse("network rename n -- --wait").name, "--wait")

    def test_set_takes_many(self) -> None:
        """``network set`` takes options one after the other, with flags between them."""
        args = parse("network set n mtu=1400 --wait mode=fancy")
        self.assertEqual((args.options, args.wait), ([("mtu", 1400), ("mode", "fancy")], True))


class VerbTests(SynchronousTestCase):
    """Every verb leads to a function, and has help."""

    def test_run(self) -> None:
        """The name of each verb's function can be imported."""
        found = verbs(build_parser())
        self.assertEqual(len(found), 22)
        for verb in found:
            module, _dot, function = verb.get_default("run").partition(".")
            self.assertTrue(callable(getattr(import_module(f"quantumd.cli.commands.{module}"), function)), verb.prog)

    def test_changes_wait(self) -> None:
        """Everything that changes a resource has ``--wait``; nothing that only looks has it."""
        changing = {verb.prog for verb in verbs(build_parser()) if "--wait" in verb.format_help()}
        nouns = {
            "network": "create rename set delete",
            "port": "create delete",
            "attachment": "plug unplug",
            "token": "create revoke",
        }
        self.assertEqual(changing, {f"quantumctl {noun} {verb}" for noun in nouns for verb in nouns[noun].split()})

    def test_help(self) -> None:
        """``--help`` of every verb names its operands and what is taken anywhere, and is no fault."""
        for verb in verbs(build_parser()):
            words = verb.prog.split()[1:]
            result = ctl([*words, "--help"])
            self.assertEqual((result.status, result.err), (0, ""))
            self.assertIn("--endpoint", result.out)
            self.assertIn(f"usage: {verb.prog}", result.out)

    def test_version(self) -> None:
        """``--version`` prints the package's."""
        from quantumd import __version__

        self.assertEqual(ctl("--version").out, f"quantumctl {__version__}\n")


class WrongUsageTests(SynchronousTestCase):
    """Wrong usage is exit status 2, with the usage and one line that says what is wrong."""

    def assertWrong(self, line: str, message: str) -> None:
        result = ctl(line)
        self.assertEqual((result.status, result.out), (2, ""), line)
        self.assertIn(message, result.err)
        self.assertIn("usage: quantumctl", result.err)
        self.assertNotIn("Traceback", result.err)

    def test_words(self) -> None:
        """Missing, unknown and superfluous words."""
        self.assertWrong("", "COMMAND")
        self.assertWrong("network", "VERB")
        self.assertWrong("netwrok list", "invalid choice: 'netwrok'")
        self.assertWrong("network show", "NET")
        self.assertWrong("network show a b", "unrecognized arguments: b")
        self.assertWrong("network list --nam x", "unrecognized arguments: --nam")
        self.assertWrong("network list --name", "expected one argument")
        self.assertWrong("network list -f xml", "invalid choice: 'xml'")
        self.assertWrong("network list --status Up", "invalid choice: 'Up'")
        self.assertWrong("port list", "NET")
        self.assertWrong("attachment plug n", "ID")
        self.assertWrong("token create --role admin", "--tenant")
        self.assertWrong("completion fish", "invalid choice: 'fish'")

    def test_values(self) -> None:
        """Values that are not what the option takes."""
        self.assertWrong("network create n --option mtu", "is not KEY=VALUE")
        self.assertWrong("network set n =3", "is not KEY=VALUE")
        self.assertWrong("network create n --wait --timeout 0", "is not a number of seconds")
        self.assertWrong("network create n --wait --timeout nan", "is not a number of seconds")
        self.assertWrong("attachment plug n i --veth vm1", "is not NETNS:IFNAME")
        self.assertWrong("attachment plug n i --veth vm1:", "is not NETNS:IFNAME")
        self.assertWrong("attachment plug n i --uplink eth1:x", "is not DEVICE[:VLAN]")
        self.assertWrong("attachment plug n i --uplink eth1:9999", "a VLAN is from 1 to 4094")
        self.assertWrong("attachment plug n i --uplink eth1:", "is not DEVICE[:VLAN]")
        self.assertWrong("attachment plug n i --vxlan 192.0.2.1", "is not REMOTE:VNI")
        self.assertWrong("attachment plug n i --tap --owner-uid root", "is not a whole number")
        self.assertWrong("attachment plug n i --body {", "is not JSON")
        self.assertWrong("attachment plug n i --body 3", "is not a JSON object")
        self.assertWrong("events --after -1", "is not a whole number")

    def test_combinations(self) -> None:
        """Options that contradict each other."""
        self.assertWrong("attachment plug n i --tap --device d", "not allowed with argument")
        self.assertWrong("attachment plug n i --mac 02:00:00:00:00:01", "--mac goes with --tap or --veth only")
        self.assertWrong("attachment plug n i --veth a:b --owner-uid 0", "--owner-uid goes with --tap only")
        self.assertWrong("attachment plug n i --multi-queue", "--multi-queue goes with --tap only")
        self.assertWrong("attachment plug n i --tap --vxlan-port 1", "--vxlan-port goes with --vxlan only")
        self.assertWrong("network create n --timeout 3", "--timeout goes with --wait only")
        self.assertWrong("network create n --option a=1 --option a=2", "'a' is given twice")
        self.assertWrong("network set n a=1 a=2", "'a' is given twice")
        self.assertWrong("completion bash NET", "nothing may follow")
        self.assertWrong("completion names SHOES", "completion names NET")

    def test_endpoint(self) -> None:
        """An endpoint that is none says where it came from."""
        self.assertWrong("--endpoint 127.0.0.1:9696 network list", "--endpoint: '127.0.0.1:9696' is not unix:PATH")
        result = ctl("network list", {"QUANTUMD_ENDPOINT": "tcp:9696"})
        self.assertEqual(result.status, 2)
        self.assertIn("$QUANTUMD_ENDPOINT: 'tcp:9696' is not", result.err)

    def test_token_is_not_shown(self) -> None:
        """A token with characters that no token has is refused without being repeated."""
        for token in ("geheim\n", "geh eim", "gehéim", ""):
            result = ctl(["--token", token, "network", "list"])
            self.assertEqual(result.status, 2)
            self.assertIn("the token", result.err)
            self.assertNotIn("geh", result.err)
