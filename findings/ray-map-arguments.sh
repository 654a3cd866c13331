#!/usr/bin/env bash
# An ObjectRef among the arguments of map_batches stays a reference, for a function and for a class.
#
# Versions: ray 2.60.0, fsspec 2026.9.0, pyarrow 26.0.1, pandas 3.1.1, numpy 2.4.6.
#
# Guess: fn_args and fn_constructor_args are "top-level arguments in the underlying Ray task" or "actor construction
# task", as the documentation of map_batches says, and Ray gives a task the value of a top-level ObjectRef. So weights
# that were put into the object store once arrive as weights, in the function and in the constructor.
#
# Seen: both get the ObjectRef itself, and have to call ray.get: the arguments are packed into one of Ray Data's own.
set -euo pipefail
export RAY_USAGE_STATS_ENABLED=0
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3}" -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check 'ray==2.60.0' 'fsspec==2026.9.0' 'pyarrow==26.0.1' 'pandas==3.1.1' 'numpy==2.4.6'
cd "$folder"
venv/bin/python - <<'PROGRAM'
import sys

import ray

ray.init(address="local", num_cpus=2, include_dashboard=False, logging_level="ERROR", log_to_driver=False)
ray.data.DataContext.get_current().enable_progress_bars = False
weights = ray.put([1, 2, 3])
rows = ray.data.range(4, override_num_blocks=1)


def function(batch, given):
    return {"type": [type(given).__name__]}


class Constructed:
    def __init__(self, given):
        self.type = type(given).__name__

    def __call__(self, batch):
        return {"type": [self.type]}


one_actor = {"compute": ray.data.ActorPoolStrategy(size=1), "num_cpus": 1}
found = {
    "a function's argument": rows.map_batches(function, fn_args=(weights,)).take_all()[0]["type"],
    "a constructor's argument": rows.map_batches(
        Constructed, fn_constructor_args=(weights,), **one_actor).take_all()[0]["type"],
}
for name, kind in found.items():
    print(f"{name} is a {kind}")
if set(found.values()) != {"ObjectRef"}:
    sys.exit("no longer so: a function or a constructor gets the object itself")
PROGRAM
