"""What the C library keeps of memory that was freed: little.

glibc gives each thread an arena of its own, and keeps the more for the next time, the larger the pieces are that were
ever freed: 10 MB in a daemon that looks at ten thousand devices each half minute. See mallopt(3).
"""

from __future__ import annotations

import ctypes

# malloc.h
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _M_ARENA_MAX = -1, -3, -8
#: What they are at first; to set them keeps them there.
_THRESHOLD = 128 << 10


def keep_little() -> None:
    """Do so from now on; before threads begin. Does nothing where the C library has no such setting (musl)."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_ARENA_MAX, 1)
        mallopt(_M_MMAP_THRESHOLD, _THRESHOLD)
        mallopt(_M_TRIM_THRESHOLD, _THRESHOLD)
