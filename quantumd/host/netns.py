"""Network namespaces by path: opening them, telling them apart, moving a thread into one.

Paths are ``/run/netns/NAME`` (what ``ip netns`` keeps) and ``/proc/PID/ns/net``.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

from attrs import frozen

RUN_NETNS = "/run/netns"

_CLONE_NEWNET = 0x40000000
_NS_GET_NSTYPE = 0xB703  # linux/nsfs.h: _IO(0xb7, 3)


class NotANamespace(OSError):
    """The path is there but is no network namespace (or not yet: ``ip netns add`` makes the file first)."""


@frozen
class Identity:
    """Which namespace it is: two paths with the same identity lead to the same one, while it lives."""

    device: int
    inode: int


def open_netns(path: str) -> int:
    """Open the network namespace at ``path`` for reading; the caller closes the descriptor.

    :raise FileNotFoundError: nothing is there
    :raise NotANamespace: what is there is something else
    :raise OSError: it may not be opened (another user's /proc/PID/ns needs CAP_SYS_PTRACE)
    """
    # Whatever lies there must not make the caller wait, as a FIFO would.
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    try:
        if fcntl.ioctl(descriptor, _NS_GET_NSTYPE) == _CLONE_NEWNET:
            return descriptor
    except OSError as error:
        if error.errno not in (errno.ENOTTY, errno.EINVAL):
            os.close(descriptor)
            raise
    os.close(descriptor)
    raise NotANamespace(errno.ENXIO, "not a network namespace", path)


@contextmanager
def opened(path: str) -> Iterator[int]:
    """:func:`open_netns` as a context manager."""
    descriptor = open_netns(path)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def identity(descriptor: int) -> Identity:
    """The identity of an open namespace."""
    found = os.fstat(descriptor)
    return Identity(found.st_dev, found.st_ino)


def process_start(pid: int) -> int | None:
    """When a process started (clock ticks since boot); None if there is none. Tells a reused pid apart."""
    try:
        line = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return None
    # The second field is the command in parentheses, which may contain anything.
    return int(line.rpartition(")")[2].split()[19])


def enter(path: str) -> None:
    """Move the calling thread, and nothing else of the process, into the network namespace at ``path``."""
    with opened(path) as descriptor:
        _setns(descriptor)


@contextmanager
def visiting(descriptor: int) -> Iterator[None]:
    """Have the calling thread, and nothing else of the process, inside an open namespace for a while."""
    home = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    try:
        _setns(descriptor)
        try:
            yield
        finally:
            _setns(home)
    finally:
        os.close(home)


def _setns(descriptor: int) -> None:
    # os.setns came with Python 3.12.
    if _libc().setns(descriptor, _CLONE_NEWNET) != 0:
        code = ctypes.get_errno()
        raise OSError(code, f"cannot enter the network namespace: {os.strerror(code)}")


@cache
def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)
