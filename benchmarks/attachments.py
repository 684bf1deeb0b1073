"""How fast 1,000 attachments on 50 networks come and go, against ``ip -batch`` and ``ip link del`` in the same run.

    python benchmarks/attachments.py [--attachments 1000] [--networks 50]

Runs on a scratch machine; the host's own network is not touched.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from quantumd.cli.client import Client
from quantumd.cli.endpoint import parse_endpoint
from quantumd.testing.scratch import daemon, devices, enter, run

_CONNECTIONS = 8


def timed(work: Callable[[], object]) -> float:
    """Seconds that it takes."""
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def ip_batch(lines: Iterable[str]) -> None:
    """Run commands of ``ip`` in one process."""
    run("ip", "-batch", "-", stdin="\n".join(lines) + "\n")


def with_ip(networks: int, attachments: int) -> tuple[float, float]:
    """What a script would do: seconds to make, enslave and set up the veths, and to remove them one by one.

    The removal is measured on a tenth of them, and is for all.
    """
    run("ip", "netns", "add", "bare")
    ip_batch(f"link add name br{n} type bridge" for n in range(networks))
    ip_batch(f"link set br{n} up" for n in range(networks))
    each = range(attachments)

    def make() -> None:
        ip_batch(f"link add name v{n} type veth peer name e{n} netns bare" for n in each)
        ip_batch(f"link set v{n} master br{n % networks}" for n in each)
        ip_batch(f"link set v{n} up" for n in each)
        run("ip", "-n", "bare", "-batch", "-", stdin="\n".join(f"link set e{n} up" for n in each) + "\n")

    def remove() -> None:
        for n in range(0, attachments, 10):
            run("ip", "link", "del", f"v{n}")

    made, removed = timed(make), timed(remove) * 10
    run("ip", "netns", "del", "bare")
    while any(name.startswith("v") for name in devices()):
        time.sleep(0.05)
    ip_batch(f"link del br{n}" for n in range(networks))
    return made, removed


def requests(work: Path, items: list[tuple[str, str, Any]]) -> list[Any]:
    """Send the requests over some connections at once; the answers in the same order."""
    answers: list[Any] = [None] * len(items)

    def send(first: int) -> None:
        client = Client(parse_endpoint(f"unix:{work}/api.sock"))
        for place in range(first, len(items), _CONNECTIONS):
            answers[place] = client.request(*items[place]).json
        client.close()

    threads = [threading.Thread(target=send, args=(first,)) for first in range(_CONNECTIONS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return answers


def wait(client: Client, path: str, done: Callable[[list[Any]], bool]) -> None:
    """Ask until it is so."""
    (kind,) = [path.strip("/")]
    while not done(client.request("GET", path).json[kind]):
        time.sleep(0.02)


def with_quantumd(work: Path, networks: int, attachments: int) -> dict[str, float]:
    """Seconds for each phase, from the first request until the last thing is as it should be."""
    run("ip", "netns", "add", "guests")
    with daemon("linuxbridge", work) as client:
        before = devices()
        made = requests(work, [("POST", "/networks", {"network": {"name": f"n{n}"}}) for n in range(networks)])
        ids = [answer["network"]["id"] for answer in made]
        bodies = [
            {"attachment": {"id": f"vif{n}", "device": {"create": "veth", "netns": "guests", "ifname": f"e{n}"}}}
            for n in range(attachments)
        ]
        plugs = [("POST", f"/networks/{ids[n % networks]}/attachments", body) for n, body in enumerate(bodies)]
        plugged: list[Any] = []

        accepted = timed(lambda: plugged.extend(requests(work, plugs)))
        converged = accepted + timed(
            lambda: wait(client, "/attachments", lambda all_: all(one["status"] == "Attached/UP" for one in all_))
        )
        homes = [(answer["attachment"]["network_id"], answer["attachment"]["port_id"]) for answer in plugged]
        pulls = [("DELETE", f"/networks/{network}/ports/{port}/attachment", None) for network, port in homes]
        gone = timed(lambda: (requests(work, pulls), wait(client, "/attachments", lambda all_: not all_)))
        requests(work, [("DELETE", f"/networks/{ident}", None) for ident in ids])
        wait(client, "/networks", lambda all_: not all_)
        left = devices() - before
        if left:
            raise SystemExit(f"left over: {sorted(left)}")
    return {"accepted": accepted, "converged": converged, "removed": gone}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--attachments", type=int, default=1000)
    parser.add_argument("--networks", type=int, default=50)
    parser.add_argument("--json", action="store_true", help="print JSON for a program")
    asked = parser.parse_args()
    enter()
    with tempfile.TemporaryDirectory(prefix="quantumd-bench-") as work:
        ours = with_quantumd(Path(work), asked.networks, asked.attachments)
    made, removed = with_ip(asked.networks, asked.attachments)
    rates = {name: asked.attachments / seconds for name, seconds in ours.items()}
    limits = {"ip_batch": asked.attachments / made, "ip_link_del": asked.attachments / removed}
    if asked.json:
        json.dump({"attachments": asked.attachments, "networks": asked.networks, **rates, **limits}, sys.stdout)
        return
    kept, faster = rates["converged"] / limits["ip_batch"], rates["removed"] / limits["ip_link_del"]
    print(f"{asked.attachments} veth attachments on {asked.networks} networks, a second:")
    print(f"  accepted (202)               {rates['accepted']:8.0f}")
    print(f"  accepted and Attached/UP     {rates['converged']:8.0f}")
    print(f"    limit: ip -batch           {limits['ip_batch']:8.0f}   ({kept:.2f} of it)")
    print(f"  unplugged and gone           {rates['removed']:8.0f}")
    print(f"    limit: ip link del, singly {limits['ip_link_del']:8.0f}   ({faster:.1f} times it)")
    print("Nothing is left over.")


if __name__ == "__main__":
    main()
