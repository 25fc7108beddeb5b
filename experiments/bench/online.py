"""Online tests on the demo shop: how many searches they take, how often they are wrong, how far off-policy intervals hold.

Two rankers, BM25 and BM25 with so much of the number of ratings that its nDCG@10 on the truth is .01 higher, by the mean over
searches. Users read by position (1/k), query by query as popular as the shop's demand has it, twelve searches each over
fourteen days. The number of searches follows from the planner by the spread of a large log, and is then checked: the tests are
run on so many fresh searches, and prove the difference so often as the planner said.

A/A tests draw their users from one large log; of interleaving both rankings are shown to users who click whatever is there.
Off-policy logs shuffle BM25's first ten; the target is the other ranker's order of those ten.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from ltr import evaluation, frames, measures
from ltr.config import DataConfig
from ltr.datasets.shop import build
from ltr.evaluation.distributions import normal_quantile, sign_p
from ltr.evaluation.interleaving import merge
from ltr.evaluation.interleaving_outcomes import ratio_of
from ltr.evaluation.offpolicy import value_of
from ltr.evaluation.offpolicy_weights import weighted
from ltr.evaluation.planning import Traffic, needed
from ltr.evaluation.ratios import bootstrapped, bootstrapped_p, linearised, welch
from ltr.evaluation.sequential import always_valid
from ltr.retrieval import embedded
from ltr.simulation import Users, attraction_of
from ltr.simulation.users import shop

MEASURE = measures.parse("nDCG@10")
DIFFERENCE, POWER, LENGTH, DEPTH = 0.01, 0.8, 10, 50
PER_USER, DAYS = 12, 14
LARGE = 60_000  # users of the log that the planner reads
AB_CHECKS, INTERLEAVING_CHECKS = 200, 2_000
SIMULATIONS, GROUP, LOGS, LOG_USERS = 10_000, 500, 1_000, 400
RESAMPLES = 399
SEED = 7

Floats = NDArray[np.float64]


def measure() -> list[dict[str, object]]:
    """Searches that each test takes, false positives of A/A tests, coverage of off-policy intervals."""
    there = demo_shop()
    bm25, better, told = rated(there)
    figures = searches(there, bm25, better, Users("pbm"), told)
    figures += searches(there, bm25, better, Users("dbn"), f"{told}, DBN users", bound=None)
    figures += searches(there, *lucky(there), Users("pbm"), "two orders of one ranker with luck in both", bound=None)
    figures += false_positives(there, bm25, better)
    return figures + coverage(there, bm25, better)


@dataclass(frozen=True)
class Shop:
    """Candidates with their score by BM25 (by query, in no order), grades and ratings; how popular each query is."""

    candidates: pl.DataFrame
    judgments: pl.DataFrame
    query_ids: list[str]
    popularity: Floats
    gains: str
    scale: measures.Scale


@dataclass(frozen=True)
class Lists:
    """Lists one after the other: list i has rows offsets[i] to offsets[i + 1]; each is shown with its odds."""

    attraction: Floats
    team: NDArray[np.int64]
    offsets: NDArray[np.int64]
    odds: Floats


def demo_shop(*, size: int = 5_000, queries: int = 1_200) -> Shop:
    """The shop of the experiment ``shop``, by BM25."""
    dataset = build(DataConfig(source="shop", size=size, queries=queries))
    engine = embedded.build(
        dataset.products, fields=dataset.text_fields, analyzer="english", match={}, vectors=None, encoder=None
    )
    run = engine.retrieve(dataset.queries.select("query_id", "query"), depth=DEPTH)
    ratings = dataset.products.select("product_id", ratings=(1 + pl.col("rating_count").fill_null(0)).log())
    spread = (pl.col("score") - pl.col("score").mean()) / (pl.col("score").std().fill_null(0.0) + 1e-9)
    candidates = (
        run.join(ratings, on="product_id", how="left", maintain_order="left")
        .join(dataset.judgments.drop("weight"), on=["query_id", "product_id"], how="left", maintain_order="left")
        .with_columns(pl.col("grade").fill_null(0.0), score=spread.over("query_id"))
        .select("query_id", "product_id", "score", "ratings", "grade")
    )
    asked = dataset.queries.filter(pl.col("query_id").is_in(candidates["query_id"].unique().implode()))
    popularity = asked["popularity"].cast(pl.Float64).to_numpy()
    return Shop(
        candidates,
        dataset.judgments,
        asked["query_id"].to_list(),
        popularity / popularity.sum(),
        dataset.gains,
        measures.scale(dataset.scale),
    )


def rated(there: Shop) -> tuple[pl.DataFrame, pl.DataFrame, str]:
    """BM25, and with the ratings that make it better by the difference; ties of BM25 are broken by ratings."""

    def ranker(share: float) -> pl.DataFrame:
        return _ranked(there, pl.col("score") + (1e-6 + share) * pl.col("ratings"))

    better, share = _so_much_better(there, ranker(0.0), ranker)
    return ranker(0.0), better, f"BM25 and BM25 + {share:.3f} · ln(1 + ratings)"


def lucky(there: Shop) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Two orders that differ at most places by luck, and by the difference: the hardest case for interleaving."""
    ours, theirs = np.random.default_rng(SEED).normal(0, 0.5, size=(2, there.candidates.height))
    base = _ranked(there, pl.col("score") + pl.Series(theirs))

    def ranker(share: float) -> pl.DataFrame:
        return _ranked(there, pl.col("score") + pl.Series(ours) + share * pl.col("grade"))

    return base, _so_much_better(there, base, ranker)[0]


def searches(
    there: Shop, first: pl.DataFrame, second: pl.DataFrame, users: Users, told: str, *, bound: float | None = 20.0
) -> list[dict[str, object]]:
    """Searches that an A/B test and an interleaving take for the same difference at the same power."""
    rng = np.random.default_rng(SEED)
    arms = [shown(there, each) for each in (first, second)]
    logs = [by_user(arm, LARGE, users, rng) for arm in arms]
    exact = [expected(arm, users) for arm in arms]
    change = (
        exact[1] - exact[0]
        if users.kind == "pbm"
        else float(np.subtract(*[clicks.sum() / n.sum() for clicks, _, n in logs][::-1]))
    )
    values = np.concatenate([linearised(clicks, n) for clicks, _, n in logs])
    traffic = Traffic(exact[0], float(values.std()), 2 * LARGE, int(sum(n.sum() for *_, n in logs)), DAYS)
    ab = needed(traffic, change, share=0.5, power=POWER)
    what = f"a true {nd(there, second) - nd(there, first):.4f} of {MEASURE} ({told})"
    falls = ", which fall" if change < 0 else ""
    figures = [_figure(f"{what}: searches of an A/B test by clicks per search{falls}, power {POWER:g}", ab.searches)]
    for common in ("nobody", "drafted"):
        merged = interleaved(there, first, second, common)
        net, decided, made = by_user(merged, LARGE, users, rng)
        seen = decided > 0
        delta = ratio_of(net[seen], decided[seen])
        own = Traffic(
            float(delta.value),
            float(delta.standard_error) * math.sqrt(seen.sum()),
            int(seen.sum()),
            int(made.sum()),
            DAYS,
        )
        plan = needed(own, own.value, power=POWER)
        kept = common == "nobody"
        draft = "team draft" if kept else "team draft as in the paper, common picks drafted"
        figures.append(_figure(f"{what}: searches of an interleaving, {draft}", plan.searches))
        figures.append(
            _figure(
                f"{what}: A/B ÷ interleaving, {draft}",
                round(ab.searches / plan.searches, 1),
                "×",
                bound if kept else None,
                "higher",
            )
        )
        if kept and bound:
            shares = _powers(arms, merged, users, ab.searches, plan.searches, rng)
            for test, share, times in zip(
                ("A/B test", "interleaving"), shares, (AB_CHECKS, INTERLEAVING_CHECKS), strict=True
            ):
                figures.append(
                    _figure(f"{what}: share proven in {times:,} runs of so many searches, {test}", round(share, 3))
                )
    return figures


def _powers(
    arms: list[Lists], merged: Lists, users: Users, ab: int, interleaving: int, rng: np.random.Generator
) -> tuple[float, float]:
    """How often each test proves the second ranker better on so many fresh searches."""
    proven = 0
    for _ in range(AB_CHECKS):
        values = [
            linearised(clicks, n) for clicks, _, n in (by_user(arm, ab // (2 * PER_USER), users, rng) for arm in arms)
        ]
        found = welch(values[0], values[1])
        proven += bool(found.p_value() < 0.05 and found.value > 0)
    preferred = 0
    for _ in range(INTERLEAVING_CHECKS):
        net, decided, _ = by_user(merged, max(2, interleaving // PER_USER), users, rng)
        delta = ratio_of(net[decided > 0], decided[decided > 0])
        preferred += bool(delta.p_value() < 0.05 and delta.value > 0)
    return proven / AB_CHECKS, preferred / INTERLEAVING_CHECKS


def false_positives(there: Shop, first: pl.DataFrame, second: pl.DataFrame) -> list[dict[str, object]]:
    """How often each test proves a difference where there is none, read once and looked at daily."""
    rng = np.random.default_rng(SEED + 1)
    users = Users("pbm")
    clicks, clicked, n = by_user_and_day(shown(there, first), LARGE, users, rng)
    merged = interleaved(there, first, second, "nobody")
    random = Lists(np.full_like(merged.attraction, merged.attraction.mean()), merged.team, merged.offsets, merged.odds)
    # Ten times as large, so that its own luck, which all tests share, does not count.
    net, decided = (
        np.concatenate(parts)
        for parts in zip(*(by_user_and_day(random, LARGE, users, rng)[:2] for _ in range(10)), strict=True)
    )
    counts = {
        "A/B, clicks per search, delta method": 0,
        "A/B, clicks per search, bootstrap": 0,
        "A/B, searches with a click, delta method": 0,
        "A/B, clicks per search, looked at daily, always-valid": 0,
        "A/B, clicks per search, looked at daily, p taken as it is": 0,
        "interleaving, t": 0,
        "interleaving, bootstrap": 0,
        "interleaving, sign": 0,
        "interleaving, looked at daily, always-valid": 0,
        "interleaving, looked at daily, p taken as it is": 0,
    }
    for rows in _chunks(rng, SIMULATIONS, 2 * GROUP):
        # A look a day: users on the last axis, looks before it.
        x, y, c = (each[rows].cumsum(axis=2).transpose(0, 2, 1) for each in (clicks, n, clicked))
        daily = welch(linearised(x[..., :GROUP], y[..., :GROUP]), linearised(x[..., GROUP:], y[..., GROUP:]))
        p = daily.p_value()
        counts["A/B, clicks per search, delta method"] += int((p[:, -1] < 0.05).sum())
        counts["A/B, clicks per search, looked at daily, p taken as it is"] += int((p < 0.05).any(axis=1).sum())
        seen = (y > 0).sum(axis=-1)
        valid = always_valid(daily.value, daily.standard_error, seen, planned=2 * GROUP)
        counts["A/B, clicks per search, looked at daily, always-valid"] += int((valid.p_value[:, -1] < 0.05).sum())
        x, y, c = x[:, -1], y[:, -1], c[:, -1]
        found = welch(linearised(c[:, :GROUP], y[:, :GROUP]), linearised(c[:, GROUP:], y[:, GROUP:]))
        counts["A/B, searches with a click, delta method"] += int((found.p_value() < 0.05).sum())
        for one, other in zip(x, y, strict=True):
            drawn = [
                bootstrapped(one[part], other[part], seed=int(rng.integers(2**31)), resamples=RESAMPLES)
                for part in (slice(GROUP), slice(GROUP, None))
            ]
            counts["A/B, clicks per search, bootstrap"] += bootstrapped_p(drawn[1] - drawn[0]) < 0.05
        rows = rng.integers(0, len(net), size=(len(rows), GROUP))
        x, y = (each[rows].cumsum(axis=2).transpose(0, 2, 1) for each in (net, decided))
        daily = ratio_of(x, y)
        p = daily.p_value()
        counts["interleaving, looked at daily, p taken as it is"] += int((p < 0.05).any(axis=1).sum())
        valid = always_valid(daily.value, daily.standard_error, (y > 0).sum(axis=-1), planned=GROUP)
        counts["interleaving, looked at daily, always-valid"] += int((valid.p_value[:, -1] < 0.05).sum())
        for one, other in zip(x[:, -1], y[:, -1], strict=True):
            one, other = one[other > 0], other[other > 0]
            counts["interleaving, t"] += bool(ratio_of(one, other).p_value() < 0.05)
            drawn_once = bootstrapped(one / 2, other, seed=int(rng.integers(2**31)), resamples=RESAMPLES)
            counts["interleaving, bootstrap"] += bootstrapped_p(drawn_once) < 0.05
            counts["interleaving, sign"] += sign_p(int((one > 0).sum()), int((one != 0).sum())) < 0.05
    figures = []
    for method, count in counts.items():
        low, high = _wilson(count, SIMULATIONS)
        figures.append(
            _figure(
                f"A/A, {SIMULATIONS:,} tests, {method}: lower end of the false positive rate's 95 % interval "
                f"(rate {count / SIMULATIONS:.4f}, to {high:.4f})",
                round(low, 4),
                bound=None if "as it is" in method else 0.05,
            )
        )
    return figures


def coverage(there: Shop, first: pl.DataFrame, second: pl.DataFrame) -> list[dict[str, object]]:
    """How often off-policy intervals hold the truth."""
    rng = np.random.default_rng(SEED + 2)
    users = Users("pbm")
    top = first.filter(pl.col("rank") <= LENGTH).select("query_id", "product_id")
    order = second.join(top, on=["query_id", "product_id"], how="semi", maintain_order="left")
    missing = top.join(order, on=["query_id", "product_id"], how="anti")
    # What the other ranker has not among its own candidates comes last.
    target = pl.concat([order.select("query_id", "product_id"), missing]).with_columns(
        rank=pl.int_range(1, pl.len() + 1).over("query_id")
    )
    logged, wanted = shown(there, first), shown(there, target)
    truth = expected(wanted, users)
    ids = _products(there, first)
    query_ids = pl.Series(there.query_ids)
    held = {(method, interval): 0 for method in ("ips", "snips") for interval in ("t", "bootstrap")}
    widths: list[float] = []
    for number in range(LOGS):
        user, which = _searched(logged, LOG_USERS, rng)
        rows, sizes = _rows(logged, which)
        search = np.repeat(np.arange(len(which)), sizes)
        shuffled = rows[np.lexsort((rng.random(len(rows)), search))]
        position = (np.arange(len(rows)) - np.repeat(np.cumsum(sizes) - sizes, sizes) + 1).astype(np.uint16)
        clicked, _, _ = shop(users, position, logged.attraction[shuffled], sizes, rng)
        log = pl.DataFrame(
            {
                "search_id": search,
                "user_id": user[search],
                "query_id": query_ids.gather(which[search]),
                "product_id": ids.gather(shuffled),
                "position": position,
                "clicked": clicked,
                "propensity": (1 / np.repeat(sizes, sizes)).astype(np.float32),
            }
        )
        sums = weighted(log, target, cutoff=LENGTH)
        for method, interval in held:
            found = value_of(sums, method=method, interval=interval, resamples=RESAMPLES, seed=number)
            held[method, interval] += found.low <= truth <= found.high
            widths += [(found.high - found.low) / truth] if (method, interval) == ("snips", "t") else []
    told = f"off-policy, {LOGS:,} logs of {LOG_USERS} users"
    figures = [
        _figure(
            f"{told}: coverage of 95 % intervals, {method.upper()}, {interval}",
            round(times / LOGS, 3),
            "",
            0.93,
            "higher",
        )
        for (method, interval), times in held.items()
    ]
    figures.append(_figure(f"{told}: the highest of these coverages", round(max(held.values()) / LOGS, 3), bound=0.97))
    return [*figures, _figure(f"{told}: mean width of SNIPS' interval ÷ the value", round(float(np.mean(widths)), 3))]


def shown(there: Shop, run: pl.DataFrame) -> Lists:
    """The first page of each query's list."""
    page = _page(there, run)
    sizes = np.bincount(page["number"].to_numpy(), minlength=len(there.query_ids))
    attraction = attraction_of(page["grade"].to_numpy(), there.scale.maximum, gains=there.gains)
    return Lists(attraction, np.ones(len(attraction), dtype=np.int64), _offsets(sizes), there.popularity)


def interleaved(there: Shop, first: pl.DataFrame, second: pl.DataFrame, common: str) -> Lists:
    """Each list that coins can make of each query's two, with its odds; teams are −1 and 1."""
    runs = [
        dict(zip(lists["query_id"], lists["product_id"].to_list(), strict=True))
        for lists in (run.group_by("query_id", maintain_order=True).agg("product_id") for run in (first, second))
    ]
    grades = {
        (query, product): grade
        for query, product, grade in there.candidates.select("query_id", "product_id", "grade").rows()
    }
    kept, team, sizes, odds = [], [], [], []
    for query_id, popularity in zip(there.query_ids, there.popularity, strict=True):
        for coins, made in _every(runs[0][query_id], runs[1][query_id], common):
            kept += [grades[query_id, product] for product in made.product_ids]
            team += [{"A": -1, "B": 1, None: 0}[each] for each in made.teams]
            sizes.append(len(made.teams))
            odds.append(popularity * 0.5**coins)
    attraction = attraction_of(kept, there.scale.maximum, gains=there.gains)
    return Lists(attraction, np.array(team), _offsets(np.array(sizes)), np.array(odds))


def by_user(lists: Lists, users: int, who: Users, rng: np.random.Generator) -> tuple[Floats, Floats, Floats]:
    """Of fresh users: clicks or, with teams, net wins; searches with a click for a team; searches."""
    user, net, pointed = _outcomes(lists, users, who, rng)
    return tuple(np.bincount(user, each, minlength=users) for each in (net, pointed, np.ones(len(user))))  # type: ignore[return-value]


def by_user_and_day(lists: Lists, users: int, who: Users, rng: np.random.Generator) -> tuple[Floats, Floats, Floats]:
    """The same, users × days."""
    user, net, pointed = _outcomes(lists, users, who, rng)
    cell = user * DAYS + rng.integers(0, DAYS, size=len(user))
    return tuple(  # type: ignore[return-value]
        np.bincount(cell, each, minlength=users * DAYS).reshape(users, DAYS)
        for each in (net, pointed, np.ones(len(user)))
    )


def expected(lists: Lists, who: Users) -> float:
    """Clicks a search of position-based users, exactly."""
    sizes = np.diff(lists.offsets)
    position = np.arange(len(lists.attraction)) - np.repeat(lists.offsets[:-1], sizes)
    each = np.add.reduceat(who.examination(LENGTH)[position] * lists.attraction, lists.offsets[:-1])
    return float(each @ lists.odds)


def nd(there: Shop, run: pl.DataFrame) -> float:
    """nDCG@10 on the truth, a mean over searches."""
    gains = measures.gain_table(there.gains, there.scale)
    values = evaluation.evaluate(run, there.judgments, [MEASURE], gains=gains, scale=there.scale)
    weights = pl.DataFrame({"query_id": there.query_ids, "weight": there.popularity})
    known = values.join(weights, on="query_id").filter(pl.col(str(MEASURE)).is_not_nan())
    return float((known[str(MEASURE)] * known["weight"]).sum() / known["weight"].sum())


def _outcomes(
    lists: Lists, users: int, who: Users, rng: np.random.Generator
) -> tuple[NDArray[np.int64], Floats, NDArray[np.bool_]]:
    user, which = _searched(lists, users, rng)
    rows, sizes = _rows(lists, which)
    position = (rows - np.repeat(lists.offsets[which], sizes) + 1).astype(np.uint16)
    clicked, _, _ = shop(who, position, lists.attraction[rows], sizes, rng)
    search = np.repeat(np.arange(len(which)), sizes)[clicked]
    team = lists.team[rows[clicked]]
    net = np.bincount(search, team, minlength=len(which))
    pointed = np.bincount(search, team != 0, minlength=len(which)) > 0
    # Wins of interleaving; clicks where there are no teams.
    return user, np.sign(net) if (lists.team < 1).any() else net, pointed


def _searched(lists: Lists, users: int, rng: np.random.Generator) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The user and the list of each search."""
    user = np.repeat(np.arange(users), rng.geometric(1 / PER_USER, size=users))
    odds = np.cumsum(lists.odds)
    which = np.searchsorted(odds / odds[-1], rng.random(len(user)), side="right")
    return user, np.minimum(which, len(odds) - 1)


def _rows(lists: Lists, which: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    sizes = np.diff(lists.offsets)[which]
    return np.arange(sizes.sum()) + np.repeat(lists.offsets[which] - (np.cumsum(sizes) - sizes), sizes), sizes


def _every(first: list[str], second: list[str], common: str) -> Iterator[tuple[int, object]]:
    """Each list that coins can make, with the number of coins it took."""
    waiting: list[tuple[bool, ...]] = [()]
    while waiting:
        coins = waiting.pop()
        try:
            yield len(coins), merge(first, second, iter(coins), length=LENGTH, common=common)
        except StopIteration:
            waiting += [(*coins, False), (*coins, True)]


def _so_much_better(
    there: Shop, base: pl.DataFrame, ranker: Callable[[float], pl.DataFrame]
) -> tuple[pl.DataFrame, float]:
    """The ranker of the share at which it is better by the difference, as nearly as lists can be."""
    floor, low, high = nd(there, base), 0.0, 1.0
    for _ in range(20):
        share = (low + high) / 2
        low, high = (share, high) if nd(there, ranker(share)) - floor < DIFFERENCE else (low, share)
    nearest = min((low, high), key=lambda share: abs(nd(there, ranker(share)) - floor - DIFFERENCE))
    return ranker(nearest), nearest


def _ranked(there: Shop, score: pl.Expr) -> pl.DataFrame:
    return frames.ranked(there.candidates.select("query_id", "product_id", score=score))


def _page(there: Shop, run: pl.DataFrame) -> pl.DataFrame:
    numbers = pl.DataFrame({"query_id": there.query_ids}).with_row_index("number")
    return (
        run.filter(pl.col("rank") <= LENGTH)
        .join(numbers, on="query_id")
        .join(there.candidates.select("query_id", "product_id", "grade"), on=["query_id", "product_id"], how="left")
        .sort("number", "rank")
    )


def _products(there: Shop, run: pl.DataFrame) -> pl.Series:
    return _page(there, run)["product_id"]


def _offsets(sizes: NDArray[np.int64]) -> NDArray[np.int64]:
    return np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)


def _chunks(rng: np.random.Generator, count: int, users: int, size: int = 100) -> Iterator[NDArray[np.int64]]:
    """Users of so many tests at a time, drawn from the large log."""
    for start in range(0, count, size):
        yield rng.integers(0, LARGE, size=(min(size, count - start), users))


def _wilson(count: int, n: int) -> tuple[float, float]:
    """The 95 % interval of a share (Wilson, JASA 1927)."""
    z, share = normal_quantile(0.975), count / n
    middle, half = share + z**2 / (2 * n), z * math.sqrt(share * (1 - share) / n + z**2 / (4 * n**2))
    return (middle - half) / (1 + z**2 / n), (middle + half) / (1 + z**2 / n)


def _figure(
    what: str, value: float, unit: str = "", bound: float | None = None, better: str = "lower"
) -> dict[str, object]:
    return {"what": what, "value": value, "unit": unit, "bound": bound, "better": better}
