"""The ovs plugin against Open vSwitch itself, in one run, on a private Open vSwitch with the userspace datapath.

    python benchmarks/openvswitch.py [--attachments 1000] [--networks 50] [--database 10000]

Prints how fast attachments of devices that are there are accepted and converged, and how fast ovs-vswitchd takes the
same devices as ports in one transaction; then what the first look at a large database takes, what requests meanwhile
take, for how long the reactor is held, and the memory of the daemon. Runs on a scratch machine; the host's own network
is not touched.
"""

from __future__ import annotations

import argparse
import json
import socket
import struct
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from quantumd.cli.client import Client
from quantumd.cli.endpoint import parse_endpoint
from quantumd.testing.lab import Lab
from quantumd.testing.openvswitch import OpenVSwitch
from quantumd.testing.scratch import daemon, enter, run

BRIDGE = "br-int"


def make_devices(count: int) -> list[str]:
    """Devices that somebody else made, as hypervisors' taps are."""
    names = [f"dev{number}" for number in range(count)]
    lines = [f"tuntap add dev {name} mode tap" for name in names] + [f"link set {name} up" for name in names]
    run("ip", "-batch", "-", stdin="\n".join(lines) + "\n")
    return names


def by_the_switch(switch: OpenVSwitch, names: list[str]) -> tuple[float, float]:
    """Seconds in which ovs-vswitchd takes these devices as ports, in one transaction, and lets go of them again."""
    switch.vsctl("add-br", "br-bare", "--", "set", "Bridge", "br-bare", "datapath_type=netdev")
    words: list[str] = []
    for number, name in enumerate(names):
        words += ["--", "add-port", "br-bare", name, f"tag={number % 50 + 1}"]
    began = time.perf_counter()
    switch.vsctl(*words[1:])
    took = time.perf_counter() - began
    began = time.perf_counter()
    switch.vsctl("del-br", "br-bare")
    return took, time.perf_counter() - began


@contextmanager
def quantumd(work: Path, switch: OpenVSwitch) -> Iterator[Client]:
    """A daemon on that switch."""
    work.mkdir(exist_ok=True)
    config = work / "quantumd.conf"
    config.write_text(
        f"[plugin:ovs]\novsdb = {switch.remote}\ndatapath_type = netdev\n[limits]\nports_per_network = 20000\n"
    )
    with daemon("ovs", work, ["--config", str(config)]) as client:
        yield client


def send(work: Path, items: list[tuple[str, str, Any]], connections: int = 4) -> list[Any]:
    """Send the requests over some connections at once; the answers in the same order.

    By hand, and read when all of them are there: a client that takes longer for a request than the daemon does would
    be what is measured, and it is on the same processors.
    """
    answers: list[bytes] = [b""] * len(items)

    def run_one(first: int) -> None:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.connect(str(work / "api.sock"))
            for place in range(first, len(items), connections):
                method, path, body = items[place]
                content = json.dumps(body).encode() if body is not None else b""
                head = f"{method} {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
                connection.sendall(head.encode() + b"Content-Length: %d\r\n\r\n" % len(content) + content)
                answers[place] = receive(connection)

    threads = [threading.Thread(target=run_one, args=(first,)) for first in range(connections)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return [json.loads(answer) for answer in answers]


def receive(connection: socket.socket) -> bytes:
    """The body of one answer, which has to be a success."""
    data = b""
    while b"\r\n\r\n" not in data:
        data += connection.recv(1 << 16)
    head, _, body = data.partition(b"\r\n\r\n")
    if not head.startswith(b"HTTP/1.1 202"):
        raise SystemExit(data.decode())
    length = int(head.lower().partition(b"content-length:")[2].split()[0])
    while len(body) < length:
        body += connection.recv(1 << 16)
    return body


def by_quantumd(work: Path, switch: OpenVSwitch, names: list[str], networks: int) -> tuple[float, float]:
    """Seconds until the same devices are accepted and plugged, and until they are unplugged again."""
    with quantumd(work, switch) as client:
        made = send(work, [("POST", "/networks", {"network": {"name": f"n{n}"}}) for n in range(networks)])
        ids = [answer["network"]["id"] for answer in made]
        plugs = [
            (
                "POST",
                f"/networks/{ids[n % networks]}/attachments",
                {"attachment": {"id": name, "device": {"name": name}}},
            )
            for n, name in enumerate(names)
        ]
        began = time.perf_counter()
        plugged = send(work, plugs)
        while any(attachments(client, f"status={status}&limit=1") for status in ("InProgress", "Failed")):
            time.sleep(0.02)
        converged = time.perf_counter() - began
        homes = [(answer["attachment"]["network_id"], answer["attachment"]["port_id"]) for answer in plugged]
        began = time.perf_counter()
        send(work, [("DELETE", f"/networks/{network}/ports/{port}/attachment", None) for network, port in homes])
        while attachments(client, "limit=1"):
            time.sleep(0.02)
        return converged, time.perf_counter() - began


def attachments(client: Client, query: str) -> list[Any]:
    """Some attachments."""
    found: list[Any] = client.request("GET", f"/attachments?{query}").json["attachments"]
    return found


def rates(count: int, networks: int, work: Path) -> dict[str, float]:
    """Attachments a second."""
    names = make_devices(count)
    with Lab() as lab:
        switch = OpenVSwitch(lab, None)
        switch.start()
        limit, let_go = by_the_switch(switch, names)
        ours, gone = by_quantumd(work, switch, names, networks)
    run("ip", "-batch", "-", stdin="\n".join(f"link set {name} group 77" for name in names) + "\n")
    run("ip", "link", "del", "group", "77")
    return {"converged": count / ours, "switch": count / limit, "removed": count / gone, "let_go": count / let_go}


def large(ports: int, work: Path) -> dict[str, float]:
    """A daemon that comes to a database with so many ports."""
    with Lab() as lab:
        switch = OpenVSwitch(lab, None)
        switch.start_server()
        # ovs-vswitchd itself takes minutes for so many: the database alone is what is looked at.
        switch.vsctl("--no-wait", "init")
        switch.stop_server()
        with quantumd(work, switch) as client:
            waits: list[float] = []
            stop = threading.Event()
            reading = threading.Thread(target=read, args=(work, waits, stop))
            switch.start_server()
            switch.fill(BRIDGE, ports)
            switch.stop_server()
            while client.request("GET", "/").json["plugin"]["status"] != "down":
                time.sleep(0.01)
            reading.start()
            switch.start_server()
            began = time.perf_counter()
            while client.request("GET", "/").json["plugin"]["status"] != "up":
                time.sleep(0.01)
            synced = time.perf_counter() - began
            time.sleep(2)
            stop.set()
            reading.join()
            status = Path(f"/proc/{listener(work / 'api.sock')}/status").read_text()
            resident = int(status.split("VmRSS:")[1].split()[0]) / 1024
            peak = int(status.split("VmHWM:")[1].split()[0]) / 1024
    waits.sort()
    return {
        "synced": synced,
        "p99": waits[len(waits) * 99 // 100],
        "longest": waits[-1],
        "reads": len(waits),
        "resident": resident,
        "peak": peak,
    }


def listener(path: Path) -> int:
    """The pid of who listens on a unix socket."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(str(path))
        credentials = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
    pid: int = struct.unpack("3i", credentials)[0]
    return pid


def read(work: Path, waits: list[float], stop: threading.Event) -> None:
    """Read again and again, and note how long each took."""
    client = Client(parse_endpoint(f"unix:{work}/api.sock"))
    while not stop.is_set():
        began = time.perf_counter()
        client.request("GET", "/networks")
        waits.append(time.perf_counter() - began)
        time.sleep(0.005)
    client.close()


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--attachments", type=int, default=1000)
    parser.add_argument("--networks", type=int, default=50)
    parser.add_argument("--database", type=int, default=10_000)
    parser.add_argument("--json", action="store_true", help="print JSON for a program")
    asked = parser.parse_args()
    enter()
    with tempfile.TemporaryDirectory(prefix="quantumd-bench-") as work:
        fast = rates(asked.attachments, asked.networks, Path(work, "rates"))
        big = large(asked.database, Path(work, "large"))
    if asked.json:
        json.dump({**fast, **big}, sys.stdout)
        return
    kept = fast["converged"] / fast["switch"]
    print(f"{asked.attachments} devices on {asked.networks} networks, a second:")
    print(f"  accepted and plugged           {fast['converged']:8.0f}")
    print(f"    limit: one transaction       {fast['switch']:8.0f}   ({kept:.2f} of it)")
    print(f"  unplugged and gone             {fast['removed']:8.0f}")
    print(f"    limit: one transaction       {fast['let_go']:8.0f}")
    print(f"A database with {asked.database} ports:")
    print(f"  until the plugin is up         {big['synced']:8.2f} s")
    print(f"  reads meanwhile: 99 of 100 in  {big['p99'] * 1000:8.1f} ms  (longest {big['longest'] * 1000:.1f} ms)")
    print(f"  resident                       {big['resident']:8.0f} MB  (at most {big['peak']:.0f} MB)")


if __name__ == "__main__":
    main()
