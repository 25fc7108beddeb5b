"""A shop of files, its grades a function of title and price with some noise: an experiment of one's own, quickly made."""

from pathlib import Path

import numpy as np
import polars as pl

COLOURS, THINGS = ("red", "blue", "green", "grey", "black"), ("shoe", "hat", "jacket", "sock", "scarf", "belt")

TOML = """# Our own files.
name = "files"
question = "Is it any good?"

[data]
source = "files"
products = "products.csv"    # of today
judgments = "judgments.csv"

[features]
set = "set.toml"

[ranker]
rounds = 40
patience = 10
eta = 0.1    # an alias of learning_rate

[tracking]
uri = ""
"""

FEATURES = """
name = "own"
[[feature]]
name = "title_bm25"
kind = "bm25"
field = "title"
also = ["relative"]
[[feature]]
name = "title_coverage"
kind = "coverage"
field = "title"
[[feature]]
name = "brand_named"
kind = "keyword"
field = "brand"
[[feature]]
name = "price"
kind = "number"
field = "price"
[[feature]]
name = "cost"
kind = "number"
field = "price"
log = true
[[feature]]
name = "query_length"
kind = "query_length"
"""


def write(home: Path, *, queries: int = 90, products: int = 120, each: int = 12) -> Path:
    """The experiment's directory; grades 0 to 4."""
    home.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(5)
    titles = [f"{COLOURS[at % 5]} {THINGS[at % 6]} {'light' if at % 7 else 'warm'} {at}" for at in range(products)]
    prices = rng.uniform(5, 100, products).round(2)
    pl.DataFrame(
        {
            "product_id": [f"p{at}" for at in range(products)],
            "title": titles,
            "brand": [("Ace", "Zed", "Kite")[at % 3] for at in range(products)],
            "price": prices,
        }
    ).write_csv(home / "products.csv")
    rows = []
    for query in range(queries):
        words = [COLOURS[query % 5], THINGS[query % 6], f"{query}"][: 2 + query % 2]
        chosen = rng.choice(products, each, replace=False)
        for at in chosen:
            matched = sum(word in titles[at].split() for word in words[:2])
            grade = 1.4 * matched + (prices[at] < 40) + rng.normal(0, 0.6)
            rows.append((f"q{query}", " ".join(words) + f" {query}", f"p{at}", int(np.clip(round(grade), 0, 4))))
    pl.DataFrame(rows, schema=["query_id", "query", "product_id", "grade"], orient="row").write_csv(
        home / "judgments.csv"
    )
    (home / "set.toml").write_text(FEATURES, encoding="utf-8")
    (home / "experiment.toml").write_text(TOML, encoding="utf-8")
    return home


def poison(home: Path) -> int:
    """Turn the grades of the test side over, in place; how many changed."""
    from ltr import datasets
    from ltr.config import read_experiment
    from ltr.experiment.preflight import parts_of

    experiment = read_experiment(home / "experiment.toml")
    (parts,) = parts_of(experiment, datasets.load(experiment.data, base=home), group=None)
    before = pl.read_csv(home / "judgments.csv")
    turned = pl.when(pl.col("query_id").is_in(parts.test)).then(4 - pl.col("grade")).otherwise(pl.col("grade"))
    after = before.with_columns(grade=turned)
    after.write_csv(home / "judgments.csv")
    return int((after["grade"] != before["grade"]).sum())
