"""What can be set about the API. The daemon's configuration fills it in; nothing in here is global."""

from __future__ import annotations

import os

from attrs import field, frozen

from quantumd.api.faults import PROPOSAL

#: The two values of ``[auth] mode``.
TOKEN, NONE = "token", "none"


@frozen(kw_only=True)
class ApiSettings:
    """``status_codes`` is ``proposal`` or ``standard``; ``body_bytes`` bounds a request's body; ``requests_per_second``
    is a limit for each caller (0: none); ``auth_mode`` is ``token`` or ``none``; ``admin_token_hash`` is the SHA-256 of
    the admin token (None: there is none); ``owner_uid``, and members of the group ``admin_gid`` (None: no group's), may
    do everything over a unix socket, as root may. ``connections`` is how many there may be, ``at_once`` how many
    requests each caller that is no admin may have under way (0: as many as it likes).
    """

    status_codes: str = PROPOSAL
    body_bytes: int = 65536
    requests_per_second: float = 0
    connections: int = 4000
    at_once: int = 100
    auth_mode: str = TOKEN
    admin_token_hash: bytes | None = field(default=None, repr=False)
    owner_uid: int = field(factory=os.getuid)
    admin_gid: int | None = None
