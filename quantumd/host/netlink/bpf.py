"""Classic BPF programs (``linux/filter.h``), which need no bpf(2): what a filter or a socket takes."""

from __future__ import annotations

import ctypes
import socket
import struct

Program = tuple[tuple[int, int, int, int], ...]
"""Instructions: (code, jump if true, jump if false, operand)."""

_SO_ATTACH_FILTER = 26  # asm-generic/socket.h


def packed(program: Program) -> bytes:
    """The program as an array of ``struct sock_filter``."""
    return b"".join(struct.pack("=HBBI", *instruction) for instruction in program)


def attach(opened: socket.socket, program: Program) -> None:
    """Have a socket get only that for which the program gives no 0.

    :raise OSError: the kernel does not take it
    """
    code = ctypes.create_string_buffer(packed(program))
    opened.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, struct.pack("@HP", len(program), ctypes.addressof(code)))
