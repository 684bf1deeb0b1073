"""Floor 5: what can be set, from a file and from the command line, checked down to the last key.

Everything that is wrong raises :class:`ConfigError` with one line that names the section, the key and the value.
"""

from __future__ import annotations

import configparser
import grp
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from attrs import evolve, field, fields, frozen

from quantumd.core.access import Role
from quantumd.core.policy import Policy, Powers
from quantumd.core.quotas import COUNTED, Quota, Quotas
from quantumd.interfaces import INetworkPluginFactory

#: Read where ``--config`` is not given, if it is there.
DEFAULT_FILE = Path("/etc/quantumd/quantumd.conf")

_NETWORKS = 4000


class ConfigError(Exception):
    """A mistake in the configuration, in one line."""


@frozen(kw_only=True)
class Settings:
    """Everything that is set. ``requests_per_second`` 0 means no limit; ``state`` is absolute; ``admin_gid`` is that of
    the group whose members are admins over a unix socket; ``audit`` is the file of the audit log, None for no log."""

    listen: tuple[str, ...] = ("unix:/run/quantumd/api.sock:mode=660", "tcp:9696:interface=127.0.0.1")
    state: Path = Path("/var/lib/quantumd/quantumd.sqlite")
    plugin: str = "linuxbridge"
    status_codes: str = "proposal"
    auth_mode: str = "token"
    admin_gid: int | None = None
    policy: Policy = field(factory=Policy)
    audit: Path | None = Path("/var/lib/quantumd/audit.log")
    connections: int = 4000
    at_once: int = 100
    quotas: Quotas = field(factory=lambda: Quotas(total=Quota(networks=_NETWORKS)))
    networks: int = _NETWORKS
    ports_per_network: int = 1024
    body_bytes: int = 65536
    requests_per_second: float = 0.0
    plugin_settings: Mapping[str, Any] = field(factory=dict)


@frozen
class _Key:
    """One key of the file: which setting it is, and how its text is read (ValueError: what it takes)."""

    setting: str
    read: Callable[[str], Any]


def _lines(text: str) -> tuple[str, ...]:
    lines = tuple(line.strip() for line in text.splitlines() if line.strip())
    if not lines:
        raise ValueError("at least one Twisted endpoint, such as tcp:9696:interface=127.0.0.1")
    return lines


def _path(text: str) -> Path:
    if not text or "\0" in text:
        raise ValueError("the path of a file")
    return Path(text).absolute()


def _maybe_path(text: str) -> str:
    if "\0" in text:
        raise ValueError("the path of a file, or nothing")
    return text


def _text(text: str) -> str:
    return text


def _one_of(*words: str) -> Callable[[str], str]:
    def read(text: str) -> str:
        if text not in words:
            raise ValueError(f"one of {', '.join(words)}")
        return text

    return read


def _integer(text: str) -> int:
    if not re.fullmatch(r"-?[0-9]{1,18}", text):
        raise ValueError("a whole number")
    return int(text)


def _decimal(text: str) -> float:
    if not re.fullmatch(r"-?[0-9]{1,15}(\.[0-9]{1,15})?", text):
        raise ValueError("a decimal number")
    return float(text)


def _boolean(text: str) -> bool:
    value = configparser.ConfigParser.BOOLEAN_STATES.get(text.lower())
    if value is None:
        raise ValueError("true or false")
    return value


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


def _group(text: str) -> int | None:
    if not text:
        return None
    try:
        return grp.getgrnam(text).gr_gid
    except KeyError:
        raise ValueError("the name of a group that there is, or nothing") from None


def _quota(text: str) -> int | None:
    if text == _UNLIMITED:
        return None
    if not re.fullmatch(r"[0-9]{1,18}", text):
        raise ValueError(f"a whole number, or {_UNLIMITED}")
    return int(text)


def _at_least(least: int, read: Callable[[str], Any]) -> Callable[[str], Any]:
    def checked(text: str) -> Any:
        value = read(text)
        if value < least:
            raise ValueError(f"{least} or more")
        return value

    return checked


_UNLIMITED = "unlimited"

#: How the values of a role's powers are read.
_POWERS: Mapping[str, Callable[[str], Any]] = {
    power.name: _boolean if power.name in ("owners", "force") else _words for power in fields(Powers)
}

#: The sections and keys of the file, those of the plugins aside.
KEYS: Mapping[str, Mapping[str, _Key]] = {
    "quantumd": {
        "listen": _Key("listen", _lines),
        "state": _Key("state", _path),
        "plugin": _Key("plugin", _text),
    },
    "http": {"status_codes": _Key("status_codes", _one_of("proposal", "standard"))},
    "auth": {
        "mode": _Key("auth_mode", _one_of("token", "none")),
        "unix_admin_group": _Key("admin_gid", _group),
    },
    "policy": {
        f"{role}.{power}": _Key(f"{role}.{power}", read)
        for role in (Role.ADMIN, Role.MEMBER)
        for power, read in _POWERS.items()
    },
    "audit": {"file": _Key("audit", _maybe_path)},
    "quotas": {what: _Key(f"tenant.{what}", _quota) for what in COUNTED},
    "limits": {
        "networks": _Key("networks", _at_least(0, _integer)),
        "ports_per_network": _Key("ports_per_network", _at_least(0, _integer)),
        "connections": _Key("connections", _at_least(1, _integer)),
        "at_once": _Key("at_once", _at_least(0, _integer)),
        "body_bytes": _Key("body_bytes", _at_least(1, _integer)),
        **{what: _Key(f"total.{what}", _quota) for what in COUNTED if what != "networks"},
        "requests_per_second": _Key("requests_per_second", _at_least(0, _decimal)),
    },
}

_READERS: Mapping[type, Callable[[str], Any]] = {str: _text, int: _integer, float: _decimal, bool: _boolean}

_PREFIX = "plugin:"


def load(
    path: Path | None,
    options: Mapping[str, str | Sequence[str]],
    factories: Sequence[INetworkPluginFactory],
    build: Callable[[INetworkPluginFactory, Mapping[str, Any]], object],
) -> Settings:
    """The settings: the defaults, over them those of the file, over them the options.

    ``path`` is the file, if there is to be one. ``options`` may have ``plugin``, ``state`` and (a sequence) ``listen``.
    ``factories`` are the plugins that there are; each section of a
    plugin is tried with ``build``, which raises ValueError where a value cannot be.
    """
    found: dict[str, Any] = {}
    sections: dict[str, Mapping[str, str]] = {}
    if path is not None:
        sections = _parse(path)
    names = {factory.name: factory for factory in factories}
    for section, values in sections.items():
        if section.startswith(_PREFIX):
            if section.removeprefix(_PREFIX) not in names:
                raise ConfigError(f"{path}: unknown section [{section}]: no such plugin; there are {_listed(names)}")
        elif section not in KEYS:
            known = [*KEYS, *(_PREFIX + name for name in names)]
            raise ConfigError(f"{path}: unknown section [{section}]; there are {_listed(known)}")
        else:
            for key, text in values.items():
                known_key = _known(path, section, key, text, KEYS[section])
                found[known_key.setting] = _value(f"{path}: [{section}] {key}", text, known_key.read)
    for name, given in options.items():
        option = KEYS["quantumd"][name]
        text = given if isinstance(given, str) else "\n".join(given)
        found[option.setting] = _value(f"--{name} ([quantumd] {name})", text, option.read)
    found |= _composed(found)
    settings = Settings(**found)
    if settings.plugin not in names:
        where = "--plugin ([quantumd] plugin)" if "plugin" in options else f"{path}: [quantumd] plugin"
        raise ConfigError(f"{where} = {settings.plugin}: there is no such plugin; there are {_listed(names)}")
    of_plugins = {
        name: _plugin_settings(path, factory, sections.get(_PREFIX + name, {}), build)
        for name, factory in names.items()
        if _PREFIX + name in sections or name == settings.plugin
    }
    found["plugin_settings"] = of_plugins[settings.plugin]
    return Settings(**found)


def _composed(found: dict[str, Any]) -> dict[str, Any]:
    """The policy and the quotas, made of their keys, which are taken out."""
    powers = {role: evolve(default, **_taken(found, f"{role}.", _POWERS)) for role, default in Policy().powers.items()}
    total = {"networks": found.get("networks", _NETWORKS), **_taken(found, "total.", COUNTED)}
    quotas = Quotas(tenant=Quota(**_taken(found, "tenant.", COUNTED)), total=Quota(**total))
    state = found.get("state", Settings().state)
    audit = found.get("audit", "audit.log")
    return {"policy": Policy(powers), "quotas": quotas, "audit": state.parent / audit if audit else None}


def _taken(found: dict[str, Any], prefix: str, names: Iterable[str]) -> dict[str, Any]:
    return {name: found.pop(prefix + name) for name in names if prefix + name in found}


def _parse(path: Path) -> dict[str, Mapping[str, str]]:
    parser = configparser.ConfigParser(
        interpolation=None, delimiters=("=",), inline_comment_prefixes=("#",), default_section=""
    )
    parser.optionxform = str  # type: ignore[assignment,method-assign]  # the documented way to keep the case of keys
    try:
        with path.open(encoding="utf-8") as file:
            parser.read_file(file)
    except OSError as error:
        raise ConfigError(
            f"the configuration file {path} cannot be read ({error.strerror}): name another with --config"
        ) from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"the configuration file {path} is not UTF-8 text ({error.reason})") from error
    except configparser.Error as error:
        raise ConfigError(f"the configuration file {path} cannot be parsed: {_flat(str(error))}") from error
    return {name: parser[name] for name in parser.sections()}


def _known(path: Path | None, section: str, key: str, text: str, keys: Mapping[str, _Key]) -> _Key:
    if key not in keys:
        raise ConfigError(f"{path}: [{section}] {key} = {_flat(text)}: unknown key; there are {_listed(keys)}")
    return keys[key]


def _value(where: str, text: str, read: Callable[[str], Any]) -> Any:
    try:
        return read(text)
    except ValueError as error:
        raise ConfigError(f"{where} = {_flat(text)}: must be {error}") from None


def _plugin_settings(
    path: Path | None,
    factory: INetworkPluginFactory,
    section: Mapping[str, str],
    build: Callable[[INetworkPluginFactory, Mapping[str, Any]], object],
) -> Mapping[str, Any]:
    name = _PREFIX + factory.name
    try:
        values = dict(factory.settings)
        keys = {key: _Key(key, _READERS[type(default)]) for key, default in values.items()}
        for key, text in section.items():
            values[key] = _value(f"{path}: [{name}] {key}", text, _known(path, name, key, text, keys).read)
        build(factory, values)
    except ValueError as error:
        blamed = [f" ({key} = {_flat(section[key])})" for key in section if re.search(rf"\b{key}\b", str(error))]
        raise ConfigError(f"{path}: [{name}] {_flat(str(error))}{''.join(blamed)}") from error
    except ImportError as error:
        raise ConfigError(f"plugin {factory.name} cannot be loaded: {_flat(str(error))}") from error
    return values


def _listed(names: Iterator[str] | Sequence[str] | Mapping[str, Any]) -> str:
    return ", ".join(sorted(names)) or "none"


def _flat(text: str) -> str:
    return " ".join(text.split())
