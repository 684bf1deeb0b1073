"""A laboratory of network namespaces, for tests with real devices and real packets.

Needs root (or a user namespace) and ``ip`` of iproute2. Nothing touches the namespace that the tests run in::

    with Lab() as lab:
        host, guest = lab.namespace(), lab.namespace()
        host.ip("link add tap7 type veth peer name eth0 netns " + guest.name)
        with guest.port("eth0") as eth0:
            eth0.send(frame)
"""

from __future__ import annotations

import os
import secrets
import shlex
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import TracebackType
from typing import ParamSpec, Self, TypeVar

from quantumd.host import netns
from quantumd.testing.frames import Seen

_Arguments = ParamSpec("_Arguments")
_Result = TypeVar("_Result")

_SOL_PACKET, _PACKET_IGNORE_OUTGOING, _ETH_P_ALL = 263, 23, 3


class CommandFailed(AssertionError):
    """A command of the laboratory failed; the message has what it printed."""


def run(*words: str, stdin: str | None = None) -> str:
    """Run a command to its end and return what it printed.

    :raise CommandFailed: it ended with another status than 0
    """
    done = subprocess.run(words, input=stdin, capture_output=True, text=True, check=False, timeout=60)
    if done.returncode != 0:
        raise CommandFailed(f"{shlex.join(words)}: {done.returncode}\n{done.stdout}{done.stderr}")
    return done.stdout


def eventually(condition: Callable[[], _Result], what: str, seconds: float = 5.0) -> _Result:
    """Ask ``condition`` until it gives something true, and return that; fail after ``seconds``."""
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {seconds} s: {what}")
        time.sleep(0.005)
    return found


class Port:
    """A device's raw end: sends whole frames and collects those that come in (not those sent)."""

    def __init__(self, device: str) -> None:
        self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(_ETH_P_ALL))
        self._socket.setsockopt(_SOL_PACKET, _PACKET_IGNORE_OUTGOING, 1)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
        self._socket.bind((device, 0))
        self._socket.setblocking(False)

    def send(self, *frames: bytes) -> None:
        """Send frames."""
        for frame in frames:
            self._socket.send(frame)

    def received(self) -> list[Seen]:
        """Take what came since the last call."""
        seen = []
        while True:
            try:
                seen.append(Seen.parse(self._socket.recv(1 << 16)))
            except BlockingIOError:
                return seen

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()


class Namespace:
    """A network namespace of its own name under /run/netns."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.path = f"{netns.RUN_NETNS}/{name}"

    def ip(self, words: str) -> str:
        """Run ``ip`` on this namespace: ``ip("link set lo up")``."""
        return run("ip", "-n", self.name, *shlex.split(words))

    def command(self, *words: str, stdin: str | None = None) -> str:
        """Run a command inside."""
        return run("nsenter", f"--net={self.path}", *words, stdin=stdin)

    def inside(
        self, job: Callable[_Arguments, _Result], *args: _Arguments.args, **kwargs: _Arguments.kwargs
    ) -> _Result:
        """Call ``job`` in a thread that is inside. Sockets that it makes stay inside wherever they are used."""
        results: list[_Result] = []
        errors: list[BaseException] = []

        def enter_and_call() -> None:
            try:
                netns.enter(self.path)
                results.append(job(*args, **kwargs))
            except BaseException as error:
                errors.append(error)

        thread = threading.Thread(target=enter_and_call)
        thread.start()
        thread.join()
        if errors:
            raise errors[0]
        return results[0]

    @contextmanager
    def port(self, device: str) -> Iterator[Port]:
        """The raw end of a device inside."""
        opened = self.inside(Port, device)
        try:
            yield opened
        finally:
            opened.close()

    def links(self) -> dict[str, int]:
        """The devices inside and their indexes, ``lo`` left out."""
        return {name: index for index, name in self.inside(socket.if_nameindex) if name != "lo"}

    def delete(self) -> None:
        """Take the name away; the namespace goes with its last user."""
        run("ip", "netns", "del", self.name)


class Lab:
    """Makes namespaces with unique names and takes all of them down, whatever happens."""

    def __init__(self) -> None:
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End what was started and take the namespaces down."""
        self._stack.close()

    def callback(self, call: Callable[[], object]) -> None:
        """Have ``call`` called at the end, before what was made earlier is taken down."""
        self._stack.callback(call)

    def unique(self, prefix: str = "qdlab") -> str:
        """A name that nothing else on this machine has."""
        return f"{prefix}-{os.getpid():x}-{secrets.token_hex(3)}"

    def namespace(self, name: str | None = None) -> Namespace:
        """A new namespace with its loopback up, under ``name`` or one made up."""
        made = Namespace(name or self.unique())
        run("ip", "netns", "add", made.name)
        self._stack.callback(self._delete, made)
        made.ip("link set lo up")
        return made

    def process(self, namespace: Namespace, *words: str) -> subprocess.Popen[bytes]:
        """Start a process inside, which is killed at the end if it still runs then."""
        started = subprocess.Popen(["nsenter", f"--net={namespace.path}", *words])
        self._stack.callback(self._end, started)
        return started

    @staticmethod
    def _delete(namespace: Namespace) -> None:
        if Path(namespace.path).exists():
            namespace.delete()

    @staticmethod
    def _end(started: subprocess.Popen[bytes]) -> None:
        if started.poll() is None:
            started.kill()
        started.wait()
