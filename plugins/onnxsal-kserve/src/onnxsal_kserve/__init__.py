"""An ONNX model behind KServe's Python server: predictions of the file as it is, and explanations."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from kserve import InferOutput, InferRequest, InferResponse, Model
from kserve.errors import InvalidInput
from kserve.utils.utils import generate_uuid

from onnxsal.errors import ImageError, UsageError
from onnxsal.serving.protocol import plain_v1, read_v1
from onnxsal.serving.served import DATATYPES, Answer, Served


class Explained(Model):  # type: ignore[misc]
    """A model for ``kserve.ModelServer``. Args: name: that it is served by. path: of its file. how: as of
    ``onnxsal.load``, and ``pixels`` that are decoded of a picture at most."""

    def __init__(self, name: str, path: str, **how: Any) -> None:
        super().__init__(name)
        self._path, self._how = path, how

    def load(self) -> bool:
        """Open the model; return that it is ready. Raises: as ``onnxsal.load``."""
        self.served = Served(self._path, self.name, **self._how)
        self.ready = True
        return True

    async def predict(
        self, payload: Any, headers: Mapping[str, str] | None = None, response_headers: Any = None
    ) -> Any:
        """Return what the file puts out, of a request of version 2 or of version 1's instances."""
        return await asyncio.to_thread(self._told, self._infer, payload)

    async def explain(self, payload: Any, headers: Mapping[str, str] | None = None) -> Any:
        """Return the explanations of instances (``:explain``); ``parameters`` are those of ``Served.wanted``."""
        return await asyncio.to_thread(self._told, self._explain, payload)

    def _told(self, work: Any, payload: Any) -> Any:
        """Return what work makes of a payload. Raises: InvalidInput: it is the client's fault."""
        try:
            return work(payload)
        except (UsageError, ImageError) as error:
            raise InvalidInput(str(error)) from None

    def _infer(self, payload: Any) -> Any:
        if isinstance(payload, InferRequest):
            wanted = [each.name for each in payload.request_outputs or ()]
            found = self.served.infer({each.name: each.as_numpy() for each in payload.inputs}, wanted)
            return InferResponse(
                payload.id or generate_uuid(), self.name, [_output(name, array) for name, array in found.items()],
                use_binary_outputs=payload.use_binary_outputs, requested_outputs=payload.request_outputs,
            )  # fmt: skip
        calls = read_v1(json.dumps(payload).encode(), self._declared)
        inputs = {name: np.stack([each.inputs[name] for each in calls]) for name in calls[0].inputs}
        found = self.served.infer(inputs)
        return {"predictions": [plain_v1({n: a[at] for n, a in found.items()}) for at in range(len(calls))]}

    def _explain(self, payload: Any) -> Any:
        calls = read_v1(json.dumps(payload).encode(), self._declared)
        things = [{name: array[None] for name, array in each.inputs.items()} for each in calls]
        answers = self.served.explain([self.served.wanted(t, c.parameters) for t, c in zip(things, calls, strict=True)])
        return {"explanations": [_plain(each) for each in _whole(answers)]}

    @property
    def _declared(self) -> dict[str, str]:
        return {each["name"]: each["datatype"] for each in self.served.metadata()["inputs"]}


def _output(name: str, array: Any) -> InferOutput:
    found = InferOutput(name, list(array.shape), DATATYPES[str(array.dtype)])
    found.set_data_from_numpy(array, binary_data=False)
    return found


def _whole(answers: Sequence[Answer | Exception]) -> list[Answer]:
    """Return the answers. Raises: the first error among them."""
    for each in answers:
        if isinstance(each, Exception):
            raise each
    return [each for each in answers if isinstance(each, Answer)]


def _plain(answer: Answer) -> dict[str, Any]:
    picture = {} if answer.picture is None else {"picture": {"b64": base64.b64encode(answer.picture).decode()}}
    return {"saliency": answer.arrays["saliency"].tolist(), **answer.told, **picture}
