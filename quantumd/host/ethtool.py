"""The one thing that is asked of ethtool: that a device computes its packets' checksums (``linux/ethtool.h``)."""

from __future__ import annotations

import array
import fcntl
import socket
import struct

_SIOCETHTOOL = 0x8946
_ETHTOOL_STXCSUM = 0x17


def no_transmit_checksums(device: str) -> bool:
    """Have the kernel compute checksums before it hands packets to ``device``, in the calling thread's namespace.

    :return: False where the device is not there, or always does so
    """
    value = array.array("B", struct.pack("=II", _ETHTOOL_STXCSUM, 0))
    address, _ = value.buffer_info()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        try:
            fcntl.ioctl(control, _SIOCETHTOOL, struct.pack("16sP", device.encode(), address) + bytes(16))
        except OSError:
            return False
    return True
