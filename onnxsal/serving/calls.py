"""What each address of a model does with a request's body, and the body of its answer."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray
from starlette.requests import Request
from starlette.responses import Response

from onnxsal.errors import UsageError
from onnxsal.modalities.image.sniff import is_picture, what_is
from onnxsal.serving.limits import TEXT_TIMES, Refused, Share
from onnxsal.serving.protocol import (
    HEADER_LENGTH,
    Call,
    plain_v1,
    read_v1,
    read_v2,
    to_base64,
    with_text,
    write_json,
    write_v2,
)
from onnxsal.serving.served import Answer, Served
from onnxsal.serving.service import Service, Things
from onnxsal.serving.tensors import to_json

JSON = "application/json"
PICTURES = {"image/png": "png", "image/webp": "webp"}
"""What an answer may be instead of tensors, by the request's Accept, and the parameter that asks for it."""

_TOLD, _PICTURE = "told", "picture"
_ALWAYS = ("saliency", _PICTURE, _TOLD)
"""What an explanation answers where no outputs are named."""

THINGS = 64
"""That one request may have explained."""


@dataclass(frozen=True)
class Exchange:
    """One request to a model, as its functions take it."""

    service: Service
    served: Served
    request: Request


async def infer_v2(at: Exchange, body: bytes, share: Share) -> Response:
    """Return what the file puts out for the tensors of a body."""
    header = at.request.headers.get(HEADER_LENGTH)

    def work() -> Response:
        call = read_v2(body, header)
        return _tensors(at.served.name, call, at.served.infer(call.inputs, tuple(call.outputs)), {})

    with share.for_now(_as_text(body, header)):
        return await at.service.predict(work)


async def infer_v1(at: Exchange, body: bytes, share: Share) -> Response:
    """Return what the file puts out for instances, one prediction each."""

    def work() -> Response:
        calls = read_v1(body, _declared(at.served))
        found = at.served.infer(_stacked(calls))
        alone = [name for name, array in found.items() if array.ndim == 0 or len(array) != len(calls)]
        if alone:
            raise UsageError(
                f"output {alone[0]!r} has no row for each instance: ask for it by version 2 of the protocol"
            )
        rows = [plain_v1({name: array[row] for name, array in found.items()}) for row in range(len(calls))]
        return Response(f'{{"predictions":[{",".join(rows)}]}}', media_type=JSON)

    with share.for_now(_as_text(body, None)):
        return await at.service.predict(work)


async def explain_v2(at: Exchange, body: bytes, share: Share) -> Response:
    """Return the explanations of the things of a body, which may be one picture's file: as tensors, or a picture."""
    as_picture = _accepted(at.request)
    whole_picture = _is_picture(at.request, body)
    header = "0" if whole_picture else at.request.headers.get(HEADER_LENGTH)

    def read() -> Things[Response]:
        call = _of_picture(body, at.request) if whole_picture else read_v2(body, header)
        parameters = {**at.service.usual, **call.parameters}
        if as_picture:
            parameters = {"drawing": "overlay", **parameters, "format": as_picture}
        rows = at.served.rows(call.inputs)
        _check_count(len(rows))
        if as_picture and len(rows) > 1:
            raise UsageError(f"a picture is of one thing; there are {len(rows)}")
        wanted = [at.served.wanted(row, parameters) for row in rows]
        return Things(wanted, partial(_written_v2, at.served.name, call, as_picture))

    return await at.service.explain(at.served, read, share, _as_text(body, header))


async def explain_v1(at: Exchange, body: bytes, share: Share) -> Response:
    """Return the explanations of instances."""

    def read() -> Things[Response]:
        calls = read_v1(body, _declared(at.served))
        _check_count(len(calls))
        usual = at.service.usual
        wanted = [at.served.wanted(_with_batch(each.inputs), {**usual, **each.parameters}) for each in calls]
        return Things(wanted, _written_v1)

    return await at.service.explain(at.served, read, share, _as_text(body, None))


def _is_picture(request: Request, body: bytes) -> bool:
    """Return whether a body is a picture's file, by its type or, as clients often tell none or a wrong one, itself.

    Raises: UsageError: it is neither that nor JSON, or was changed on the way.
    """
    kind, head = request.headers.get("content-type", "").lower(), body[:64]
    if HEADER_LENGTH in request.headers:
        return False
    if is_picture(head):
        _check_whole(body, kind)
        return True
    if not kind.startswith("image/") and head.strip() and head.lstrip()[:1] not in b"{[":
        raise UsageError(
            f"the body is neither JSON nor a picture; {what_is(body[:512], '')}. A picture's file is the body itself: "
            "curl --data-binary @dog.jpg -H 'Content-Type: image/jpeg'"
        )
    return kind.startswith("image/")


def _check_whole(body: bytes, kind: str) -> None:
    """Raise where a file has lost the ends of its lines: what is left may be decoded, to another picture."""
    is_form = kind.startswith("application/x-www-form-urlencoded")
    if body.startswith(b"\x89PNG\x1a") or (is_form and len(body) > 4096 and b"\n" not in body and b"\r" not in body):
        raise UsageError("the picture has lost bytes on the way, as by curl -d: send it with curl --data-binary")


def _as_text(body: bytes, header: str | None) -> int:
    """Return the bytes that reading the JSON of a body may take for a moment."""
    length = int(header) if header is not None and header.isdecimal() and len(header) < 16 else len(body)
    return TEXT_TIMES * min(length, len(body))


def _check_count(count: int) -> None:
    if count > THINGS:
        raise Refused(413, f"{count} things are to be explained; {THINGS} are taken on in one request")


def _accepted(request: Request) -> str | None:
    """Return the kind of picture that is to be the answer, None for tensors."""
    kinds = [each.partition(";")[0].strip().lower() for each in request.headers.get("accept", "").split(",")]
    return next((PICTURES[kind] for kind in kinds if kind in PICTURES), None)


def _of_picture(body: bytes, request: Request) -> Call:
    """Return the call of a body that is a picture's file; its parameters are those of the address."""
    parameters = dict[str, Any]()
    for name, text in request.query_params.multi_items():
        if name in parameters:
            raise UsageError(f"parameter {name!r} is there twice")
        parameters[name] = _value(text)
    binary = parameters.pop("binary_data_output", False)
    if not isinstance(binary, bool):
        raise UsageError("binary_data_output: expected true or false")
    outputs = [each for each in str(parameters.pop("outputs", "")).split(",") if each]
    return Call({"image": _one_of_bytes(body)}, parameters, dict.fromkeys(outputs), binary)


def _value(text: str) -> Any:
    """Return a number, true or false as such, everything else as text."""
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return text
    return found if isinstance(found, bool | int | float) else text


def _one_of_bytes(content: bytes) -> NDArray[Any]:
    found = np.empty(1, object)
    found[0] = content
    return found


def _declared(served: Served) -> dict[str, str]:
    return {each["name"]: each["datatype"] for each in served.metadata()["inputs"]}


def _stacked(calls: Sequence[Call]) -> dict[str, NDArray[Any]]:
    """Return the inputs of instances as batches. Raises: UsageError: they differ in names or shapes."""
    first = calls[0].inputs
    for at, call in enumerate(calls):
        shapes = {name: array.shape for name, array in call.inputs.items()}
        if shapes != {name: array.shape for name, array in first.items()}:
            raise UsageError(f"instance {at} differs from the first in its inputs or their shapes")
    return {name: np.stack([call.inputs[name] for call in calls]) for name in first}


def _with_batch(inputs: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    return {name: array[None] for name, array in inputs.items()}


def _written_v2(name: str, call: Call, as_picture: str | None, answers: Sequence[Answer]) -> Response:
    if as_picture:
        return Response(answers[0].picture, media_type=f"image/{as_picture}")
    arrays = _arrays(answers)
    if not call.outputs:
        arrays = {each: arrays[each] for each in _ALWAYS if each in arrays}
    told = {key: value for key, value in answers[0].told.items() if isinstance(value, str | bool | int | float)}
    return _tensors(name, call, arrays, told if len(answers) == 1 else {})


def _arrays(answers: Sequence[Answer]) -> dict[str, NDArray[Any]]:
    """Return the arrays of explanations as batches. Raises: UsageError: they are not of one shape."""
    found = dict[str, NDArray[Any]]()
    for name in answers[0].arrays:
        several = [each.arrays[name] for each in answers if name in each.arrays]
        if len(several) < len(answers) or len({array.shape for array in several}) > 1:
            raise UsageError(f"{name!r} of these things is not of one shape: ask for one at a time")
        found[name] = np.stack(several)
    told = np.empty(len(answers), object)
    told[:] = [write_json(each.told) for each in answers]
    pictures = np.empty(len(answers), object)
    pictures[:] = [each.picture for each in answers]
    return found | ({_PICTURE: pictures} if answers[0].picture is not None else {}) | {_TOLD: told}


def _tensors(name: str, call: Call, arrays: Mapping[str, NDArray[Any]], told: Mapping[str, Any]) -> Response:
    body, head = write_v2(name, call, arrays, told, files={_PICTURE})
    if head is None:
        return Response(body, media_type=JSON)
    headers = {HEADER_LENGTH: str(head)}
    return Response(body, media_type="application/octet-stream", headers=headers)


def _written_v1(answers: Sequence[Answer]) -> Response:
    explanations = []
    for each in answers:
        picture = {} if each.picture is None else {_PICTURE: {"b64": to_base64(each.picture)}}
        saliency = to_json(each.arrays["saliency"], "saliency", nested=True)
        explanations.append(with_text({**each.told, **picture}, "saliency", saliency))
    return Response(b'{"explanations":[' + b",".join(explanations) + b"]}", media_type=JSON)
