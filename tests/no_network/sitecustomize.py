"""Cuts this process off from every machine but its own; Python imports it at its start where this folder is on PYTHONPATH."""

from __future__ import annotations

import ipaddress
import socket
from typing import Any

LOCAL = ("localhost", "localhost.localdomain", socket.gethostname(), "", None)


def is_local(host: Any) -> bool:
    """Whether a name or address is this machine."""
    host = host.decode() if isinstance(host, bytes) else host
    if host in LOCAL:
        return True
    try:
        address = ipaddress.ip_address(str(host).partition("%")[0])
    except ValueError:
        return False
    return address.is_loopback or address.is_unspecified


def cut_off() -> None:
    """Refuse connections and names of other machines, at once and with a sentence."""
    connect, connect_ex, sendto, resolve = (
        socket.socket.connect,
        socket.socket.connect_ex,
        socket.socket.sendto,
        socket.getaddrinfo,
    )

    def check(own: socket.socket, address: Any) -> None:
        if own.family in (socket.AF_INET, socket.AF_INET6) and not is_local(address[0]):
            raise OSError(f"a test asked for {address[0]}: the tests run without a network")

    def checked_connect(self: socket.socket, address: Any) -> None:
        check(self, address)
        connect(self, address)

    def checked_connect_ex(self: socket.socket, address: Any) -> int:
        check(self, address)
        return connect_ex(self, address)

    def checked_sendto(self: socket.socket, content: Any, *rest: Any) -> int:
        check(self, rest[-1])
        return sendto(self, content, *rest)

    def checked_resolve(host: Any, *rest: Any, **named: Any) -> Any:
        if not is_local(host):
            raise socket.gaierror(socket.EAI_NONAME, f"a test asked for {host}: the tests run without a network")
        return resolve(host, *rest, **named)

    socket.socket.connect = checked_connect  # type: ignore[method-assign,assignment]
    socket.socket.connect_ex = checked_connect_ex  # type: ignore[method-assign,assignment]
    socket.socket.sendto = checked_sendto  # type: ignore[method-assign,assignment]
    socket.getaddrinfo = checked_resolve


cut_off()
