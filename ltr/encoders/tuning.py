"""Contrastive tuning of a sentence encoder: queries move to the products that answer them, away from the others.

    L = −1/b Σᵢ log( exp(s·cos(qᵢ, pᵢ)) / Σⱼ exp(s·cos(qᵢ, dⱼ)) ),   s = 20,   j over pᵢ and all that do not answer qᵢ

The multiple negatives ranking loss (Henderson et al., arXiv:1705.00652) with in-batch negatives: dⱼ are the products of the
batch, those that are known to answer qᵢ left out. AdamW (Loshchilov & Hutter, ICLR 2019), its rate rising over the first tenth
of the steps and falling to 0 over the rest. On one machine's CPU, equal input and seed give equal bytes.

``tuned.json`` beside the weights says what the model was made from and names, by hash, every query that it has seen: an
encoder knows the answers to those, so nothing may be measured on them.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import shutil
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from ltr.encoders import exported, resolve, sentence
from ltr.encoders.quiet import quiet
from ltr.errors import ConfigError, EncoderError, MissingExtraError
from ltr.progress import bar
from ltr.text import fold

__all__ = ["FORMAT", "NAME", "Settings", "Tuned", "query_hash", "seen", "tune"]

FORMAT: Final = 1
NAME: Final = "tuned.json"

# Of sentence-transformers' own loss and trainer.
_SCALE: Final = 20.0
_WARM_UP: Final = 0.1
_DECAY: Final = 0.01
_LONGEST_GRADIENT: Final = 1.0


@dataclass(frozen=True)
class Settings:
    """How to tune.

    Args:
        epochs: how often each pair is seen.
        batch: pairs a step; the more, the more negatives a query meets.
        learning_rate: at its highest.
        max_length: tokens after which a text is cut while tuning; the tuned model keeps its own limit.
        seed: of the order of the pairs and of dropout.
    """

    epochs: int = 1
    batch: int = 64
    learning_rate: float = 2e-5
    max_length: int = 64
    seed: int = 7

    def __post_init__(self) -> None:
        """Refuse what cannot be meant."""
        for name, fewest in (("epochs", 1), ("batch", 2), ("max_length", 8)):
            if getattr(self, name) < fewest:
                raise ConfigError(
                    f"{name} = {getattr(self, name)} cannot tune an encoder", hint=f"give {fewest} or more"
                )
        if not 0 < self.learning_rate < 1:
            raise ConfigError(f"learning_rate = {self.learning_rate:g} is not between 0 and 1", hint="2e-5 is usual")


@dataclass(frozen=True)
class Tuned:
    """What tuning did: where the model is, from how many pairs and steps, in how long, and the loss of each step."""

    directory: Path
    pairs: int
    queries: int
    steps: int
    seconds: float
    curve: tuple[float, ...]

    @property
    def first(self) -> float:
        """Mean loss of the first tenth of the steps: that of one batch is noise."""
        return float(np.mean(self.curve[: self._tenth]))

    @property
    def last(self) -> float:
        """Mean loss of the last tenth of the steps."""
        return float(np.mean(self.curve[-self._tenth :]))

    @property
    def _tenth(self) -> int:
        return max(1, len(self.curve) // 10)


def tune(
    model: str,
    pairs: Sequence[tuple[str, ...]],
    *,
    output: Path,
    settings: Settings | None = None,
    facts: Mapping[str, Any] | None = None,
) -> Tuned:
    """Tune a model and save it as a sentence-transformers directory, which [encoder] model then takes.

    Args:
        model: as in [encoder] model; one with weights, so neither "hashing" nor an exported one.
        pairs: a query, a product that answers it, and perhaps products that do not.
        output: a directory that does not exist yet, or is empty; whole or not there when this returns or raises.
        settings: how to tune.
        facts: further keys of tuned.json.

    Raises:
        ConfigError: ``output`` is taken, or there is nothing to tune on.
        EncoderError: the model is not to be found or not understood, tuning failed, or the disk is full.
    """
    settings = settings or Settings()
    if output.exists() and (not output.is_dir() or any(output.iterdir())):
        raise ConfigError(f"{str(output)!r} exists and is not empty", hint="name another directory for the tuned model")
    if len({product for _, product, *_ in pairs}) < 2:
        raise ConfigError(
            f"{len(pairs)} pairs of a query and a product that answers it leave nothing to tune on",
            hint="two different products at least are needed; judge more",
        )
    directory = _weights(model)
    before = seen(directory)
    name = directory.resolve().name if Path(model).expanduser().is_dir() else model
    start = time.perf_counter()
    with _draft(output) as draft:
        opened, prompts = _open(directory, name)
        try:
            curve = _fit(opened, prompts, pairs, settings)
        except RuntimeError as error:  # torch's own, above all of memory
            reason = str(error).strip().partition("\n")[0]
            raise EncoderError(
                f"tuning {name!r} failed ({reason})", hint="a smaller batch or max_length takes less memory"
            ) from error
        _save(opened, draft, output)
        queries = sorted({query_hash(query) for query, *_ in pairs} | before)
        table = {
            "format": FORMAT,
            "base": name,
            "base_digest": exported.fingerprint(directory),
            **asdict(settings),
            "pairs": len(pairs),
            **(facts or {}),
            "queries": queries,
        }
        text = json.dumps(table, indent=2, ensure_ascii=False)
        (draft / NAME).write_text(text + "\n", encoding="utf-8", newline="\n")
    told = len({query for query, *_ in pairs})
    return Tuned(output, len(pairs), told, len(curve), round(time.perf_counter() - start, 3), tuple(curve))


def query_hash(text: str) -> str:
    """SHA-256 of a query's text; capitals, accents and blanks do not count.

    >>> query_hash("Amélie  film") == query_hash("amelie film")
    True
    """
    return hashlib.sha256(" ".join(fold(text).split()).encode("utf-8", "surrogatepass")).hexdigest()


def seen(directory: Path) -> frozenset[str]:
    """Hashes of the queries that the model in a directory was tuned on; none where it was not tuned here.

    Raises:
        EncoderError: tuned.json is there but cannot be read, so nobody knows.
    """
    path = directory / NAME
    try:
        table = json.loads(path.read_text(encoding="utf-8"))
        if table["format"] > FORMAT:
            raise EncoderError(
                f"{path} has format {table['format']}; this ltr reads up to {FORMAT}", hint="use a newer ltr"
            )
        return frozenset(map(str, table["queries"]))
    except FileNotFoundError:
        return frozenset()
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise EncoderError(
            f"{path} does not say which queries the encoder was tuned on ({error!r})", hint="tune it again"
        ) from error


def _weights(model: str) -> Path:
    """The directory of a model that has weights to tune."""
    if model == "hashing":
        raise EncoderError(
            "the hashing encoder has no weights to tune", hint="set [encoder] model = 'all-MiniLM-L6-v2'"
        )
    directory = resolve.find(model)
    if (directory / "encoder.json").is_file():
        raise EncoderError(f"{model!r} is an exported encoder", hint="give the model that it was exported from")
    return directory


@contextmanager
def _draft(output: Path) -> Iterator[Path]:
    """A directory beside ``output`` that becomes it at the end, and is gone if that is not reached."""
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        draft = Path(tempfile.mkdtemp(prefix=".draft-", dir=output.parent))
        try:
            yield draft
            draft.chmod(0o755)
            os.rename(draft, output)  # refuses a directory that is not empty
        finally:
            shutil.rmtree(draft, ignore_errors=True)
    except OSError as error:
        raise _unwritten(output, error.strerror or str(error)) from error


def _save(model: Any, draft: Path, output: Path) -> None:
    try:
        with quiet(), sentence._without_bars():
            model.save(str(draft), create_model_card=False)
    except OSError:
        raise
    # safetensors has an error of its own for a full disk.
    except Exception as error:
        raise _unwritten(output, str(error).strip().partition("\n")[0]) from error


def _unwritten(output: Path, reason: str) -> EncoderError:
    return EncoderError(
        f"the tuned encoder cannot be written to {str(output)!r}: {reason}",
        hint="free some space there, or name another directory",
    )


def _open(directory: Path, name: str) -> tuple[Any, dict[str, str]]:
    """The model and its prompts; what could not be exported afterwards is refused now."""
    try:
        import sentence_transformers
        import torch
    except ImportError as error:
        raise MissingExtraError("sentence-transformers", "encoders") from error
    device = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        with quiet(), sentence._without_bars():
            model = sentence_transformers.SentenceTransformer(str(directory), device=device, local_files_only=True)
            sentence._pooling(model, name)
            return model.float(), sentence._prompts(model, name)
    except EncoderError:
        raise
    # A model made by anyone, loaded by three libraries: what they raise has no common root.
    except Exception as error:
        reason = str(error).strip().partition("\n")[0] or type(error).__name__
        raise EncoderError(
            f"{name!r} cannot be loaded ({reason})", hint="choose another model, such as 'all-MiniLM-L6-v2'"
        ) from error


def _fit(model: Any, prompts: dict[str, str], pairs: Sequence[tuple[str, ...]], settings: Settings) -> list[float]:
    """Take all steps; the loss of each."""
    import torch

    answers: defaultdict[str, set[str]] = defaultdict(set)
    for query, product, *_ in pairs:
        answers[query].add(product)
    batches = [batch for batch in _batches(len(pairs), settings) if len(batch) > 1]
    optimiser = torch.optim.AdamW(_groups(model), lr=settings.learning_rate)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, _rate(len(batches)))

    def encode(texts: Sequence[str], kind: str) -> Any:
        tokens = model.tokenizer(
            [prompts.get(kind, "") + text for text in texts],
            padding=True,
            truncation=True,
            max_length=min(settings.max_length, int(model.max_seq_length or 512)),
            return_tensors="pt",
        )
        vectors = model({name: value.to(model.device) for name, value in tokens.items()})["sentence_embedding"]
        return torch.nn.functional.normalize(vectors, dim=1)

    curve = []
    with _reproducible(settings.seed), bar("tuning the encoder", total=len(batches)) as advance:
        model.train()
        for batch in batches:
            rows = [pairs[place] for place in batch]
            # A product that several queries of the batch share is encoded, and counted, once.
            products = list(dict.fromkeys(text for _, *texts in rows for text in texts))
            column = {text: number for number, text in enumerate(products)}
            masked = [[text in answers[query] and text != own for text in products] for query, own, *_ in rows]
            cosines = encode([query for query, *_ in rows], "query") @ encode(products, "product").T
            logits = (_SCALE * cosines).masked_fill(torch.tensor(masked, device=model.device), -math.inf)
            own = torch.tensor([column[product] for _, product, *_ in rows], device=model.device)
            loss = torch.nn.functional.cross_entropy(logits, own)
            curve.append(loss.item())
            if not math.isfinite(curve[-1]):
                raise EncoderError(
                    f"the loss is {curve[-1]} after {len(curve)} steps", hint="choose a lower learning rate"
                )
            optimiser.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), _LONGEST_GRADIENT)
            optimiser.step()
            schedule.step()
            advance(1)
        model.eval()
    return curve


def _batches(number: int, settings: Settings) -> Iterator[list[int]]:
    """Places of the pairs, in a new order each epoch."""
    random = np.random.default_rng(settings.seed)
    for _ in range(settings.epochs):
        order = random.permutation(number).tolist()
        yield from (order[start : start + settings.batch] for start in range(0, number, settings.batch))


def _groups(model: Any) -> list[dict[str, Any]]:
    """Weights decay, biases and the scales of normalisation (vectors, not matrices) do not."""
    parameters = [each for each in model.parameters() if each.requires_grad]
    return [
        {"params": [each for each in parameters if each.ndim > 1], "weight_decay": _DECAY},
        {"params": [each for each in parameters if each.ndim < 2], "weight_decay": 0.0},
    ]


def _rate(steps: int) -> Callable[[int], float]:
    """Share of the highest learning rate at each step.

    >>> [_rate(20)(step) for step in (0, 1, 2, 11, 20)]
    [0.5, 1.0, 1.0, 0.5, 0.0]
    """
    rising = math.ceil(_WARM_UP * steps)
    return lambda step: (step + 1) / rising if step < rising else (steps - step) / max(1, steps - rising)


@contextmanager
def _reproducible(seed: int) -> Iterator[None]:
    """Seeded, by deterministic kernels, on the processors that this process may use; all as it was afterwards."""
    import torch

    threads, exact = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    # cuBLAS has deterministic kernels only with a workspace that is set before its first use.
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    try:
        torch.set_num_threads(min(threads, _processors()))
        torch.use_deterministic_algorithms(True)
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            yield
    finally:
        torch.set_num_threads(threads)
        torch.use_deterministic_algorithms(exact)


def _processors() -> int:
    """Processors that this process may run on, which can be fewer than the machine has."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
