"""Dynamic quantisation of an exported model to int8: weights per channel, activations as each run finds them.

The graph is fused first (attention, GELU, layer norm), so that fewer steps go between int8 and float32. Weights are signed
and have one scale a channel: with one scale a matrix, MiniLM's cosine to float32 was .966 on average instead of .993, and
unsigned weights were slower.

Weights take 7 of the 8 bits (``reduce_range``). Processors without VNNI add two products of an activation (to 255) and a weight in
16 bits, and 255 · 127 · 2 does not fit: the vectors of one file would differ from one processor to the next far beyond
rounding. 255 · 64 · 2 fits, so the integers are the same everywhere; it costs .001 of the cosine (.992) and no time.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from ltr.encoders import onnx, saved
from ltr.encoders.quiet import quiet
from ltr.encoders.sample import SAMPLE, cosines
from ltr.errors import EncoderError, MissingExtraError

__all__ = ["quantise"]

# MiniLM has .98 at worst on ordinary queries; much below, the ranking is another one.
_CLOSE: Final = 0.9


def quantise(header: saved.Saved, entry: Path, target: Path, *, settings: Mapping[str, Any]) -> saved.Saved:
    """Write the int8 model of a float32 export, and its tokenizer, into a directory.

    Args:
        header: of the float32 export.
        entry: its directory.
        target: an empty directory.
        settings: the model's config.json: heads and width, by which attention is recognised.
    """
    try:
        with quiet():
            _quantise(entry / "model.onnx", target, settings)
        saved.place(entry / "tokenizer.json", target / "tokenizer.json")
        int8 = replace(header, precision="int8")
        cosine = cosines(
            onnx.restore(header, entry).encode_queries(SAMPLE), onnx.restore(int8, target).encode_queries(SAMPLE)
        )
    except ImportError as error:
        raise MissingExtraError(error.name or "onnx", "encoders") from error
    except (OSError, EncoderError):
        raise
    # onnx and onnxruntime raise exceptions of their own, of many kinds.
    except Exception as error:
        raise EncoderError(
            f"{header.name!r} cannot be quantised to int8 ({error})", hint="set [encoder] precision = 'float32'"
        ) from error
    if cosine.min() < _CLOSE:
        raise EncoderError(
            f"{header.name!r} loses too much in int8: cosine to float32 {cosine.min():.3f}, at least {_CLOSE} is asked",
            hint="set [encoder] precision = 'float32'",
        )
    return int8


def _quantise(model: Path, target: Path, settings: Mapping[str, Any]) -> None:
    import onnx as proto
    from onnxruntime.quantization import QuantType, quantize_dynamic
    from onnxruntime.transformers import optimizer

    heads = settings.get("num_attention_heads") or settings.get("n_heads") or 0
    width = settings.get("hidden_size") or settings.get("dim") or 0
    fused = target / "fused.onnx"
    # opt_level 0: the fusions of the script alone; onnxruntime's own depend on this machine's processor.
    optimizer.optimize_model(str(model), "bert", num_heads=heads, hidden_size=width, opt_level=0).save_model_to_file(
        str(fused)
    )
    quantize_dynamic(
        str(fused),
        str(target / "model.onnx"),
        per_channel=True,
        reduce_range=True,
        weight_type=QuantType.QInt8,
        # Shapes of fused nodes cannot be inferred; without this their outputs have no type.
        extra_options={"DefaultTensorType": proto.TensorProto.FLOAT},
    )
    fused.unlink()
