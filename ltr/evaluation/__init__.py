"""Evaluation: how good a run is by the judgments, and whether one ranker is better than another.

Per-query values first (``evaluate``); what they say together is a mean with its bootstrap interval (``summarise``), and
what two rankers' values say is a paired randomisation test (``compare``). A value per query is a row of a frame with
``query_id`` and one Float64 column a measure, named by the measure itself; NaN is a query that the empty-query rule skips.

>>> import numpy as np, polars as pl
>>> from ltr import frames, measures
>>> judgments = pl.DataFrame({"query_id": ["q", "q"], "product_id": ["a", "b"], "grade": [1, 0], "weight": [1, 1]})
>>> run = frames.ranked(pl.DataFrame({"query_id": ["q", "q"], "product_id": ["b", "a"], "score": [0.9, 0.8]}))
>>> binary = measures.scale("binary")
>>> evaluate(run, judgments, [measures.parse("RR")], gains=measures.gain_table("linear", binary), scale=binary).row(0)
('q', 0.5)
"""

from ltr.evaluation.bootstrap import Estimate, summarise
from ltr.evaluation.per_query import EMPTY, evaluate
from ltr.evaluation.significance import ALPHA, Comparison, compare, holm, randomisation_p

__all__ = ["ALPHA", "EMPTY", "Comparison", "Estimate", "compare", "evaluate", "holm", "randomisation_p", "summarise"]
