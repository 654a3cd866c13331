"""The ``tokenizer.json`` beside a model, read by the package ``tokenizers``."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from onnxsal.errors import ModelError, one_line
from onnxsal.modalities.pieces import Piece
from onnxsal.modalities.tokens.padding import SAYING, Padding, padding_of
from onnxsal.modalities.tokens.spelling import Spelling, spelling_of, written_out

Ids = NDArray[np.int64]

FILE = "tokenizer.json"

_MASKS = ("[MASK]", "<mask>", "<|mask|>", "<MASK>")
_UNKNOWN = ("[UNK]", "<unk>", "<UNK>", "<|unk|>")
"""What tokens that stand for nothing are called, where the file says it by name alone."""


@dataclass(frozen=True)
class Read:
    """The tokens of a text."""

    ids: Ids
    types: Ids
    pieces: tuple[Piece, ...]
    whole: int
    """How many there were before the text was cut."""


@dataclass(frozen=True)
class Tokenizer:
    """What turns words into ids."""

    where: str
    padding: Padding
    mask: int | None
    unknown: int | None
    most: int | None
    """Tokens to which its file cuts a text, the added ones among them."""
    special: frozenset[int]
    """The ids of tokens that no text has, such as those that it adds."""
    placed: frozenset[int]
    """The ids of those that it puts round every text."""
    spelling: Spelling
    _own: Any = field(repr=False, compare=False)

    @property
    def pad(self) -> int | None:
        """The token that fills texts up."""
        return self.padding.number

    def read(self, text: str, most: int | None = None) -> Read:
        """Return the tokens of a text. Args: most: to which it is cut, beside what the file says."""
        limits = [n for n in (most, self.most) if n is not None]
        found = self._encoded(text, None)
        whole = len(found.ids)
        if limits and whole > min(limits):
            found = self._encoded(text, min(limits))
        rows = zip(found.tokens, found.offsets, found.special_tokens_mask, strict=True)
        pieces = tuple(
            Piece(text[start:stop] if stop > start else token, start, stop, bool(added))
            for token, (start, stop), added in rows
        )
        return Read(np.array(found.ids, np.int64), np.array(found.type_ids, np.int64), pieces, whole)

    def _encoded(self, text: str, most: int | None) -> Any:
        own = self._own.__copy__() if hasattr(self._own, "__copy__") else self._own
        if most is None:
            own.no_truncation()
        else:
            own.enable_truncation(most)
        return own.encode(text)

    def word(self, number: int) -> str:
        """Return the token of an id, its number where there is none."""
        known = 0 <= number < 1 << 32  # what is outside is no id, and the tokenizer cannot be asked for it
        return (self._own.id_to_token(number) if known else None) or str(number)

    def written_out(self, ids: Sequence[int]) -> tuple[str, tuple[Piece, ...]]:
        """Return the text that ids make, and where each token lies in it."""
        return written_out([self.word(i) for i in ids], [self.is_added(i) for i in ids], self.spelling)

    def is_added(self, number: int) -> bool:
        """Return whether an id is that of a token that the tokenizer adds: what masks and what is unknown are the
        text's own, as of words."""
        return number in self.placed or (number in self.special and number not in (self.unknown, self.mask))

    def notes(self, read: Read) -> tuple[str, ...]:
        """Return what is to be said of a text: that it was cut, or that nothing of it is known."""
        cut = len(read.ids) < read.whole
        said = (f"the text has {read.whole} tokens and was cut to {len(read.ids)}",) if cut else ()
        return (*said, *self.notes_of_ids(read.ids))

    def notes_of_ids(self, ids: Ids) -> tuple[str, ...]:
        """Return what is to be said of tokens: that none of them is known."""
        own = [i for i in ids.tolist() if not self.is_added(i)]
        if self.unknown is None or not own or any(i != self.unknown for i in own):
            return ()
        return (f"every token of the text is unknown to the tokenizer ({self.word(self.unknown)!r}): the model is told "
                "nothing of what it says",)  # fmt: skip


def baselines_of(tokenizer: Tokenizer | str) -> dict[str, int]:
    """Return the tokens that stand for nothing, the usual one first."""
    if isinstance(tokenizer, str):
        return {}
    found = {"pad": tokenizer.pad, "mask": tokenizer.mask}
    return {name: number for name, number in found.items() if number is not None}


def beside(path: str) -> Tokenizer | str:
    """Return the tokenizer beside a model's file, or why there is none. Raises: ModelError: its file cannot be read."""
    ids = "give ids of tokens: an array [T], or the .npy file of one"
    if not path:
        return f"a model without a file has no {FILE} beside it: {ids}"
    folder = Path(path).resolve().parent
    places = [folder, *([folder.parent] if folder.name == "onnx" else [])]  # as repositories of exports have it
    found = next((place / FILE for place in places if (place / FILE).is_file()), None)
    if found is None:
        return f"there is no {FILE} in {str(folder)!r}: put the model's own there, or {ids}"
    if find_spec("tokenizers") is None:
        return f"{str(found)!r} is read by the package tokenizers: pip install 'onnxsal[text]', or {ids}"
    return _read(str(found), tuple(_state(found.with_name(name)) for name in (FILE, *SAYING)))


def _state(path: Path) -> tuple[int, int] | None:
    """Return what tells a file from what it was before."""
    if not path.is_file():
        return None
    status = path.stat()
    return status.st_mtime_ns, status.st_size


@lru_cache(maxsize=8)
def _read(path: str, states: tuple[Any, ...]) -> Tokenizer:
    import tokenizers  # only who gives words needs it

    try:
        text = Path(path).read_text(encoding="utf-8")
        own, said = tokenizers.Tokenizer.from_str(text), json.loads(text)
        own.no_padding()
        placed = frozenset(own.encode("").ids)
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException as error:  # noqa: BLE001 - the package raises Exception itself, and panics beside that
        raise ModelError(
            f"{path!r} is no tokenizer that the package tokenizers {tokenizers.__version__} reads: {one_line(error)}"
        ) from None
    cut = said.get("truncation") or {}
    special = frozenset(i for i, token in own.get_added_tokens_decoder().items() if token.special)
    return Tokenizer(
        where=path, padding=padding_of(Path(path).parent, own, said), mask=_named(own, None, _MASKS),
        unknown=_unknown(own, said), most=cut.get("max_length"), special=special,
        placed=placed, spelling=spelling_of(said), _own=own,
    )  # fmt: skip


def _named(own: Any, said: str | None, usual: tuple[str, ...]) -> int | None:
    found = (own.token_to_id(name) for name in ((said,) if said else ()) + usual)
    return next((number for number in found if number is not None), None)


def _unknown(own: Any, said: dict[str, Any]) -> int | None:
    model = said.get("model") or {}
    if isinstance(model.get("unk_id"), int):
        return int(model["unk_id"])
    return _named(own, model.get("unk_token"), _UNKNOWN)
