"""Serves a model repository in Triton's own server, out of nvidia-pytriton's wheel, and asks it all at once.

Argument: a folder with ``repository`` and requests.npz, whose arrays are called MODEL/NUMBER/INPUT. It gets
answers.npz with MODEL/NUMBER/OUTPUT, and counts.json with the rows and the runs that the server counted of each model.
The wheel has no backend for ONNX: its Python backend runs the files (triton_model.py), on the rows that the server
gathered.
"""

import json
import os
import shutil
import socket
import subprocess
import sys
import sysconfig
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from tritonclient import http
from tritonclient.utils import np_to_triton_dtype

SITE = Path(sysconfig.get_path("purelib"))
TRITON = SITE / "pytriton" / "tritonserver"
STUB = "triton_python_backend_stub"
"""What runs Python beside the server; there is one for each version."""
LONGEST = 120
"""Seconds until models are ready."""


def with_python(folder):
    """Return a copy of a repository whose models are run by the Python backend, and all else stays."""
    copy = folder / "served"
    shutil.copytree(folder / "repository", copy)
    for told in copy.glob("*/config.pbtxt"):
        told.write_text(told.read_text().replace('backend: "onnxruntime"', 'backend: "python"'))
        shutil.copy(Path(__file__).with_name("triton_model.py"), told.with_name("1") / "model.py")
    return copy


def started(folder, port):
    """Return the server's process."""
    backends, models = folder / "backends", with_python(folder)
    shutil.copytree(TRITON / "backends", backends)
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    shutil.copy(TRITON / "python_backend_stubs" / version / STUB, backends / "python")
    libraries = f"{SITE / 'nvidia_pytriton.libs'}:{sysconfig.get_config_var('LIBDIR')}"
    where = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    return subprocess.Popen(
        [TRITON / "bin" / "tritonserver", f"--model-repository={models}", f"--backend-directory={backends}",
         "--http-address=127.0.0.1", f"--http-port={port}", "--allow-grpc=false", "--allow-metrics=false"],
        env={**os.environ, "LD_LIBRARY_PATH": libraries, "PYTHONPATH": str(SITE), "PATH": where},
        stdout=(folder / "server.log").open("w"), stderr=subprocess.STDOUT,
    )  # fmt: skip


def wait(server, client, log):
    """Return once all models are ready."""
    end = time.monotonic() + LONGEST
    while time.monotonic() < end and server.poll() is None:
        try:
            if client.is_server_ready():
                return
        except OSError:
            pass
        time.sleep(0.2)
    raise SystemExit(f"Triton is not ready: {log.read_text()[-3000:]}")


def answer(address, model, arrays):
    """Return what the server answers to one request, by name."""
    inputs = [http.InferInput(name, a.shape, np_to_triton_dtype(a.dtype)) for name, a in arrays.items()]
    for each, array in zip(inputs, arrays.values(), strict=True):
        each.set_data_from_numpy(array)
    with http.InferenceServerClient(address) as client:
        found = client.infer(model, inputs)
    return {each["name"]: found.as_numpy(each["name"]) for each in found.get_response()["outputs"]}


def main():
    """Serve, ask, and write down."""
    folder, requests = Path(sys.argv[1]), {}
    for key, array in np.load(folder / "requests.npz").items():
        model, number, name = key.split("/")
        requests.setdefault((model, number), {})[name] = array
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    server = started(folder, address.split(":")[1])
    client = http.InferenceServerClient(address)
    try:
        wait(server, client, folder / "server.log")
        with ThreadPoolExecutor(len(requests)) as pool:
            asked = {key: pool.submit(answer, address, key[0], arrays) for key, arrays in requests.items()}
            named = {"/".join((*key, name)): a for key, own in asked.items() for name, a in own.result().items()}
        np.savez(folder / "answers.npz", **named)
        stats = client.get_inference_statistics()["model_stats"]
        counts = {each["name"]: [each["inference_count"], each["execution_count"]] for each in stats}
        (folder / "counts.json").write_text(json.dumps(counts))
    finally:
        client.close()  # the server waits for whoever is connected
        server.terminate()
        server.wait(60)


if __name__ == "__main__":
    main()
