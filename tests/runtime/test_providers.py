"""Providers by name; where an NVIDIA one does not come up, one message says what is missing."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import onnx
import onnx_ir as ir
import onnxruntime
import pytest
from PIL import Image
from tinynet import TinyNet

import onnxsal
from onnxsal.cli import main
from onnxsal.errors import UnsupportedError, UsageError
from onnxsal.explanation.method_plan import plan, split_options
from onnxsal.explanation.request import prepare_request
from onnxsal.graph import Program
from onnxsal.graph.program import empty
from onnxsal.runtime import Session, nvidia
from onnxsal.runtime.providers import described, device_id, full_name, no_such_device, providers, unusable

EVERYTHING = ["TensorrtExecutionProvider", "CUDAExecutionProvider", "CPUExecutionProvider"]


@pytest.fixture
def offered(monkeypatch: pytest.MonkeyPatch):
    """Pretend that this build of ONNX Runtime has these providers."""

    def pretend(*names: str) -> None:
        monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: list(names))
        monkeypatch.setattr(nvidia, "onnxruntime", lambda: SimpleNamespace(__file__="/ort/__init__.py"))

    return pretend


def doubled() -> Program:
    op = empty(21)
    x = op.input("x", ir.DataType.FLOAT, ["batch", 3])
    return op.finish(y=op.Add(x, x))


def test_names_are_ours_or_those_of_onnx_runtime() -> None:
    assert {full_name(n) for n in (None, "cpu", "CPUExecutionProvider")} == {"CPUExecutionProvider"}
    assert full_name("xnnpack") == full_name("XnnpackExecutionProvider") == "XnnpackExecutionProvider"
    assert full_name("TensorRT") == "TensorrtExecutionProvider"
    with pytest.raises(UsageError, match="did you mean 'cuda'"):
        full_name("cdua")


@pytest.mark.parametrize("name", ["gpu", "GPU", "nvidia"])
def test_a_gpu_is_asked_for_by_cuda(name: str) -> None:
    with pytest.raises(UsageError, match=f"no provider '{name}'; did you mean 'cuda'"):
        full_name(name)


def test_an_empty_name_is_no_provider() -> None:
    with pytest.raises(UsageError, match=r"no provider '' \(there are: cpu, cuda"):
        onnxsal.load(TinyNet().model(), provider="")


def test_what_a_provider_cannot_run_goes_to_those_behind_it(offered) -> None:
    offered(*EVERYTHING)
    cuda = ("CUDAExecutionProvider", {"use_tf32": "0"})
    assert providers(None) == providers("cpu") == ["CPUExecutionProvider"]
    assert providers("cuda") == [cuda, "CPUExecutionProvider"]
    assert providers("tensorrt") == ["TensorrtExecutionProvider", cuda, "CPUExecutionProvider"]
    offered("OpenVINOExecutionProvider", "CPUExecutionProvider")
    assert providers("openvino") == ["OpenVINOExecutionProvider", "CPUExecutionProvider"]


def test_a_number_behind_a_colon_chooses_the_device(offered) -> None:
    offered(*EVERYTHING)
    cuda = ("CUDAExecutionProvider", {"use_tf32": "0", "device_id": "1"})
    assert providers("cuda:1") == [cuda, "CPUExecutionProvider"]
    assert providers("tensorrt:1") == [("TensorrtExecutionProvider", {"device_id": "1"}), cuda, "CPUExecutionProvider"]
    assert full_name("CUDA:1") == full_name("CUDAExecutionProvider:1") == "CUDAExecutionProvider"
    assert [device_id(name) for name in (None, "cpu", "cuda", "cuda:0", "cuda:12")] == [None, None, None, 0, 12]
    assert described("cuda:1") == {"provider": "cuda:1", "tf32": False}


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("cpu:1", "provider 'cpu:1': cpu has no devices to choose from; write 'cpu'"),
        ("cpu:", "provider 'cpu:': cpu has no devices to choose from"),
        ("openvino:0", "openvino has no devices to choose from"),
        ("cuda:", "provider 'cuda:': expected the number of a device behind the colon, as in 'cuda:0', got ''"),
        ("cuda:x", "as in 'cuda:0', got 'x'"),
        ("cuda:-1", "got '-1'"),
        ("cuda:1:2", "got '1:2'"),
        ("cuda:²", "got '²'"),
        ("cdua:1", "there is no provider 'cdua'; did you mean 'cuda'"),
        ("gpu:0", "there is no provider 'gpu'; did you mean 'cuda'"),
        (":1", "there is no provider ''"),
    ],
)
def test_a_device_that_cannot_be_meant_is_refused(name: str, message: str, offered) -> None:
    offered(*EVERYTHING)
    with pytest.raises(UsageError, match=re.escape(message)):
        onnxsal.load(TinyNet().model(), provider=name)


def test_a_gpu_that_is_not_there_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    for count, text in ((1, "this machine has 1 GPU, counted"), (2, "this machine has 2 GPUs, counted from 0")):
        monkeypatch.setattr("onnxsal.runtime.providers.devices", lambda count=count: count)
        assert text in str(no_such_device("cuda:2"))
        assert [no_such_device(name) for name in ("cuda", "cuda:0", "cpu", "directml:2")] == [None] * 4


def test_a_build_without_the_provider_says_which_it_has(offered) -> None:
    offered("CPUExecutionProvider")
    with pytest.raises(UnsupportedError, match=r"no CUDA\w+ \(it has CPU\w+\); .*pip install 'onnxsal\[gpu\]'"):
        providers("cuda")
    with pytest.raises(UnsupportedError, match=r"no DmlExecutionProvider \(it has CPUExecutionProvider\)$"):
        providers("directml")


def test_the_manifest_says_that_tf32_is_off() -> None:
    assert described("cuda") == {"provider": "cuda", "tf32": False}
    assert described(None) == {"provider": "cpu"}


class Driver:
    """A CUDA driver that finds so many GPUs."""

    def __init__(self, status: int, count: int) -> None:
        self.status, self.count = status, count

    def cuInit(self, flags: int) -> int:
        return self.status

    def cuDeviceGetCount(self, pointer) -> int:
        pointer._obj.value = self.count
        return 0


def loading(monkeypatch: pytest.MonkeyPatch, library: str | None, driver: Driver | None) -> None:
    def load(name: str) -> object:
        found = driver if "onnxruntime" not in name else None if library else object()
        if found is None:
            raise OSError(library or "not found")
        return found

    monkeypatch.setattr(nvidia, "_load", load)


NO_LIBRARY = "libcublasLt.so.13: cannot open shared object file"
PIECES = [
    (NO_LIBRARY, Driver(0, 1), ["cannot be loaded (libcublasLt.so.13"]),
    (None, None, ["no NVIDIA driver is installed"]),
    (None, Driver(100, 0), ["finds no GPU (its status is 100)"]),
    (None, Driver(0, 0), ["finds no GPU (its status is 0)"]),
    (NO_LIBRARY, None, ["cannot be loaded (libcublasLt.so.13", "no NVIDIA driver is installed"]),
]


@pytest.mark.parametrize(("library", "driver", "said"), PIECES)
def test_every_missing_piece_is_named(monkeypatch, library: str | None, driver: Driver | None, said: list[str]) -> None:
    loading(monkeypatch, library, driver)
    text = str(unusable("CUDAExecutionProvider"))
    assert all(each in text for each in said)
    assert text.endswith("use --provider cpu")
    assert "\n" not in text


def test_where_nothing_is_missing_the_runtimes_own_words_are_given(monkeypatch: pytest.MonkeyPatch) -> None:
    loading(monkeypatch, None, Driver(0, 1))
    assert "this machine: cuDNN is\tod".replace("\t", " ") in str(unusable("CUDAExecutionProvider", "cuDNN is\n od"))


class Falling:
    """ONNX Runtime's session as it is where a provider does not load: silently without it."""

    def __init__(self, *_: object, **options: object) -> None:
        assert options["enable_fallback"] == 0

    def get_providers(self) -> list[str]:
        return ["CPUExecutionProvider"]


class Failing:
    """The same where the provider's start fails."""

    def __init__(self, *_: object, **__: object) -> None:
        raise RuntimeError("CUDA failure 100: no CUDA-capable device is detected")


@pytest.mark.parametrize("session", [Falling, Failing])
def test_a_session_is_never_on_another_provider(offered, monkeypatch: pytest.MonkeyPatch, session: type) -> None:
    offered(*EVERYTHING)
    loading(monkeypatch, None, Driver(100, 0))
    monkeypatch.setattr(onnxruntime, "InferenceSession", session)
    with pytest.raises(UnsupportedError, match="CUDAExecutionProvider cannot be used on this machine: the NVIDIA dri"):
        Session(doubled(), provider="cuda")


def test_a_provider_that_runs_nothing_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Azure's serves calls over a network: of a model's operators it runs none, and the stock build has it."""
    if "AzureExecutionProvider" not in onnxruntime.get_available_providers():
        pytest.skip("this build of ONNX Runtime has no AzureExecutionProvider")
    if not hasattr(onnxruntime.InferenceSession, "get_provider_graph_assignment_info"):
        pytest.skip("this ONNX Runtime does not say which operators run where (needs 1.24)")
    onnx.save(TinyNet().model(), tmp_path / "tiny.onnx")
    Image.new("RGB", (12, 12)).save(tmp_path / "grey.png")
    status = main(["predict", str(tmp_path / "tiny.onnx"), str(tmp_path / "grey.png"), "--provider", "azure",
                   "--preprocess", "raw"])  # fmt: skip
    out, err = capsys.readouterr()
    assert (status, out) == (1, "")
    assert "AzureExecutionProvider runs no operator of this model, all would run on the CPU: use --provider cpu" in err


def recorded(monkeypatch: pytest.MonkeyPatch, **counts: int) -> onnxsal.Model:
    """Return a model whose sessions run on the CPU, and say that so many operators run on each provider."""
    parts = [
        SimpleNamespace(ep_name=f"{name}ExecutionProvider", get_nodes=lambda count=count: [None] * count)
        for name, count in counts.items()
    ]
    create = onnxruntime.InferenceSession

    class Recording:
        def __init__(self, data: bytes, options: onnxruntime.SessionOptions, **_: object) -> None:
            assert options.get_session_config_entry("session.record_ep_graph_assignment_info") == "1"
            self._real = create(data, options, providers=["CPUExecutionProvider"])

        def __getattr__(self, name: str) -> object:
            return getattr(self._real, name)

        def get_providers(self) -> list[str]:
            return ["DnnlExecutionProvider", "CPUExecutionProvider"]

        def get_provider_graph_assignment_info(self) -> list[SimpleNamespace]:
            return parts

    monkeypatch.setattr(onnxruntime, "InferenceSession", Recording)
    return onnxsal.load(TinyNet().model(), provider="dnnl", preprocess="raw")


@pytest.mark.parametrize(
    ("dnnl", "cpu", "note"),
    [(3, 3, None), (2, 5, "5 of the model's 7 operators have no kernel on DnnlExecutionProvider and run on the CPU")],
)
def test_operators_that_run_elsewhere_are_told(
    offered, monkeypatch: pytest.MonkeyPatch, dnnl: int, cpu: int, note: str | None
) -> None:
    offered("DnnlExecutionProvider", "CPUExecutionProvider")
    model = recorded(monkeypatch, Dnnl=dnnl, CPU=cpu)
    found = onnxsal.explain(model, np.zeros((12, 12, 3), np.uint8), method="grad-cam", target=1)
    assert [n for n in found.manifest["notes"] if "kernel" in n] == ([] if note is None else [note])


@pytest.mark.parametrize(
    ("provider", "asked", "size"),
    [(None, {}, 8), ("cuda", {}, 32), ("tensorrt", {}, 32), ("cuda", {"batch_size": 5}, 5), ("openvino", {}, 8)],
)
def test_a_gpu_is_given_larger_batches(provider: str | None, asked: dict[str, int], size: int) -> None:
    model = replace(onnxsal.load(TinyNet().model(), preprocess="raw"), provider=provider)
    how = {"layer": None, "score": None, "seed": 0, "preprocess": None}
    request = prepare_request(model, plan("score-cam", {}), **how, common=split_options(asked)[0])
    assert request.batch_size == size


@pytest.mark.parametrize("command", ["predict", "explain"])
def test_the_command_line_says_it_in_one_line_and_ends_with_1(
    offered, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    offered("CPUExecutionProvider")
    monkeypatch.chdir(tmp_path)
    onnx.save(TinyNet().model(), tmp_path / "tiny.onnx")
    Image.new("RGB", (12, 12)).save(tmp_path / "grey.png")
    status = main([command, str(tmp_path / "tiny.onnx"), str(tmp_path / "grey.png"), "--provider", "cuda"])
    out, err = capsys.readouterr()
    assert (status, out) == (1, "")
    assert err.count("\n") == 1
    assert "this build of ONNX Runtime has no CUDAExecutionProvider" in err
