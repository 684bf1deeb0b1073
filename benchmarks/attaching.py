"""How long one attachment takes on a daemon that has nothing else to do, and on one that has many ports.

    python benchmarks/attaching.py [--tries 60] [--ports 10000]

A veth that is asked for, with ``Prefer: wait``, until Attached; a tap that comes late, until it is Attached; a whole
daemon with that many ports: restart, memory, and what a port costs then. Runs on a scratch machine.
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

from common import Finding, arguments, finish, median, request, send
from openvswitch import listener
from pyroute2 import IPRoute

from quantumd.cli.client import Client
from quantumd.testing.scratch import daemon, enter, run


def bare(tries: int) -> float:
    """Median seconds of the netlink calls that make a veth, put it into a bridge, set it up and see it there."""
    waits = []
    with IPRoute() as netlink:
        netlink.link("add", ifname="br-bare", kind="bridge")
        bridge = netlink.link_lookup(ifname="br-bare")[0]
        netlink.link("set", index=bridge, state="up")
        for number in range(tries):
            began = time.perf_counter()
            netlink.link("add", ifname=f"bare{number}", kind="veth", peer={"ifname": f"far{number}"})
            index = netlink.link_lookup(ifname=f"bare{number}")[0]
            netlink.link("set", index=index, master=bridge)
            netlink.link("set", index=index, state="up")
            netlink.get_links(index)
            waits.append(time.perf_counter() - began)
            netlink.link("del", index=index)
        netlink.link("del", index=bridge)
    return median(waits)


def one_by_one(client: Client, tries: int) -> tuple[float, float]:
    """Median seconds of an attachment that waits until it is Attached, and from a device that comes to Attached."""
    network = client.request("POST", "/networks", {"network": {"name": "one"}}, wait=5).json["network"]["id"]
    asked, late = [], []
    path = f"/networks/{network}/attachments"
    for number in range(tries):
        device = {"create": "veth", "netns": "guests", "ifname": f"e{number}"}
        began = time.perf_counter()
        made = client.request("POST", path, {"attachment": {"id": f"vif{number}", "device": device}}, wait=5).json
        asked.append(time.perf_counter() - began)
        if not made["attachment"]["status"].startswith("Attached"):
            raise SystemExit(f"not attached: {made}")
        home = f"/networks/{network}/ports/{made['attachment']['port_id']}/attachment"
        client.request("DELETE", home, wait=5)
    for number in range(tries):
        body = {"attachment": {"id": f"late{number}"}}
        port = client.request("POST", path, body).json["attachment"]["port_id"]
        time.sleep(0.05)  # let the plugin find that there is nothing: what is measured begins with the device
        run("ip", "tuntap", "add", "dev", f"late{number}", "mode", "tap")
        began = time.perf_counter()
        home = f"/networks/{network}/ports/{port}/attachment"
        while client.request("GET", home).json["attachment"]["status"] == "InProgress":
            pass
        late.append(time.perf_counter() - began)
        client.request("DELETE", home, wait=5)
        run("ip", "link", "del", f"late{number}")
    return median(asked), median(late)


def many(work: Path, ports: int) -> list[Finding]:
    """A daemon with a hundred ports, and then with so many."""
    config = work / "quantumd.conf"
    config.write_text("[limits]\nnetworks = 10000000\nports_per_network = 10000000\n")
    options = ["--config", str(config)]
    api, small = work / "api.sock", work / "small"
    small.mkdir()
    waits: list[float] = []

    with daemon("memory", work, options) as client, daemon("memory", small, options) as little:
        empty = resident(api)
        homes = []
        for one, count in ((little, 100), (client, ports)):
            network = one.request("POST", "/networks", {"network": {"name": "many"}}).json["network"]["id"]
            for _ in range(count):
                one.request("POST", f"/networks/{network}/ports", {"port": {}})
            homes.append(f"/networks/{network}")
        for one in (client, little):
            settled(one)
        reads, writes = [], []
        for _ in range(3):  # in turns, so that a noisy machine is noisy for both
            pair = [
                (
                    send(there, lambda _, home=home: request("GET", home), 16, 1, 200).rate,
                    send(there, lambda _, home=home: request("POST", f"{home}/ports", {"port": {}}), 16, 0.3, 202).rate,
                )
                for there, home in zip((small / "api.sock", api), homes, strict=True)
            ]
            reads.append(pair[0][0] / pair[1][0])
            writes.append(pair[0][1] / pair[1][1])
        full = resident(api)
    api.unlink(missing_ok=True)
    began = time.perf_counter()
    with daemon("memory", work, options) as client:
        client.request("GET", "/health")
        answering = time.perf_counter() - began
        settled(client)
        converged = time.perf_counter() - began
        stop = time.perf_counter() + 3
        while time.perf_counter() < stop:
            asked = time.perf_counter()
            client.request("GET", "/health")
            waits.append(time.perf_counter() - asked)
            time.sleep(0.002)
    return [
        Finding(f"GET one network, {ports} ports against 100", median(reads), 1, "x", 1.2, True),
        Finding(f"POST port, {ports} ports against 100", median(writes), 1, "x", 1.2, True),
        Finding(f"restart with {ports} ports or more: answering", answering, 1.5, "s", 1, True),
        Finding(f"restart with {ports} ports or more: nothing left to do", converged, 5, "s", 1, True),
        Finding(f"resident, {ports} ports or more (empty: {empty:.0f} MB)", full, 130, "MB", 1, True),
        Finding("longest answer to GET /health, 3 s after that", max(waits) * 1000, 50, "ms", 1, True),
    ]


def settled(client: Client) -> None:
    """Wait until the daemon has nothing left to do."""
    while "quantumd_backlog 0.0" not in client.request("GET", "/metrics").text:
        time.sleep(0.02)


def resident(api: Path) -> float:
    """The daemon's resident memory in MB."""
    status = Path(f"/proc/{listener(api)}/status").read_text()
    return int(status.split("VmRSS:")[1].split()[0]) / 1024


def main() -> None:
    """Measure and print."""
    parser = arguments(__doc__)
    parser.add_argument("--tries", type=int, default=60)
    parser.add_argument("--ports", type=int, default=10_000)
    asked = parser.parse_args()
    enter()
    run("ip", "netns", "add", "guests")
    limit = bare(asked.tries)
    with tempfile.TemporaryDirectory(prefix="quantumd-bench-") as work, daemon("linuxbridge", Path(work)) as client:
        waited, late = one_by_one(client, asked.tries)
    findings = [
        Finding("one attach, idle: bare netlink + 5 ms", waited * 1000, limit * 1000 + 5, "ms", 1, True),
        Finding("late device there → Attached", late * 1000, 20, "ms", 1, True),
    ]
    with tempfile.TemporaryDirectory(prefix="quantumd-bench-") as work:
        findings += many(Path(work), asked.ports)
    finish(findings)


if __name__ == "__main__":
    main()
