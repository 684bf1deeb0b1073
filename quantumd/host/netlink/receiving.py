"""Receiving many datagrams with one system call (recvmmsg(2)).

The kernel answers each request of a batch with a datagram of its own, and the interpreter is let go of for each system
call. While another thread is busy it is slow to come back: to read answers one by one took longer than to make what
they are about.
"""

from __future__ import annotations

import ctypes
import errno
import mmap
import os
import socket
from collections.abc import Iterator

#: How many datagrams are taken at once, and how long each may be. Linux fills at most 32 KiB at a time into a dump, and
#: more only for a single larger message. Memory that nothing was ever written to is not taken.
_AT_ONCE, _LONGEST = 32, 1 << 18
_MSG_WAITFORONE = 0x10000  # bits/socket.h
_MSG_TRUNC = int(socket.MSG_TRUNC)  # an enumeration's & takes longer than the rest of what is done with a datagram


class _Vector(ctypes.Structure):
    """``struct iovec``"""

    _fields_ = (("base", ctypes.c_void_p), ("length", ctypes.c_size_t))


class _Message(ctypes.Structure):
    """``struct msghdr``"""

    _fields_ = (
        ("name", ctypes.c_void_p),
        ("name_length", ctypes.c_uint32),
        ("vectors", ctypes.POINTER(_Vector)),
        ("vectors_length", ctypes.c_size_t),
        ("control", ctypes.c_void_p),
        ("control_length", ctypes.c_size_t),
        ("flags", ctypes.c_int),
    )


class _Received(ctypes.Structure):
    """``struct mmsghdr``"""

    _fields_ = (("header", _Message), ("length", ctypes.c_uint))


_waiting = ctypes.CDLL(None, use_errno=True).recvmmsg
# Keeps the interpreter: to let go of it for a call that never waits is to wait for whoever takes it.
_at_once = ctypes.PyDLL(None, use_errno=True).recvmmsg


class Receiver:
    """Receives from a socket, for one thread. Whether the socket blocks is settled before."""

    def __init__(self, opened: socket.socket) -> None:
        self._socket = opened
        self._recvmmsg = _waiting if opened.getblocking() else _at_once
        self._memory = mmap.mmap(-1, _AT_ONCE * _LONGEST)
        first = ctypes.addressof(ctypes.c_char.from_buffer(self._memory))
        self._vectors = (_Vector * _AT_ONCE)(
            *(_Vector(first + place * _LONGEST, _LONGEST) for place in range(_AT_ONCE))
        )
        self._received = (_Received * _AT_ONCE)()
        for place, vector in enumerate(self._vectors):
            header = self._received[place].header
            header.vectors, header.vectors_length = ctypes.pointer(vector), 1

    def receive(self) -> Iterator[bytes]:
        """The datagrams that are there; a blocking socket waits for one, as long as its SO_RCVTIMEO says.

        :raise OSError: the socket failed; EAGAIN: none came in time; EMSGSIZE: one was longer than is read
        """
        count = self._recvmmsg(self._socket.fileno(), self._received, _AT_ONCE, _MSG_WAITFORONE, None)
        while count < 0:
            code = ctypes.get_errno()
            if code != errno.EINTR:
                raise OSError(code, os.strerror(code))
            count = self._recvmmsg(self._socket.fileno(), self._received, _AT_ONCE, _MSG_WAITFORONE, None)
        for place in range(count):
            received, start = self._received[place], place * _LONGEST
            if received.header.flags & _MSG_TRUNC:
                raise OSError(errno.EMSGSIZE, os.strerror(errno.EMSGSIZE))
            yield self._memory[start : start + received.length]
