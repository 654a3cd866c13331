#!/bin/sh
# Makes the runtimes that the tests run compiled models in: sh set_up.sh FOLDER [NAME ...], then ONNXSAL_RUNTIMES=FOLDER.
# NAMEs are those below, an environment each, for what they need excludes one another; without any, those of the tests:
# python, openvino, node, triton and tritonserver. The others are for docs/runtimes.md (tests/reference/forms_elsewhere.py).
# Needs Python with venv, Node and npm. A browser is not part of it: a Chromium or Chrome on the PATH is taken, or the one
# that ONNXSAL_BROWSER names, with the options in ONNXSAL_BROWSER_FLAGS.
set -e
folder=$1
shift
[ $# -gt 0 ] || set -- python openvino node triton tritonserver

environment() { # NAME PACKAGE ...
    name=$1
    shift
    python3 -m venv "$folder/$name"
    "$folder/$name/bin/pip" install -q "$@"
}

compiler() { # tinygrad compiles with clang: Zig's wheel has one, with names of targets of its own and no pipes
    cat >"$folder/tinygrad/bin/clang" <<'SCRIPT'
#!/bin/sh
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cat >"$work/in.c"
options=
for each in "$@"; do
    case $each in
        --target=* | - | -o | -x | c) ;;
        -march=*) options="$options -march=native" ;;
        *) options="$options $each" ;;
    esac
done
"$(dirname "$0")/python" -m ziglang cc -target x86_64-linux-musl -fno-sanitize=undefined -fno-stack-protector -g0 \
    $options "$work/in.c" -o "$work/out.o"
cat "$work/out.o"
SCRIPT
    chmod +x "$folder/tinygrad/bin/clang"
}

for each in "$@"; do
    case $each in
        python) environment python onnxruntime numpy pillow ;;
        openvino) environment openvino openvino numpy pillow ;;
        node)
            mkdir -p "$folder/node"
            (cd "$folder/node" && npm init -y >/dev/null &&
                npm install --ignore-scripts onnxruntime-node onnxruntime-web playwright-core)
            ;;
        tract) environment tract tract numpy ;;
        opencv) environment opencv opencv-python-headless numpy ;;
        mnn) environment mnn MNN numpy ;;
        iree) environment iree 'iree-base-compiler[onnx]' iree-base-runtime numpy ;;
        tvm) environment tvm apache-tvm onnx numpy ;;
        tinygrad) environment tinygrad tinygrad ziglang onnx numpy && compiler ;;
        onnx2torch) environment onnx2torch onnx2torch torch numpy ;;
        litert) environment litert onnx2tf numpy ;;
        triton) environment triton 'tritonclient[grpc]' ;;
        tritonserver) # for some Pythons alone: 3.11 and 3.12 have both it and a NumPy below 2, which it needs
            environment tritonserver nvidia-pytriton 'numpy<2' onnxruntime || {
                rm -rf "$folder/tritonserver" && echo 'no Triton for this Python: its test is skipped' >&2
            }
            ;;
        ncnn) environment ncnn ncnn pnnx numpy ;;
        *) echo "no runtime '$each'" >&2 && exit 2 ;;
    esac
done
