"""The switches of one device under /proc/sys/net, of the calling thread's network namespace."""

from __future__ import annotations

import os
from pathlib import Path

_ROOT = "/proc/sys/net"


def write(family: str, device: str, key: str, value: int) -> bool:
    """Set ``net.<family>.conf.<device>.<key>``.

    :param family: "ipv4" or "ipv6"
    :return: False where the kernel has no such switch (no IPv6, or the device is gone)
    :raise OSError: it may not be written (/proc/sys is mounted read-only in many containers)
    """
    path = _path(family, device, key)
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        os.write(descriptor, b"%d" % value)
    finally:
        os.close(descriptor)
    return True


def read(family: str, device: str, key: str) -> int | None:
    """The value of ``net.<family>.conf.<device>.<key>``; None where there is no such switch."""
    try:
        return int(Path(_path(family, device, key)).read_text())
    except FileNotFoundError:
        return None


def _path(family: str, device: str, key: str) -> str:
    # A directory of its own even where the device is called "a.b", which sysctl(8) would take for two.
    return f"{_ROOT}/{family}/conf/{device}/{key}"
