"""Tracking: what one training run says, kept as a Record and logged to MLflow.

The contract: whoever trains builds a Record and writes it as JSON beside its results before any server is asked, so a
server that is down loses nothing: ``log_bundle`` logs it later. Only ``mlflow.py`` here imports MLflow, and only inside
its functions; nothing it does outlives the call (environment, log levels, warnings), and no telemetry leaves the process.
"""

from __future__ import annotations

from ltr.tracking.mlflow import log, log_bundle
from ltr.tracking.plots import draw_learning_curve
from ltr.tracking.record import Record, revision
from ltr.tracking.server import masked, opened_by

__all__ = ["Record", "draw_learning_curve", "log", "log_bundle", "masked", "opened_by", "revision"]
