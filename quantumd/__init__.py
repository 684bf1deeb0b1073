"""quantumd: layer-2 networks, ports and attachments for one host, behind a REST API."""

__version__ = "0.1.0"
