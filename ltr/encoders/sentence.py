"""A sentence-transformers model to ONNX: transformer and pooling in one graph, proven to give the same vectors.

The exporter is torch's older one (``dynamo=False``): it works without a network and its graph is the one that onnxruntime
fuses, given plain ("eager") attention. What comes after the transformer is read from the model's modules; whatever is not
understood is refused, since vectors that are only nearly right look right.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from ltr.encoders import onnx, saved
from ltr.encoders.quiet import quiet
from ltr.encoders.sample import SAMPLE, cosines
from ltr.errors import EncoderError, MissingExtraError

if TYPE_CHECKING:
    import torch

__all__ = ["POOLINGS", "export"]

POOLINGS: Final = ("cls", "max", "mean")

# Cosine of the exported model with the original, at least.
_SAME: Final = 0.9999
# A tokenizer without a limit says 10^30; the model would take memory with the square of the length.
_LONGEST: Final = 8_192
_INPUTS: Final = ("input_ids", "attention_mask", "token_type_ids")
_PRODUCT_PROMPTS: Final = ("document", "passage", "corpus")


def export(directory: Path, target: Path, *, name: str) -> saved.Saved:
    """Write model.onnx and tokenizer.json of the model in ``directory`` into ``target``, an empty directory.

    Returns:
        The header, but for the digest and the hashes of the files.
    """
    try:
        import sentence_transformers
    except ImportError as error:
        raise MissingExtraError("sentence-transformers", "encoders") from error
    try:
        with quiet(), _without_bars():
            model = sentence_transformers.SentenceTransformer(
                str(directory), device="cpu", model_kwargs={"attn_implementation": "eager"}, local_files_only=True
            )
            model.float().eval()
            pooling = _pooling(model, name)
            header = saved.Saved(
                kind="onnx",
                name=name,
                digest="",
                dimension=int(model[1].get_config_dict()["embedding_dimension"]),
                pooling=pooling,
                max_length=min(int(model.max_seq_length or 512), _LONGEST),
                prompts=_prompts(model, name),
            )
            model.max_seq_length = header.max_length
            _write(model, pooling, target)
            _compare(model, header, target)
    except EncoderError:
        raise
    # A model made by anyone, loaded by three libraries: what they raise has no common root.
    except Exception as error:
        if isinstance(error, OSError) and error.errno:
            raise  # of the disk; transformers raises OSError for models that it does not like, without a number
        reason = str(error).strip().partition("\n")[0] or type(error).__name__
        raise EncoderError(
            f"{name!r} cannot be exported to ONNX ({reason})", hint="choose another model, such as 'all-MiniLM-L6-v2'"
        ) from error
    return header


def _pooling(model: Any, name: str) -> str:
    """Name of the pooling, after making sure that there is nothing but transformer, pooling and normalising."""
    kinds = [type(module).__name__ for module in model]
    if kinds not in (["Transformer", "Pooling"], ["Transformer", "Pooling", "Normalize"]):
        raise EncoderError(
            f"{name!r} is made of {', '.join(kinds)}; what is understood is Transformer, Pooling and, after them, Normalize",
            hint="choose another model, such as 'all-MiniLM-L6-v2'",
        )
    pooling = model[1].get_config_dict()["pooling_mode"]
    if pooling not in POOLINGS:
        raise EncoderError(
            f"{name!r} has pooling {pooling!r}; what is understood is {', '.join(POOLINGS)}",
            hint="choose another model, such as 'all-MiniLM-L6-v2'",
        )
    return str(pooling)


def _prompts(model: Any, name: str) -> dict[str, str]:
    """What the model wants before a query and before a product, as its encode_query and encode_document have it."""
    named = {key: text for key, text in (model.prompts or {}).items() if text}
    default = named.get(model.default_prompt_name or "", "")
    product = next((named[key] for key in _PRODUCT_PROMPTS if key in named), default)
    prompts = {"query": named.get("query", default), "product": product}
    prompts = {kind: text for kind, text in prompts.items() if text}
    if prompts and not model[1].get_config_dict().get("include_prompt", True):
        raise EncoderError(
            f"{name!r} leaves its prompts out of the pooling, which is not understood",
            hint="choose another model, such as 'all-MiniLM-L6-v2'",
        )
    return prompts


def _write(model: Any, pooling: str, target: Path) -> None:
    import torch

    if not model.tokenizer.is_fast:
        raise EncoderError("it has a tokenizer in Python only", hint="choose a model with a tokenizer.json")
    # Before tokenizing pads the sample: truncation and padding are set by who loads the file.
    model.tokenizer.backend_tokenizer.no_padding()
    model.tokenizer.backend_tokenizer.no_truncation()
    (target / "tokenizer.json").write_text(model.tokenizer.backend_tokenizer.to_str(), encoding="utf-8")

    transformer = model[0].auto_model

    class Pooled(torch.nn.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.transformer = transformer

        def forward(self, *inputs: torch.Tensor) -> torch.Tensor:
            features = dict(zip(names, inputs, strict=True))
            tokens = self.transformer(**features, return_dict=False)[0]
            mask = features["attention_mask"].unsqueeze(-1).to(tokens.dtype)
            if pooling == "cls":
                return tokens[:, 0]
            if pooling == "max":
                return (tokens + (mask - 1) * 1e9).max(dim=1).values
            return (tokens * mask).sum(dim=1) / mask.sum(dim=1)

    # Texts of two lengths, so that masking is in the trace.
    sample = model.tokenizer(list(SAMPLE[:3]), padding=True, return_tensors="pt")
    names = [name for name in _INPUTS if name in sample]
    axes = {name: {0: "texts", 1: "tokens"} for name in names} | {"vectors": {0: "texts"}}
    with torch.no_grad(), _without_output():
        torch.onnx.export(
            Pooled().eval(),
            tuple(sample[name] for name in names),
            str(target / "model.onnx"),
            input_names=names,
            output_names=["vectors"],
            dynamic_axes=axes,
            opset_version=17,
            dynamo=False,
        )


def _compare(model: Any, header: saved.Saved, target: Path) -> None:
    encoder = onnx.restore(header, target)
    for kind, exported in (("query", encoder.encode_queries(SAMPLE)), ("product", encoder.encode(SAMPLE))):
        original = model.encode(list(SAMPLE), prompt=header.prompts.get(kind, ""), show_progress_bar=False)
        worst = cosines(original, exported).min()
        if worst < _SAME:
            raise EncoderError(
                f"{header.name!r} in ONNX is not what it is in sentence-transformers: cosine {worst:.6f}, "
                f"at least {_SAME} is asked",
                hint="choose another model, such as 'all-MiniLM-L6-v2'",
            )


@contextmanager
def _without_bars() -> Iterator[None]:
    from transformers.utils import logging

    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            logging.enable_progress_bar()


@contextmanager
def _without_output() -> Iterator[None]:
    """Standard output closed: on failure torch prints the whole graph there from C++, before it raises."""
    sys.stdout.flush()
    kept, nowhere = os.dup(1), os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 1)
        yield
    finally:
        os.dup2(kept, 1)
        os.close(kept)
        os.close(nowhere)
