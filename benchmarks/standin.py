"""In place of ovs-vswitchd, which takes minutes for ten thousand ports: says of each interface that it works and is up,
and of each change that it is carried out.

    python benchmarks/standin.py SOCKET

SOCKET is ovsdb-server's. What is measured with this is quantumd and the database, not the switch.
"""

from __future__ import annotations

import json
import socket
import sys
from collections.abc import Iterator
from typing import Any

_MONITOR = {
    "Open_vSwitch": {"columns": ["next_cfg"]},
    "Interface": {"columns": ["name"], "select": {"modify": False, "delete": False}},
}
#: What ovs-vswitchd says of a tap or veth; numbers of ports begin at 1.
_WORKS = {
    "admin_state": "up",
    "link_state": "up",
    "mtu": 1500,
    "status": ["map", [["driver_name", "tun"], ["driver_version", "1.0"], ["firmware_version", ""]]],
}


def messages(connection: socket.socket) -> Iterator[Any]:
    """The JSON values that come."""
    decoder, text = json.JSONDecoder(), ""
    while piece := connection.recv(1 << 20):
        text += piece.decode()
        while text:
            try:
                message, end = decoder.raw_decode(text)
            except ValueError:
                break
            yield message
            text = text[end:].lstrip()


def main() -> None:
    """Answer the database until it goes."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(sys.argv[1])

        def call(number: int, method: str, *params: object) -> None:
            connection.sendall(json.dumps({"id": number, "method": method, "params": params}).encode())

        call(0, "monitor", "Open_vSwitch", None, _MONITOR)
        ports = 0
        for message in messages(connection):
            if message.get("method") == "update":
                tables = message["params"][1]
            elif message.get("id") == 0:
                tables = message["result"]
            else:
                continue
            operations: list[object] = []
            for uuid in tables.get("Interface", ()):
                ports += 1
                where = [["_uuid", "==", ["uuid", uuid]]]
                row = {**_WORKS, "ofport": ports}
                operations.append({"op": "update", "table": "Interface", "where": where, "row": row})
            for row in tables.get("Open_vSwitch", {}).values():
                taken = {"cur_cfg": row["new"]["next_cfg"]}
                operations.append({"op": "update", "table": "Open_vSwitch", "where": [], "row": taken})
            if operations:
                call(1, "transact", "Open_vSwitch", *operations)


if __name__ == "__main__":
    main()
