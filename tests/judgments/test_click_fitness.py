"""Fitness: perplexity and log-likelihood as their formulas say, on searches held out."""

import numpy as np
import polars as pl
import pytest

from ltr.errors import ConfigError, DataError
from ltr.judgments import DBN, PBM, UBM
from ltr.judgments import fitness as fits
from ltr.judgments import lists as searches
from ltr.judgments.fitness import fitness, held_out, rates
from ltr.judgments.priors import FittedPrior

PRIOR = FittedPrior(0.4, 2.0)


class Says:
    """A model that foretells what it was made with."""

    def __init__(self, values, given=None):
        self.values, self.given = np.array(values), np.array(values if given is None else given)

    def predict_clicks(self, _, *, conditional=False):
        return self.given if conditional else self.values


def rows(clicked, positions):
    return pl.DataFrame(
        {"search_id": [f"s{at}" for at in range(len(clicked))], "query_id": "q", "product_id": "p",
         "position": positions, "clicked": clicked}
    )  # fmt: skip


def test_perplexity_is_two_to_the_mean_bits_of_each_rank_and_then_their_mean():
    log = rows([True, False, True], [1, 1, 2])
    found = fitness(Says([0.5, 0.25, 0.8]), log)
    first = 2 ** (-(np.log2(0.5) + np.log2(0.75)) / 2)
    second = 2 ** -np.log2(0.8)
    assert found.ranks["perplexity"].to_list() == pytest.approx([first, second])
    assert found.perplexity == pytest.approx((first + second) / 2)
    assert found.log_likelihood == pytest.approx((np.log(0.5) + np.log(0.75) + np.log(0.8)) / 3)
    assert found.ranks["shown"].to_list() == [2, 1]


def test_the_log_likelihood_and_the_conditional_perplexity_are_given_the_clicks_above():
    found = fitness(Says([0.5, 0.5], given=[0.9, 0.9]), rows([True, True], [1, 2]))
    assert (found.perplexity, found.conditional) == (pytest.approx(2), pytest.approx(1 / 0.9))
    assert found.log_likelihood == pytest.approx(np.log(0.9))


def test_what_a_model_thinks_impossible_costs_a_million_to_one():
    assert fitness(Says([0.0]), rows([True], [1])).perplexity == pytest.approx(1e6)


def test_a_perfect_model_has_perplexity_1():
    assert fitness(Says([1.0, 0.0]), rows([True, False], [1, 2])).perplexity == pytest.approx(1, abs=1e-5)


def test_rates_are_the_click_through_rates_and_hold_where_nothing_was_shown():
    found = rates(rows([True, False, True], [1, 1, 3]))
    assert found.rate.tolist() == [0.5, 0.5, 1.0]
    assert found.predict_clicks(rows([True, True], [3, 9])).tolist() == [1.0, 1.0]


def test_ranks_beyond_the_tenth_are_told_but_not_in_the_mean():
    found = fitness(Says([0.5, 0.99]), rows([True, True], [1, 11]))
    assert (found.perplexity, found.ranks["position"].to_list()) == (pytest.approx(2), [1, 11])


def test_the_true_model_foretells_best_on_searches_held_out(world):
    pairs, lists = world(30, 20_000)
    log = DBN(pairs, np.ones(10), PRIOR, 0.5, 0.9).sample(lists, seed=1)
    found = {kind: held_out(kind.fit, log) for kind in (DBN, UBM, PBM)}
    ours = {kind: model.log_likelihood for kind, (model, _) in found.items()}
    assert ours[DBN] > ours[UBM] > ours[PBM]
    model, baseline = found[DBN]
    assert model.conditional < baseline.conditional
    assert model.searches == baseline.searches == pytest.approx(2_000, rel=0.1)
    # a model whose clicks hang together knows more given those above
    assert model.conditional < model.perplexity


def test_a_long_log_lends_some_of_its_queries(world, monkeypatch):
    pairs, lists = world(200, 4_000)
    log = PBM(pairs, 1 / np.arange(1, 11), PRIOR).sample(lists, seed=1)
    monkeypatch.setattr(searches, "PART", 1_000)
    model, _ = held_out(PBM.fit, log, searches=2_000, share=0.2)
    assert model.searches == pytest.approx(400, rel=0.3)


def test_what_cannot_be_held_out_is_refused():
    with pytest.raises(ConfigError, match="a share of 1 cannot be held out"):
        held_out(PBM.fit, rows([True], [1]), share=1.0)
    with pytest.raises(DataError, match="1 searches are too few"):
        held_out(PBM.fit, rows([True], [1]))
    assert fits.RANKS == 10
