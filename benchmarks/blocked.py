"""For how long at most a daemon's reactor is blocked: asks for /health again and again, and does nothing else.

    python benchmarks/blocked.py SOCKET SECONDS

Prints milliseconds. Time in which the daemon's main thread, or this program, was ready to run and waited for a
processor is taken off (Linux, Documentation/scheduler/sched-stats.rst): it is the machine's.
"""

from __future__ import annotations

import gc
import socket
import struct
import sys
import time
from pathlib import Path


def listener(path: Path) -> int:
    """The pid of who listens on a unix socket."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(str(path))
        credentials = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
    pid: int = struct.unpack("3i", credentials)[0]
    return pid


def waited(pid: int | str) -> float:
    """Seconds for which a process's main thread has been ready and waited for a processor."""
    return int(Path(f"/proc/{pid}/schedstat").read_text().split()[1]) / 1e9


def longest(path: Path, seconds: float) -> float:
    """Seconds of the longest answer."""
    gc.disable()
    pid, most = listener(path), 0.0
    until = time.perf_counter() + seconds
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(str(path))
        while time.perf_counter() < until:
            ready, began = waited(pid) + waited("self"), time.perf_counter()
            connection.sendall(b"GET /health HTTP/1.1\r\nHost: bench\r\n\r\n")
            if not connection.recv(1 << 16):
                raise SystemExit("the daemon closed the connection")
            took = time.perf_counter() - began
            most = max(most, took - (waited(pid) + waited("self") - ready))
            time.sleep(0.002)
    return most


if __name__ == "__main__":
    print(longest(Path(sys.argv[1]), float(sys.argv[2])) * 1000)
