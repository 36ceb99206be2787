"""Small bi-encoders in ONNX, written without the package `onnx`.

Field numbers are those of onnx.proto. A token's vector is ``tanh(E[id] + sum of E over the text)``,
so that it depends on the text, and on padding where there is no mask.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

from tests.fakes import VOCABULARY

DIMENSION = 24
TOKENS = (
    "[PAD]",
    "[UNK]",
    "[CLS]",
    "[SEP]",
    *VOCABULARY[2:],
    "query",
    "passage",
    ":",
    "bad",
    "far",
)
_FLOAT, _INT32, _INT64 = 1, 6, 7
_INT, _INTS = 2, 7


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


def _field(number: int, value: int | str | bytes) -> bytes:
    if isinstance(value, int):
        return _varint(number << 3) + _varint(value)
    raw = value.encode() if isinstance(value, str) else value
    return _varint(number << 3 | 2) + _varint(len(raw)) + raw


def _node(
    kind: str, inputs: Sequence[str], outputs: str | Sequence[str], **numbers: object
) -> bytes:
    names = [outputs] if isinstance(outputs, str) else outputs
    body = b"".join(_field(1, one) for one in inputs)
    body += b"".join(_field(2, one) for one in names) + _field(4, kind)
    for name, value in numbers.items():
        if isinstance(value, int):
            attribute = _field(1, name) + _field(3, value) + _field(20, _INT)
        else:
            ints = b"".join(_field(8, one) for one in value)  # type: ignore[attr-defined]
            attribute = _field(1, name) + ints + _field(20, _INTS)
        body += _field(5, attribute)
    return _field(1, body)


def _tensor(name: str, array: np.ndarray, *, file: str | None = None) -> bytes:
    kind = _FLOAT if array.dtype == np.float32 else _INT64
    body = b"".join(_field(1, size) for size in array.shape) + _field(2, kind) + _field(8, name)
    if file is None:
        return _field(5, body + _field(9, array.tobytes()))
    return _field(5, body + _field(13, _field(1, "location") + _field(2, file)) + _field(14, 1))


def _value(name: str, kind: int, shape: Iterable[str | int]) -> bytes:
    sizes = b"".join(
        _field(1, _field(1, one) if isinstance(one, int) else _field(2, one)) for one in shape
    )
    return _field(1, name) + _field(2, _field(1, _field(1, kind) + _field(2, sizes)))


def table(rows: int = len(TOKENS), *, seed: int = 0) -> np.ndarray:
    """The embeddings of the tokens, float32 (rows, DIMENSION); that of "bad" is not a number."""
    found = np.random.default_rng(seed).standard_normal((rows, DIMENSION)).astype(np.float32) / 4
    if rows > TOKENS.index("bad"):
        found[TOKENS.index("bad")] = np.nan
    return found


def write_model(
    path: Path,
    *,
    output: str = "tokens",
    masked: bool = True,
    dynamic: bool = False,
    integers: int = _INT64,
    other_input: str | None = None,
    rows: int = len(TOKENS) - 1,
    seed: int = 0,
    external: str | None = None,
) -> None:
    """Write a model.

    Args:
        path: Where to.
        output: ``"tokens"`` (n, length, dim), ``"texts"`` (n, dim), ``"one"`` (n, 1) or
            ``"turned"`` (length, n, dim).
        masked: Whether it has an attention mask.
        dynamic: Whether embeddings are quantized dynamically.
        integers: The type of its inputs: 6 for int32, 7 for int64.
        other_input: The name of another input.
        rows: Rows of its table: all but that of "far", the last token.
        seed: Of its table.
        external: The name of another file for its table.
    """
    names = ["input_ids", "attention_mask"][: 1 + masked] + ([other_input] if other_input else [])
    nodes = _node("Gather", ["E", "input_ids"], "x")
    if dynamic:
        nodes += _node("DynamicQuantizeLinear", ["x"], ["q", "scale", "zero"])
        nodes += _node("DequantizeLinear", ["q", "scale", "zero"], "e")
    else:
        nodes += _node("Identity", ["x"], "e")
    if masked:
        nodes += _node("Cast", ["attention_mask"], "m", to=_FLOAT)
        nodes += _node("Unsqueeze", ["m", "last"], "m3") + _node("Mul", ["e", "m3"], "masked")
    else:
        nodes += _node("Identity", ["e"], "masked")
    nodes += _node("ReduceSum", ["masked", "one"], "sum", keepdims=1)
    nodes += _node("Add", ["e", "sum"], "added") + _node("Tanh", ["added"], "y")
    shape: tuple[str | int, ...] = ("n", "length", DIMENSION)
    if output == "tokens":
        nodes += _node("Identity", ["y"], "out")
    elif output == "turned":
        nodes += _node("Transpose", ["y"], "out", perm=(1, 0, 2))
        shape = ("length", "n", DIMENSION)
    elif output == "texts":
        nodes += _node("Squeeze", ["sum", "one"], "out")
        shape = ("n", DIMENSION)
    else:
        nodes += _node("ReduceMean", ["sum"], "out", axes=(2,), keepdims=0)
        shape = ("n", 1)
    weights = table(seed=seed)[:rows]
    if external is not None:
        (path.parent / external).write_bytes(weights.tobytes())
    constants = _tensor("E", weights, file=external)
    constants += _tensor("one", np.array([1])) + _tensor("last", np.array([2]))
    inputs = b"".join(_field(11, _value(name, integers, ("n", "length"))) for name in names)
    graph = nodes + _field(2, "tiny") + constants + inputs
    graph += _field(12, _value("out", _FLOAT, shape))
    opset = _field(8, _field(1, "") + _field(2, 13))
    path.write_bytes(_field(1, 8) + opset + _field(7, graph))


def tokenizer() -> Tokenizer:
    """Words between [CLS] and [SEP]."""
    made = Tokenizer(
        models.WordLevel({token: number for number, token in enumerate(TOKENS)}, unk_token="[UNK]")  # noqa: S106
    )
    made.normalizer = normalizers.Lowercase()
    made.pre_tokenizer = pre_tokenizers.Whitespace()
    made.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    made.enable_padding(pad_id=0, pad_token="[PAD]")  # noqa: S106
    made.enable_truncation(7)  # as some exports have it; the settings decide
    return made


def write_folder(
    folder: Path, settings: str | None = 'pooling = "mean"\n', **model: object
) -> Path:
    """Write a folder that ``onnx:FOLDER`` loads; ``settings`` is its encoder.toml."""
    folder.mkdir(parents=True, exist_ok=True)
    write_model(folder / "model.onnx", **model)  # type: ignore[arg-type]
    tokenizer().save(str(folder / "tokenizer.json"))
    if settings is not None:
        (folder / "encoder.toml").write_text(settings, encoding="utf-8")
    return folder
