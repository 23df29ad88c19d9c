"""What judges answered, kept by content: the same question is paid for once.

Below the store: ``judge/answers/AB/DIGEST.json``, one file an answer.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from evalkit.judging.endpoint import Completion

FOLDER = Path("judge") / "answers"


def digest_of(request: Mapping[str, Any]) -> str:
    """SHA-256 of everything that is asked: model, messages, format, temperature."""
    text = json.dumps(request, sort_keys=True, ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()


def recall(store: str | None, digest: str) -> Completion | None:
    """What was answered to this before, if anything; a file that is damaged is no answer."""
    if store is None:
        return None
    try:
        return msgspec.json.decode(_path(store, digest).read_bytes(), type=Completion)
    except (OSError, msgspec.MsgspecError):
        return None


def keep(store: str | None, digest: str, answer: Completion) -> None:
    """Keeps an answer. A store that cannot be written costs the next call, not this verdict."""
    if store is None:
        return
    path = _path(store, digest)
    beside = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    with contextlib.suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        beside.write_bytes(msgspec.json.encode(answer))
        os.replace(beside, path)  # noqa: PTH105  atomic, and the name says so


def _path(store: str, digest: str) -> Path:
    return Path(store) / FOLDER / digest[:2] / f"{digest}.json"
