"""Where an OVSDB server is, in the words of ovsdb(7): ``unix:PATH``, ``tcp:HOST:PORT``, ``ssl:HOST:PORT``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from attrs import frozen
from OpenSSL.crypto import Error as PemError
from OpenSSL.SSL import Connection
from OpenSSL.SSL import Error as TlsError
from twisted.internet.endpoints import HostnameEndpoint, UNIXClientEndpoint, wrapClientTLS
from twisted.internet.interfaces import IOpenSSLClientConnectionCreator, IStreamClientEndpoint
from twisted.internet.ssl import Certificate, CertificateOptions, PrivateCertificate, trustRootFromCertificates
from zope.interface import implementer

_PORT = 6640
#: Seconds until an attempt to connect is given up.
_TIMEOUT = 5


@frozen
class Credentials:
    """Paths of PEM files for ``ssl:``: our private key and certificate, and the authority that signs the server's."""

    private_key: str = ""
    certificate: str = ""
    ca_cert: str = ""


@implementer(IOpenSSLClientConnectionCreator)
class _Authority:
    """Trusts whatever server shows a certificate of the authority, as Open vSwitch's own clients do: its names are not
    looked at, since that authority signs for nothing else."""

    def __init__(self, options: CertificateOptions) -> None:
        self._context = options.getContext()

    def clientConnectionForTLS(self, _protocol: object) -> Connection:
        """See the interface."""
        return Connection(self._context, None)


def client_endpoint(reactor: Any, remote: str, credentials: Credentials | None = None) -> IStreamClientEndpoint:
    """The endpoint for ``remote``. An IPv6 address stands in brackets; the port may be left out (6640).

    :raise ValueError: it is none, or a file of the credentials is missing or unfit; the text says what to do
    """
    kind, _, rest = remote.partition(":")
    if kind == "unix" and rest:
        return UNIXClientEndpoint(reactor, rest, timeout=_TIMEOUT)
    if kind not in ("tcp", "ssl") or not rest:
        raise ValueError(f"{remote!r} is no OVSDB remote; use unix:PATH, tcp:HOST:PORT or ssl:HOST:PORT")
    host, port = _host_and_port(remote, rest)
    endpoint = HostnameEndpoint(reactor, host, port, timeout=_TIMEOUT)
    if kind == "tcp":
        return endpoint
    return wrapClientTLS(_Authority(_options(credentials or Credentials())), endpoint)


def _host_and_port(remote: str, rest: str) -> tuple[str, int]:
    host, separator, port = rest, "", ""
    if rest.startswith("["):
        host, bracket, tail = rest[1:].partition("]")
        if not bracket or (tail and not tail.startswith(":")):
            raise ValueError(f"{remote!r} is no OVSDB remote; an IPv6 address stands in brackets, such as [::1]:6640")
        separator, port = tail[:1], tail[1:]
    elif rest.count(":") <= 1:
        host, separator, port = rest.partition(":")
    else:
        raise ValueError(f"{remote!r} is no OVSDB remote; an IPv6 address stands in brackets, such as [::1]:6640")
    if separator and not (port.isascii() and port.isdigit() and 0 < int(port) < 65536):
        raise ValueError(f"{remote!r} is no OVSDB remote; the port is a number from 1 to 65535")
    if not host:
        raise ValueError(f"{remote!r} is no OVSDB remote; the host is missing")
    return host, int(port) if separator else _PORT


def _options(credentials: Credentials) -> CertificateOptions:
    if not (credentials.private_key and credentials.certificate and credentials.ca_cert):
        raise ValueError("an ssl: remote needs private_key, certificate and ca_cert, the paths of PEM files")
    try:
        pair = Path(credentials.certificate).read_bytes() + b"\n" + Path(credentials.private_key).read_bytes()
        own = PrivateCertificate.loadPEM(pair)
        authority = Certificate.loadPEM(Path(credentials.ca_cert).read_bytes())
    except OSError as error:
        raise ValueError(f"{error.filename} cannot be read: {error.strerror}") from error
    except (PemError, TlsError) as error:
        raise ValueError(f"the PEM files for an ssl: remote cannot be used: {error}") from error
    return CertificateOptions(
        privateKey=own.privateKey.original,
        certificate=own.original,
        trustRoot=trustRootFromCertificates([authority]),
    )
