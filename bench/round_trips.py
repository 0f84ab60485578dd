"""A proxy in front of PostgreSQL that delays both directions by a fixed time, and counts round trips.

Each piece is forwarded at its own arrival plus the delay: a proxy that sleeps on every read would add up delays that
lie beside each other. Since no answer arrives before the client has sent all that it can send without it, every change
from hearing to speaking is one round trip.
"""

import queue
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from psycopg.conninfo import conninfo_to_dict, make_conninfo

DELAY = 0.005  # seconds, each way


@contextmanager
def counted(dsn: str, delay: float = DELAY) -> Iterator[tuple[str, Callable[[], int]]]:
    """The DSN that leads through the proxy, and a function that answers the round trips so far."""
    server = conninfo_to_dict(dsn)
    address = str(server["host"]), int(str(server["port"]))
    line = _Line()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=_accept, args=(listener, address, line, delay), daemon=True).start()
        yield make_conninfo(dsn, host="127.0.0.1", port=listener.getsockname()[1]), lambda: line.trips


class _Line:
    """Who spoke last on the line."""

    def __init__(self) -> None:
        self.trips = 0
        self.client_spoke_last = False

    def client_speaks(self) -> None:
        self.trips += not self.client_spoke_last
        self.client_spoke_last = True

    def server_speaks(self) -> None:
        self.client_spoke_last = False


def _accept(listener: socket.socket, address: tuple[str, int], line: _Line, delay: float) -> None:
    while True:
        try:
            client, _ = listener.accept()
        except OSError:  # the listener was closed: the measurement is over
            return
        server = socket.create_connection(address)
        for one in (client, server):
            one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        _forward(client, server, line.client_speaks, lambda: None, delay)
        _forward(server, client, lambda: None, line.server_speaks, delay)


def _forward(
    source: socket.socket, target: socket.socket, heard: Callable[[], None], said: Callable[[], None], delay: float
) -> None:
    pieces: queue.SimpleQueue[tuple[float, bytes]] = queue.SimpleQueue()

    def listen() -> None:
        piece = b"-"
        while piece:
            try:
                piece = source.recv(65536)
            except OSError:
                piece = b""
            heard() if piece else None
            pieces.put((time.monotonic() + delay, piece))

    def speak() -> None:
        while True:
            due, piece = pieces.get()
            time.sleep(max(0, due - time.monotonic()))
            if not piece:
                break
            said()
            try:
                target.sendall(piece)
            except OSError:
                break
        source.close()
        target.close()

    for work in (listen, speak):
        threading.Thread(target=work, daemon=True).start()
