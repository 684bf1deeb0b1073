"""Persistent tap devices, by the ioctls of ``linux/if_tun.h`` (rtnetlink cannot make them)."""

from __future__ import annotations

import errno
import fcntl
import os
import struct
from collections.abc import Iterator
from contextlib import contextmanager

from attrs import frozen

_TUNSETIFF = 0x400454CA
_TUNSETPERSIST = 0x400454CB
_TUNSETOWNER = 0x400454CC
_TUNSETGROUP = 0x400454CE
_TUNGETFEATURES = 0x800454CF

_IFF_TAP = 0x0002
_IFF_MULTI_QUEUE = 0x0100
_IFF_NO_PI = 0x1000
_IFF_TUN_EXCL = 0x8000

_DEVICE = "/dev/net/tun"
_NO_TAPS = "the kernel has none; try 'modprobe tun' and restart quantumd."


class TapUnsupported(OSError):
    """The kernel has no tap devices, or not of this kind."""


class Tap:
    """A tap device while it is being made. Without :meth:`persist` it goes when it is closed."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def own(self, uid: int | None, gid: int | None) -> None:
        """Let that user, and members of that group, attach to the device without CAP_NET_ADMIN."""
        if uid is not None:
            fcntl.ioctl(self._descriptor, _TUNSETOWNER, uid)
        if gid is not None:
            fcntl.ioctl(self._descriptor, _TUNSETGROUP, gid)

    def persist(self) -> None:
        """Let the device outlive this process."""
        fcntl.ioctl(self._descriptor, _TUNSETPERSIST, 1)


@frozen
class Taps:
    """What taps can be made: such with several queues, too, or none, and why."""

    multi_queue: bool = True
    why_none: str = ""


def features() -> Taps:
    """What taps can be made here. Makes none."""
    try:
        descriptor = os.open(_DEVICE, os.O_RDWR | os.O_CLOEXEC)
    except PermissionError:
        return Taps(False, f"quantumd may not open {_DEVICE}: give its user access to it and restart quantumd.")
    except OSError:
        return Taps(False, _NO_TAPS)
    try:
        known = _features(descriptor)
    finally:
        os.close(descriptor)
    return Taps(bool(known & _IFF_MULTI_QUEUE), "" if known & _IFF_TAP else _NO_TAPS)


def _features(descriptor: int) -> int:
    answer = bytearray(4)
    fcntl.ioctl(descriptor, _TUNGETFEATURES, answer)
    (known,) = struct.unpack("=I", answer)
    return int(known)


@contextmanager
def create_tap(name: str, *, multi_queue: bool = False) -> Iterator[Tap]:
    """Make a tap named ``name`` in the calling thread's network namespace.

    Never seizes a device that is there already (IFF_TUN_EXCL). Whoever attaches to it chooses whether
    there is a virtio header before each frame; the number of queues (one or several) has to be the same.

    :raise FileExistsError: the name is taken (EBUSY of the kernel)
    :raise TapUnsupported: there is no /dev/net/tun, or the kernel has no multi-queue taps
    """
    try:
        descriptor = os.open(_DEVICE, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError as error:
        raise TapUnsupported(error.errno, "the kernel has no tap devices (modprobe tun)", _DEVICE) from error
    except OSError as error:
        if error.errno in (errno.ENODEV, errno.ENXIO):  # the node is there but no module behind it
            raise TapUnsupported(error.errno, "the kernel has no tap devices (modprobe tun)", _DEVICE) from error
        raise
    try:
        flags = _IFF_TAP | _IFF_NO_PI | (_IFF_MULTI_QUEUE if multi_queue else 0)
        if flags & ~_features(descriptor):
            raise TapUnsupported(errno.EOPNOTSUPP, "the kernel has no multi-queue taps", name)
        try:
            fcntl.ioctl(descriptor, _TUNSETIFF, struct.pack("=16sH22x", name.encode(), flags | _IFF_TUN_EXCL))
        except OSError as error:
            if error.errno in (errno.EBUSY, errno.EEXIST, errno.EINVAL):  # EINVAL: by another kind of device
                raise FileExistsError(errno.EEXIST, "the name is taken", name) from error
            raise
        yield Tap(descriptor)
    finally:
        os.close(descriptor)
