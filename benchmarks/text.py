"""Integrated gradients of texts against captum on the same weights, and what they take.

    python benchmarks/text.py [PART-OF-A-NAME ...] [--layers N] [--width N] [--tokens N]

Six architectures of transformers with random weights, exported by both exporters of PyTorch, explained by onnxsal in
float32 at the vectors of their words, and by captum's LayerIntegratedGradients at the same layer of the same network:
50 Gauss-Legendre steps from the vectors of token 0, the first and the last token kept. Of a language model the score is
the logit of the token that it takes for the next. Correlations are of the tokens' sums over the width, over texts; gaps
are of completeness, relative to the score's rise. Times are medians: the gradient over a forward of the file, all of
integrated gradients over as many runs of the gradient's session, and captum's over onnxsal's. Ends with 1 where a
correlation is not above .999. Needs torch, transformers, captum and onnxscript beside onnxsal.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import torch
from captum.attr import LayerIntegratedGradients
from torch import nn

import onnxsal
from onnxsal.anatomy import X

# In place of this folder: transformers would take kernels.py here for a package of that name.
sys.path[0] = str(Path(__file__).resolve().parent.parent / "tests" / "data" / "zoo")
import export as tool  # noqa: E402

WORDS, MOST, STEPS, TEXTS, TIMES, BATCH = 200, 128, 50, 3, 9, 8
LEAST = 0.999


@dataclass(frozen=True)
class Size:
    """Of the networks and texts."""

    layers: int
    width: int
    tokens: int


@dataclass(frozen=True)
class Network:
    """An architecture: what makes it, where its words are looked up, and what it takes beside ids."""

    make: Callable[[Any, Size], nn.Module]
    words: str
    beside: tuple[str, ...] = ("attention_mask",)
    next: bool = False
    """Whether it tells the next token."""


def _usual(size: Size) -> dict[str, Any]:
    return {"hidden_size": size.width, "num_hidden_layers": size.layers, "num_attention_heads": 4,
            "intermediate_size": 2 * size.width, "vocab_size": WORDS, "max_position_embeddings": MOST}  # fmt: skip


NETWORKS = {
    "BERT": Network(
        lambda t, s: t.BertForSequenceClassification(t.BertConfig(**_usual(s), num_labels=3)),
        "bert.embeddings.word_embeddings", ("attention_mask", "token_type_ids")),
    "DistilBERT": Network(
        lambda t, s: t.DistilBertForSequenceClassification(t.DistilBertConfig(
            dim=s.width, n_layers=s.layers, n_heads=4, hidden_dim=2 * s.width, vocab_size=WORDS,
            max_position_embeddings=MOST, num_labels=3)),
        "distilbert.embeddings.word_embeddings"),
    "RoBERTa": Network(
        lambda t, s: t.RobertaForSequenceClassification(t.RobertaConfig(**_usual(s), num_labels=3)),
        "roberta.embeddings.word_embeddings"),
    "DeBERTa": Network(
        lambda t, s: t.DebertaV2ForSequenceClassification(t.DebertaV2Config(
            **_usual(s), num_labels=3, relative_attention=True, pos_att_type=["p2c", "c2p"], position_buckets=16,
            share_att_key=True, norm_rel_ebd="layer_norm")),
        "deberta.embeddings.word_embeddings"),
    "GPT-2": Network(
        lambda t, s: t.GPT2LMHeadModel(t.GPT2Config(
            n_embd=s.width, n_layer=s.layers, n_head=4, vocab_size=WORDS, n_positions=MOST, use_cache=False,
            bos_token_id=0, eos_token_id=0)),
        "transformer.wte", next=True),
    "Llama": Network(
        lambda t, s: t.LlamaForCausalLM(t.LlamaConfig(**_usual(s), num_key_value_heads=2, use_cache=False)),
        "model.embed_tokens", next=True),
}  # fmt: skip


class Logits(nn.Module):
    """A network of transformers that puts out logits alone, of arguments in their order."""

    def __init__(self, network: nn.Module, names: tuple[str, ...]) -> None:
        super().__init__()
        self.network, self.names = network, names

    def forward(self, *given: torch.Tensor) -> torch.Tensor:
        """Return the logits, [B, classes] or [B, T, words]."""
        logits: torch.Tensor = self.network(**dict(zip(self.names, given, strict=True))).logits
        return logits


def beside(names: tuple[str, ...], ids: torch.Tensor) -> tuple[torch.Tensor, ...]:
    """Return what the network takes beside ids: all count, of one type."""
    return tuple(torch.zeros_like(ids) if name == "token_type_ids" else torch.ones_like(ids) for name in names)


def write(whole: Logits, ids: torch.Tensor, path: Path, exporter: str) -> None:
    """Export with the batch and the number of tokens left open."""
    given = (ids, *beside(whole.names[1:], ids))
    names = list(whole.names)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if exporter == "dynamo":
            axes = {0: torch.export.Dim("batch"), 1: torch.export.Dim("tokens", max=MOST - 2)}
            torch.onnx.export(whole, given, path, dynamo=True, input_names=names, output_names=["logits"],
                              dynamic_shapes=((axes,) * len(names),), external_data=False, verbose=False)  # fmt: skip
        else:
            torch.onnx.export(whole, given, path, dynamo=False, input_names=names, output_names=["logits"],
                              dynamic_axes={n: {0: "batch", 1: "tokens"} for n in names}, opset_version=17)  # fmt: skip


@dataclass(frozen=True)
class Row:
    """What was found of one file."""

    correlation: float
    gaps: tuple[float, float]
    """onnxsal's and captum's."""
    times: tuple[float, float, float, float]
    """Milliseconds of a forward; and ratios: gradient to it, all steps to as many runs, captum to onnxsal."""


def found(whole: Logits, words: nn.Module, path: Path, texts: list[torch.Tensor], *, following: bool) -> Row:
    """Return the comparison of one file."""
    model = onnxsal.load(path)
    own, theirs, gaps, times = [], [], [], list[float]()
    for ids in texts:
        more = beside(whole.names[1:], ids)
        base = torch.cat([ids[:, :1], torch.zeros_like(ids[:, 1:-1]), ids[:, -1:]], dim=1)
        with torch.no_grad():
            last = (lambda y: y[:, -1]) if following else (lambda y: y)
            target = int(last(whole(ids, *more)).argmax())
            baseline = words(base)[0].T.numpy()
        asked = f"logits[0, {ids.shape[1] - 1}, {target}]" if following else target

        def ours(asked: Any = asked, ids: torch.Tensor = ids, baseline: Any = baseline) -> onnxsal.Explanation:
            return onnxsal.explain(model, ids.numpy(), method="integrated-gradients", steps=STEPS, target=asked,
                                   baseline=baseline)  # fmt: skip

        def captums(
            ids: torch.Tensor = ids, base: torch.Tensor = base, more: Any = more, target: int = target, last: Any = last
        ) -> tuple[torch.Tensor, torch.Tensor]:
            integrated = LayerIntegratedGradients(lambda *given: last(whole(*given)), words)
            maps, gap = integrated.attribute(
                ids, base, target=target, additional_forward_args=more, n_steps=STEPS, internal_batch_size=BATCH,
                return_convergence_delta=True,
            )  # fmt: skip
            return maps, gap

        mine, (reference, gap) = ours(), captums()
        sums = mine.raw.sum(0)
        own.append(sums)
        theirs.append(reference[0].sum(-1).detach().numpy())
        rise = abs(float(sums.sum())) or 1.0
        gaps.append((mine.manifest["completeness_gap"] / rise, float(gap.abs()) / rise))
        if not times:
            times = _times(model, ids, asked, (ours, captums), whole, path)
    pairs = [np.corrcoef(a, b)[0, 1] for a, b in zip(own, theirs, strict=True)]
    worst = (max(a for a, _ in gaps), max(b for _, b in gaps))
    return Row(min(pairs), worst, (times[0], times[1], times[2], times[3]))


def _times(model: Any, ids: torch.Tensor, asked: Any, both: Any, whole: Logits, path: Path) -> list[float]:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    file = onnxruntime.InferenceSession(path, options)
    feeds = {n: v.numpy() for n, v in zip(whole.names, (ids, *beside(whole.names[1:], ids)), strict=True)}
    feeds = {each.name: feeds[each.name] for each in file.get_inputs()}
    forward = median(lambda: file.run(None, feeds))
    fitting = model.fitter(model, ids.numpy())
    opened = fitting.model
    x = opened.prepare(fitting.thing).x
    gradient = onnxsal.explain(model, ids.numpy(), method="gradient", target=asked)
    from onnxsal.methods.gradients import input_gradient

    score = opened.score(opened.task.kind("logit"))
    program = opened.program(("timed", score), lambda: input_gradient(score))
    session = opened.session(program)
    more = {name: np.zeros((BATCH, *[1] * (len(value.shape) - 1)), value.dtype.numpy())
            for name, value in program.inputs.items() if name != X}  # fmt: skip
    one = {name: each[:1] for name, each in more.items()}
    alone = median(lambda: session.run({X: x[None], **one}))
    runs = median(lambda: session.run({X: np.repeat(x[None], BATCH, axis=0), **more})) * STEPS / BATCH
    assert gradient.raw.shape == x.shape
    mine, theirs = (median(each, 5) for each in both)
    return [1e3 * forward, alone / forward, mine / runs, theirs / mine]


def median(run: Callable[[], Any], times: int = TIMES) -> float:
    """Return the median of the seconds that a run takes, the first left out."""
    run()
    taken = []
    for _ in range(times):
        started = time.perf_counter()
        run()
        taken.append(time.perf_counter() - started)
    return statistics.median(taken)


def rows(names: list[str], size: Size, folder: Path) -> Iterator[tuple[str, str, Row]]:
    """Yield what was found of every file."""
    tool.torchvision_models()
    import transformers

    for name, network in NETWORKS.items():
        if names and not any(part.lower() in name.lower() for part in names):
            continue
        torch.manual_seed(0)
        made = network.make(transformers, size).eval()
        with torch.no_grad():
            for each in made.parameters():  # the usual start, .02, leaves next to nothing to explain
                each.mul_(4) if each.ndim > 1 else each
        whole = Logits(made, ("input_ids", *network.beside)).eval()  # else an exporter leaves it in training
        texts = [torch.randint(3, WORDS, (1, size.tokens - at)) for at in range(TEXTS)]
        for exporter in ("torchscript", "dynamo"):
            path = folder / f"{name}.{exporter}.onnx"
            write(whole, torch.randint(3, WORDS, (2, size.tokens)), path, exporter)
            yield name, exporter, found(whole, made.get_submodule(network.words), path, texts, following=network.next)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("names", nargs="*")
    for name, usual in (("layers", 2), ("width", 64), ("tokens", 14)):
        parser.add_argument(f"--{name}", type=int, default=usual)
    given, right = parser.parse_args(), True
    print("| network | exporter | correlation | gap | captum's | forward | gradient | all steps | captum takes |")
    print("| --- " * 9 + "|")
    with tempfile.TemporaryDirectory() as folder:
        for name, exporter, row in rows(given.names, Size(given.layers, given.width, given.tokens), Path(folder)):
            own, theirs = row.gaps
            forward, gradient, steps, captum = row.times
            print(f"| {name} | {exporter} | {row.correlation:.6f} | {own:.1e} | {theirs:.1e} | {forward:.2f} ms | "
                  f"{gradient:.1f} x | {steps:.2f} x | {captum:.1f} x |", flush=True)  # fmt: skip
            right = right and row.correlation > LEAST
    sys.exit(not right)


if __name__ == "__main__":
    main()
