"""One owner at a time."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from quantumd.store.errors import StoreError


class OwnerLock:
    """An advisory lock on a file of its own beside the state file.

    The kernel drops it with the process, however that ends. It is not on the state file itself, because closing a
    second descriptor of that file would drop SQLite's own locks; and the file stays when it is released, because
    somebody may be about to lock it.
    """

    def __init__(self, state: Path) -> None:
        self._state = state
        self._path = state.with_name(state.name + ".lock")
        self._descriptor: int | None = None

    def acquire(self) -> None:
        """Take the lock, or raise StoreError with the process that has it; OSError where the file cannot be made."""
        descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            owner = os.read(descriptor, 32).decode("ascii", "replace").strip()
            os.close(descriptor)
            raise StoreError(
                f"the state file {self._state} is held by another quantumd{f' (process {owner})' if owner else ''}: "
                "stop that one first, or give this one another 'state' in [quantumd] or with --state"
            ) from None
        os.ftruncate(descriptor, 0)
        os.write(descriptor, f"{os.getpid()}\n".encode())
        self._descriptor = descriptor

    def release(self) -> None:
        """Let go of the lock, if it is held."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None
