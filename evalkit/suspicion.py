"""What makes a comparison suspicious, and how long it stays so.

A suspicion is never a verdict: it only says where further trials are worth their price. It may
look at stored and fresh trials together, since letting go can only take alarms away.

- A *route* is suspicious at p <= 0.5 of the within-case permutation test of its mean.
- A *case* is suspicious if it always passed and no longer does, if its own exact p
  (hypergeometric) is at most 0.25, or if the candidate has no trials of it at all.

What was suspicious and could not be tried again stays so: it is never let go.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from evalkit.comparison import Paired
from evalkit.dealing import DRAWS, PermutationTest
from evalkit.observations import Observed
from evalkit.permutation import fewer_passes, mean_drop

KEEP_ROUTE = (0.5, 0.36, 0.20, 0.10, 0.045, 0.025)
"""A route goes on to each round while its p is at most this.

Chosen for power at a price that does not depend on the cases, since p is uniform in every route
that did not change: about the likelihood ratio of a sequential test that stops for lack of a drop.
"""

KEEP_CASE = (0.25, 0.25, 0.25, 0.12, 0.03, 0.01)
"""A case goes on to each round while its p is at most this; the first is that of the screen."""

MOST_LOST = 0.25
"""The share of its fresh trials that either arm may lose.

Both arms are tried in turn, so that what is lost in both alike costs trials and tilts nothing: that
may be more than of stored trials. What one arm loses beyond the other is held to their limit.
"""

_FEW = 2  # lost trials beyond that share that are no sign yet: of one case there are few
_BY_CHANCE = 0.01  # one-sided p above which one arm may have lost more than the other by chance


class Arms(NamedTuple):
    """The trials of one case in both arms: what is stored, or what was made again."""

    baseline: Observed
    candidate: Observed

    def with_more(self, other: Arms) -> Arms:
        """These trials and the others'."""
        return Arms(
            *(
                Observed(mine.values + more.values, mine.passed + more.passed)
                for mine, more in zip(self, other, strict=True)
            )
        )

    @property
    def both(self) -> bool:
        """Whether both arms have trials."""
        return bool(self.baseline.values and self.candidate.values)

    @property
    def p(self) -> float:
        """The exact p that the case passes less often."""
        was, now = self.baseline.passed, self.candidate.passed
        return fewer_passes(int(sum(was)), len(was), int(sum(now)), len(now))

    @property
    def looks_broken(self) -> bool:
        """Whether it always passed and no longer does, passes less often, or was not measured."""
        if not self.candidate.values:
            return True
        if all(self.baseline.passed):
            return not all(self.candidate.passed)
        return self.p <= KEEP_CASE[0]


NONE = Arms(Observed((), ()), Observed((), ()))


def arms_of(paired: Paired) -> list[Arms]:
    """The stored trials, case by case."""
    return [Arms(*both) for both in zip(paired.baseline, paired.candidate, strict=True)]


def test_of_mean(cases: Sequence[Arms], draws: int = DRAWS) -> PermutationTest | None:
    """Whether the mean over those cases with trials in both arms dropped; None without any."""
    known = [case for case in cases if case.both]
    if not known:
        return None
    arms = [case.baseline.values for case in known], [case.candidate.values for case in known]
    return mean_drop(*arms, draws=draws)


def p_of_mean(cases: Sequence[Arms]) -> float:
    """The p of :func:`test_of_mean`; 1 where nothing can be tested."""
    found = test_of_mean(cases)
    return found.p if found else 1.0


@dataclass
class Suspicion:
    """A comparison while it is being confirmed: what is suspicious, its fresh trials, what is sure.

    ``mean`` says whether the mean is still suspicious, ``suspects`` which cases (by position) are.
    ``limit`` is the share of trials that one arm may lose beyond the other. ``lost`` are suspects
    that too many trials were lost of, ``mean_lost`` says the same of the route: they are tried no
    further. ``regressed`` and ``broken`` are what the fresh trials proved.
    """

    route: str
    scorer: str
    cases: tuple[str, ...]
    stored: list[Arms]
    limit: float
    p: float
    mean: bool
    suspects: set[int]
    fresh: list[Arms]
    asked: list[int]
    mean_lost: bool = False
    lost: set[int] = field(default_factory=set)
    regressed: bool = False
    broken: set[int] = field(default_factory=set)

    @classmethod
    def of(cls, route: str, scorer: str, stored: Paired, limit: float) -> Suspicion:
        """What the stored trials make suspicious."""
        arms = arms_of(stored)
        p = p_of_mean(arms)
        return cls(
            route=route,
            scorer=scorer,
            cases=stored.cases,
            stored=arms,
            limit=limit,
            p=p,
            mean=p <= KEEP_ROUTE[0],
            suspects={at for at, case in enumerate(arms) if case.looks_broken},
            fresh=[NONE] * len(arms),
            asked=[0] * len(arms),
        )

    @property
    def wanted(self) -> Iterable[int]:
        """The cases that need further trials."""
        return range(len(self.cases)) if self.mean else sorted(self.suspects)

    @property
    def got(self) -> int:
        """The fresh trials that have scores, of both arms."""
        return sum(len(arm.values) for case in self.fresh for arm in case)

    @property
    def tried_again(self) -> Paired | None:
        """The fresh trials of every case that has some in both arms; None without any."""
        kept = [at for at, case in enumerate(self.fresh) if case.both]
        if not kept:
            return None
        return Paired(
            tuple(self.cases[at] for at in kept),
            tuple(self.fresh[at].baseline for at in kept),
            tuple(self.fresh[at].candidate for at in kept),
        )

    @property
    def untested(self) -> list[int]:
        """The suspects of which no fresh trials tell anything."""
        return sorted(self.lost | {at for at in self.suspects if not self.fresh[at].both})

    def take(self, at: int, trials: int, more: Arms) -> None:
        """Adds what came of so many trials of a case in each arm."""
        self.fresh[at] = self.fresh[at].with_more(more)
        self.asked[at] += trials

    def give_up(self) -> None:
        """Ends what too many trials were lost of."""
        if self.mean and self._lost_too_many(range(len(self.cases))):
            self.mean, self.mean_lost = False, True
        self.lost |= {at for at in self.suspects if self._lost_too_many([at])}
        self.suspects -= self.lost

    def end(self) -> None:
        """Tries nothing of this further."""
        self.mean, self.suspects = False, set()

    def let_go(self, number: int) -> None:
        """Ends what is settled, and what no longer looks worse in all trials together."""
        self.suspects -= self.broken
        self.mean = self.mean and not self.regressed and not self.broken
        if self.regressed:
            self.suspects = set()
        if number:
            self.mean = self.mean and self.mean_looks_worse(KEEP_ROUTE[number])
            self.suspects = {
                at for at in self.suspects if self.case_looks_worse(at, KEEP_CASE[number])
            }

    def mean_looks_worse(self, level: float) -> bool:
        """Whether the p of the mean, in all trials of what was tried again, is at most this."""
        tried = [self._all(at) for at, case in enumerate(self.fresh) if case.both]
        return not tried or p_of_mean(tried) <= level

    def case_looks_worse(self, at: int, level: float) -> bool:
        """The same of one case."""
        return not self.fresh[at].both or self._all(at).p <= level

    def _all(self, at: int) -> Arms:
        return self.stored[at].with_more(self.fresh[at])

    def lost_of(self, cases: Iterable[int]) -> tuple[int, int, int]:
        """How many fresh trials of these cases each arm was asked for, and what each lost."""
        asked = before = after = 0
        for at in cases:
            asked += self.asked[at]
            before += self.asked[at] - len(self.fresh[at].baseline.values)
            after += self.asked[at] - len(self.fresh[at].candidate.values)
        return asked, before, after

    def _lost_too_many(self, cases: Iterable[int]) -> bool:
        """Whether an arm lost too much of what was asked for, or more than the other."""
        asked, *lost = self.lost_of(cases)
        less, more = sorted(lost)
        if more > MOST_LOST * asked + _FEW:
            return True
        if more - less <= self.limit * asked:
            return False
        return fewer_passes(asked - less, asked, asked - more, asked) <= _BY_CHANCE
