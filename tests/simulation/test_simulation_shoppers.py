"""A season: the laws of its log, and each thing that happens in it measured against what was asked for."""

import re
from datetime import UTC, date, datetime, timedelta, timezone

import numpy as np
import polars as pl
import pytest

from ltr.errors import ConfigError, DataError
from ltr.frames import check
from ltr.simulation import KINDS, Season, Users, shoppers

BUSY = {"days": 3, "randomised": 0.3, "bots": 0.2, "trending": 0.5, "new": 0.5, "missing": 0.1, "page": 8}


def luck(probability, count):
    """Four standard errors of a share."""
    return 4 * np.sqrt(probability * (1 - probability) / count)


@pytest.mark.parametrize("kind", KINDS)
def test_a_busy_season_is_a_lawful_log_in_the_order_of_time(season, kind):
    log, made = season(600, users=Users(kind, abandonment=0.1), **BUSY)
    check(log, "impressions")
    searches = log.group_by("search_id", maintain_order=True).agg(
        "position", pl.col("query_id", "session_id", "user_id", "shown_at", "variant", "device").n_unique()
    )
    assert all(positions == list(range(1, len(positions) + 1)) for positions in searches["position"].to_list())
    assert searches["position"].list.len().max() == 8
    assert searches.drop("search_id", "position").to_numpy().max() == 1
    assert log.filter(pl.col("clicked") != pl.col("clicked_at").is_not_null()).is_empty()
    assert log.filter(pl.col("clicked_at") <= pl.col("shown_at")).is_empty()
    assert [path.name for path in made.parts] == [f"2026-01-0{day}-0000.parquet" for day in (1, 2, 3)]
    for path in made.parts:
        part = pl.read_parquet(path)
        assert part["shown_at"].is_sorted()


def test_one_seed_is_one_log_and_another_is_another(season):
    first, made = season(200, **BUSY)
    same, made_again = season(200, name="again", **BUSY)
    other, _ = season(200, name="other", seed=8, **BUSY)
    assert first.equals(same)
    for truth in ("attraction", "examination", "products", "bots"):
        assert getattr(made.truth, truth).equals(getattr(made_again.truth, truth))
    assert not set(first["search_id"]) & set(other["search_id"])


def test_the_log_does_not_depend_on_the_order_of_the_runs_rows(season, make_shop, two_rankers):
    ordered, _ = season(100)
    shuffled = {name: run.sample(fraction=1, shuffle=True, seed=1) for name, run in two_rankers(make_shop()).items()}
    same, _ = season(100, rankings=dict(reversed(shuffled.items())), name="shuffled")
    assert ordered.equals(same)


def test_the_counts_are_those_of_the_log(season):
    log, made = season(500, **BUSY)
    randomised = log.filter(pl.col("propensity") < 1)["search_id"].n_unique()
    assert dict(made.counts) | {"by_bots": 0} == {
        "searches": log["search_id"].n_unique(),
        "impressions": log.height,
        "clicks": log["clicked"].sum(),
        "add_to_carts": log["add_to_cart"].sum(),
        "purchases": log["purchase"].sum(),
        "randomised": randomised,
        "by_bots": 0,
    }


def test_searches_are_spread_over_the_days_and_begin_on_them(season):
    log, _ = season(403, days=4, start=datetime(2025, 12, 30, tzinfo=timezone(timedelta(hours=2))))
    opened = log.group_by("session_id").agg(pl.col("shown_at").min(), pl.col("search_id").n_unique())
    # Midnight at +02:00 is 22:00 the day before.
    days = (opened["shown_at"] - datetime(2025, 12, 29, 22, tzinfo=UTC)).dt.total_days()
    assert opened.group_by(days.alias("day")).agg(pl.col("search_id").sum()).sort("day").rows() == [
        (0, 101), (1, 101), (2, 101), (3, 100),
    ]  # fmt: skip


def test_sessions_go_on_after_what_was_clicked_was_read(season):
    log, _ = season(2_000, users=Users("pbm", eta=0.2))
    searches = log.group_by("session_id", "search_id", maintain_order=True).agg(
        pl.col("shown_at").first(),
        left=(pl.col("clicked_at") + pl.duration(milliseconds=pl.col("dwell_s").cast(pl.Float64) * 1_000)).max(),
    )
    following = searches.with_columns(then=pl.col("shown_at").shift(-1).over("session_id"))
    assert following.filter(pl.col("left") > pl.col("then")).is_empty()
    assert following["then"].count() > 500


def test_clicks_follow_position_and_grade(season, make_shop):
    log, _ = season(20_000)
    graded = log.join(make_shop().judgments, on=["query_id", "product_id"], how="left").with_columns(
        a=0.1 + 0.9 * pl.col("grade").fill_null(0) / 2
    )
    for (position, a), rows in graded.group_by("position", "a"):
        expected = a / position
        assert abs(rows["clicked"].mean() - expected) <= luck(expected, rows.height)


def test_examination_is_recovered_from_randomised_traffic_by_a_ratio(season):
    log, made = season(30_000, randomised=0.5, users=Users("pbm", eta=1.5, abandonment=0.2))
    rates = (
        log.filter(pl.col("propensity") < 1)
        .group_by("position")
        .agg(pl.col("clicked").mean(), pl.len())
        .sort("position")
    )
    assert rates["position"].to_list() == list(range(1, 11))
    ratio = (rates["clicked"] / rates["clicked"][0]).to_numpy()
    # The error of a ratio of two shares.
    p, n = rates["clicked"].to_numpy(), rates["len"].to_numpy()
    spread = ratio * np.sqrt((1 - p) / (n * p) + (1 - p[0]) / (n[0] * p[0]))
    assert (np.abs(ratio - np.arange(1, 11) ** -1.5) <= 4 * spread).all()
    assert made.truth.examination["examination"].to_list()[1] == pytest.approx(0.8 * 2**-1.5)


def test_the_share_of_randomised_searches_is_the_one_asked_for(season):
    log, made = season(4_000, randomised=0.3, top=2)
    assert abs(made.counts["randomised"] / 4_000 - 0.3) <= luck(0.3, 4_000)
    assert log.filter(pl.col("propensity") < 1)["position"].max() == 2


def test_bots_make_their_share_of_searches_at_a_rate_and_click_on_nothing_or_everything(season):
    log, made = season(5_000, bots=0.2, users=Users("pbm", eta=0.1))
    marked = log.join(made.truth.bots, on="user_id", how="left")
    assert abs(marked.filter(pl.col("bot").is_not_null())["search_id"].n_unique() / 5_000 - 0.2) <= 1 / 5_000
    rates = dict(marked.group_by("bot").agg(pl.col("clicked").mean()).rows())
    assert (rates["clicks nothing"], rates["clicks everything"]) == (0, 1)
    assert 0.3 < rates[None] < 0.6
    assert not marked.filter(pl.col("bot").is_not_null())["purchase"].any()
    sessions = marked.group_by("session_id", "bot").agg(
        searches=pl.col("search_id").n_unique(),
        seconds=(pl.col("shown_at").max() - pl.col("shown_at").min()).dt.total_seconds(),
    )
    machines = sessions.filter(pl.col("bot").is_not_null(), pl.col("searches") > 50)
    assert (machines["seconds"] / machines["searches"]).max() < 2


def test_variants_share_sessions_evenly(season):
    log, _ = season(6_000)
    sessions = log.group_by("session_id").agg(pl.col("variant").unique())
    assert sessions["variant"].list.len().max() == 1
    new = (sessions["variant"].explode() == "new").mean()
    assert abs(new - 0.5) <= luck(0.5, sessions.height)


def test_queries_are_asked_by_their_popularity(season, make_shop):
    popularity = [0.5, 0.3, 0.15, 0.05, 0.0, float("nan")]
    log, _ = season(5_000, dataset=make_shop(popularity=popularity))
    asked = dict(log.unique("search_id").group_by("query_id").len().rows())
    assert set(asked) == {"q0", "q1", "q2", "q3"}
    for number, expected in enumerate(popularity[:4]):
        assert abs(asked[f"q{number}"] / 5_000 - expected) <= luck(expected, 5_000)


def test_without_popularity_few_queries_are_asked_much(season, make_shop):
    log, _ = season(20_000, dataset=make_shop(40))
    shares = np.sort(log.unique("search_id").group_by("query_id").len()["len"].to_numpy())[::-1] / 20_000
    expected = np.arange(1, 41) ** -0.8
    expected /= expected.sum()
    assert (np.abs(shares[:3] - expected[:3]) <= luck(expected[:3], 20_000)).all()


def test_a_new_product_is_shown_from_its_day_on_and_those_below_it_move_up(season):
    log, made = season(2_000, days=5, new=0.6)
    arrives = dict(made.truth.products.select("product_id", "arrives").rows())
    assert len(set(arrives.values())) > 2
    midnight = datetime(2026, 1, 1, tzinfo=UTC)
    sessions = log.with_columns(
        day=((pl.col("shown_at").min().over("session_id") - midnight).dt.total_days()).cast(pl.Int64)
    )
    for day, rows in sessions.group_by("day"):
        there = {product for product, when in arrives.items() if when <= date(2026, 1, 1) + timedelta(days=day[0])}
        assert set(rows["product_id"]) == there
        assert rows["position"].max() == len(there)


def test_trends_make_products_more_or_less_attractive_by_the_day(season):
    log, made = season(30_000, days=2, trending=0.7, users=Users("pbm", eta=0), name="trends")
    moving = made.truth.products.filter(pl.col("trend") != 1)
    assert set(moving["trend"]) == {2.0, 0.5}
    rates = (
        log.join(moving, on="product_id")
        .filter(pl.col("query_id") == "q0")
        .with_columns(late=pl.col("shown_at") >= datetime(2026, 1, 2, tzinfo=UTC))
        .group_by("product_id", "trend", "late")
        .agg(pl.col("clicked").mean(), pl.len())
    )
    grades = {product: place % 3 for place, product in enumerate(sorted(set(log["product_id"]), key=_place))}
    for product, trend, late, rate, shown in rates.rows():
        factor = np.sqrt(trend) if late else 1 / np.sqrt(trend)
        expected = min((0.1 + 0.9 * grades[product] / 2) * factor, 1)
        # A session that crosses midnight keeps the attraction of its first day.
        assert abs(rate - expected) <= luck(expected, shown) + 0.01


def _place(product):
    return int(re.search(r"\d+", product)[0])


def test_true_attraction_is_the_mean_over_the_days_on_which_the_product_was_there(season, make_shop):
    _, made = season(50, days=3, trending=1, new=0.5)
    grades = make_shop().judgments.select("query_id", "product_id", "grade")
    rows = made.truth.attraction.join(made.truth.products, on="product_id").join(
        grades, on=["query_id", "product_id"], how="left"
    )
    for attraction, arrives, trend, grade in rows.select("attraction", "arrives", "trend", "grade").rows():
        base = 0.1 + 0.9 * (grade or 0) / 2
        first = (arrives - date(2026, 1, 1)).days
        expected = np.mean([min(base * trend ** (day / 2 - 0.5), 1) for day in range(first, 3)])
        assert attraction == pytest.approx(expected)


def test_a_quiet_season_has_the_attraction_of_the_grades(season):
    _, made = season(10)
    assert set(made.truth.attraction["attraction"].round(9)) == {0.1, 0.55, 1.0}
    assert made.truth.bots.is_empty()
    assert set(made.truth.products["arrives"]) == {date(2026, 1, 1)}


def test_lost_events_leave_their_traces(season):
    whole, _ = season(5_000, users=Users("pbm", eta=0.3, carting=0.9))
    holes, _ = season(5_000, users=Users("pbm", eta=0.3, carting=0.9), missing=0.25, name="holes")
    for flag in ("clicked", "add_to_cart"):
        before, after = whole[flag].sum(), holes[flag].sum()
        assert not (holes[flag] & ~whole[flag]).any()
        assert abs(after / before - 0.75) <= luck(0.25, before)
    # A cart without its click: the click was lost.
    assert holes.filter(pl.col("add_to_cart") & ~pl.col("clicked")).height > 100


def test_revenue_is_the_price_and_unknown_prices_are_nothing(season, make_shop):
    log, _ = season(3_000, users=Users("pbm", carting=1, buying=1))
    priced = log.join(
        make_shop().products.select("product_id", "price"), on="product_id", how="left", maintain_order="left"
    )
    expected = priced.select(pl.when("purchase").then(pl.col("price").fill_null(0.0)).otherwise(0.0)).to_series()
    assert log["revenue"].equals(expected, check_names=False)
    assert log["revenue"].sum() > 0
    assert "revenue" not in season(10, dataset=make_shop(priced=False), name="free")[0].columns


def test_only_queries_that_every_ranker_answers_are_asked(season, make_shop, two_rankers):
    rankings = two_rankers(make_shop())
    rankings["new"] = rankings["new"].filter(pl.col("query_id").is_in(["q1", "q4"]))
    log, _ = season(300, rankings=rankings)
    assert set(log["query_id"]) == {"q1", "q4"}


def test_a_day_of_many_searches_is_made_in_parts_with_ids_of_their_own(season):
    log, made = season(300, days=2, bots=0.01, part=64)
    assert len(made.parts) == 6
    assert log["search_id"].n_unique() == 300
    check(log, "impressions")
    assert log.group_by("session_id").agg(pl.col("user_id").n_unique())["user_id"].max() == 1


def test_one_search_by_a_bot_alone_is_a_season_too(season):
    log, made = season(1, bots=1.0)
    assert made.counts["by_bots"] == made.counts["searches"] == 1
    assert log["user_id"][0] in set(made.truth.bots["user_id"])


REFUSED = {
    "days": ({"days": 0}, "days is 0"),
    "ages": ({"days": 10**9}, "days are too many"),
    "bots": ({"bots": 1.5}, "bots is 1.5"),
    "scheme": ({"scheme": "shufle"}, "did you mean 'shuffle'"),
    "no zone": ({"start": datetime(2026, 1, 1)}, "no time zone"),
}


@pytest.mark.parametrize(("happens", "message"), REFUSED.values(), ids=REFUSED)
def test_a_season_that_cannot_be_is_refused(happens, message):
    with pytest.raises(ConfigError, match=message):
        Season(**happens)


def test_what_cannot_be_simulated_is_refused(season, make_shop, tmp_path):
    with pytest.raises(ConfigError, match="0 searches"):
        season(0)
    with pytest.raises(DataError, match="no query is answered"):
        shoppers(make_shop(), {}, users=Users(), searches=1, seed=1, directory=tmp_path / "x", season=Season())
    assert not (tmp_path / "x").exists()


def test_parts_are_not_written_among_other_files(season, tmp_path):
    (tmp_path / "log").mkdir()
    (tmp_path / "log" / "mine.txt").write_text("mine")
    with pytest.raises(ConfigError, match=r"holds 'mine.txt'"):
        season(1)
    with pytest.raises(ConfigError, match="cannot be made"):
        season(1, name="log/mine.txt")
