"""SQLite's way to the disk, with failures where a test wants them: a VFS (sqlite.org/vfs.html) over the usual one."""

from __future__ import annotations

import _sqlite3
import ctypes
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from ctypes import CFUNCTYPE, c_char_p, c_int, c_int64, c_void_p
from typing import Any

#: Result codes of SQLite (sqlite3.h).
READ_ONLY, FULL, WRITE_ERROR, SYNC_ERROR = 8, 13, 778, 1034

_VFS_BYTES, _METHODS_BYTES = 168, 152
_OPEN_AT, _NAME_AT = 40, 24
#: Where they are in sqlite3_io_methods.
_WRITE_AT, _TRUNCATE_AT, _SYNC_AT = 24, 32, 40

_Open = CFUNCTYPE(c_int, c_void_p, c_void_p, c_void_p, c_int, c_void_p)
_Write = CFUNCTYPE(c_int, c_void_p, c_void_p, c_int, c_int64)
_Truncate = CFUNCTYPE(c_int, c_void_p, c_int64)
_Sync = CFUNCTYPE(c_int, c_void_p, c_int)


class Disk:
    """Counts what is done to the disk; fails at number ``first`` and ``more`` times after it."""

    def __init__(self) -> None:
        self.done = 0
        self.failed = 0
        self._first = self._last = -1
        self._code: int | None = None
        self.works = False

    def fail(self, first: int, more: int = 0, code: int | None = None) -> None:
        """Fail from the ``first``-th operation from now on (0: the next), and for ``more`` after it; with an error of
        input and output, or with this code."""
        self.done = self.failed = 0
        self._first, self._last, self._code = first, first + more, code

    def result(self, code: int) -> int:
        """What becomes of the next operation: 0, or the code of its failure."""
        if self.works:
            return 0
        number, self.done = self.done, self.done + 1
        if not self._first <= number <= self._last:
            return 0
        self.failed += 1
        return code if self._code is None else self._code


def _pointer(address: int) -> c_void_p:
    return c_void_p.from_address(address)


@contextmanager
def faulty_disk() -> Iterator[Disk]:
    """Have every connection that is opened meanwhile go through a :class:`Disk`."""
    library = ctypes.CDLL(_sqlite3.__file__)
    library.sqlite3_vfs_find.restype = c_void_p
    library.sqlite3_vfs_find.argtypes = [c_char_p]
    library.sqlite3_vfs_register.argtypes = [c_void_p, c_int]
    library.sqlite3_vfs_unregister.argtypes = [c_void_p]
    usual = library.sqlite3_vfs_find(None)
    disk, kept = Disk(), []
    patched: dict[int, int] = {}

    def wrapped(kind: Any, address: int, code: int) -> int:
        """A function in the place of the one at ``address``, which may fail instead."""
        original = kind(_pointer(address).value)

        def call(*arguments: Any) -> int:
            return disk.result(code) or int(original(*arguments))

        made = kind(call)
        kept.append((made, original))
        return int(ctypes.cast(made, c_void_p).value or 0)

    def methods(address: int) -> int:
        if address not in patched:
            copy = ctypes.create_string_buffer(ctypes.string_at(address, _METHODS_BYTES), _METHODS_BYTES)
            start = ctypes.addressof(copy)
            for kind, place, code in (
                (_Write, _WRITE_AT, WRITE_ERROR),
                (_Truncate, _TRUNCATE_AT, WRITE_ERROR),
                (_Sync, _SYNC_AT, SYNC_ERROR),
            ):
                _pointer(start + place).value = wrapped(kind, address + place, code)
            kept.append((copy, None))
            patched[address] = start
        return patched[address]

    opened: Callable[..., int] = _Open(_pointer(usual + _OPEN_AT).value)

    @_Open
    def open_file(_: Any, name: Any, file: Any, flags: int, out: Any) -> int:
        code = opened(usual, name, file, flags, out)
        if code == 0 and _pointer(file).value:
            _pointer(file).value = methods(int(_pointer(file).value or 0))
        return code

    vfs = ctypes.create_string_buffer(ctypes.string_at(usual, _VFS_BYTES), _VFS_BYTES)
    name = ctypes.create_string_buffer(b"faulty")
    address = ctypes.addressof(vfs)
    _pointer(address + _NAME_AT).value = ctypes.addressof(name)
    _pointer(address + _OPEN_AT).value = ctypes.cast(open_file, c_void_p).value
    library.sqlite3_vfs_register(address, 1)
    try:
        yield disk
    finally:
        library.sqlite3_vfs_unregister(address)
        library.sqlite3_vfs_register(usual, 1)
