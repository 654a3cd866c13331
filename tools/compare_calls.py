"""What ``compare_builds`` asks of both builds: options, variants of compiling, command lines, wrong calls."""

from __future__ import annotations

from typing import Any

QUICK = ("shapes", "vgg", "resnet_basic_int8", "vit_timm_float16")
"""Models of the quick run; the first two are compiled."""
WHOLE = ("shapes", "shapes_batch1", "resnet_basic_int8")
"""Models that the full run compiles in every variant."""

OPTIONS: dict[str, dict[str, Any]] = {
    "score-cam": {"top_k": 6}, "ss-cam": {"top_k": 3, "samples": 3}, "is-cam": {"top_k": 3, "samples": 3},
    "smoothgrad": {"samples": 4}, "smoothgrad-squared": {"samples": 4}, "vargrad": {"samples": 4},
    "smooth-grad-cam++": {"samples": 4}, "integrated-gradients": {"steps": 5}, "rise": {"samples": 20},
    "occlusion": {"patch": 16, "stride": 16},
}  # fmt: skip

VARIANTS: dict[str, dict[str, Any]] = {
    "predicted, saliency and raw": {"give": "saliency,raw"},
    "pair": {"target": (1, 0)},
    "target as input": {"target": "input", "explain_required": True},
    "class, opset 18": {"target": 1, "opset": 18},
    "bytes in, drawing": {"bytes_in": True, "give": "saliency,drawing", "preprocess": "unit"},
    "probability, seed 3": {"score": "probability", "seed": 3},
}

FILES = {"broken.onnx": b"\x08\x07\x12", "empty.onnx": b"", "text.png": b"no picture", "labels.txt": b"one\ntwo\n"}

COMMANDS = ("explain", "predict", "demo", "evaluate", "experiment", "diff", "study", "methods", "layers", "inspect",
            "gradient", "compile", "completion")  # fmt: skip

LINES = [
    "",
    "--help",
    "--version",
    *(f"{name} --help" for name in COMMANDS),
    "methods",
    "methods --json",
    *"""\
methods -m ss-cam
methods -m smoothgrad --json
evaluate --list
completion bash
layers shapes.onnx
layers shapes.onnx --json
layers vit_timm.onnx
inspect shapes_two.onnx --json
inspect vit_timm.onnx
predict shapes.onnx demo.png
predict shapes.onnx demo.png --json --top 2
predict vgg.onnx demo.png
explain shapes.onnx demo.png -o a.png
explain shapes.onnx demo.png -o a.png --json -m gradient,layercam -t star -t cross
explain shapes.onnx demo.png -o a.png -t star~minus~cross -m smoothgrad -O samples=5
explain shapes.onnx demo.png -o a.png -l #3 -l #9 -m layercam -O fuse=max
explain shapes.onnx demo.png -o a.png -m score-cam -O forwards=20
compile shapes.onnx -o c.onnx --bytes-in --give drawing
inspect c.onnx
inspect c.onnx --json
gradient shapes.onnx --of logits --wrt picture -o g.onnx
evaluate shapes.onnx demo.png -m grad-cam++,eigencam --journal j.jsonl --json -
evaluate shapes.onnx demo.png -m grad-cam++ --metrics deletion[steps=5] --journal k.jsonl
diff shapes.onnx shapes_two.onnx demo.png
explane shapes.onnx demo.png
explain
explain shapes.onnx
explain none.onnx demo.png
explain broken.onnx demo.png
explain empty.onnx demo.png
explain shapes.onnx none.png
explain shapes.onnx text.png
explain shapes.onnx demo.png -m grad-cma
explain shapes.onnx demo.png -t stra
explain shapes.onnx demo.png -t 99
explain shapes.onnx demo.png -l nothing
explain shapes.onnx demo.png -l conv
explain shapes.onnx demo.png -O samples=3
explain shapes.onnx demo.png -m smoothgrad -O samples=many
explain shapes.onnx demo.png -m smoothgrad -O samples=0
explain shapes.onnx demo.png -m score-cam -O forwards=1
explain shapes.onnx demo.png -o nowhere/a.png
explain shapes.onnx demo.png -o a.xyz
explain shapes.onnx demo.png --colours none
explain shapes.onnx demo.png --kind none
explain shapes.onnx demo.png --score none
explain shapes.onnx demo.png --preprocess none
explain shapes.onnx demo.png --labels labels.txt
explain shapes.onnx demo.png --provider cdua
explain shapes.onnx demo.png --memory lots
explain shapes.onnx demo.png --seed -1
explain shapes.onnx demo.png --sede 1
explain vgg.onnx demo.png
explain vit_timm.onnx demo.png -m recipro-cam --preprocess unit
explain vit_timm.onnx demo.png -m cam --preprocess unit
explain https://example.org/model.onnx demo.png
compile shapes.onnx -o c.onnx -m none
compile shapes.onnx -o c.onnx --give none
compile shapes.onnx -o c.onnx --opset 9
compile vgg.onnx -o c.onnx --bytes-in
compile c.onnx -o d.onnx
gradient shapes.onnx --of none --wrt picture -o g.onnx
gradient shapes.onnx --of logits --wrt none -o g.onnx
gradient shapes.onnx --of logits --wrt picture -o g.onnx --rules none
evaluate shapes.onnx nothing/ -m grad-cam++
evaluate shapes.onnx demo.png -m grad-cam++ --metrics none
evaluate shapes.onnx demo.png -m grad-cam++ --metrics pointing-game
methods -m none
predict shapes.onnx demo.png --top 0""".splitlines(),
]
"""Command lines, right and wrong; ``~`` is a space inside an argument."""

SHEETS = (
    "explain shapes.onnx demo.png", "explain shapes.onnx demo.png -m grad-cam++,gradient,score-cam -O batch_size=4",
    "explain shapes.onnx demo.png -m layercam -t star~minus~cross", "explain shapes.onnx demo.png --kind heat",
    "explain shapes.onnx demo.png --colours viridis --kind product",
)  # fmt: skip

PYTHON = """\
onnxsal.load(3)
onnxsal.load('none.onnx')
onnxsal.load('shapes.onnx', provider='none')
onnxsal.load('shapes.onnx', labels=['a'])
onnxsal.load('shapes.onnx')
onnxsal.explain('shapes.onnx', 3)
onnxsal.explain('shapes.onnx', None)
onnxsal.explain('shapes.onnx', 'demo.png', target=[])
onnxsal.explain('shapes.onnx', 'demo.png', target=1.5)
onnxsal.explain('shapes.onnx', 'demo.png', target=(1, 2, 3))
onnxsal.explain('shapes.onnx', 'demo.png', target=(1, 1))
onnxsal.explain('shapes.onnx', 'demo.png', target=-1)
onnxsal.explain('shapes.onnx', 'demo.png', layer=3)
onnxsal.explain('shapes.onnx', 'demo.png', layer='block')
onnxsal.explain('shapes.onnx', 'demo.png', layer='block3/relu', method='gradient')
onnxsal.explain('shapes.onnx', 'demo.png', score='none')
onnxsal.explain('shapes.onnx', 'demo.png', seed=-1)
onnxsal.explain('shapes.onnx', 'demo.png', seed=True)
onnxsal.explain('shapes.onnx', 'demo.png', method=3)
onnxsal.explain('shapes.onnx', 'demo.png', sample=3)
onnxsal.explain('shapes.onnx', 'demo.png', sign='absolute')
onnxsal.explain('shapes.onnx', 'demo.png', batch_size=0)
onnxsal.explain('shapes.onnx', 'demo.png', preprocess='none')
onnxsal.explain('shapes.onnx', 'demo.png', preprocess={'mean': 1})
onnxsal.explain('shapes.onnx', 'demo.png', method='smoothgrad', inner='none')
onnxsal.explain('shapes.onnx', 'demo.png', method='smoothgrad', samples=2, tolerance=-1)
onnxsal.explain('shapes.onnx', np.zeros((3, 10, 10), np.float32))
onnxsal.explain('shapes.onnx', np.full((3, 96, 96), np.nan, np.float32))
onnxsal.explain('shapes.onnx', np.zeros((10, 10), np.int32))
onnxsal.explain('shapes.onnx', 'demo.png').save('a.xyz')
onnxsal.explain('shapes.onnx', 'demo.png').save('a.png', kind='none')
onnxsal.explain('shapes.onnx', 'demo.png').to_npz('nowhere/a.npz')
onnxsal.compile('shapes.onnx', target=np.array([1, 2]))
onnxsal.compile('shapes.onnx', give=[])
onnxsal.compile('shapes.onnx', seconds=3)
onnxsal.compile('shapes.onnx', sign='signed')
onnxsal.gradient('shapes.onnx', of=[], wrt=['picture'])
onnxsal.gradient('shapes.onnx', of=['logits'], wrt=['picture'], opset=9)
onnxsal.evaluate('shapes.onnx', [], methods=['grad-cam++'], metrics=['none'])
onnxsal.save('shapes.onnx', 'nowhere/x.onnx')
onnxsal.nothing
sorted(onnxsal.methods())
sorted(onnxsal.__all__)""".splitlines()
"""Expressions whose text or exception is compared."""


def options(method: str) -> dict[str, Any]:
    """Return options that make a method quick."""
    return OPTIONS.get(method, {})
