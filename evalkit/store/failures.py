"""When golden cases last failed, as far as the stored runs tell."""

from __future__ import annotations

from collections.abc import Iterable

from evalkit.errors import StoreError
from evalkit.store import Store


def last_failures(store: Store, cases: Iterable[str]) -> dict[str, float]:
    """The start of the newest complete run in which a case failed, in seconds since the epoch.

    A case failed where a scorer that the run's gate decides on did not pass one of its trials.
    Cases without a failure are left out; a run that cannot be read is passed over.
    """
    import pyarrow.compute as pc

    wanted, found = set(cases), dict[str, float]()
    for run in store.runs():
        if run.status != "complete" or not wanted.intersection(one.id for one in run.planned):
            continue
        try:
            scores = store.load(run.id, texts=False).scores
        except StoreError:  # `evalkit runs` tells of it
            continue
        failed = scores.filter(pc.invert(scores["passed"]))
        pairs = zip(failed["case"].to_pylist(), failed["scorer"].to_pylist(), strict=True)
        decided = run.suite.gate.all_on
        new = {case for case, scorer in pairs if scorer in decided and case in wanted}
        found |= dict.fromkeys(new, run.started)
        wanted -= new
    return found
