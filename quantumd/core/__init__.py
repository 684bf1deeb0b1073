"""Floor 0: what quantumd means. Values and pure functions; no Twisted, no I/O, no clock."""
