"""An ONNX model behind MLServer: predictions of the file as it is, and explanations at an address of its own."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from mlserver import MLModel, types
from mlserver.codecs import Base64Codec, NumpyCodec, StringCodec
from mlserver.errors import InferenceError
from mlserver.handlers.custom import CustomHandler, register_custom_handler
from mlserver.utils import get_model_uri

from onnxsal.errors import ImageError, UsageError
from onnxsal.serving.served import Served

_MLSERVERS = ("content_type", "headers")
"""Parameters that are MLServer's own."""


class ExplainedModel(MLModel):  # type: ignore[misc]
    """The implementation that a ``model-settings.json`` names: its ``parameters.uri`` is the file, and ``extra`` in
    them is said as to ``onnxsal.load``."""

    def __init__(self, settings: Any) -> None:
        super().__init__(settings)

        async def explain(payload: types.InferenceRequest) -> types.InferenceResponse:
            return await asyncio.to_thread(self._told, self._explain, payload)

        # MLServer looks for handlers before it loads a model, and reads these types as they are.
        explain.__annotations__ = {"payload": types.InferenceRequest, "return": types.InferenceResponse}
        register_custom_handler(CustomHandler(rest_path=f"/v2/models/{self.name}/explain"), explain)
        self.explain = explain

    async def load(self) -> bool:
        """Open the model; return that it is ready. Raises: as ``onnxsal.load``."""
        path = await get_model_uri(self.settings, wellknown_filenames=["model.onnx"])
        how = getattr(self.settings.parameters, "extra", None) or {}
        self.served = await asyncio.to_thread(partial(Served, path, self.name, **how))
        return True

    async def predict(self, payload: types.InferenceRequest) -> types.InferenceResponse:
        """Return what the file puts out."""
        return await asyncio.to_thread(self._told, self._infer, payload)

    def _told(
        self, work: Callable[[types.InferenceRequest], list[Any]], payload: types.InferenceRequest
    ) -> types.InferenceResponse:
        """Return what work makes of a request. Raises: InferenceError: it is the client's fault."""
        try:
            outputs = work(payload)
        except (UsageError, ImageError) as error:
            raise InferenceError(str(error)) from None
        return types.InferenceResponse(model_name=self.name, model_version=self.version, id=payload.id, outputs=outputs)

    def _infer(self, payload: types.InferenceRequest) -> list[Any]:
        wanted = [each.name for each in payload.outputs or ()]
        found = self.served.infer(self._inputs(payload), wanted)
        return [_output(name, array) for name, array in found.items()]

    def _explain(self, payload: types.InferenceRequest) -> list[Any]:
        asked = {} if payload.parameters is None else payload.parameters.model_dump()
        parameters = {name: value for name, value in asked.items() if name not in _MLSERVERS}
        (answer,) = self.served.explain([self.served.wanted(self._inputs(payload), parameters)])
        if isinstance(answer, Exception):
            raise answer
        told = StringCodec.encode_output("told", [json.dumps(answer.told)])
        outputs = [NumpyCodec.encode_output("saliency", answer.arrays["saliency"][None]), told]
        return outputs if answer.picture is None else [*outputs, Base64Codec.encode_output("picture", [answer.picture])]

    def _inputs(self, payload: types.InferenceRequest) -> dict[str, np.ndarray[Any, Any]]:
        found = {}
        for each in payload.inputs:
            codec = StringCodec if each.datatype == "BYTES" else NumpyCodec
            found[each.name] = _array(self.decode(each, codec), each.shape)
        return found


def _array(found: Any, shape: list[int]) -> np.ndarray[Any, Any]:
    """Return what a codec made of a tensor: of texts and files, which come as lists, an array of objects."""
    if isinstance(found, np.ndarray):
        return found
    made = np.empty(len(found), object)
    made[:] = found
    return made.reshape(shape) if np.prod(shape) == len(made) else made


def _output(name: str, array: np.ndarray[Any, Any]) -> Any:
    if array.dtype != np.object_:
        return NumpyCodec.encode_output(name, array)
    found = StringCodec.encode_output(name, array.ravel().tolist())
    found.shape = list(array.shape)
    return found
