"""How long a thread keeps the interpreter from the others: not long.

The reactor's thread lets go of it at each system call, and each time that the netlink thread has it then, gets it back
when a turn is over (``sys.setswitchinterval``): with the interpreter's own 5 ms, requests took up to three times as
long while an audit looked at ten thousand devices.
"""

from __future__ import annotations

import sys

#: Seconds. Less than a request takes, which is some 0.35 ms.
_TURN = 0.0002


def keep_turns_short() -> None:
    """See to it that they are, from now on."""
    sys.setswitchinterval(_TURN)
