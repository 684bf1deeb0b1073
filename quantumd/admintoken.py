"""Floor 5: the admin token, which the first start makes."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from quantumd.service.tokens import PREFIX, new_secret


class TokenError(Exception):
    """The admin token cannot be read or made. The text is one line that says what to do."""


def admin_token(path: Path) -> str:
    """The token in that file; where there is none, a new one of 256 random bits, which only the owner may read."""
    try:
        try:
            token = path.read_text("ascii").strip()
        except FileNotFoundError:
            return _make(path)
    except (OSError, UnicodeDecodeError) as error:
        raise TokenError(
            f"the admin token {path} cannot be read or made ({error}): make it readable for quantumd, or remove it and "
            "a new one is made"
        ) from error
    if not token.startswith(PREFIX) or len(token) < 32:
        raise TokenError(f"the admin token {path} is not one of quantumd's: remove it and a new one is made")
    return token


def _make(path: Path) -> str:
    token = new_secret()
    # Under its own name only when it is whole and on stable storage; mkstemp makes it readable for its owner alone.
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(handle, "w", encoding="ascii") as file:
            file.write(token + "\n")
            file.flush()
            os.fsync(file.fileno())
        Path(name).rename(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
    return token
