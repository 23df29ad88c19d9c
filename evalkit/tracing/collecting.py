"""What a collector does with requests: validates, spools, and tells when a trace is complete.

A trace is complete when its root span has come and nothing more came for a while, or when it is
old enough; later spans make it complete once more, whole.
"""

from __future__ import annotations

import io
import threading
import time
from collections import Counter, OrderedDict
from typing import NamedTuple

from evalkit.errors import InputError, StoreError
from evalkit.tracing.assembly import scrubbed
from evalkit.tracing.cutting import BATCH, pieces
from evalkit.tracing.formats import otlp_json, otlp_protobuf, read_document
from evalkit.tracing.otlp_http import Answer, Export
from evalkit.tracing.otlp_protobuf import read_logs_protobuf
from evalkit.tracing.parts import Part, part_of_counts, parts_of_logs
from evalkit.tracing.reasons import Reasons
from evalkit.tracing.spool import Place, Spool, SpoolFullError

MAX_TRACES = 20_000
"""Traces watched at once; the oldest beyond are read when the collector stops."""


class Patience(NamedTuple):
    """When a trace is complete: seconds after its last span, its root being there, or its first."""

    quiet: float = 5.0
    timeout: float = 60.0


class _Watched:
    """A trace that has spans which no trial holds yet, or had some before."""

    __slots__ = ("first", "has_root", "is_new", "last", "places")

    def __init__(self, now: float) -> None:
        self.places: list[Place] = []
        self.first = self.last = now
        self.has_root = False
        self.is_new = True


class Collecting:
    """Takes exports (:meth:`export` is the server's sink) into a spool. Thread-safe.

    ``spans`` counts those acknowledged, ``rejected`` those refused, ``refusals`` the requests
    that were. Why spans were refused, and what was redacted, goes to the spool as they do.
    """

    def __init__(self, spool: Spool, patience: Patience, max_bytes: int) -> None:
        self.spans = self.requests = self.rejected = self.refusals = 0
        self._early = Reasons()
        self._spool = spool
        self._patience = patience
        self._max_bytes = max_bytes
        self._watched: OrderedDict[str, _Watched] = OrderedDict()
        self._lock = threading.Lock()

    def export(self, export: Export) -> Answer:
        """Answers a request; 200 means that its spans are on disk."""
        if export.signal == "metrics":
            return Answer()
        refused = Reasons()
        try:
            parts = _parts(export, refused)
        except InputError as error:
            self.refuse()
            return Answer(400, str(error))
        clean, secrets = _scrubbed(parts)
        answer = self._spooled(clean, refused, secrets)
        if answer.status == 200:
            rejected = refused.refused()
            with self._lock:
                self.requests += 1
                self.spans += sum(part.spans for part in parts)
                self.rejected += rejected.total()
            if rejected:
                return Answer(200, "; ".join(rejected)[:500], rejected.total())
        return answer

    def refuse(self) -> None:
        """Counts a request that was refused as a whole."""
        with self._lock:
            self.refusals += 1

    def _spooled(self, parts: list[Part], refused: Reasons, secrets: Counter[str]) -> Answer:
        """The answer once the parts are on disk, and beside them what was done to the others."""
        if self._spool.size > self._max_bytes:
            self.refuse()
            return Answer(429, "the collector's disk budget is used up", retry_after=60)
        if not parts and not (refused and self._spool.size):
            self._hold(refused)  # a run begins with the first span that it keeps
            return Answer()
        with self._lock:
            early, self._early = self._early, Reasons()
        counted = early + refused
        told = [part_of_counts(counted, secrets)] if counted or secrets else []
        try:
            places = self._spool.append([*parts, *told])
        except StoreError as error:
            self._hold(early)
            self.refuse()
            if isinstance(error, SpoolFullError):
                return Answer(429, str(error), retry_after=1)
            return Answer(503, str(error), retry_after=30)
        self._watch(parts, places[: len(parts)])
        return Answer()

    def _hold(self, refused: Reasons) -> None:
        """Keeps for the next span that is kept why others were not."""
        if refused:
            with self._lock:
                self._early.update(refused)

    def _watch(self, parts: list[Part], places: list[Place]) -> None:
        now = time.monotonic()
        with self._lock:
            for part, place in zip(parts, places, strict=True):
                watched = self._watched.get(part.trace_id)
                if watched is None:
                    watched = self._watched[part.trace_id] = _Watched(now)
                watched.places.append(place)
                watched.last = now
                watched.is_new = True
                watched.has_root |= part.root
            while len(self._watched) > MAX_TRACES:
                self._watched.popitem(last=False)

    def complete(self, most: int) -> list[list[Part]]:
        """At most so many traces that are complete and not given before in this form."""
        now = time.monotonic()
        with self._lock:
            ripe = []
            for watched in self._watched.values():
                if watched.is_new and self._is_complete(watched, now):
                    watched.is_new = False
                    ripe.append(list(watched.places))
                    if len(ripe) >= most:
                        break
        return [[self._spool.read(place) for place in places] for places in ripe]

    def _is_complete(self, watched: _Watched, now: float) -> bool:
        if watched.has_root and now - watched.last >= self._patience.quiet:
            return True
        return now - watched.first >= self._patience.timeout


def _scrubbed(parts: list[Part]) -> tuple[list[Part], Counter[str]]:
    """The parts without secrets, since none may reach the disk, and how many of each kind were."""
    clean, found = [], Counter[str]()
    for one, secrets in map(scrubbed, parts):
        clean.append(one)
        found.update(secrets)
    return clean, found


def _parts(export: Export, refused: Reasons) -> list[Part]:
    if export.is_json and len(export.body) > BATCH:  # what it is decoded to is far larger
        cut = pieces(export.body, io.BytesIO(), otlp_json.SHAPE, refused)
        return [part for piece in cut for part in read_document(piece, "otlp-json", refused)]
    if export.is_json:
        return list(read_document(export.body, "otlp-json", refused))
    if export.signal == "logs":
        return parts_of_logs(read_logs_protobuf(export.body, refused))
    return otlp_protobuf.read(export.body, refused)
