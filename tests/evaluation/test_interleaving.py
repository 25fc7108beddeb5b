"""Interleaving: the paper's figures, every list that coins can make, and what must hold of any two rankings."""

import hashlib
import itertools
from collections import defaultdict
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ltr.errors import CandidateError, ConfigError
from ltr.evaluation.interleaving import Credit, Interleaved, coins, credit, interleave, merge

# Radlinski, Kurup & Joachims, CIKM 2008, figure 1.
A, B = "abcdgh", "beafgh"
PAIRS = [(a, b) for size in (1, 2, 3, 4) for a in ["abcd"[:size]] for b in map("".join, itertools.permutations(a))]
OVERLAPPING = [
    ("ab", "cd"),
    ("abc", "ad"),
    ("a", "abc"),
    ("abc", "cba"),
    ("abd", "dbaec"),
    ("", "ab"),
    ("abcd", "bxay"),
]


def every(first, second, **how):
    """Each list that coins can make, with its odds."""
    waiting = [()]
    while waiting:
        drawn = waiting.pop()
        try:
            yield merge(first, second, iter(drawn), **how), Fraction(1, 2 ** len(drawn))
        except StopIteration:
            waiting += [(*drawn, False), (*drawn, True)]


def exposure(first, second, **how):
    """By team: how often each place is its own."""
    found = {"A": defaultdict(Fraction), "B": defaultdict(Fraction)}
    for made, odds in every(first, second, **how):
        for place, team in enumerate(made.teams):
            if team:
                found[team][place] += odds
    return {team: dict(places) for team, places in found.items()}


def preference_of_one_random_click(first, second, **how):
    """P(B wins) − P(A wins) where one product, any, is clicked."""
    total = Fraction(0)
    for made, odds in every(first, second, **how):
        for product in made.product_ids:
            points = made.credit({product})
            total += odds * ((points.second > points.first) - (points.first > points.second)) / len(made.product_ids)
    return total


@pytest.mark.parametrize(
    ("leaders", "shown", "teams"),
    [("AAA", "abcedf", "ABABAB"), ("BAA", "bacedf", "BAABAB"), ("ABA", "abecdf", "ABBAAB")],
)
def test_team_draft_makes_the_lists_of_the_paper(leaders, shown, teams):
    made = merge(A, B, iter([leader == "B" for leader in leaders]), length=6, common="drafted")
    assert made == Interleaved(tuple(shown), tuple(teams))


@pytest.mark.parametrize(("second_leads", "shown"), [(False, "abecdfgh"), (True, "baecfdgh")])
def test_balanced_interleaving_makes_the_lists_of_the_paper(second_leads, shown):
    assert "".join(merge(A, B, iter([second_leads]), method="balanced").product_ids) == shown


def test_balanced_tops_hold_as_much_of_either_ranking_within_one():
    for (a, b), leads in itertools.product(PAIRS, (False, True)):
        depths = [(ka, kb) for ka, kb in itertools.product(range(len(a) + 1), repeat=2) if abs(ka - kb) <= 1]
        tops = [set(a[:ka]) | set(b[:kb]) for ka, kb in depths]
        shown = merge(a, b, iter([leads]), method="balanced").product_ids
        assert all(set(shown[:depth]) in tops for depth in range(1, len(shown) + 1))


@pytest.mark.parametrize("common", ["nobody", "drafted"])
@pytest.mark.parametrize("length", [None, 1, 2, 3])
def test_both_teams_of_a_draft_have_each_place_equally_often(common, length):
    for first, second in PAIRS + OVERLAPPING:
        found = exposure(first, second, length=length, common=common)
        assert found["A"] == found["B"]


@pytest.mark.parametrize("common", ["nobody", "drafted"])
@pytest.mark.parametrize("pinned", [{}, {1: "p"}, {2: "b"}, {1: "a", 3: "p"}])
def test_random_clicks_prefer_no_team_of_a_draft(common, pinned):
    for first, second in PAIRS + OVERLAPPING:
        assert preference_of_one_random_click(first, second, common=common, pinned=pinned) == 0


def test_any_clicks_that_do_not_see_the_products_prefer_no_team_of_a_draft():
    for first, second in PAIRS[-24:]:
        for clicked in itertools.product((False, True), repeat=4):
            total = 0
            for made, odds in every(first, second):
                points = credit([team for team, one in zip(made.teams, clicked, strict=True) if one])
                total += odds * ((points.second > points.first) - (points.first > points.second))
            assert total == 0


def test_balanced_interleaving_prefers_the_ranking_that_the_paper_says():
    # Both lists, abcd and bacd, have c and d nearer the top of the second ranking, and b too.
    assert preference_of_one_random_click("abcd", "bcda", method="balanced") == Fraction(3, 4) - Fraction(1, 4)
    assert preference_of_one_random_click("abcd", "bcda") == 0


def test_what_both_want_next_is_nobodys_and_takes_no_coin():
    assert merge("abcd", "abdc", iter([True])) == Interleaved(tuple("abdc"), (None, None, "B", "A"))
    assert merge("abc", "abc", iter([])).teams == (None, None, None)
    # The paper drafts it: two rounds, two coins, and who has a and b is luck.
    assert merge("abcd", "abdc", iter([True, False]), common="drafted").teams == ("B", "A", "A", "B")


def test_what_fills_the_list_after_a_ranking_has_run_out_is_nobodys():
    assert merge("a", "bcd", iter([False])) == Interleaved(("a", "b", "c", "d"), ("A", "B", None, None))
    assert merge("", "ab", iter([])) == Interleaved(("a", "b"), (None, None))


@pytest.mark.parametrize("method", ["team_draft", "balanced"])
def test_pinned_products_keep_their_place_and_earn_nothing(method):
    for made, _ in every("abcd", "dcba", method=method, pinned={1: "x", 3: "a"}, length=4):
        assert (made.product_ids[0], made.product_ids[2]) == ("x", "a")
        assert (made.teams[0], made.teams[2]) == (None, None)
        assert made.credit({"x", "a"}) == (0, 0)


def test_a_list_too_short_for_a_pinned_place_ends_with_its_product():
    assert interleave("a", "a", seed="s", pinned={5: "z"}).product_ids == ("a", "z")
    assert interleave("", "", seed="s", pinned={2: "z"}).product_ids == ("z",)
    assert interleave("ab", "ba", seed="s", length=1, pinned={1: "z"}).product_ids == ("z",)


def test_credit_of_balanced_lists_counts_clicks_in_the_top_of_the_lowest_click():
    # a b e c d f: clicked are b and e; e is second in B, so that k = 2: b is among A's first two, b and e among B's.
    made = merge(A, B, iter([False]), method="balanced")
    assert made.credit({"b", "e"}) == Credit(1, 2)
    # d is fourth in A alone: k = 4; of A b, d; of B b, e.
    assert made.credit({"b", "e", "d"}) == Credit(2, 2)
    assert made.credit(set()) == made.credit({"unknown"}) == Credit(0, 0)


def test_coins_are_the_bits_of_sha_256():
    bits = "".join(f"{byte:08b}" for block in ("s", "s#1") for byte in hashlib.sha256(block.encode()).digest())
    assert "".join(str(int(coin)) for coin in itertools.islice(coins("s"), 512)) == bits


def test_a_search_has_one_list_and_searches_have_both_leaders():
    made = [interleave("ab", "ba", seed=f"search-{number}") for number in range(2_000)]
    assert made == [interleave("ab", "ba", seed=f"search-{number}") for number in range(2_000)]
    assert abs(sum(each.teams[0] == "A" for each in made) - 1_000) < 4 * 500**0.5


RANKINGS = st.lists(st.sampled_from("abcdefghij"), unique=True, max_size=8)


@settings(max_examples=150)
@given(
    first=RANKINGS,
    second=RANKINGS,
    seed=st.text(max_size=5),
    length=st.none() | st.integers(1, 9),
    method=st.sampled_from(["team_draft", "balanced"]),
    common=st.sampled_from(["nobody", "drafted"]),
    pins=st.dictionaries(st.integers(1, 4), st.sampled_from("abxyz"), max_size=3),
)
def test_any_list_is_whole_without_repeats_and_in_the_order_of_its_team(
    first, second, seed, length, method, common, pins
):
    pinned = {place: product for place, product in pins.items() if list(pins.values()).count(product) == 1}
    pinned = {place: product for place, product in pinned.items() if length is None or place <= length}
    made = interleave(first, second, length=length, method=method, common=common, seed=seed, pinned=pinned)
    whole = set(first) | set(second) | set(pinned.values())
    assert len(set(made.product_ids)) == len(made.product_ids) == len(made.teams)
    assert len(made.product_ids) == min(len(whole), length or len(whole))
    assert set(made.product_ids) <= whole
    free = [each for each in made.product_ids if each not in pinned.values()]
    for team, ranking in (("A", first), ("B", second)):
        own = [each for each, whose in zip(made.product_ids, made.teams, strict=True) if whose == team]
        assert own == sorted(own, key=ranking.index)
    # Nobody is passed over: what is shown of a ranking is its top, but for what the other brought.
    if method == "team_draft" and free:
        for ranking, other in ((first, "B"), (second, "A")):
            rest = [each for each in ranking if each not in made.product_ids]
            mine = [
                each for each, whose in zip(made.product_ids, made.teams, strict=True) if whose not in (other, None)
            ]
            assert all(ranking.index(each) < ranking.index(left) for each in mine for left in rest)


@given(first=st.permutations("abcde"), second=st.permutations("abcde"), seed=st.text(max_size=3))
@settings(max_examples=50)
def test_exchanged_rankings_with_exchanged_coins_exchange_the_teams(first, second, seed):
    luck = list(itertools.islice(coins(seed), 10))
    there = merge(first, second, iter(luck))
    back = merge(second, first, iter([not coin for coin in luck]))
    assert there.product_ids == back.product_ids
    assert [{"A": "B", "B": "A", None: None}[team] for team in back.teams] == list(there.teams)


@pytest.mark.parametrize(
    ("change", "fault", "message"),
    [
        ({"first": "aa"}, CandidateError, "product 'a' is twice in the first ranking; rank each product once"),
        ({"second": "bb"}, CandidateError, "twice in the second ranking"),
        ({"pinned": {1: "z", 2: "z"}}, CandidateError, "'z' is twice in the pinned ranking"),
        ({"pinned": {0: "z"}}, CandidateError, "pinned to place 0; places are 1 to"),
        ({"pinned": {4: "z"}, "length": 3}, CandidateError, "pinned to place 4; places are 1 to 3"),
        ({"length": 0}, ConfigError, "length is 0; show 1 product or more"),
        ({"method": "ballanced"}, ConfigError, "did you mean 'balanced'?"),
        ({"common": "all"}, ConfigError, "common is 'all'; .*choices: drafted, nobody"),
    ],
)
def test_what_cannot_be_merged_is_told(change, fault, message):
    given_ = {"first": "ab", "second": "ba", "seed": "s", **change}
    with pytest.raises(fault, match=message.replace("?", r"\?")):
        interleave(given_.pop("first"), given_.pop("second"), **given_)
