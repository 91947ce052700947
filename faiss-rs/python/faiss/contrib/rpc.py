"""Calls of one process's methods from another, over a socket: for indexes that are spread over machines.

A message is numbers, strings and arrays as JSON with raw bytes beside it. Nothing in it can name code to run, so that a server may be shown
to clients that it does not know; a server listens on this machine only, unless it is given another address.
"""

import json
import logging
import os
import socket
import struct
import sys
import threading
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any, TextIO

import numpy as np

__all__ = ["PORT", "Client", "ClientExit", "FileSock", "Server", "ServerException", "run_server"]

LOG = logging.getLogger(__name__)

PORT = 12032

# A message: this head (mark, number of parts), the length of each part, then the parts; the first one is JSON.
HEAD = struct.Struct("<4sI")
LENGTH = struct.Struct("<Q")
MARK = b"FRPC"
# Bounds that a message keeps, so that a stranger's lengths cost nothing.
MOST_PARTS = 1 << 16
MOST_BYTES = 1 << 40
BLOCK = 1 << 19
# Kinds of numbers that arrays may hold: no objects.
KINDS = "biufc"


class ClientExit(Exception):
    """The other side hung up."""


class ServerException(Exception):
    """What a method raised on the server; the text is its traceback there."""


class FileSock:
    """A socket that is read and written like a file."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock

    def write(self, buf: Any) -> None:
        """Sends all bytes."""
        self.sock.sendall(buf)

    def read(self, bs: int = BLOCK) -> bytes:
        """Receives exactly `bs` bytes; raises ClientExit when the other side hangs up before."""
        blocks, missing = [], bs
        while missing:
            block = self.sock.recv(min(missing, BLOCK))
            if not block:
                raise ClientExit("the other side hung up")
            blocks.append(block)
            missing -= len(block)
        return b"".join(blocks)

    def readline(self) -> bytes:
        """Receives up to and with the next end of a line."""
        line = b""
        while not line.endswith(b"\n"):
            line += self.read(1)
        return line


def _plain(value: Any, parts: list[Any]) -> Any:
    """A value as JSON; the bytes of arrays go to `parts`."""
    match value:
        case None | bool() | int() | float() | str():
            return value
        case list():
            return [_plain(v, parts) for v in value]
        case tuple():
            return {"tuple": [_plain(v, parts) for v in value]}
        case dict():
            return {"dict": [[_plain(k, parts), _plain(v, parts)] for k, v in value.items()]}
        case bytes() | bytearray():
            parts.append(bytes(value))
            return {"bytes": len(parts)}
        case np.generic() | np.ndarray():
            array = np.asarray(value)
            if array.dtype.kind not in KINDS:
                raise TypeError(f"an array of {array.dtype} can't be sent")
            parts.append(np.ascontiguousarray(array).reshape(-1).view("uint8").data)
            scalar = isinstance(value, np.generic)
            return {"array": len(parts), "dtype": array.dtype.str, "shape": list(array.shape), "scalar": scalar}
    raise TypeError(f"a {type(value).__name__} can't be sent: only numbers, strings, arrays and what holds them")


def _value(plain: Any, parts: list[bytes]) -> Any:
    """The reverse of `_plain`."""
    if isinstance(plain, list):
        return [_value(v, parts) for v in plain]
    if not isinstance(plain, dict):
        return plain
    if "tuple" in plain:
        return tuple(_value(v, parts) for v in plain["tuple"])
    if "dict" in plain:
        return {_value(k, parts): _value(v, parts) for k, v in plain["dict"]}
    if "bytes" in plain:
        return parts[plain["bytes"]]
    dtype = np.dtype(str(plain["dtype"]))
    if dtype.kind not in KINDS:
        raise ValueError(f"an array of {dtype} is not taken")
    # A copy, so that the array can be written to, as one that was made here.
    array = np.frombuffer(parts[plain["array"]], dtype).reshape([int(n) for n in plain["shape"]]).copy()
    return array[()] if plain["scalar"] else array


def _send(file: FileSock, value: Any) -> None:
    parts: list[Any] = []
    text = json.dumps(_plain(value, parts)).encode()
    parts.insert(0, text)
    head = HEAD.pack(MARK, len(parts)) + b"".join(LENGTH.pack(len(part)) for part in parts)
    file.write(head)
    for part in parts:
        file.write(part)


def _receive(file: FileSock) -> Any:
    mark, count = HEAD.unpack(file.read(HEAD.size))
    if mark != MARK or not 0 < count <= MOST_PARTS:
        raise ValueError("this is not a message of faiss.contrib.rpc")
    lengths = [LENGTH.unpack(file.read(LENGTH.size))[0] for _ in range(count)]
    if sum(lengths) > MOST_BYTES:
        raise ValueError(f"a message of {sum(lengths)} bytes is not taken")
    parts = [file.read(n) for n in lengths]
    return _value(json.loads(parts[0]), parts)


class Server:
    """Serves one client: it may call each method of a subclass whose name does not begin with an underscore."""

    # The methods that serve, which a client may not call.
    OWN = frozenset({"log", "one_function", "exec_loop", "exec_loop_cleanup"})

    def __init__(self, s: socket.socket, logf: TextIO = sys.stderr, log_prefix: str = "") -> None:
        self.logf = logf
        self.log_prefix = log_prefix
        self.conn = s
        self.fs = FileSock(s)

    def log(self, s: str) -> None:
        """Writes a line to the log."""
        self.logf.write(f"rpc {self.log_prefix}: {s}\n")
        self.logf.flush()

    def one_function(self) -> None:
        """Waits for a call, makes it and sends what it returned or raised."""
        try:
            name, args = _receive(self.fs)
        except (ValueError, KeyError, IndexError, TypeError, RecursionError) as error:
            raise ClientExit(f"not a call: {error}") from error
        try:
            if not isinstance(name, str) or name.startswith("_") or name in Server.OWN:
                raise AttributeError(f"{name!r} can't be called from a client")
            answer = (True, getattr(self, name)(*args))
        except Exception:
            answer = (False, traceback.format_exc(50))
        try:
            _send(self.fs, answer)
        except TypeError:
            _send(self.fs, (False, traceback.format_exc(50)))

    def exec_loop(self) -> None:
        """Serves until the client hangs up."""
        try:
            while True:
                self.one_function()
        except (ClientExit, OSError) as end:
            self.log(f"end of connection: {end}")
        finally:
            self.exec_loop_cleanup()
            self.conn.close()

    def exec_loop_cleanup(self) -> None:
        """Called when the client has gone: for subclasses."""

    def get_ps_stats(self) -> str:
        """The memory of this process, for the client's information."""
        status = Path("/proc/self/status")
        if not status.exists():
            return ""
        return "\n".join(line for line in status.read_text().splitlines() if line.startswith("Vm"))


class Client:
    """The methods of a server, as methods of this object."""

    def __init__(self, HOST: str, port: int = PORT, v6: bool = False) -> None:
        self.sock = socket.socket(socket.AF_INET6 if v6 else socket.AF_INET, socket.SOCK_STREAM)
        try:
            self.sock.connect((HOST, port))
        except OSError:
            self.sock.close()
            raise
        self.fs = FileSock(self.sock)
        # Answers come in the order of the calls: one call at a time.
        self._lock = threading.Lock()

    def generic_fun(self, fname: str, args: tuple[Any, ...]) -> Any:
        """Calls a method by name and returns what it returned; raises ServerException with what it raised."""
        with self._lock:
            _send(self.fs, (fname, args))
            return self.get_result()

    def get_result(self) -> Any:
        """What the server answers to a call that was sent."""
        fine, value = _receive(self.fs)
        if not fine:
            raise ServerException(value)
        return value

    def close(self) -> None:
        """Hangs up."""
        self.sock.close()

    def __getattr__(self, name: str) -> Callable[..., Any]:
        if name.startswith("_"):
            raise AttributeError(f"'Client' object has no attribute '{name}'")
        return lambda *args: self.generic_fun(name, args)


def run_server(
    new_handler: Callable[[socket.socket], Server],
    port: int = PORT,
    report_to_file: str | Path | None = None,
    v6: bool = False,
    host: str | None = None,
) -> None:
    """Serves each client that connects, in a thread of its own, until the process ends.

    new_handler: makes the Server of a connection. report_to_file: where "host:port" is written once the server listens. host: the
    address to listen on; by default that of this machine alone (127.0.0.1 or ::1), "" for all of the machine's addresses.
    """
    if host is None:
        host = "::1" if v6 else "127.0.0.1"
    with socket.socket(socket.AF_INET6 if v6 else socket.AF_INET, socket.SOCK_STREAM) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen(10)
        port = listener.getsockname()[1]
        LOG.info("listening on %s port %d", host or "all addresses", port)
        if report_to_file is not None:
            # Written aside and renamed: who waits for the file never sees a half of it.
            file = Path(report_to_file)
            part = file.with_name(f"{file.name}.{os.getpid()}.part")
            part.write_text(f"{socket.gethostname() if host == '' else host}:{port}")
            part.replace(file)
        while True:
            connection, peer = listener.accept()
            LOG.info("connected to %s", peer)
            handler = new_handler(connection)
            threading.Thread(target=handler.exec_loop, daemon=True).start()
