"""A service on a socket, until it is told to end."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable
from types import FrameType
from typing import Any

import uvicorn

from onnxsal.errors import UsageError
from onnxsal.serving.app import application
from onnxsal.serving.service import Service

CONNECTIONS = 1024
"""Open at a time, those that ask nothing among them; more are answered 503."""

_HEAD = 64 * 1024
_LAST_WORDS = 2
"""Seconds in which answers that are written may be read, once nothing runs any more."""

_DRAIN = 0.5
"""Seconds in which clients whose connections are open hear at their next request that these are closed."""

_CLOSE = (b"connection", b"close")


def listening(host: str, port: int) -> socket.socket:
    """Return a socket that listens. Raises: UsageError: there is no such address, or the port is taken."""
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        # The protocol by its number: on such sockets alone asyncio sends small answers at once, not 40 ms later.
        listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        try:
            if os.name == "posix":  # elsewhere it would let two servers share a port
                listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind((host, port))
            listener.listen(CONNECTIONS)
        except OSError:
            listener.close()
            raise
        return listener
    except OSError as error:
        why = str(error) if isinstance(error, socket.gaierror) or not error.errno else os.strerror(error.errno)
        raise UsageError(f"cannot listen at {host} port {port}: {why}") from None


def address_of(listener: socket.socket) -> str:
    """Return where it is called."""
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


class Server(uvicorn.Server):
    """Uvicorn's, which at its end would close the door at once; and its loop asks here whether to end.

    Args: started: called once requests are answered.
    """

    def __init__(self, service: Service, started: Callable[[], None] = lambda: None) -> None:
        config = uvicorn.Config(
            application(service), log_config=None, log_level="critical", access_log=False, lifespan="off", ws="none",
            limit_concurrency=CONNECTIONS, timeout_graceful_shutdown=_LAST_WORDS, server_header=False,
            h11_max_incomplete_event_size=_HEAD,
        )  # fmt: skip
        super().__init__(config)
        self._service, self._told, self._signals = service, started, 0
        self._until, self._drained = 0.0, 0.0
        self._unread: dict[Any, tuple[Any, float]] = {}

    def serve_at(self, listener: socket.socket) -> None:
        """Answer requests until SIGTERM or Ctrl-C: then finish what runs, answer 503 to the rest, and return.

        A second signal ends it at once.
        """
        try:
            self.run(sockets=[listener])
        finally:
            self._service.close()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Count a signal; the loop looks at it within a tenth of a second."""
        self._signals += 1
        if self._signals > 1:
            self.should_exit = self.force_exit = True

    async def on_tick(self, counter: int) -> bool:
        """Return whether to end: once nothing is under way, or what is takes longer than it may."""
        told, self._told = self._told, lambda: None
        told()
        service, now = self._service, time.monotonic()
        if self._signals and not service.admission.stopping:
            service.stop()
            self._until, self._drained = now + service.limits.grace, now + min(_DRAIN, service.limits.grace)
            self._close_after_answers()
        self._abort_slow_readers(now)
        silent = now > self._drained or not self.server_state.connections
        if service.admission.stopping and ((service.idle and silent) or now > self._until):
            service.end()
            self.should_exit = True
        return await super().on_tick(counter)

    def _close_after_answers(self) -> None:
        """Have every answer from now on say that its connection ends, those that are not yet begun among them.

        A connection that was closed without a word would fail the request that its client is just sending.
        """
        self.config.encoded_headers = [*self.config.encoded_headers, _CLOSE]
        self.server_state.default_headers = [*self.server_state.default_headers, _CLOSE]
        for connection in self.server_state.connections:
            cycle = getattr(connection, "cycle", None)
            if cycle is not None:  # it has the headers of when it began
                cycle.default_headers = self.server_state.default_headers

    def _abort_slow_readers(self, now: float) -> None:
        """End connections whose client has not read an answer within the deadline: its bytes would stay for ever."""
        unread = dict[Any, tuple[Any, float]]()
        for connection in list(self.server_state.connections):
            if not connection.transport.get_write_buffer_size():
                continue
            cycle = getattr(connection, "cycle", None)
            answer, since = self._unread.get(connection, (cycle, now))
            unread[connection] = (cycle, since if answer is cycle else now)
            if now - unread[connection][1] > self._service.limits.deadline:
                connection.transport.abort()
        self._unread = unread
