"""A scratch machine: this process run again in network, mount and (for an ordinary user) user namespaces of its own.

The host's own network is not touched, and everything in there is gone when the process ends, however it ends. For the
demo and the benchmarks, which want a whole daemon on real devices; tests use :mod:`quantumd.testing.lab`.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from quantumd.cli.client import Client
from quantumd.cli.endpoint import parse_endpoint
from quantumd.host.netns import RUN_NETNS

#: Which Debian or Ubuntu package has a tool that is run here.
PACKAGES = {"ip": "iproute2", "unshare": "util-linux", "nsenter": "util-linux", "mount": "mount"}

_INSIDE = "QUANTUMD_SCRATCH"


class ScratchFailed(Exception):
    """Something could not be set up; the text says what and why."""


def run(*words: str, stdin: str | None = None) -> str:
    """Run a tool and return what it prints; what it prints on failure is the reason of the :class:`ScratchFailed`."""
    done = subprocess.run(words, input=stdin, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise ScratchFailed(f"{' '.join(words)}: {done.stderr.strip()}")
    return done.stdout


def enter(extra_tools: Mapping[str, str] | None = None) -> None:
    """Come back from this call on a scratch machine.

    Runs the program again, in new namespaces and with the same arguments, and exits with its status. ``extra_tools``
    are the commands that it needs beside ours, with the packages that have them.
    """
    missing = [
        f"{tool} (apt install {package})"
        for tool, package in {**PACKAGES, **(extra_tools or {})}.items()
        if shutil.which(tool) is None
    ]
    if missing:
        print(f"This needs {', '.join(missing)}.", file=sys.stderr)
        sys.exit(1)
    if os.environ.get(_INSIDE) == "1":
        # A file system of its own under /run: names of namespaces and sockets meet nobody else's.
        run("mount", "-t", "tmpfs", "tmpfs", "/run")
        run("ip", "link", "set", "lo", "up")
        return
    unshare = ["unshare", "--net", "--mount", "--fork", "--kill-child"]
    if os.getuid() != 0:
        unshare += ["--user", "--map-root-user"]
    if subprocess.run([*unshare, "true"], capture_output=True, check=False).returncode != 0:
        print(
            "This kernel or its policy does not let you make namespaces. Run it as root, or allow it to users: "
            "sysctl kernel.unprivileged_userns_clone=1 (Debian), "
            "sysctl kernel.apparmor_restrict_unprivileged_userns=0 (Ubuntu).",
            file=sys.stderr,
        )
        sys.exit(1)
    again = subprocess.run([*unshare, *sys.orig_argv], env={**os.environ, _INSIDE: "1"}, check=False)
    sys.exit(again.returncode)


@contextmanager
def daemon(plugin: str, work: Path, options: Sequence[str] = (), namespace: str | None = None) -> Iterator[Client]:
    """A quantumd on that plugin, with its files in ``work``; gives a client of its unix socket ``work/api.sock``.

    It has the network of ``namespace``, where one is named, so that there may be several on one scratch machine.
    """
    socket, log = work / "api.sock", work / "quantumd.log"
    twistd = [sys.executable, "-c", "from twisted.scripts.twistd import run; run()"]
    inside = [] if namespace is None else ["nsenter", f"--net={RUN_NETNS}/{namespace}"]
    words = [*inside, *twistd, "-n", "--pidfile", "", "--logfile", str(log), "quantumd", "--plugin", plugin]
    words += ["--state", str(work / "quantumd.sqlite"), "--listen", f"unix:{socket}", *options]
    process = subprocess.Popen(words)
    client = Client(parse_endpoint(f"unix:{socket}"))
    try:
        deadline = time.monotonic() + 20
        while not socket.exists():
            if process.poll() is not None:
                raise ScratchFailed("quantumd did not start; what it said is above")
            if time.monotonic() > deadline:
                raise ScratchFailed("quantumd did not start within 20 s")
            time.sleep(0.02)
        yield client
    except BaseException:
        if log.exists():
            print("\nThe end of quantumd's log:\n" + "\n".join(log.read_text().splitlines()[-30:]), file=sys.stderr)
        raise
    finally:
        client.close()
        process.terminate()
        process.wait(20)


def devices() -> set[str]:
    """The names of all devices of the scratch machine."""
    return set(re.findall(r"^\d+: ([^:@]+)", run("ip", "-o", "link"), re.MULTILINE))
