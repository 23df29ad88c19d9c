"""Many jobs at once on one event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import TypeVar

Job = TypeVar("Job")


async def run_concurrently(
    jobs: Iterable[Job], work: Callable[[Job], Awaitable[None]], concurrency: int
) -> None:
    """Awaits ``work(job)`` for every job, at most ``concurrency`` at once, in order of start.

    The first exception cancels the others and is raised; so does cancelling the caller.
    """
    remaining = iter(jobs)

    async def worker() -> None:
        for job in remaining:
            await work(job)

    try:
        async with asyncio.TaskGroup() as group:
            for _ in range(concurrency):
                group.create_task(worker())
    except BaseExceptionGroup as failures:
        raise failures.exceptions[0] from None
