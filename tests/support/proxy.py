"""A proxy between a client and a server, which does to them what networks do."""

import select
import socket
import struct
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Self

Address = tuple[str, int] | Path


class Proxy:
    """A proxy on its own TCP port before ``target``, a TCP address or a unix socket.

    ``delay``: seconds before each piece is forwarded. ``black_hole``: nothing is forwarded.
    ``half_open``: nothing is forwarded from the server. ``reset()`` ends all connections with RST.
    ``watch(piece)`` sees what the client sends before the server does, and ends the connection by
    raising ``OSError``.
    """

    def __init__(self, target: Address) -> None:
        self.target = target
        self.delay = 0.0
        self.black_hole = False
        self.half_open = False
        self.watch: Callable[[bytes], None] = lambda _: None
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        self._connections: set[socket.socket] = set()
        self._lock = threading.Lock()

    def __enter__(self) -> Self:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.close()
        self.reset()

    def reset(self) -> None:
        """Ends every connection as a crashed router would."""
        with self._lock:
            connections, self._connections = self._connections, set()
        for connection in connections:
            abort(connection)

    def deliver(self, piece: bytes) -> None:
        """Sends ``piece`` on a connection of its own, and returns when the server has executed it.

        For Redis, which executes what it has read before it ends a connection.
        """
        with self._connect() as server:
            server.sendall(piece)
            server.shutdown(socket.SHUT_WR)
            while server.recv(65536):
                pass

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        try:
            server = self._connect()
        except OSError:
            abort(client)
            return
        with self._lock:
            self._connections |= {client, server}
        try:
            self._pass_on(client, server)
        except (OSError, ValueError):
            pass  # reset, by whoever did it
        finally:
            with self._lock:
                self._connections -= {client, server}
            client.close()
            server.close()

    def _pass_on(self, client: socket.socket, server: socket.socket) -> None:
        while True:
            readable, _, _ = select.select([client, server], [], [], 0.1)
            if self.black_hole:
                time.sleep(0.1)
                continue
            for source in readable:
                piece = source.recv(65536)
                if not piece:
                    return
                if self.delay:
                    time.sleep(self.delay)
                if source is client:
                    self.watch(piece)
                    server.sendall(piece)
                elif not self.half_open:
                    client.sendall(piece)

    def _connect(self) -> socket.socket:
        if isinstance(self.target, Path):
            server = socket.socket(socket.AF_UNIX)
            try:
                server.connect(str(self.target))
            except OSError:
                server.close()
                raise
            return server
        return socket.create_connection(self.target, timeout=5)


def abort(connection: socket.socket) -> None:
    """Closes with RST instead of FIN."""
    with suppress(OSError):
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()
