"""The tests reach this machine and no other one, and neither do the processes that they start."""

from __future__ import annotations

import socket
import subprocess
import sys

import pytest

ELSEWHERE = ("192.0.2.1", 443)  # RFC 5737: an address that nobody has
ASKING = f"import socket; socket.create_connection({ELSEWHERE}, timeout=20)"


def test_other_machines_are_refused_by_name_and_by_address() -> None:
    with pytest.raises(OSError, match=r"a test asked for 192\.0\.2\.1: the tests run without a network"):
        socket.create_connection(ELSEWHERE, timeout=20)
    with pytest.raises(socket.gaierror, match=r"a test asked for weights\.invalid"):
        socket.getaddrinfo("weights.invalid", 443)


def test_processes_that_tests_start_are_cut_off_too() -> None:
    done = subprocess.run([sys.executable, "-c", ASKING], capture_output=True, text=True, check=False)
    assert "the tests run without a network" in done.stderr


def test_this_machine_can_be_asked() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname(), timeout=20) as own:
        other, _ = server.accept()
        with other:
            own.sendall(b"here")
            assert other.recv(4) == b"here"
