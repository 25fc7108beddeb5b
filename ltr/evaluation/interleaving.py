"""Interleaving: one list made of two rankings, whose clicks say which of them shoppers prefer.

    team_draft    captains in turn, each round's first by a coin, pick their best product that is left; a click is a point
                  for the team that picked it (Radlinski, Kurup & Joachims, CIKM 2008)
    balanced      any top of the list holds as much of the one ranking's top as of the other's, within one; points are the
                  clicks in either's top k, k the depth at which one of them has the lowest click (Joachims, KDD 2002)

Team draft prefers neither ranking when clicks do not depend on the products: whoever begins a round, over the coins both teams
stand at each place equally often. Balanced interleaving has no such law: of ``abcd`` and ``bcda`` one random click prefers
the second three times of four (Radlinski et al., section 3), so that team draft is what we use.

A product that both captains want next says nothing of which ranking is better, and whose it is would be luck alone: where
rankings are much alike most clicks are on such products, and their luck hides the difference. It is nobody's, and the
round is drawn after it; ``common="drafted"`` is the paper's own draft. Nor is anybody credited for what fills the list
once a ranking has run out.

Coins follow from ``seed``, the search's id: the same search has the same list on each page of it and on each server. The
n-th coin is the n-th bit, highest first, of SHA-256 of the seed in UTF-8, then of the seed and "#1", "#2" and so on.

>>> made = interleave("abcdgh", "beafgh", length=6, seed="search-2")
>>> "".join(made.product_ids), made.teams
('abcefd', ('A', 'B', 'A', 'B', 'B', 'A'))
>>> made.credit({"b", "e", "d"})
Credit(first=1, second=2)
"""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, Literal, NamedTuple

from ltr.errors import CandidateError, ConfigError, suggestion

__all__ = ["COMMON", "METHODS", "TEAMS", "Credit", "Interleaved", "coins", "credit", "interleave", "merge"]

Method = Literal["team_draft", "balanced"]
Common = Literal["nobody", "drafted"]
METHODS: Final = ("team_draft", "balanced")
COMMON: Final = ("nobody", "drafted")
TEAMS: Final = ("A", "B")
_NOTHING: Final[Mapping[int, str]] = MappingProxyType({})


class Credit(NamedTuple):
    """Points of the first and of the second ranking for the clicks on one list."""

    first: int
    second: int


@dataclass(frozen=True)
class Interleaved:
    """A list to show, top first.

    Args:
        product_ids: each once.
        teams: what is logged with each product: ``A`` or ``B``, the ranking that it earns points for; of balanced lists
            its ranks in both, such as ``2:5`` or ``3:`` where the second has it not; None for nobody, as pinned products.
    """

    product_ids: tuple[str, ...]
    teams: tuple[str | None, ...]

    def credit(self, clicked: Collection[str]) -> Credit:
        """The points that clicks on these products earn; a product that is not in the list earns none."""
        return credit(
            [team for product_id, team in zip(self.product_ids, self.teams, strict=True) if product_id in clicked]
        )


def interleave(
    first: Sequence[str],
    second: Sequence[str],
    *,
    length: int | None = None,
    method: Method = "team_draft",
    common: Common = "nobody",
    seed: str,
    pinned: Mapping[int, str] = _NOTHING,
) -> Interleaved:
    """One list of two rankings.

    Args:
        first: product ids, best first.
        second: likewise; the two may differ in length and in products.
        length: products shown; None = all.
        method: of METHODS.
        common: of team draft, whose a product is that both want next: ``nobody``'s, or ``drafted`` by a coin.
        seed: the search's id.
        pinned: place (1 = top) -> product that is shown there whatever the rankings say. A list too short to reach a
            place ends with its product.

    Raises:
        CandidateError: a product twice in a ranking, or pinned twice, or pinned below the list.
        ConfigError: no such method, no such choice of common, or a length below 1.
    """
    return merge(first, second, coins(seed), length=length, method=method, common=common, pinned=pinned)


def merge(
    first: Sequence[str],
    second: Sequence[str],
    luck: Iterator[bool],
    *,
    length: int | None = None,
    method: Method = "team_draft",
    common: Common = "nobody",
    pinned: Mapping[int, str] = _NOTHING,
) -> Interleaved:
    """``interleave`` with these coins, each true where the second ranking goes first; StopIteration where they run out.

    >>> merge("abcdgh", "beafgh", iter([False]), length=6, method="balanced")       # Radlinski et al., figure 1
    Interleaved(product_ids=('a', 'b', 'e', 'c', 'd', 'f'), teams=('1:3', '2:1', ':2', '3:', '4:', ':4'))
    """
    if method not in METHODS:
        raise ConfigError(f"method {method!r} is unknown", hint=suggestion(method, METHODS, noun="methods"))
    if common not in COMMON:
        raise ConfigError(f"common is {common!r}", hint=suggestion(common, COMMON, noun="choices"))
    if length is not None and length < 1:
        raise ConfigError(f"length is {length}", hint="show 1 product or more")
    _check(first, second, pinned, length)
    fixed = set(pinned.values())
    free = [each for each in first if each not in fixed], [each for each in second if each not in fixed]
    room = len(set().union(*free))
    if length is not None:
        room = min(room, length - len(fixed))
    drafted = common == "drafted"
    drawn = _team_draft(free, luck, room, drafted=drafted) if method == "team_draft" else _balanced(free, luck, room)
    shown: list[tuple[str, str | None]] = []
    following, waiting = iter(drawn), sorted(pinned)
    while len(shown) < room + len(pinned):
        here = next(following, None) if not waiting or waiting[0] > len(shown) + 1 else None
        shown.append(here if here is not None else (pinned[waiting.pop(0)], None))
    return Interleaved(tuple(product for product, _ in shown), tuple(team for _, team in shown))


def credit(clicked: Sequence[str | None]) -> Credit:
    """Points by the teams of the clicked products, top first, as ``Interleaved.teams`` has them.

    Of balanced lists: h_A = #{clicks of rank ≤ k in A}, h_B likewise, k = min(r_A, r_B) of the lowest click.

    >>> credit(["A", "B", "A", None]), credit(["1:3", "2:1"]), credit([":2"])
    (Credit(first=2, second=1), Credit(first=1, second=1), Credit(first=0, second=1))
    """
    credited = [team for team in clicked if team]
    if not any(":" in team for team in credited):
        return Credit(credited.count(TEAMS[0]), credited.count(TEAMS[1]))
    ranks = [tuple(int(rank or 0) for rank in team.split(":")) for team in credited]
    depth = min(rank for rank in ranks[-1] if rank)
    return Credit(*(sum(0 < each[team] <= depth for each in ranks) for team in (0, 1)))


def coins(seed: str) -> Iterator[bool]:
    """The coins of a seed, without end.

    >>> "".join(str(int(coin)) for coin in itertools.islice(coins("search-1"), 12))
    '110111100111'
    """
    for block in itertools.count():
        digest = hashlib.sha256((f"{seed}#{block}" if block else seed).encode()).digest()
        for byte in digest:
            for bit in range(7, -1, -1):
                yield bool(byte >> bit & 1)


def _team_draft(
    rankings: tuple[Sequence[str], Sequence[str]], luck: Iterator[bool], room: int, *, drafted: bool
) -> list[tuple[str, str | None]]:
    shown: dict[str, str | None] = {}
    places = [0, 0]

    def best(team: int) -> str | None:
        ranking = rankings[team]
        while places[team] < len(ranking) and ranking[places[team]] in shown:
            places[team] += 1
        return ranking[places[team]] if places[team] < len(ranking) else None

    def last(team: int) -> bool:
        return all(each in shown for each in rankings[team][places[team] + 1 :])

    while len(shown) < room:
        wanted = best(0), best(1)
        if wanted[0] is None or wanted[1] is None:
            shown[next(each for each in wanted if each is not None)] = None
        elif wanted[0] == wanted[1] and (not drafted or last(0) != last(1)):
            # Nobody's; also where only one has a second product, so that the round would depend on who begins.
            shown[wanted[0]] = None
        else:
            leader = int(next(luck))
            for team in (leader, 1 - leader):
                if len(shown) < room and (product := best(team)) is not None:
                    shown[product] = TEAMS[team]
    return list(shown.items())


def _balanced(
    rankings: tuple[Sequence[str], Sequence[str]], luck: Iterator[bool], room: int
) -> list[tuple[str, str | None]]:
    first, second = rankings
    second_leads = next(luck)
    ours, theirs = ({product: rank for rank, product in enumerate(each, 1)} for each in rankings)
    drawn: dict[str, str | None] = {}
    a = b = 0
    while len(drawn) < room:
        from_first = b >= len(second) or (a < len(first) and (a < b or (a == b and not second_leads)))
        product = first[a] if from_first else second[b]
        a, b = a + from_first, b + (not from_first)
        drawn.setdefault(product, f"{ours.get(product, '')}:{theirs.get(product, '')}")
    return list(drawn.items())


def _check(first: Sequence[str], second: Sequence[str], pinned: Mapping[int, str], length: int | None) -> None:
    for name, ranking in (("first", first), ("second", second), ("pinned", list(pinned.values()))):
        if len(set(ranking)) < len(ranking):
            twice = next(each for each in ranking if list(ranking).count(each) > 1)
            raise CandidateError(f"product {twice!r} is twice in the {name} ranking", hint="rank each product once")
    for place in pinned:
        if place < 1 or (length is not None and place > length):
            raise CandidateError(
                f"{pinned[place]!r} is pinned to place {place}", hint=f"places are 1 to {length or 'the length'}"
            )
