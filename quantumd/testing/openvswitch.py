"""A private Open vSwitch for tests: its own ovsdb-server and ovs-vswitchd, in a namespace of the laboratory.

It has the userspace datapath, so that no kernel module is needed, and a directory of its own for its database, sockets
and pid files; the machine's own Open vSwitch, if there is one, is not touched. Needs the programs and the schema of
Debian's package ``openvswitch-switch``::

    with Lab() as lab:
        switch = OpenVSwitch(lab, lab.namespace())
        switch.start()
        ...  # switch.remote is what a plugin's setting ``ovsdb`` takes
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import tempfile
from pathlib import Path
from typing import Any

from quantumd.testing.lab import Lab, Namespace, eventually, run

_SCHEMA = Path("/usr/share/openvswitch/vswitch.ovsschema")


class OpenVSwitch:
    """An Open vSwitch of one's own, in ``namespace`` (None: the one that this process is in).

    Both daemons can be started and stopped together, or each by itself.
    """

    def __init__(self, lab: Lab, namespace: Namespace | None) -> None:
        missing = [name for name in ("ovsdb-server", "ovs-vswitchd", "ovs-vsctl") if shutil.which(name) is None]
        if missing or not _SCHEMA.exists():
            raise AssertionError(
                f"{', '.join(missing) or _SCHEMA} is missing: apt-get install openvswitch-switch (Debian, Ubuntu)"
            )
        self.namespace = namespace
        self.directory = Path(tempfile.mkdtemp(prefix="qdovs-"))
        self.socket = self.directory / "db.sock"
        self.remote = f"unix:{self.socket}"
        self._database = self.directory / "conf.db"
        self._remotes = [f"--remote=p{self.remote}"]
        self._running: dict[str, subprocess.Popen[bytes]] = {}
        lab.callback(self.close)
        self.create_database()

    def create_database(self) -> None:
        """Make an empty database; the server does not run."""
        self._database.unlink(missing_ok=True)
        self._tool("create", str(self._database), str(_SCHEMA))

    def transact(self, *operations: object) -> list[Any]:
        """Make a transaction of operations as RFC 7047 has them, however many, and return their results."""
        with socket.socket(socket.AF_UNIX) as connection:
            connection.connect(str(self.socket))
            message = {"id": 0, "method": "transact", "params": ["Open_vSwitch", *operations]}
            connection.sendall(json.dumps(message).encode())
            answer = b""
            while not (complete := _complete(answer)):
                answer += connection.recv(1 << 20)
            results: list[Any] = complete["result"]
        failed = [result for result in results if result and "error" in result]
        if failed:
            raise AssertionError(f"the transaction failed: {failed[0]}")
        return results

    def fill(self, bridge: str, ports: int) -> None:
        """Put a bridge with so many ports of strangers, ``tap0`` and so on, into a database that ovs-vswitchd has not
        seen; they all are in VLAN 7, and look as a hypervisor makes them."""
        operations: list[object] = [{"op": "delete", "table": "Open_vSwitch", "where": []}]
        for number in range(ports):
            ids = ["map", [["iface-id", f"vif{number}"], ["attached-mac", "02:00:00:00:00:01"]]]
            row = {"name": f"tap{number}", "external_ids": ids}
            operations.append({"op": "insert", "table": "Interface", "uuid-name": f"i{number}", "row": row})
            port = {"name": f"tap{number}", "tag": 7, "interfaces": ["named-uuid", f"i{number}"]}
            operations.append({"op": "insert", "table": "Port", "uuid-name": f"p{number}", "row": port})
        members = ["set", [["named-uuid", f"p{number}"] for number in range(ports)]]
        made = {"name": bridge, "datapath_type": "netdev", "ports": members}
        operations.append({"op": "insert", "table": "Bridge", "uuid-name": "b", "row": made})
        operations.append({"op": "insert", "table": "Open_vSwitch", "row": {"bridges": ["named-uuid", "b"]}})
        self.transact(*operations)

    def start(self) -> None:
        """Start both daemons, and wait until ovs-vswitchd has taken its first configuration."""
        self.start_server()
        self.start_switch()

    def start_server(self, *extra: str) -> None:
        """Start ovsdb-server, and wait until it listens."""
        self._start("ovsdb-server", *self._remotes, *extra, str(self._database))
        eventually(self.socket.exists, "ovsdb-server listens")

    def start_switch(self, *extra: str) -> None:
        """Start ovs-vswitchd, and wait until it has taken its configuration."""
        self.vsctl("--no-wait", "init")
        self._start("ovs-vswitchd", *extra, self.remote)
        self.vsctl("set", "Open_vSwitch", ".", "external_ids:started=true")

    def stop_server(self, how: signal.Signals = signal.SIGTERM) -> None:
        """End ovsdb-server."""
        self._stop("ovsdb-server", how)
        self.socket.unlink(missing_ok=True)

    def stop_switch(self, how: signal.Signals = signal.SIGTERM) -> None:
        """End ovs-vswitchd. What it forwards with goes with it."""
        self._stop("ovs-vswitchd", how)

    def send_signal(self, program: str, number: signal.Signals) -> None:
        """Send a signal to ``ovsdb-server`` or ``ovs-vswitchd``."""
        self._running[program].send_signal(number)

    def vsctl(self, *words: str) -> str:
        """Run ``ovs-vsctl`` on this switch, as an administrator or a hypervisor does."""
        return run("ovs-vsctl", "--timeout=20", f"--db={self.remote}", *words)

    def ports(self, bridge: str) -> set[str]:
        """The ports of a bridge, its local one left out."""
        return set(self.vsctl("list-ports", bridge).split())

    def get(self, table: str, record: str, column: str) -> str:
        """One column of one row, as ovs-vsctl prints it."""
        return self.vsctl("--if-exists", "get", table, record, column).strip().strip('"')

    def resident(self) -> int:
        """The memory of ovs-vswitchd, in bytes."""
        fields = Path(f"/proc/{self._running['ovs-vswitchd'].pid}/statm").read_text().split()
        return int(fields[1]) * os.sysconf("SC_PAGE_SIZE")

    def close(self) -> None:
        """End what runs, and remove the directory."""
        for name in tuple(self._running):
            self._stop(name, signal.SIGKILL)
        shutil.rmtree(self.directory, ignore_errors=True)

    def _tool(self, *words: str) -> None:
        run("ovsdb-tool", *words)

    def _start(self, program: str, *words: str) -> None:
        # Not demonised: a child is ended by its own process id, whatever happens to its pid file.
        environment = {**os.environ, "OVS_RUNDIR": str(self.directory), "OVS_LOGDIR": str(self.directory)}
        inside = ["nsenter", f"--net={self.namespace.path}"] if self.namespace is not None else []
        command = [*inside, program, *words]
        command += ["-vconsole:off", f"--pidfile={self.directory / program}.pid"]
        command += [f"--log-file={self.directory / program}.log"]
        self._running[program] = subprocess.Popen(command, env=environment)

    def _stop(self, program: str, how: signal.Signals) -> None:
        running = self._running.pop(program, None)
        if running is not None:
            running.send_signal(how)
            try:
                running.wait(10)
            except subprocess.TimeoutExpired:
                running.kill()
                running.wait()


def _complete(answer: bytes) -> Any:
    try:
        return json.loads(answer)
    except ValueError:
        return None
