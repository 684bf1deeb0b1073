"""Names on the host, and identifiers as the API takes them."""

from __future__ import annotations

import hashlib
import random
import re
from collections.abc import Callable

#: A netdev's name is at most this many bytes (IFNAMSIZ - 1, linux/if.h).
IFNAME_BYTES = 15

#: What the altname of every device that quantumd made or plugged begins with.
MARK = "quantum-"

#: No control characters, surrogates or noncharacters (Unicode 16, chapter 23.7).
TEXT_PATTERN = (
    "^[^\\u0000-\\u001f\\u007f-\\u009f\\ud800-\\udfff\\ufdd0-\\ufdef\\ufffe\\uffff"
    + "".join(f"{chr(plane * 0x10000 + 0xFFFE)}{chr(plane * 0x10000 + 0xFFFF)}" for plane in range(1, 17))
    + "]*$"
)

#: Of a UUID's 128 bits those that are drawn, and what the others are: version 4, variant 10.
_FREE, _FIXED = ~(0xF << 76 | 0x3 << 62), 0x4 << 76 | 0x2 << 62
_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
_MAC = re.compile(r"[0-9a-f]{2}(:[0-9a-f]{2}){5}")


def new_id() -> str:
    """A fresh id for a network, port or token: a lower-case random UUID (RFC 9562, version 4).

    An id is no secret, so it comes of the generator that the system has seeded: to ask the system each time would let
    go of the interpreter, which then waits until the thread that writes the state gives it back.
    """
    digits = f"{random.getrandbits(128) & _FREE | _FIXED:032x}"
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"


def is_id(text: str) -> bool:
    """Whether the text is a UUID in the one form that is taken here: lower case, with hyphens."""
    return _UUID.fullmatch(text) is not None


def ifname_problem(name: str) -> str | None:
    """Why the kernel would not take this as a netdev's name (``dev_valid_name``, net/core/dev.c); None: it would."""
    if not name:
        return "a device name must not be empty"
    if len(name.encode("utf-8", "surrogatepass")) > IFNAME_BYTES:
        return f"a device name is at most {IFNAME_BYTES} bytes"
    if name in (".", "..", "all", "default"):  # the latter two name directories of sysctls (devinet.c)
        return f"{name!r} is no device name"
    if any(char in "/: \t\n\v\f\r" for char in name):
        return "a device name has no '/', ':' or white space"
    if any(ord(char) < 0x21 or 0x7F <= ord(char) < 0xA0 or 0xD800 <= ord(char) < 0xE000 for char in name):
        return "a device name has no control characters"
    if b"\xa0" in name.encode("utf-8", "surrogatepass"):
        return f"the kernel takes a byte of the name {name!r} for a space"
    if "%" in name:
        return "a device name has no '%': the kernel would number it"
    return None


def mac_problem(mac: str) -> str | None:
    """Why this is no address for a guest's NIC; None: it is one. Takes six hexadecimal pairs with colons, any case."""
    if not _MAC.fullmatch(mac.lower()):
        return "a MAC is six hexadecimal pairs with colons, such as 02:00:00:00:00:01"
    if int(mac[:2], 16) & 1:
        return "a multicast MAC cannot be a device's own"
    if mac.replace(":", "").strip("0") == "":
        return "the zero MAC cannot be a device's own"
    return None


def derived(prefix: str, ident: str, taken: Callable[[str], bool]) -> str:
    """A device name of exactly 15 bytes that follows from a resource's id: readable where possible, unique always.

    The id's own first digits follow the prefix; where ``taken`` says that name is in use (ids chosen by clients may
    begin alike), digits of a hash of id and a counter do.
    """
    digits = IFNAME_BYTES - len(prefix)
    name = prefix + ident.replace("-", "")[:digits]
    attempt = 0
    while taken(name):
        attempt += 1
        name = prefix + hashlib.blake2b(f"{ident}/{attempt}".encode()).hexdigest()[:digits]
    return name
