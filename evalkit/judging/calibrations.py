"""How far a judge agrees with labels, kept in the store, and the refusal where that is too little.

Below the store: ``judge/calibrations/JUDGE.json``, the latest of each judge.
"""

from __future__ import annotations

import secrets
from pathlib import Path

import msgspec

from evalkit.errors import StoreError

FOLDER = Path("judge") / "calibrations"
MIN_LABELS = 20
"""With fewer labels a route has no agreement of its own, and a judge none at all."""


class Agreement(msgspec.Struct, frozen=True, kw_only=True):
    """Verdicts beside labels. ``accuracy`` is the share that agree, with its 95 % Wilson interval
    [``low``, ``high``], labels taken as independent; ``kappa`` is Cohen's, in [-1, 1], None where
    chance alone gives full agreement. ``confusion`` maps label, then verdict, to a count.
    """

    labels: int
    accuracy: float | None
    low: float | None
    high: float | None
    kappa: float | None
    confusion: dict[str, dict[str, int]]


class Calibration(msgspec.Struct, frozen=True, kw_only=True):
    """A judge beside its labels, over all and by group (the route, unless asked otherwise).

    ``words`` says how each verdict word was read, ``unknown`` counts words that were not,
    verdicts and labels; ``unsure`` counts verdicts of that kind. Neither is compared.
    """

    overall: Agreement
    groups: dict[str, Agreement]
    words: dict[str, str] = {}
    unknown: dict[str, int] = {}
    unsure: int = 0


def save(store: Path, judge: str, calibration: Calibration) -> Path:
    """Keeps a judge's calibration in place of an older one. Raises StoreError."""
    path = _path(str(store), judge)
    beside = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        beside.write_bytes(msgspec.json.format(msgspec.json.encode(calibration), indent=1))
        beside.replace(path)
    except OSError as error:
        raise StoreError(f"cannot write {path}: {error.strerror or error}") from error
    return path


def refusal(store: str | None, judge: str, route: str, least: float) -> str | None:
    """Why this judge may not judge this route, if so: not calibrated, or it agrees too seldom.

    The route's own agreement counts where it has 20 labels, else that over all.
    """
    how = "calibrate it with `evalkit judge calibrate`"
    try:
        data = b"" if store is None else _path(store, judge).read_bytes()
        found = msgspec.json.decode(data, type=Calibration) if data else None
    except FileNotFoundError:
        found = None
    except (OSError, msgspec.MsgspecError) as error:
        return f"judge {judge}: its calibration cannot be read ({error})"
    if found is None:
        return f"judge {judge} is not calibrated, and min_agreement is {least:g}: {how}"
    own = found.groups.get(route)
    counted, where = found.overall, "over all routes"
    if own is not None and own.labels >= MIN_LABELS:
        counted, where = own, f"on route {route}"
    if counted.accuracy is None or counted.labels < MIN_LABELS:
        few = f"{counted.labels} labels, at least {MIN_LABELS} are needed"
        return f"judge {judge} is calibrated on {few}: {how}"
    if counted.accuracy < least:
        return (
            f"judge {judge} agrees with {counted.accuracy:.0%} of {counted.labels} labels {where}; "
            f"min_agreement is {least:.0%}: it may not judge"
        )
    return None


def _path(store: str, judge: str) -> Path:
    return Path(store) / FOLDER / f"{judge}.json"
