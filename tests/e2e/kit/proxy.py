"""A TCP proxy between the server and its store, so that a slow, a stuck or a dead network is a real one.

While it holds a pattern, a connection stops just before passing on the bytes in which the pattern was seen, and it stays
open: the peer sees a store that takes the request and does not answer. `cut` ends every connection and refuses new ones.
"""

import asyncio
import contextlib
import threading

_CHUNK = 64 * 1024


class Proxy:
    """Runs in a thread of its own; the methods are called from the test's thread."""

    def __init__(self, target_port: int):
        self._target = target_port
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="proxy", daemon=True)
        self._patterns: tuple[bytes, ...] = ()
        self._open = asyncio.Event()
        self._open.set()
        self._pace: int | None = None
        self._cut_after: int | None = None
        self._hold_after: tuple[int, tuple[bytes, ...]] | None = None
        self._alive = True
        self._writers: set[asyncio.StreamWriter] = set()
        self._held = 0
        self.passed_up = 0
        self.port = 0

    def start(self) -> "Proxy":
        self._thread.start()
        self._server = self._run(asyncio.start_server(self._serve, "127.0.0.1", 0))
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    def hold(self, *patterns: bytes) -> None:
        """From now on, requests in which one of these bytes appears wait."""
        self._do(lambda: (setattr(self, "_patterns", patterns), self._open.clear()))

    def hold_after(self, more_bytes: int, *patterns: bytes) -> None:
        """As `hold`, when that many more bytes have gone up to the store."""
        self._do(lambda: setattr(self, "_hold_after", (self.passed_up + more_bytes, patterns)))

    def release(self) -> None:
        """What waits goes on, and nothing is held any more."""
        self._do(lambda: (setattr(self, "_patterns", ()), self._open.set()))

    @property
    def holding(self) -> int:
        """How many connections wait now."""
        return self._held

    def slow_down(self, bytes_per_second: int) -> None:
        """From now on, each answer of the store comes at this pace and never quite stops."""
        self._do(lambda: setattr(self, "_pace", bytes_per_second))

    def cut(self) -> None:
        """Ends all connections at once and takes no new ones until `mend`."""
        self._do(self._cut)

    def cut_after(self, more_bytes: int) -> None:
        """As `cut`, when that many more bytes have gone up to the store."""
        self._do(lambda: setattr(self, "_cut_after", self.passed_up + more_bytes))

    def mend(self) -> None:
        self._do(lambda: (setattr(self, "_alive", True), setattr(self, "_cut_after", None)))

    @property
    def is_cut(self) -> bool:
        return not self._alive

    def close(self) -> None:
        self._do(self._server.close)
        self._do(self._cut)
        self._run(self._drain())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        try:
            if self._alive:
                await self._connect(reader, writer)
        except OSError:
            pass
        finally:
            self._drop(writer)

    async def _connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        store_reader, store_writer = await asyncio.open_connection("127.0.0.1", self._target)
        self._writers.add(store_writer)
        try:
            pumps = [asyncio.create_task(self._up(reader, store_writer)), asyncio.create_task(self._down(store_reader, writer))]
            await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
            for pump in pumps:
                pump.cancel()
            await asyncio.gather(*pumps, return_exceptions=True)
        finally:
            self._drop(store_writer)

    async def _up(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        tail = b""
        while data := await reader.read(_CHUNK):
            if self._hold_after is not None and self.passed_up >= self._hold_after[0]:
                self._patterns, self._hold_after = self._hold_after[1], None
                self._open.clear()
            await self._wait_if_held(tail + data)
            tail = data[-64:]
            self.passed_up += len(data)
            if self._cut_after is not None and self.passed_up >= self._cut_after:
                self._cut()
                return
            writer.write(data)
            await writer.drain()

    async def _down(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(_CHUNK if self._pace is None else max(self._pace // 4, 1)):
            writer.write(data)
            await writer.drain()
            if self._pace is not None:
                await asyncio.sleep(len(data) / self._pace)

    async def _wait_if_held(self, data: bytes) -> None:
        if any(pattern in data for pattern in self._patterns):
            self._held += 1
            try:
                await self._open.wait()
            finally:
                self._held -= 1

    def _cut(self) -> None:
        self._alive = False
        for writer in list(self._writers):
            writer.transport.abort()

    def _drop(self, writer: asyncio.StreamWriter) -> None:
        self._writers.discard(writer)
        with contextlib.suppress(OSError):
            writer.close()

    async def _drain(self) -> None:
        pending = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in pending:
            task.cancel()
        await asyncio.gather(*pending, return_exceptions=True)

    def _do(self, action) -> None:
        done = threading.Event()
        self._loop.call_soon_threadsafe(lambda: (action(), done.set()))
        assert done.wait(10), "the proxy's thread does not answer"

    def _run(self, coroutine):
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(10)
