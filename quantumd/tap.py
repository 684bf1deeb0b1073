"""Floor 5: ``twistd quantumd``. The only place that knows of the process it runs in."""

from __future__ import annotations

import atexit
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NoReturn

from twisted.application.service import IService, Service
from twisted.internet.defer import Deferred
from twisted.plugin import getPlugins
from twisted.python.usage import Options as UsageOptions

from quantumd.config import DEFAULT_FILE, ConfigError, Settings, load
from quantumd.daemon import Daemon
from quantumd.interfaces import INetworkPlugin, INetworkPluginFactory
from quantumd.listening import ListenError, make_endpoint, probe
from quantumd.purge import purge
from quantumd.store.database import Database
from quantumd.store.errors import StoreError
from quantumd.store.lock import OwnerLock
from quantumd.store.sqlite import boot_id


class Options(UsageOptions):
    """What can be said on the command line; it goes over what the file says."""

    synopsis = "[--config FILE] [--plugin NAME] [--state FILE] [--listen ENDPOINT ...] [--restore FILE | --purge]"
    longdesc = "Serves layer-2 networks, ports and attachments behind a REST API. quantumctl talks to it."
    optParameters = [
        ["config", "c", None, f"Configuration file [default: {DEFAULT_FILE}, if it is there]"],
        ["plugin", "p", None, "What carries the networks: linuxbridge, memory, or any installed plugin"],
        ["state", "s", None, "File that the state is kept in"],
        ["restore", None, None, "Put this backup in the place of the state file, and end"],
    ]
    optFlags = [["purge", None, "Take everything that quantumd made off this host, and end"]]

    def __init__(self) -> None:
        super().__init__()
        self["listen"] = []

    def opt_listen(self, endpoint: str) -> None:
        """Twisted endpoint to listen on, such as tcp:9696:interface=127.0.0.1; may be given more than once."""
        self["listen"].append(endpoint)

    opt_l = opt_listen


def makeService(options: Options) -> IService:
    """The daemon, ready to be started. Ends the process with one line where it is known already that it cannot be."""
    from twisted.internet import reactor

    try:
        settings, plugin = configure(options, reactor)
        if options["restore"] is not None:
            _restore(settings, Path(options["restore"]))
        if options["purge"]:
            return _Purge(plugin, _held(settings.state), options)
        if _is_to_fork(options):
            _look_ahead(settings)
    except (ConfigError, StoreError, ListenError) as error:
        _complain(str(error))
        raise SystemExit(1) from None
    return Daemon(reactor, settings, plugin, _give_up)


def configure(options: Mapping[str, Any], reactor: Any) -> tuple[Settings, INetworkPlugin]:
    """The settings that the options and the file come to, and the plugin that they name. Raises ConfigError."""
    factories = list(getPlugins(INetworkPluginFactory))
    path = Path(options["config"]) if options["config"] is not None else None
    if path is None and DEFAULT_FILE.exists():
        path = DEFAULT_FILE
    given = {name: options[name] for name in ("plugin", "state", "listen") if options[name]}
    settings = load(path, given, factories, lambda factory, values: factory.build(reactor, values))
    for text in settings.listen:
        make_endpoint(reactor, text)
    (factory,) = (factory for factory in factories if factory.name == settings.plugin)
    return settings, factory.build(reactor, settings.plugin_settings)


def _restore(settings: Settings, backup: Path) -> NoReturn:
    kept = Database(settings.state, boot_id()).restore(backup)
    was = "" if kept is None else f"; what was there is in {kept}"
    _say(f"{backup} is now the state in {settings.state}{was}; start quantumd, which makes the host match it")
    raise SystemExit(0)


def _held(state: Path) -> OwnerLock | None:
    """The lock on the state file, so that no daemon runs meanwhile; None: there is no place where one could be."""
    if not state.parent.is_dir():
        return None
    lock = OwnerLock(state.resolve())
    lock.acquire()
    return lock


class _Purge(Service):
    """Takes everything off the host, says so, and ends the process."""

    def __init__(self, plugin: INetworkPlugin, lock: OwnerLock | None, options: Options) -> None:
        self._plugin = plugin
        self._lock = lock
        if options.parent is not None:
            options.parent["nodaemon"] = True  # whoever asks wants to see it done

    def startService(self) -> None:
        """Begin when the reactor runs, and end the process when it is done: it may be done at once."""
        from twisted.internet import reactor

        super().startService()
        reactor.callWhenRunning(self._begin)

    def _begin(self) -> None:
        Deferred.fromCoroutine(self._work()).addErrback(lambda reason: _give_up(reason.getErrorMessage()))

    async def _work(self) -> None:
        from twisted.internet import reactor

        for what in await purge(self._plugin):
            _say(f"removed: {what}")
        _say("nothing of quantumd is left on this host; remove its state file too, or the next start makes all again")
        reactor.stop()


def _is_to_fork(options: Options) -> bool:
    twistd = options.parent
    return twistd is not None and not twistd["nodaemon"]


def _look_ahead(settings: Settings) -> None:
    """Find out what can be found out while there still is a terminal to say it on, and an exit status to give.

    Raises StoreError or ListenError.
    """
    database = Database(settings.state, boot_id())
    database.open()
    database.close()
    for text in settings.listen:
        probe(text)


def _say(what: str) -> None:
    if sys.__stdout__ is not None:
        sys.__stdout__.write(f"{what}\n")
        sys.__stdout__.flush()


def _complain(why: str) -> None:
    # twistd has put its log in the place of sys.stderr; a daemon's goes nowhere, and its log has the line as well.
    if sys.__stderr__ is not None:
        sys.__stderr__.write(f"quantumd: {why}\n")
        sys.__stderr__.flush()


def _give_up(why: str) -> None:
    from twisted.internet import reactor

    _complain(why)
    # twistd always ends with status 0 once its reactor ran. This is the last thing that the process does.
    atexit.register(_end_with_failure)
    reactor.stop()


def _end_with_failure() -> NoReturn:
    sys.stdout.flush()
    os._exit(1)
