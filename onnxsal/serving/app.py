"""The addresses: health, metadata, predictions, explanations, metrics."""

from __future__ import annotations

import sys
import time
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from onnxsal._version import __version__
from onnxsal.errors import ImageError, ModelError, OnnxsalError, OutOfMemoryError, UnsupportedError, UsageError
from onnxsal.serving import calls
from onnxsal.serving.calls import JSON, Exchange
from onnxsal.serving.limits import Refused, Share
from onnxsal.serving.metrics import CONTENT_TYPE
from onnxsal.serving.protocol import write_json
from onnxsal.serving.served import StoppedError
from onnxsal.serving.service import ClientLeftError, Service
from onnxsal.serving.things import TooManyPixelsError

LEFT = 499
"""The status that is counted where nobody waits for an answer; none is sent."""

Handler = Callable[[Exchange, bytes, Share], Awaitable[Response]]
Getter = Callable[[Service, Request], Awaitable[Response]]


def application(service: Service) -> Starlette:
    """Return the application of a service's models, for any server that speaks ASGI."""
    model, one = "/v2/models/{model}", "/v1/models/{model}"
    get = [
        ("/v2", _server), ("/v2/health/live", _live), ("/v2/health/ready", _ready), ("/v2/models", _list),
        ("/v1/models", _list), (one, _state_v1), ("/metrics", _metrics),
    ]  # fmt: skip
    post: list[tuple[str, str, Handler]] = [
        (f"{one}:predict", "predict", calls.infer_v1), (f"{one}:explain", "explain", calls.explain_v1),
    ]  # fmt: skip
    for each in (model, f"{model}/versions/{{version}}"):
        get += [(each, _metadata), (f"{each}/ready", _model_ready)]
        post += [(f"{each}/infer", "infer", calls.infer_v2), (f"{each}/explain", "explain", calls.explain_v2)]
    routes = [
        *(Route(path, partial(_posted, service, kind, handler), methods=["POST"]) for path, kind, handler in post),
        *(Route(path, partial(_got, service, handler), methods=["GET"]) for path, handler in get),
    ]
    made = Starlette(routes=routes, exception_handlers={HTTPException: _no_such, Exception: _fault})
    made.router.redirect_slashes = False
    return made


async def _posted(service: Service, kind: str, handler: Handler, request: Request) -> Response:
    """Return the answer of a model, whatever becomes of it, counted."""
    started, name = time.perf_counter(), request.path_params["model"]
    try:
        served = service.served(name, request.path_params.get("version", "1"))
        response = await service.answered(request, partial(handler, Exchange(service, served, request)))
    except ClientLeftError:
        service.metrics.left.inc()
        response = Response(status_code=LEFT)
    except Exception as error:  # noqa: BLE001  # every failure is one clear message
        if isinstance(error, Refused) and error.status != 408:  # most come before the body was read
            await service.let_by(request)
        response = refusal(error)
    known = name if name in service.models else ""
    service.metrics.requests.labels(known, kind, str(response.status_code)).inc()
    service.metrics.seconds.labels(known, kind).observe(time.perf_counter() - started)
    return response


async def _got(
    service: Service, handler: Callable[[Service, Request], Awaitable[Response]], request: Request
) -> Response:
    try:
        return await handler(service, request)
    except Exception as error:  # noqa: BLE001  # as above
        return refusal(error)


_STATUSES: tuple[tuple[type[BaseException], int], ...] = (
    (TooManyPixelsError, 413), (UsageError, 400), (ImageError, 400), (UnsupportedError, 422), (StoppedError, 503),
    (MemoryError, 503), (OutOfMemoryError, 503), (ModelError, 422),
)  # fmt: skip
"""What a failure is to the client: its own fault, or beyond what the model can; else it is the server's. Where a model
that is served fails, it is on these inputs: ids that it does not know, numbers that overflow."""


def refusal(error: BaseException) -> Response:
    """Return the answer to a request that failed: what is wrong, and nothing of the machine."""
    if isinstance(error, Refused):
        again = {} if error.retry_after is None else {"retry-after": str(error.retry_after)}
        closing = {"connection": "close"} if error.status == 408 else {}  # what comes of its body is no next request
        return _said(error.status, str(error), again | closing)
    status = next((status for kind, status in _STATUSES if isinstance(error, kind)), 500)
    if isinstance(error, OnnxsalError):
        return _said(status, str(error))
    if isinstance(error, MemoryError):
        return _said(status, "there is not enough memory for this request", {"retry-after": "5"})
    print(f"onnxsal: a request failed: {type(error).__name__}: {error}", file=sys.stderr, flush=True)
    return _said(500, f"a fault of the server ({type(error).__name__}); its own output says more")


def _said(status: int, text: str, headers: dict[str, str] | None = None) -> Response:
    return Response(write_json({"error": text}), status, headers, JSON)


async def _no_such(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    text = {404: "there is nothing at this address", 405: f"{' '.join(request.method.split())} is not for this address"}
    return _said(error.status_code, text.get(error.status_code, error.detail), dict(error.headers or {}))


async def _fault(request: Request, error: Exception) -> Response:
    return refusal(error)


def _json(value: Any) -> Response:
    return Response(write_json(value), media_type=JSON)


async def _server(service: Service, request: Request) -> Response:
    extensions = ["binary_tensor_data", "explain"]
    return _json({"name": "onnxsal", "version": __version__, "extensions": extensions})


async def _live(service: Service, request: Request) -> Response:
    return _json({"live": True})


async def _ready(service: Service, request: Request) -> Response:
    if service.admission.stopping:
        raise Refused(503, "the server is shutting down")
    return _json({"ready": True})


async def _list(service: Service, request: Request) -> Response:
    return _json({"models": list(service.models)})


async def _metadata(service: Service, request: Request) -> Response:
    return _json(_asked(service, request).metadata())


async def _model_ready(service: Service, request: Request) -> Response:
    _asked(service, request)
    return await _ready(service, request)


async def _state_v1(service: Service, request: Request) -> Response:
    served = _asked(service, request)
    return _json({"name": served.name, "ready": not service.admission.stopping})


async def _metrics(service: Service, request: Request) -> Response:
    return Response(await service.read(service.metrics.text), media_type=CONTENT_TYPE)


def _asked(service: Service, request: Request) -> Any:
    return service.served(request.path_params["model"], request.path_params.get("version", "1"))
