"""The entry point: parse, run one command, turn what went wrong into words and an exit status."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Mapping, Sequence
from importlib import import_module
from typing import TextIO

from quantumd.cli.parser import build_parser

_FAULT = 1
_INTERRUPTED = 130


def main(argv: Sequence[str] | None = None) -> int:
    """Run quantumctl with the process's own arguments, environment and streams; the exit status is the result."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")  # a terminal that knows no UTF-8 is no fault
    try:
        try:
            return run(sys.argv[1:] if argv is None else argv, os.environ, sys.stdout, sys.stderr)
        finally:
            sys.stdout.flush()
    except KeyboardInterrupt:
        return _INTERRUPTED
    except BrokenPipeError:  # whoever read our output has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return _FAULT


def run(argv: Sequence[str], environ: Mapping[str, str], stdout: TextIO, stderr: TextIO) -> int:
    """Run one command line; wrong usage and ``--help`` leave by SystemExit, as argparse does."""
    args = build_parser().parse_args(argv)
    # Nothing below is needed for --help, and http.client alone takes as long to import as all the rest.
    from quantumd.cli.context import Context
    from quantumd.cli.errors import CommandFailed, WrongUsage

    module, _dot, function = args.run.partition(".")
    try:
        context = Context.of(args, environ, stdout, stderr)
        command = getattr(import_module(f"quantumd.cli.commands.{module}"), function)
        try:
            return int(command(context, args))
        finally:
            context.api.close()
    except WrongUsage as wrong:
        _parser_of(args).error(str(wrong))
    except CommandFailed as failed:
        context.output.failure(failed)
        return _FAULT


def _parser_of(args: argparse.Namespace) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = args.parser
    return parser
