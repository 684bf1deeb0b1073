"""quantumctl: the command line of quantumd.

A client of the REST API and of nothing else in this package: it imports the standard library only, so that it starts
fast and could run on a machine that has no Twisted.
"""
