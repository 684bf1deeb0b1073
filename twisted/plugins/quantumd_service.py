"""Tells twistd of the subcommand ``quantumd``. Imports nothing of it, so that nothing in it can hide it."""

from twisted.application.service import ServiceMaker

quantumd = ServiceMaker(
    "quantumd",
    "quantumd.tap",
    "Layer-2 networks, ports and attachments for one host, behind a REST API.",
    "quantumd",
)
