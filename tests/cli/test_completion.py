"""Completion scripts: kept up to date, and tried in a real bash."""

from __future__ import annotations

import argparse
import os
import shlex
import stat
import subprocess
import sys
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from quantumd.cli.completion.bash import bash_script
from quantumd.cli.completion.tree import Command, Option, Value, describe
from quantumd.cli.completion.zsh import zsh_script
from quantumd.cli.parser import build_parser

from .case import NOWHERE, CliCase, ctl

DATA = Path(__file__).parents[2] / "data" / "completion"
FILES = {"bash": DATA / "quantumctl.bash", "zsh": DATA / "_quantumctl"}
NASTY = 'it\'s a [test]: 100% \\ "quoted" $(x) `y`'

#: Completes the line that is $1, as the shell would at its end, and prints the replies.
DRIVER = r"""
source "$0"
COMP_LINE=$1 COMP_POINT=${#1} COMP_WORDS=() COMP_CWORD=0
shift
COMP_WORDS=("$@") COMP_CWORD=$(($# - 1))
compopt() { :; }
_quantumctl
printf '%s\n' "${COMPREPLY[@]}"
"""


class ScriptTests(SynchronousTestCase):
    """The scripts as text."""

    def test_up_to_date(self) -> None:
        """What is installed is what the command prints; ``quantumctl completion`` makes both anew."""
        for shell, path in FILES.items():
            self.assertEqual(ctl(f"completion {shell}").out, path.read_text(encoding="utf-8"), path)

    def test_every_option(self) -> None:
        """Both scripts know every option of every verb."""
        tree = describe(build_parser())
        for path in FILES.values():
            text = path.read_text(encoding="utf-8")
            for command in tree.walk():
                for option in command.options:
                    for spelling in option.spellings:
                        self.assertIn(spelling, text)

    def test_tree(self) -> None:
        """The tree says what follows what."""
        tree = describe(build_parser())
        commands = {command.words: command for command in tree.walk()}
        plug = commands["attachment", "plug"]
        self.assertEqual(
            [(operand.value.kind, operand.optional) for operand in plug.operands],
            [("NET", False), ("PORT", True), ("ID", False)],
        )
        self.assertIn(Option(("--wait",), "come back when it is done; exit status 1 if it failed", None), plug.options)
        kinds = {option.spellings[-1]: option.value for option in plug.options}
        self.assertEqual(kinds["--format"], Value("format", ("table", "json")))
        self.assertEqual(kinds["--uplink"], Value("DEVICE[:VLAN]"))
        self.assertTrue(commands["network", "set"].operands[-1].repeated)
        self.assertEqual(commands["completion",].operands[0].value.choices, ("bash", "zsh", "names"))

    def test_quoting(self) -> None:
        """Whatever a summary says, the scripts stay well-formed."""
        parser = argparse.ArgumentParser("quantumctl")
        parser.add_argument("--odd", metavar="IT'S", help=NASTY)
        parser.add_argument("operand", choices=("a", "b"), help=NASTY)
        tree = describe(parser)
        self.assertIsInstance(tree, Command)
        subprocess.run(["bash", "-n"], input=bash_script(tree), text=True, check=True)
        # The quoting of zsh is that of any shell, as far as these scripts go.
        (line,) = [line.strip(" \\") for line in zsh_script(tree).splitlines() if "--odd" in line]
        (word,) = shlex.split(line)
        self.assertEqual(word, "--odd=[it's a \\[test\\]\\: 100% \\\\ \"quoted\" $(x) `y`]:IT'S: ")


class NamesTests(CliCase):
    """What the scripts ask the daemon for."""

    def names(self, line: str) -> list[str]:
        return self.done(f"completion names {line}").out.splitlines()

    def test_names(self) -> None:
        """Names, each with a remark behind a tab; ids where names are not enough."""
        blue = self.api.network("blue")
        twins = [self.api.network("twin") for _number in range(2)]
        port = self.api.plug(blue, "vif1")
        free = self.api.port(blue)
        self.assertEqual(self.names("NET"), ["blue\tActive", f"{twins[0]}\ttwin Active", f"{twins[1]}\ttwin Active"])
        self.assertEqual(self.names("PORT blue"), ["vif1\tAttached/UP", f"{port}\tvif1", f"{free}\tfree"])
        self.assertEqual(self.names("ATTACHMENT"), ["vif1\tAttached/UP"])
        self.done("token create --tenant acme --role member")
        self.assertEqual(self.names("TOKEN"), ["t0\tmember of acme"])

    def test_quiet(self) -> None:
        """Nobody who presses Tab wants to read a message."""
        for line in ("completion names PORT nowhere", f"--endpoint {NOWHERE} completion names NET"):
            self.assertEqual(self.ctl(line)[:], (1, "", ""))


class BashTests(CliCase):
    """The script in bash."""

    def setUp(self) -> None:
        super().setUp()
        program = self.directory / "quantumctl"
        program.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m quantumd.cli "$@"\n')
        program.chmod(program.stat().st_mode | stat.S_IXUSR)
        self.path = f"{self.directory}:{os.environ['PATH']}"

    def complete(self, *words: str, line: str | None = None) -> list[str]:
        """The replies at the end of these words, as bash splits them (at ":" and "=" too)."""
        line = line if line is not None else "quantumctl " + " ".join(words)
        result = subprocess.run(
            ["bash", "--norc", "-c", DRIVER, str(FILES["bash"]), line, "quantumctl", *words],
            env=os.environ | self.environ | {"PATH": self.path, "PYTHONPATH": str(DATA.parents[1])},
            capture_output=True,
            text=True,
            check=True,
        )
        self.assertEqual(result.stderr, "")
        return result.stdout.split("\n")[:-1] if result.stdout != "\n" else []

    def test_words(self) -> None:
        """Nouns, verbs, options, and the words that an option takes."""
        self.assertEqual(self.complete("net"), ["network"])
        self.assertEqual(self.complete("network", "re"), ["rename"])
        self.assertEqual(self.complete("-f", "json", "network", "li"), ["list"])
        self.assertEqual(self.complete("network", "list", "--st"), ["--status"])
        self.assertEqual(self.complete("network", "list", "--status", "A"), ["Active"])
        self.assertEqual(self.complete("network", "list", "-f", ""), ["table", "json"])
        self.assertEqual(self.complete("completion", ""), ["bash", "zsh", "names"])
        self.assertEqual(self.complete("nonsense", "x"), [])

    def test_after_equals_sign(self) -> None:
        """Only what stands behind the sign is replaced."""
        line = "quantumctl network list --status=Fa"
        self.assertEqual(self.complete("network", "list", "--status", "=", "Fa", line=line), ["Failed"])
        self.assertEqual(self.complete("network", "list", "--status", "=", "", line=line[:-2]), list_of_statuses())

    def test_networks(self) -> None:
        """Names of networks, from the daemon that the line itself names."""
        for name in ("blue", "black", "red", "my net"):
            self.api.network(name)
        self.assertEqual(self.complete("network", "show", "bl"), ["blue", "black"])
        self.assertEqual(self.complete("network", "show", "my"), ["my\\ net"])
        self.assertEqual(self.complete("port", "list", "--status", "Active", "r"), ["red"])
        self.assertEqual(self.complete("network", "create", "b"), [])
        endpoint, self.environ = self.api.endpoint, {}
        before, _colon, after = endpoint.partition(":")
        words = ("--endpoint", before, ":", after, "network", "show", "re")
        self.assertEqual(self.complete(*words, line=f"quantumctl --endpoint {endpoint} network show re"), ["red"])

    def test_ports(self) -> None:
        """The ports of the network before."""
        blue = self.api.network("my net")
        port = self.api.plug(blue, "vif1")
        self.assertEqual(self.complete("port", "show", "my\\ net", ""), ["vif1", port])
        self.assertEqual(self.complete("attachment", "unplug", "--wait", "'my net'", "v"), ["vif1"])

    def test_devices(self) -> None:
        """Devices of this host."""
        self.assertEqual(self.complete("attachment", "plug", "n", "i", "--device", "l"), ["lo"])
        self.assertEqual(self.complete("attachment", "plug", "n", "i", "--uplink", "l"), ["lo"])

    def test_colons(self) -> None:
        """Only what stands behind the colon is replaced."""
        socket = self.directory / "api.sock"
        line = f"quantumctl --endpoint unix:{str(socket)[:-3]}"
        self.assertEqual(self.complete("--endpoint", "unix", ":", str(socket)[:-3], line=line), [str(socket)])
        self.assertEqual(self.complete("--endpoint", "un"), ["unix:"])

    def test_no_daemon(self) -> None:
        """Without a daemon there are no names, and no words about it."""
        self.environ = {"QUANTUMD_ENDPOINT": NOWHERE}
        self.assertEqual(self.complete("network", "show", ""), [])


def list_of_statuses() -> list[str]:
    return ["InProgress", "Active", "Failed", "Deleting"]
