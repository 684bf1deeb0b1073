"""The command line as a plain value: what can follow what. The scripts for all shells are made from it."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from typing import NamedTuple


class Value(NamedTuple):
    """What an operand or an option's value may be: one of ``choices``, or else a ``kind`` (the metavar)."""

    kind: str
    choices: tuple[str, ...] = ()


class Option(NamedTuple):
    """An option: how it is spelled, what it does, and what follows it (None: nothing)."""

    spellings: tuple[str, ...]
    summary: str
    value: Value | None


class Operand(NamedTuple):
    """An operand; ``optional`` and ``repeated`` as in a usage line."""

    value: Value
    optional: bool
    repeated: bool


class Command(NamedTuple):
    """A command and what can stand behind it; ``words`` leads to it, without the program's own name."""

    words: tuple[str, ...]
    summary: str
    options: tuple[Option, ...]
    operands: tuple[Operand, ...]
    children: tuple[Command, ...]

    def walk(self) -> Iterator[Command]:
        """This command and all below it."""
        yield self
        for child in self.children:
            yield from child.walk()


def describe(parser: argparse.ArgumentParser, words: tuple[str, ...] = (), summary: str = "") -> Command:
    """The tree of a parser."""
    options: list[Option] = []
    operands: list[Operand] = []
    children: list[Command] = []
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            summaries = {choice.dest: choice.help or "" for choice in action._choices_actions}
            children += [
                describe(child, (*words, name), summaries.get(name, "")) for name, child in action.choices.items()
            ]
        elif action.option_strings:
            value = None if action.nargs == 0 else _value(action)
            options.append(Option(tuple(action.option_strings), action.help or "", value))
        elif action.help != argparse.SUPPRESS:
            operands.append(
                Operand(_value(action), optional=action.nargs in ("?", "*"), repeated=action.nargs in ("*", "+"))
            )
    return Command(words, summary, tuple(options), tuple(operands), tuple(children))


def _value(action: argparse.Action) -> Value:
    return Value(str(action.metavar or action.dest), tuple(action.choices or ()))
