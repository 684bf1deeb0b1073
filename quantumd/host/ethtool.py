"""The one thing that is asked of ethtool: that devices compute their packets' checksums (``linux/ethtool.h``)."""

from __future__ import annotations

import array
import fcntl
import socket
import struct
from collections.abc import Iterable

_SIOCETHTOOL = 0x8946
_ETHTOOL_STXCSUM = 0x17


def no_transmit_checksums(devices: Iterable[str]) -> list[str]:
    """Have the kernel compute checksums before it hands packets to ``devices``, in the calling thread's namespace.

    :return: those that are not there, or always do so
    """
    value = array.array("B", struct.pack("=II", _ETHTOOL_STXCSUM, 0))
    address, _ = value.buffer_info()
    refused = []
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        for device in devices:
            try:
                fcntl.ioctl(control, _SIOCETHTOOL, struct.pack("16sP", device.encode(), address) + bytes(16))
            except OSError:
                refused.append(device)
    return refused
