"""The command line of quantumctl: every verb, its operands and its options.

A verb names the function that carries it out (``networks.create`` is ``create`` in ``quantumd.cli.commands.networks``),
which is imported only when it is run. The metavar of an operand or of an option's value says what kind of thing it is;
shell completion goes by it.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from typing import Any, NoReturn

from quantumd.cli import forms
from quantumd.cli.terms import ATTACHMENT_STATUSES, NETWORK_STATUSES, ROLES

PROG = "quantumctl"

_DESCRIPTION = """\
Networks, ports and attachments of quantumd, the layer-2 network daemon of this host.

Wherever NET or PORT is asked for, a name or the beginning of an id will do; a port also
goes by the id of what is plugged into it."""

_EPILOG = """\
examples:
  quantumctl network create blue --wait
  quantumctl attachment plug blue vm1-eth0 --tap --owner-uid 1000 --wait
  quantumctl attachment plug blue web --veth web:eth0 --wait
  quantumctl attachment list blue
  quantumctl network delete blue --cascade --wait

environment:
  QUANTUMD_ENDPOINT  where the daemon listens, as --endpoint says it
  QUANTUMD_TOKEN     the bearer token; other users can read --token in the process list, but not this
  NO_COLOR           anything: no colours

exit status: 0 done, 1 a fault (its name and what to do about it on stderr), 2 wrong usage"""

_OPTION_HELP = "an option of the plugin ('quantumctl extensions' lists them); may be repeated"


class _Version(argparse.Action):
    """``--version``, which looks the version up only when it is asked for."""

    def __call__(self, parser: argparse.ArgumentParser, *_args: object, **_kwargs: object) -> NoReturn:
        from quantumd import __version__

        sys.stdout.write(f"{PROG} {__version__}\n")
        parser.exit()


class _Parser(argparse.ArgumentParser):
    """A parser whose verbs take their options before, between or after the operands.

    ArgumentParser gives an optional operand away at the first option that it meets, so that ``plug NET --tap PORT ID``
    would not be understood; with the options first there is nothing to give away.
    """

    def parse_known_args(  # type: ignore[override]  # argparse has overloads
        self, args: Sequence[str] | None = None, namespace: argparse.Namespace | None = None
    ) -> tuple[argparse.Namespace, list[str]]:
        """Parse, as the base class does."""
        words = list(args or ())
        return super().parse_known_args(self._options_first(words) if self._is_verb else words, namespace)

    @property
    def _is_verb(self) -> bool:
        return self._subparsers is None

    def _options_first(self, args: list[str]) -> list[str]:
        options: list[str] = []
        operands: list[str] = []
        rest = iter(args)
        for word in rest:
            if word == "--":
                return [*options, word, *operands, *rest]
            if word == "-" or not word.startswith("-"):
                operands.append(word)
                continue
            options.append(word)
            action = self._option_string_actions.get(word)
            if action is not None and action.nargs is None:
                options += [value for value in [next(rest, None)] if value is not None]
        return options + operands


def build_parser() -> argparse.ArgumentParser:
    """The whole tree."""
    parser = _Parser(
        PROG,
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--version", action=_Version, nargs=0, help="print the version and exit")
    nouns = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    _add_networks(_noun(nouns, "network", "layer-2 networks: list, create, show, rename, set, delete"))
    _add_ports(_noun(nouns, "port", "ports of a network: list, create, show, delete"))
    _add_attachments(_noun(nouns, "attachment", "what is plugged into ports: list, show, plug, unplug"))
    _add_tokens(_noun(nouns, "token", "who may come in over TCP: create, list, revoke"))
    _verb(nouns, "status", "status.show", "the daemon, its plugin, its backlog and every fault")
    backup = _verb(nouns, "backup", "backups.take", "copy the whole state into a file, for twistd quantumd --restore")
    backup.add_argument("file", metavar="FILE", help="where to; it must not be there yet")
    events = _verb(nouns, "events", "events.follow", "follow what happens, a line for each event")
    events.add_argument("--after", metavar="SEQ", type=forms.number, help="begin after the event with this number")
    _verb(nouns, "extensions", "extensions.show", "the options and attachment types that the plugin takes")
    completion = _verb(nouns, "completion", "completions.completion", "print a completion script for a shell")
    completion.add_argument(
        "shell",
        metavar="SHELL",
        choices=("bash", "zsh", "names"),
        help="bash or zsh; the scripts themselves ask for names",
    )
    completion.add_argument("names", nargs="*", metavar="KIND", default=[], help=argparse.SUPPRESS)
    _add_globals(parser, endpoint=None, token=None, format="table")
    for noun in nouns.choices.values():
        _finish(noun)
    return parser


def _add_networks(verbs: Any) -> None:
    verb = _verb(verbs, "list", "networks.list_networks", "list the networks")
    verb.add_argument("--name", metavar="NAME", help="only those with this name")
    verb.add_argument("--status", choices=NETWORK_STATUSES, help="only those with this status")
    verb = _changing(verbs, "create", "networks.create", "make a network")
    verb.add_argument("name", metavar="NAME", help="what to call it")
    verb.add_argument("--id", metavar="UUID", help="its id, chosen by you: the command can then be repeated safely")
    verb.add_argument("--tenant", metavar="TENANT", help="whose it is (an admin may say)")
    _add_option(verb)
    verb = _verb(verbs, "show", "networks.show", "show a network")
    _add_net(verb)
    verb = _changing(verbs, "rename", "networks.rename", "give a network another name")
    _add_net(verb)
    verb.add_argument("name", metavar="NAME", help="what to call it from now on")
    verb = _changing(verbs, "set", "networks.set_options", "change a network's options")
    _add_net(verb)
    verb.add_argument(
        "options",
        metavar="KEY=VALUE",
        nargs="+",
        type=forms.key_value,
        help="an option of the plugin; KEY=null takes it back",
    )
    verb = _changing(verbs, "delete", "networks.delete", "destroy a network, with its unplugged ports")
    _add_net(verb)
    verb.add_argument("--cascade", action="store_true", help="unplug everything first")


def _add_ports(verbs: Any) -> None:
    verb = _verb(verbs, "list", "ports.list_ports", "list the ports of a network")
    _add_net(verb)
    verb.add_argument("--status", choices=NETWORK_STATUSES, help="only those with this status")
    verb.add_argument("--attachment", metavar="ATTACHMENT", help="only the one that this attachment is plugged into")
    verb = _changing(verbs, "create", "ports.create", "make a port")
    _add_net(verb)
    verb.add_argument("--id", metavar="UUID", help="its id, chosen by you: the command can then be repeated safely")
    _add_option(verb)
    verb = _verb(verbs, "show", "ports.show", "show a port")
    _add_net(verb)
    _add_port(verb)
    verb = _changing(verbs, "delete", "ports.delete", "delete a port with nothing plugged into it")
    _add_net(verb)
    _add_port(verb)


def _add_attachments(verbs: Any) -> None:
    verb = _verb(verbs, "list", "attachments.list_attachments", "list what is plugged, everywhere or in a network")
    verb.add_argument("network", metavar="NET", nargs="?", help="a network: its name, id, or the beginning of it")
    verb.add_argument("--id", metavar="ATTACHMENT", help="only the attachment with this id")
    verb.add_argument("--type", metavar="TYPE", help="only those of this type: vif, bridge, tunnel")
    verb.add_argument("--status", choices=ATTACHMENT_STATUSES, help="only those with this status")
    verb = _verb(verbs, "show", "attachments.show", "show what is plugged into a port")
    _add_net(verb)
    _add_port(verb)
    verb = _changing(verbs, "plug", "attachments.plug", "plug something into a network")
    _add_net(verb)
    verb.add_argument("port", metavar="PORT", nargs="?", help="the port; without it a free one, or a new one")
    verb.add_argument("id", metavar="ID", help="your own name for it; without a form below, also the device's name")
    _add_plug_options(verb)
    verb = _changing(verbs, "unplug", "attachments.unplug", "unplug what is plugged into a port")
    _add_net(verb)
    _add_port(verb)


def _add_plug_options(verb: argparse.ArgumentParser) -> None:
    group = verb.add_argument_group(
        "what to plug", "one of these; without, the device that is called ID, now or as soon as it appears"
    )
    form = group.add_mutually_exclusive_group()
    form.add_argument("--device", metavar="DEVICE", help="a device of this host, now or as soon as it appears")
    form.add_argument("--tap", action="store_true", help="a new tap device, for a hypervisor")
    form.add_argument(
        "--veth", metavar="NETNS:IFNAME", type=forms.veth, help="a new veth pair, one end in a network namespace"
    )
    form.add_argument(
        "--uplink",
        metavar="DEVICE[:VLAN]",
        type=forms.uplink,
        help="an interface that extends the network to the outside, tagged if a VLAN is given",
    )
    form.add_argument(
        "--vxlan", metavar="REMOTE:VNI", type=forms.vxlan, help="a VXLAN tunnel to another site, by IP address"
    )
    form.add_argument(
        "--body",
        metavar="JSON",
        type=forms.json_object,
        help="the attachment as the API takes it, for a form that only your plugin knows",
    )
    group = verb.add_argument_group("more about it")
    group.add_argument("--name", metavar="NAME", help="what to call the new device (with --tap, --veth)")
    group.add_argument("--mac", metavar="MAC", help="the guest's MAC address (with --tap, --veth)")
    group.add_argument("--owner-uid", metavar="UID", type=forms.number, help="the user who may open the tap")
    group.add_argument("--owner-gid", metavar="GID", type=forms.number, help="the group that may open the tap")
    group.add_argument("--multi-queue", action="store_true", help="a tap with several queues")
    group.add_argument("--vxlan-local", metavar="IP", help="this host's address of the tunnel")
    group.add_argument("--vxlan-port", metavar="UDP-PORT", type=forms.number, help="the tunnel's UDP port (4789)")
    group.add_argument("--reference", metavar="TEXT", help="anything that you want back with it, a VM's id say")
    group.add_argument("--force", action="store_true", help="even an interface that carries the host's own addresses")


def _add_tokens(verbs: Any) -> None:
    verb = _changing(verbs, "create", "tokens.create", "make a token; its secret is shown this once")
    verb.add_argument("--tenant", metavar="TENANT", required=True, help="the tenant that it is for")
    verb.add_argument("--role", choices=ROLES, required=True, help="what its bearer may do")
    _verb(verbs, "list", "tokens.list_tokens", "list the tokens, without their secrets")
    verb = _changing(verbs, "revoke", "tokens.revoke", "make a token worthless")
    verb.add_argument("token_id", metavar="TOKEN", help="its id, or the beginning of it")


def _noun(nouns: Any, name: str, summary: str) -> Any:
    parser = nouns.add_parser(name, help=summary, description=_sentence(summary), allow_abbrev=False)
    return parser.add_subparsers(title="verbs", metavar="VERB", required=True)


def _verb(verbs: Any, name: str, run: str, summary: str) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = verbs.add_parser(
        name, help=summary, description=_sentence(summary), allow_abbrev=False
    )
    parser.set_defaults(run=run, parser=parser)
    return parser


def _changing(verbs: Any, name: str, run: str, summary: str) -> argparse.ArgumentParser:
    verb = _verb(verbs, name, run, summary)
    verb.add_argument("--wait", action="store_true", help="come back when it is done; exit status 1 if it failed")
    verb.add_argument(
        "--timeout", metavar="SECONDS", type=forms.seconds, help="with --wait: the longest to wait (for ever)"
    )
    return verb


def _finish(parser: argparse.ArgumentParser) -> None:
    """What all parsers below the top have, after all else in their help: the options that are taken anywhere."""
    words = []
    for action in parser._get_positional_actions():
        if isinstance(action, argparse._SubParsersAction):
            for child in action.choices.values():
                _finish(child)
        if action.help != argparse.SUPPRESS:
            shape = {"?": "[{}]", "+": "{}..."}.get(str(action.nargs), "{}")
            words.append(shape.format(action.metavar))
    _add_globals(parser)
    parser.usage = " ".join([parser.prog, *words, "[OPTION]..."])


def _add_globals(parser: argparse.ArgumentParser, **defaults: str | None) -> None:
    """The options that are taken anywhere; below the top they have no default, which would undo what stood before."""
    group = parser.add_argument_group("anywhere on the line")
    for name, strings, more in (
        ("endpoint", ("--endpoint",), {"metavar": "ENDPOINT", "help": "unix:PATH, http://HOST:PORT or https://…"}),
        ("token", ("--token",), {"metavar": "SECRET", "help": "the bearer token (better: $QUANTUMD_TOKEN)"}),
        ("format", ("-f", "--format"), {"choices": ("table", "json"), "help": "json is what the API answers"}),
    ):
        default = defaults.get(name, argparse.SUPPRESS)
        group.add_argument(*strings, dest=name, default=default, **more)


def _add_net(verb: argparse.ArgumentParser) -> None:
    verb.add_argument("network", metavar="NET", help="its name, its id, or the beginning of it")


def _add_port(verb: argparse.ArgumentParser) -> None:
    verb.add_argument("port", metavar="PORT", help="its id, the beginning of it, or the id of what is plugged into it")


def _add_option(verb: argparse.ArgumentParser) -> None:
    verb.add_argument("--option", metavar="KEY=VALUE", action="append", type=forms.key_value, help=_OPTION_HELP)


def _sentence(summary: str) -> str:
    return f"{summary[0].upper()}{summary[1:]}."
