"""``quantumctl backup``"""

from __future__ import annotations

import os
from argparse import Namespace
from base64 import b64decode
from pathlib import Path

from quantumd.cli.context import Context
from quantumd.cli.errors import WrongUsage


def take(context: Context, args: Namespace) -> int:
    """A consistent copy of the state, in a new file that its owner alone may read: there are tokens in it."""
    path = Path(args.file)
    if path.exists():
        raise WrongUsage(f"{path} is there already; name another file")
    content = b64decode(context.api.get("/backup").part("backup")["content"])
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise WrongUsage(f"{path} cannot be written: {error.strerror}") from error
    context.output.result(
        {"backup": {"file": str(path), "bytes": len(content)}},
        lambda: [f"{path}: {len(content)} bytes; to go back to it: twistd quantumd --restore {path}"],
    )
    return 0
