"""Between a daemon and ovsdb-server: sees each transaction that changes something, and can stop the world at one."""

from __future__ import annotations

import json
import select
import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from attrs import define

_HARMLESS = frozenset(("select", "wait", "comment", "abort", "assert"))


@define
class Fault:
    """What happens at the transaction with that number, the first being 1. Where it is not ``sent``, the server never
    hears of it; else it is carried out, and its answer lost. ``kill`` is called before the connection ends."""

    number: int
    sent: bool
    kill: Callable[[], None]


class Proxy:
    """Listens at ``path`` for connections to the server at ``target``. Each is served by a thread."""

    def __init__(self, path: Path, target: Path) -> None:
        self.fault: Fault | None = None
        self.delay = 0.0
        self.changes = 0
        self._target = target
        self._stop = threading.Event()
        self._listening = socket.socket(socket.AF_UNIX)
        self._listening.bind(str(path))
        self._listening.listen()
        self._listening.settimeout(0.1)
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()

    def close(self) -> None:
        """Serve nobody any more."""
        self._stop.set()
        while self._threads:
            self._threads.pop().join()
        self._listening.close()

    def _accept(self) -> None:
        while not self._stop.is_set():
            try:
                client, _ = self._listening.accept()
            except TimeoutError:
                continue
            thread = threading.Thread(target=self._serve, args=(client,))
            self._threads.append(thread)
            thread.start()

    def _serve(self, client: socket.socket) -> None:
        with client, socket.socket(socket.AF_UNIX) as server:
            try:
                server.connect(str(self._target))
                self._pass_on(client, server)
            except OSError:
                return  # one of them went away: so does the other one's connection

    def _pass_on(self, client: socket.socket, server: socket.socket) -> None:
        asked, answered = Messages(), Messages()
        lost: Any = None
        while not self._stop.is_set():
            for ready in select.select((client, server), (), (), 0.1)[0]:
                data = ready.recv(1 << 20)
                if not data:
                    return
                if ready is client:
                    for text, message in asked.feed(data):
                        fault = self._fault_at(message)
                        if fault is not None and not fault.sent:
                            fault.kill()
                            return
                        time.sleep(self.delay)
                        server.sendall(text)
                        lost = (message["id"], fault) if fault is not None else lost
                elif lost is None:
                    client.sendall(data)
                elif any(message.get("id") == lost[0] for _, message in answered.feed(data)):
                    lost[1].kill()
                    return

    def _fault_at(self, message: Any) -> Fault | None:
        """The fault that is to happen at this message, which happens once."""
        changing = message.get("method") == "transact" and any(
            operation["op"] not in _HARMLESS for operation in message["params"][1:]
        )
        self.changes += changing
        if not changing or self.fault is None or self.changes != self.fault.number:
            return None
        fault, self.fault = self.fault, None
        return fault


class Messages:
    """Takes a stream of JSON texts apart. It has to begin with the beginning of one, and to be ASCII."""

    def __init__(self) -> None:
        self._rest = ""

    def feed(self, data: bytes) -> list[tuple[bytes, Any]]:
        """The messages that are complete now: their bytes, and what they say."""
        found = []
        self._rest = (self._rest + data.decode("latin-1")).lstrip()
        while self._rest:
            try:
                message, end = json.JSONDecoder().raw_decode(self._rest)
            except ValueError:
                break
            found.append((self._rest[:end].encode("latin-1"), message))
            self._rest = self._rest[end:].lstrip()
        return found
