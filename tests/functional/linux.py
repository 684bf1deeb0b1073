"""A daemon on the linuxbridge plugin, with a namespace for its host and more for guests."""

from __future__ import annotations

import socket
import subprocess
import time
from collections.abc import Sequence
from contextlib import ExitStack
from typing import Any

from quantumd.testing import frames
from quantumd.testing.lab import Lab, Namespace
from quantumd.testing.lab import eventually as until
from tests.functional.processes import Answer, DaemonCase

#: The ethertype of frames that only tests send (IEEE 802, local experiments).
EXPERIMENT = 0x88B5


class LinuxCase(DaemonCase):
    """A host, and a daemon on it."""

    def setUp(self) -> None:
        super().setUp()
        self.lab = Lab()
        self.addCleanup(self.lab.close)
        self.host = self.lab.namespace()
        self.before = self.host.links()
        self.daemon = self.run_daemon()

    def configure(self, *, more: str = "", **memory: Any) -> None:
        self.config.write_text(
            f"[quantumd]\nplugin = linuxbridge\nstate = {self.state}\nlisten = unix:{self.socket}:mode=660\n{more}"
        )

    def run_daemon(self, host: Namespace | None = None) -> subprocess.Popen[str]:
        """Start a daemon on this host, or on another one with the same state file."""
        return self.start(within=["nsenter", f"--net={(host or self.host).path}"])

    def kill_daemon(self) -> None:
        """As a crash does."""
        self.daemon.kill()
        self.daemon.wait()

    def ask(self, method: str, path: str, body: Any = None, *, wait: int = 0, status: int | None = None) -> Any:
        """Ask, and hold the answer's status against ``status`` (default: 202, or 200 for a GET)."""
        headers = {"Prefer": f"wait={wait}"} if wait else {}
        answer: Answer = self.call(method, path, body, headers)
        wanted = status if status is not None else 200 if method == "GET" else 202
        self.assertEqual(wanted, answer.status, answer.body)
        return answer.body

    def network(self, name: str = "blue", **options: Any) -> str:
        """A network that is there."""
        body = {"network": {"name": name, "options": options}}
        found = self.ask("POST", "/networks", body, wait=10)["network"]
        self.assertEqual("Active", found["status"], found)
        ident: str = found["id"]
        return ident

    def bridge(self, network: str) -> str:
        """The name of a network's bridge."""
        name: str = self.ask("GET", f"/networks/{network}")["network"]["plugin"]["bridge"]
        return name

    def plug(self, network: str, ident: str, *, wait: int = 10, status: int = 202, **form: Any) -> dict[str, Any]:
        """Plug something in; returns the attachment, or the problem."""
        body = {"attachment": {"id": ident, **form}}
        answer = self.ask("POST", f"/networks/{network}/attachments", body, wait=wait, status=status)
        found: dict[str, Any] = answer["attachment"] if status == 202 else answer
        return found

    def plug_veth(
        self, network: str, guest: Namespace, ident: str, ifname: str = "eth0", **more: Any
    ) -> dict[str, Any]:
        """Plug a guest in, by a veth of quantumd's own."""
        device = {"create": "veth", "netns": guest.name, "ifname": ifname, **more}
        plugged = self.plug(network, ident, device=device)
        self.assertEqual("Attached/UP", plugged["status"], plugged)
        return plugged

    def unplug(self, plugged: dict[str, Any]) -> None:
        """Unplug, and see that it goes."""
        gone = self.ask("DELETE", self.path(plugged), wait=10)["attachment"]
        self.assertEqual("Deleted", gone["status"], gone)

    def delete(self, network: str) -> None:
        """Delete a network, and see that it goes."""
        gone = self.ask("DELETE", f"/networks/{network}", wait=10)["network"]
        self.assertEqual("Deleted", gone["status"], gone)

    @staticmethod
    def path(plugged: dict[str, Any]) -> str:
        """Where an attachment is."""
        return f"/networks/{plugged['network_id']}/ports/{plugged['port_id']}/attachment"

    def look(self, plugged: dict[str, Any]) -> dict[str, Any]:
        """The attachment as it is now."""
        found: dict[str, Any] = self.ask("GET", self.path(plugged))["attachment"]
        return found

    def settles(self, plugged: dict[str, Any], status: str, seconds: float = 10) -> dict[str, Any]:
        """Wait until the attachment has that status."""
        until(lambda: self.look(plugged)["status"] == status, f"{status}, not {self.look(plugged)}", seconds)
        return self.look(plugged)

    def is_as_before(self) -> None:
        """Nothing of ours is left on the host."""
        until(lambda: self.host.links() == self.before, f"as before, not {self.host.links()}")

    def crossing(
        self, sender: tuple[Namespace, str], receiver: tuple[Namespace, str], sent: Sequence[bytes] | None = None
    ) -> list[frames.Seen]:
        """What of these frames (default: one to everybody) comes to the receiver within a fifth of a second."""
        frame = frames.ethernet(frames.BROADCAST, "02:00:00:00:00:99", EXPERIMENT, b"hello")
        wanted = {item.rstrip(b"\0") for item in (sent or [frame])}
        with sender[0].port(sender[1]) as source, receiver[0].port(receiver[1]) as target:
            source.send(*(sent or [frame]))
            time.sleep(0.2)
            return [seen for seen in target.received() if seen.data.rstrip(b"\0") in wanted]

    def reach(self, one: Namespace, other: Namespace, address: str, seconds: float = 1.0) -> None:
        """See that a datagram from one to the other's address, which it has already, is answered in time."""
        with ExitStack() as stack:
            server = stack.enter_context(other.inside(_udp, address))
            client = stack.enter_context(one.inside(_udp, "0.0.0.0"))
            deadline = time.monotonic() + seconds
            while time.monotonic() < deadline:
                client.sendto(b"ping", server.getsockname())
                try:
                    _, back = server.recvfrom(16)
                    server.sendto(b"pong", back)
                    client.recvfrom(16)
                except TimeoutError:
                    continue
                return
        raise AssertionError(f"{address} does not answer within {seconds} s")


def _udp(address: str) -> socket.socket:
    opened = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    opened.bind((address, 0))
    opened.settimeout(0.05)
    return opened
