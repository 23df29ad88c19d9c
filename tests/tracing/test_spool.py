from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from evalkit.errors import StoreError
from evalkit.tracing.parts import Part
from evalkit.tracing.spool import Spool, SpoolFullError, read_spool

TRACE = "0af7651916cd43dd8448eb211c80319c"


def part(number: int, size: int = 10) -> Part:
    return Part(TRACE, "spans", number, bytes([number % 256]) * size, number % 2 == 0)


def test_what_is_appended_is_read_back_by_place_and_in_order(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "spool")
    places = spool.append([part(1), part(2)]) + spool.append([part(3)])
    assert [spool.read(place) for place in places] == [part(1), part(2), part(3)]
    spool.close()
    spool.close()
    assert list(read_spool(spool.path)) == [part(1), part(2), part(3)]
    with pytest.raises(StoreError, match="stopping"):
        spool.append([part(4)])


@pytest.mark.parametrize("cut", [1, 30, 70])
def test_a_torn_end_is_cut_off_and_written_over(tmp_path: Path, cut: int) -> None:
    path = tmp_path / "spool"
    spool = Spool(path)
    spool.append([part(1), part(2, 100)])
    spool.close()
    os.truncate(path, path.stat().st_size - cut)
    assert list(read_spool(path)) == [part(1)]
    again = Spool(path)
    again.append([part(3)])
    again.close()
    assert list(read_spool(path)) == [part(1), part(3)]


def test_damage_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "spool"
    spool = Spool(path)
    [first, second] = spool.append([part(1), part(2)])
    spool.close()
    damaged = bytearray(path.read_bytes())
    damaged[second.offset + second.size - 1] ^= 1
    path.write_bytes(damaged)
    assert list(read_spool(path)) == [part(1)]
    assert first.offset == 0


def test_many_writers_at_once_lose_nothing(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "spool")

    def write(start: int) -> None:
        for number in range(start, start + 20):
            spool.append([part(number), part(number)])

    threads = [threading.Thread(target=write, args=(start,)) for start in range(0, 160, 20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    spool.close()
    found = [one.spans for one in read_spool(spool.path)]
    assert sorted(found) == sorted([*range(160), *range(160)])


def test_a_queue_that_is_full_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    started, go_on = threading.Event(), threading.Event()
    real = os.fdatasync

    def slow(file: int) -> None:
        started.set()
        go_on.wait(10)
        real(file)

    monkeypatch.setattr(os, "fdatasync", slow)
    spool = Spool(tmp_path / "spool", max_queued=100)
    writers = [threading.Thread(target=spool.append, args=([part(1, 80)],)) for _ in range(2)]
    writers[0].start()
    started.wait(10)
    writers[1].start()
    while not spool._waiting:  # the second waits behind the first
        pass
    with pytest.raises(SpoolFullError):
        spool.append([part(2, 80)])
    go_on.set()
    for writer in writers:
        writer.join()
    spool.close()
    assert len(list(read_spool(spool.path))) == 2


def test_a_disk_that_refuses_is_never_trusted_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spool = Spool(tmp_path / "spool")
    real = os.fdatasync

    def full(file: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fdatasync", full)
    with pytest.raises(StoreError, match="No space left"):
        spool.append([part(1)])
    monkeypatch.setattr(os, "fdatasync", real)
    with pytest.raises(StoreError, match="No space left"):
        spool.append([part(2)])
    spool.close()
