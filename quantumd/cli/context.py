"""What every command is given: the API and the output; and the one way in which a command changes something."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple, TextIO

from quantumd.cli.client import Client
from quantumd.cli.endpoint import choose_endpoint
from quantumd.cli.errors import CommandFailed, Refused, WrongUsage
from quantumd.cli.output import Output
from quantumd.cli.render import fault_text
from quantumd.cli.settle import Patience, Resource, Waiter
from quantumd.cli.terms import FAULTY

_TOKEN = "QUANTUMD_TOKEN"  # noqa: S105 - the variable's name
#: Beyond so many, a list no longer asks for each fault: the list shall come at once.
_MOST_FAULTS = 20


class Change(NamedTuple):
    """A request that changes something: ``kind`` is the key of the body, of the request and of the answer."""

    kind: str
    method: str
    path: str
    body: Mapping[str, Any] | None = None


class Context:
    """The API, the output, and whether to wait."""

    def __init__(self, api: Client, output: Output, waiter: Waiter | None = None) -> None:
        self.api = api
        self.output = output
        self._waiter = waiter

    @classmethod
    def of(cls, args: argparse.Namespace, environ: Mapping[str, str], stdout: TextIO, stderr: TextIO) -> Context:
        """The context that the command line and the environment ask for; nothing is connected yet."""
        endpoint = choose_endpoint(args.endpoint, environ)
        api = Client(endpoint, _token(args.token, environ))
        output = Output.on(stdout, stderr, environ, args.format)
        wait, timeout = getattr(args, "wait", False), getattr(args, "timeout", None)
        if timeout is not None and not wait:
            raise WrongUsage("--timeout goes with --wait only")
        return cls(api, output, Waiter(api, Patience(timeout), output.remark) if wait else None)

    def change(
        self, change: Change, where: Callable[[Resource], str], show: Callable[[Resource], Iterable[str]]
    ) -> int:
        """Ask for a change, wait for it if so wished, and print the resource as it then is.

        ``where`` gives the path of the resource in the answer. The result is the exit status; a change that was waited
        for and failed raises :class:`CommandFailed` once it has been printed.
        """
        accepted = self._send(change)
        resource = accepted
        if self._waiter is not None:
            wait = self._waiter.gone if change.method == "DELETE" else self._waiter.applied
            resource = wait(change.kind, where(accepted), accepted)
        self.output.result({change.kind: resource}, lambda: show(resource))
        if self._waiter is not None and resource.get("status") in FAULTY:
            fault = resource.get("fault") or {}
            raise CommandFailed(
                str(fault.get("name", resource["status"])),
                f"{fault.get('message', 'the daemon does not say why')} (it will be tried again)",
            )
        return 0

    def _send(self, change: Change) -> Resource:
        body = None if change.body is None else {change.kind: change.body}
        wait = self._waiter.seconds(change.method == "DELETE") if self._waiter is not None else None
        resource: Resource = self.api.request(change.method, change.path, body, wait=wait).part(change.kind)
        return resource

    def faults(self, kind: str, entries: Iterable[Resource], where: Callable[[Resource], str]) -> list[str | None]:
        """What is wrong with each entry of a list, which says only that something is; for the first few of them."""
        left = _MOST_FAULTS
        found: list[str | None] = []
        for entry in entries:
            fault = None
            if entry.get("status") in FAULTY and left > 0:
                left -= 1
                fault = fault_text(self.fault(kind, where(entry)))
            found.append(fault)
        return found

    def fault(self, kind: str, path: str) -> Mapping[str, Any] | None:
        """The fault of the resource at a path; None where there is none, or the resource has gone."""
        try:
            fault: Mapping[str, Any] | None = self.api.get(path).part(kind).get("fault")
        except Refused as refused:
            if refused.not_found:
                return None
            raise
        return fault


def _token(given: str | None, environ: Mapping[str, str]) -> str | None:
    token = given if given is not None else environ.get(_TOKEN) or None
    if token is not None and not (token.isascii() and token.isprintable() and token and " " not in token):
        raise WrongUsage("the token (of --token or $QUANTUMD_TOKEN) is not one: it has characters that no token has")
    return token
