"""What can go wrong between us and an OVSDB server."""

from __future__ import annotations


class OvsdbError(Exception):
    """The root of these errors; the text is for people."""


class NotConnected(OvsdbError):
    """There is no connection, or no complete replica yet; nothing was sent."""


class ConnectionBroke(OvsdbError):
    """The connection broke before the answer came: what was asked for may have been done, or not."""


class ProtocolError(OvsdbError):
    """The server said something that is not JSON-RPC as OVSDB has it."""


class RemoteError(OvsdbError):
    """The server answered a request with an error."""


class SchemaError(OvsdbError):
    """The database does not have a table or column that is needed, or a value does not fit its column."""


class TransactionFailed(OvsdbError):
    """The server refused the whole transaction; nothing of it was done.

    ``error`` is the server's word ("constraint violation"); ``place`` is the index of the operation that failed, None
    where the whole of them failed together.
    """

    def __init__(self, error: str, details: str, place: int | None) -> None:
        super().__init__(f"{error}: {details}" if details else error)
        self.error = error
        self.place = place


class GuardFailed(TransactionFailed):
    """A :class:`~quantumd.host.ovsdb.operations.Wait` did not hold: the database is not as the transaction takes it to
    be. Look at the replica again and make another."""
