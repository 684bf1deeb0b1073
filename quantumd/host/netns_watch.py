"""Being told when a network namespace gets its name under /run/netns, or loses it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from twisted.internet.error import ConnectionDone
from twisted.internet.inotify import (
    IN_CREATE,
    IN_DELETE,
    IN_DELETE_SELF,
    IN_MOVED_FROM,
    IN_MOVED_TO,
    INotify,
)
from twisted.python.failure import Failure
from twisted.python.filepath import FilePath

from quantumd.host.netns import RUN_NETNS, opened

# ``ip netns add`` makes the file and mounts the namespace on it a moment later, which inotify does not tell.
_LOOKS = (0.0, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0)


class NamespaceWatch:
    """Calls ``changed(name)`` when ``/run/netns/NAME`` has become a namespace, and when the name has gone.

    /run/netns need not be there yet. Runs in the reactor's thread; needs no privileges.
    """

    def __init__(self, reactor: Any, changed: Callable[[str], None], directory: str = RUN_NETNS) -> None:
        self._reactor = reactor
        self._changed = changed
        self._directory = directory
        self._inotify = INotify(reactor)
        self._looking: dict[str, Any] = {}
        self._running = False

    def start(self) -> None:
        """Begin to watch. What is there already is not told."""
        self._running = True
        self._inotify.startReading()
        parent = str(Path(self._directory).parent)
        self._watch(parent, IN_CREATE | IN_MOVED_TO, self._in_parent)
        self._watch_directory()

    def stop(self) -> None:
        """Watch no more."""
        self._running = False
        for call in self._looking.values():
            call.cancel()
        self._looking.clear()
        self._inotify.stopReading()
        # Nothing else closes its descriptor, of which a user has 128.
        self._inotify.connectionLost(Failure(ConnectionDone()))

    def _watch(self, path: str, mask: int, callback: Callable[[object, FilePath[bytes], int], None]) -> None:
        self._inotify.watch(FilePath(path), mask, callbacks=[callback])

    def _watch_directory(self) -> bool:
        mask = IN_CREATE | IN_MOVED_TO | IN_DELETE | IN_MOVED_FROM | IN_DELETE_SELF
        if not Path(self._directory).is_dir():
            return False  # the watch on its parent tells when it comes
        self._watch(self._directory, mask, self._in_directory)
        return True

    def _in_parent(self, _watch: object, path: FilePath[bytes], _mask: int) -> None:
        if path.asTextMode().path == self._directory and self._watch_directory():
            # Names that were made before the watch was set.
            for entry in Path(self._directory).iterdir():
                self._look(entry.name, 0)

    def _in_directory(self, _watch: object, path: FilePath[bytes], mask: int) -> None:
        name = path.asTextMode().basename()
        if mask & (IN_CREATE | IN_MOVED_TO):
            self._look(name, 0)
        elif mask & (IN_DELETE | IN_MOVED_FROM):
            call = self._looking.pop(name, None)
            if call is not None:
                call.cancel()
            self._changed(name)

    def _look(self, name: str, times: int) -> None:
        """Look whether the file has become a namespace, and again a little later while it has not."""
        before = self._looking.pop(name, None)
        if before is not None and before.active():
            before.cancel()
        if not self._running:
            return
        try:
            with opened(f"{self._directory}/{name}"):
                pass
        except OSError:
            if times < len(_LOOKS):
                self._looking[name] = self._reactor.callLater(_LOOKS[times], self._look, name, times + 1)
        else:
            self._changed(name)
