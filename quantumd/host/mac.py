"""MAC addresses that follow from an identifier, so that a device made again has the one it had."""

from __future__ import annotations

import hashlib


def derived_mac(ident: str) -> str:
    """A locally administered unicast address that follows from ``ident``.

    The first byte is fe, as hypervisors give the host's end of a guest's device: a bridge that chooses its own
    address takes the lowest of its ports', which such a one never is.
    """
    return "fe:" + hashlib.blake2b(ident.encode(), digest_size=5).digest().hex(":")
