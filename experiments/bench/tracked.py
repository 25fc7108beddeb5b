"""What tracking costs a training run of the demo shop, without MLflow's import and the making of its database."""

import tempfile
import time
from dataclasses import replace
from pathlib import Path

from ltr import experiment as experiments
from ltr import tracking
from ltr.config import TrackingConfig, read_experiment

RUNS = 5


def measure() -> list[dict[str, object]]:
    """Seconds of logging a trained bundle whole, the middle of five, as a share of the seconds of training it."""
    path = experiments.find("shop", root=Path(__file__).parents[2])
    config = read_experiment(path).model_copy(update={"tracking": TrackingConfig(uri="")})
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        uri = f"sqlite:///{home}/mlflow.db"
        start = time.perf_counter()
        # A base of its own: what is measured here is no result of the experiment, and no reading of its test side.
        trained = experiments.train(config, base=home, cache=home / "cache", bundles=home / "bundles")
        seconds = time.perf_counter() - start
        bundle = Path(trained.bundle)
        tracking.log_bundle(bundle, uri=uri)  # imports MLflow, makes the database
        record = tracking.Record.from_json((bundle / "results" / "record.json").read_text(encoding="utf-8"))
        record = replace(record, bundle=str(bundle), per_query=str(bundle / "results" / "per_query.parquet"))
        taken = []
        for number in range(RUNS):
            start = time.perf_counter()
            tracking.log(replace(record, question=f"{record.question} {number}"), uri=uri)
            taken.append(time.perf_counter() - start)
    logging = sorted(taken)[RUNS // 2]
    return [
        {"what": "train shop, empty cache, untracked", "value": round(seconds, 1), "unit": "s"},
        {"what": "log the run", "value": round(logging, 2), "unit": "s"},
        {"what": "log the run, of training", "value": round(100 * logging / seconds, 2), "unit": "%", "bound": 2},
    ]
