"""The words of the API that the command line has to know: statuses, kinds and roles.

The command line imports nothing of the daemon, so these are written down a second time; a test holds them against the
daemon's own.
"""

from __future__ import annotations

NETWORK_STATUSES = ("InProgress", "Active", "Failed", "Deleting")
ATTACHMENT_STATUSES = ("InProgress", "Attached/DOWN", "Attached/UP", "Failed", "Detaching")
ROLES = ("admin", "member", "reader")

#: What a DELETE that has finished is answered with; no resource is ever listed with it.
DELETED = "Deleted"
FAILED = "Failed"
IN_PROGRESS = "InProgress"
#: On the way out: a new request finds the resource gone.
LEAVING = frozenset({"Deleting", "Detaching"})
#: The daemon is still busy with it.
UNSETTLED = LEAVING | {IN_PROGRESS}
#: Only a resource in one of these can have a fault.
FAULTY = LEAVING | {FAILED}
