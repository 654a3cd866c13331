"""Requests on their way: let in, read, worked on by threads, answered; the loop itself computes nothing."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Generic, TypeVar, cast

from starlette.requests import ClientDisconnect, Request

from onnxsal.errors import nearest
from onnxsal.serving.gather import Gatherer, Gathering, Job
from onnxsal.serving.limits import Admission, Limits, Refused, Share
from onnxsal.serving.metrics import Metrics
from onnxsal.serving.served import Served

T = TypeVar("T")

_QUICK = 0.05
"""Seconds before it is watched whether a client has left: most answers come before, and watching costs."""

_SMALL = 2**20
"""Bytes that reading may take where a request waits unread for the thread that explains; more is read before."""

READERS = 2
"""Threads that read requests and write answers, beside those that predict and those that explain."""


class ClientLeftError(Exception):
    """Nobody waits for the answer any more."""


@dataclass(frozen=True)
class Things(Generic[T]):
    """What a request wants explained, and what writes the answers to all of it."""

    wanted: Sequence[Any]
    write: Callable[[Sequence[Any]], T]


class Service:
    """The models of a server, and the threads that work for it. ``close`` it.

    Args: usual: parameters of explanations where a request does not say them.
    """

    def __init__(
        self, models: Iterable[Served], limits: Limits, gathering: Gathering, usual: Mapping[str, Any] | None = None
    ) -> None:
        self.usual = dict(usual or {})
        self.models = {served.name: served for served in models}
        self.limits, self.admission, self.metrics = limits, Admission(limits), Metrics()
        self._alone = gathering.batch == 1
        self._explaining: Gatherer[Any, Any] = Gatherer(gathering, self.metrics.batches.observe, "explain")
        self._predicting: Gatherer[Any, Any] = Gatherer(replace(gathering, batch=1), name="predict")
        self._readers = ThreadPoolExecutor(READERS, thread_name_prefix="onnxsal-read")
        self._tasks: set[asyncio.Future[Any]] = set()
        self.metrics.watch("requests_under_way", "Requests that run or wait.", lambda: self.admission.requests)
        self.metrics.watch("bytes_under_way", "Bytes that requests under way take.", lambda: self.admission.bytes)
        self.metrics.watch("explanations_waiting", "Things not begun on.", lambda: self._explaining.waiting)

    def served(self, name: str, version: str = "1") -> Served:
        """Return a model by its name, which is never a path. Raises: Refused: there is none, or no such version."""
        if name not in self.models:
            raise Refused(404, f"there is no model {name!r}{nearest(name, self.models)}")
        if version != "1":
            raise Refused(404, f"model {name!r} has one version, '1'; there is no {version!r}")
        return self.models[name]

    async def read(self, work: Callable[..., T], *arguments: Any) -> T:
        """Return what a thread that reads and writes makes."""
        return await asyncio.get_running_loop().run_in_executor(self._readers, partial(work, *arguments))

    async def predict(self, work: Callable[[], T]) -> T:
        """Return what a thread that predicts makes: predictions do not wait behind explanations."""
        put = partial(self._predicting.put, lambda several, stopped: [each() for each in several], work, None)
        return cast(T, (await self._worked(self._predicting, [put]))[0])

    async def explain(self, served: Served, read: Callable[[], Things[T]], share: Share, text: int) -> T:
        """Return what is written of the answers of what is read of a request.

        Where none is gathered with others, one thread reads, explains and writes: every hop to another costs.

        Args: text: bytes that reading may take for a moment, of the request's share.
        Raises: the error of the first that cannot be served.
        """
        if self._alone and text <= _SMALL:
            put = partial(self._explaining.put, partial(_read_and_explained, served), read, None)
            with share.for_now(text):
                (made,) = await self._worked(self._explaining, [put])
            if not isinstance(made, Things):
                return cast(T, made)
            things = made
        else:
            with share.for_now(text):
                things = await self.read(read)
        wanted, write = things.wanted, things.write
        one = len(wanted) == 1  # the thread that explains it writes it too
        then = (lambda answer: write([answer])) if one else (lambda answer: answer)
        puts = [partial(self._explaining.put, served.explain, each, (served.name, each.key), then) for each in wanted]
        found = await self._worked(self._explaining, puts)
        return cast(T, found[0]) if one else await self.read(write, found)

    async def _worked(self, gatherer: Gatherer[Any, Any], puts: Sequence[Callable[[], Job[Any, Any]]]) -> list[Any]:
        if self.admission.stopping:
            raise Refused(503, "the server is shutting down", retry_after=5)
        jobs = [put() for put in puts]
        try:
            return list(await asyncio.gather(*(asyncio.wrap_future(job.future) for job in jobs)))
        finally:
            for job in jobs:
                if not job.future.done():
                    gatherer.leave(job)

    async def answered(self, request: Request, work: Callable[[bytes, Share], Awaitable[T]]) -> T:
        """Return what work makes of a request's body within its deadline, for as long as the client waits.

        Raises: Refused: no room, too large, too late, or the server ends. ClientLeftError: nobody waits.
        """
        end = time.monotonic() + self.limits.deadline
        with self.admission.enter() as share:
            body = await self._body(request, share, end)
            started = time.monotonic()
            task = asyncio.ensure_future(work(body, share))
            del body
            gone: asyncio.Future[Any] | None = None
            self._tasks.add(task)
            try:
                await asyncio.wait({task}, timeout=min(_QUICK, end - started))
                if not task.done():
                    gone, left = asyncio.ensure_future(_left(request)), end - time.monotonic()
                    await asyncio.wait({task, gone}, timeout=left, return_when=asyncio.FIRST_COMPLETED)
                self._check(task, gone)
                self.admission.took(time.monotonic() - started)
                return task.result()
            finally:
                self._tasks.discard(task)
                await _ended(*filter(None, (task, gone)))

    def _check(self, task: asyncio.Future[Any], gone: asyncio.Future[Any] | None) -> None:
        if task.cancelled():
            raise Refused(503, "the server is shutting down", retry_after=5)
        if task.done():
            return
        if gone is not None and gone.done():
            raise ClientLeftError
        raise Refused(
            504, f"there was no answer within {self.limits.deadline:g} s, which is as long as a request may take"
        )

    async def _body(self, request: Request, share: Share, end: float) -> bytes:
        """Return the body, counted as it comes. Raises: Refused: it is too large, compressed, or comes too slowly."""
        most, said = self.limits.body, request.headers.get("content-length", "")
        if request.headers.get("content-encoding", "identity").lower() != "identity":
            raise Refused(415, "compressed bodies are not taken: leave Content-Encoding out")
        if said.isdecimal() and (len(said) > 18 or int(said) > most):
            raise Refused(413, f"the body has {said} bytes; {most} are allowed")
        parts, length = list[bytes](), 0
        try:
            async with asyncio.timeout(max(0.0, end - time.monotonic())):
                async for part in request.stream():
                    length += len(part)
                    if length > most:
                        raise Refused(413, f"the body has more than the {most} bytes that are allowed")
                    share.take(len(part))
                    parts.append(part)
        except TimeoutError:
            raise Refused(408, f"the body did not come within {self.limits.deadline:g} s") from None
        except ClientDisconnect:
            raise ClientLeftError from None
        return b"".join(parts)

    async def let_by(self, request: Request) -> None:
        """Take what is left of a body and forget it: a socket that is closed on unread bytes takes the answer along.

        Not of a client that waits to be asked for it, and no more than a large request within a second.
        """
        if "expect" in request.headers:
            return
        left = self.limits.body
        with suppress(TimeoutError):
            async with asyncio.timeout(1):
                while left > 0:
                    part = await request.receive()
                    left -= len(part.get("body", b""))
                    if not part.get("more_body", False):
                        return

    @property
    def idle(self) -> bool:
        """Whether nothing is under way."""
        return self.admission.requests == 0

    def stop(self) -> None:
        """Finish what runs, and refuse the rest: what waits, and what comes."""
        self.admission.stopping = True
        self._explaining.drop_waiting()
        self._predicting.drop_waiting()

    def end(self) -> None:
        """Answer at once what is still under way; call it in the loop's thread."""
        for task in self._tasks:
            task.cancel()

    def close(self, seconds: float = 5.0) -> None:
        """End the threads, waiting so long for what runs in them."""
        self._readers.shutdown(wait=False, cancel_futures=True)
        for gatherer in (self._explaining, self._predicting):
            gatherer.close(seconds)


def _read_and_explained(
    served: Served, reads: Sequence[Callable[[], Things[T]]], stopped: Callable[[], bool]
) -> list[T | Things[T] | Exception]:
    """Return what is written of the one thing of a request; of several these, which threads share."""
    (read,) = reads
    things = read()
    if len(things.wanted) != 1:
        return [things]
    (answer,) = served.explain(things.wanted, stopped)
    return [answer if isinstance(answer, Exception) else things.write([answer])]


async def _left(request: Request) -> None:
    """Return once the client has left; whatever else comes behind a body is let by."""
    while (await request.receive())["type"] != "http.disconnect":
        pass


async def _ended(*tasks: asyncio.Future[Any]) -> None:
    """Cancel what is not done, and wait until it has let go of what it holds."""
    tasks = tuple(task for task in tasks if not task.done())
    for task in tasks:
        task.cancel()
    if tasks:
        await asyncio.gather(*tasks, return_exceptions=True)
