"""The switches of one device under /proc/sys/net, of the calling thread's network namespace."""

from __future__ import annotations

from pathlib import Path

_ROOT = Path("/proc/sys/net")


def write(family: str, device: str, key: str, value: int) -> bool:
    """Set ``net.<family>.conf.<device>.<key>`` where it is not so already.

    :param family: "ipv4" or "ipv6"
    :return: False where the kernel has no such switch (no IPv6, or the device is gone)
    :raise OSError: it may not be written (/proc/sys is mounted read-only in many containers)
    """
    # Not by str.format into one path: a device may be called "a.b", which sysctl(8) takes for a directory.
    path = _ROOT / family / "conf" / device / key
    wanted = str(value)
    try:
        if path.read_text().strip() != wanted:
            path.write_text(wanted)
    except FileNotFoundError:
        return False
    return True


def read(family: str, device: str, key: str) -> int | None:
    """The value of ``net.<family>.conf.<device>.<key>``; None where there is no such switch."""
    try:
        return int((_ROOT / family / "conf" / device / key).read_text())
    except FileNotFoundError:
        return None
