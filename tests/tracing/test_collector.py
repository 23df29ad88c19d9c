from __future__ import annotations

import asyncio
import contextvars
import json
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from evalkit.spans import Span
from evalkit.tracing.collector import Collector
from evalkit.tracing.normalizer import to_trajectory
from evalkit.tracing.steps import step


def work(number: int) -> None:
    """Three spans, two of them nested, that name their trial."""
    tracer = trace.get_tracer("pipeline")
    with tracer.start_as_current_span(f"outer {number}"):
        time.sleep(0.001)
        with tracer.start_as_current_span(f"inner {number}"):
            pass
    with tracer.start_as_current_span(f"last {number}"):
        pass


async def work_async(number: int) -> None:
    await asyncio.sleep(0.001)
    await asyncio.gather(*(asyncio.to_thread(work, number) for _ in range(1)))


async def plain_async(number: int) -> None:
    tracer = trace.get_tracer("pipeline")
    with tracer.start_as_current_span(f"outer {number}"):
        await asyncio.sleep(0.002)
        with tracer.start_as_current_span(f"inner {number}"):
            await asyncio.sleep(0.001)
    with tracer.start_as_current_span(f"last {number}"):
        pass


def in_pool(number: int) -> None:
    with ThreadPoolExecutor(2) as pool:
        pool.submit(work, number).result()


def in_thread(number: int) -> None:
    thread = threading.Thread(target=work, args=(number,))
    thread.start()
    thread.join()


def in_thread_subclass(number: int) -> None:
    class Worker(threading.Thread):
        def run(self) -> None:
            work(number)

    worker = Worker()
    worker.start()
    worker.join()


def in_own_loop(number: int) -> None:
    asyncio.run(plain_async(number))


async def run_sync(function: Callable[[int], None], number: int) -> None:
    """As the runner does it: a thread with a copy of the context."""
    done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    loop = asyncio.get_running_loop()
    context = contextvars.copy_context()

    def call() -> None:
        context.run(function, number)
        loop.call_soon_threadsafe(done.set_result, None)

    threading.Thread(target=call, daemon=True).start()
    await done


def test_concurrent_trials_never_mix_or_lose_spans() -> None:
    shared_pool = ThreadPoolExecutor(4)

    def in_shared_pool(number: int) -> None:
        shared_pool.submit(work, number).result()

    sync = [work, in_pool, in_thread, in_thread_subclass, in_own_loop, in_shared_pool]
    ways = [plain_async, work_async, *(lambda n, f=f: run_sync(f, n) for f in sync)]

    async def trial(collector: Collector, gate: asyncio.Semaphore, number: int) -> list[Span]:
        async with gate:
            with collector.trial() as opened:
                await ways[number % len(ways)](number)
                spans = opened.take()
            assert {span.trace_id for span in spans} == {opened.trace_id}
            assert opened.traceparent.split("-")[1] == opened.trace_id
            return spans

    async def run() -> list[list[Span]]:
        gate = asyncio.Semaphore(64)
        return await asyncio.gather(*(trial(collector, gate, n) for n in range(200)))

    with shared_pool, Collector() as collector:
        collector.ensure_provider()
        found = asyncio.run(run())
        assert (collector.stray_spans, collector.late_spans, collector.dropped_spans) == (0, 0, 0)
        assert collector._open == {}
    for number, spans in enumerate(found):
        named = sorted(span.name for span in spans)
        assert named == [f"inner {number}", f"last {number}", f"outer {number}"]
        by_name = {span.name.split()[0]: span for span in spans}
        assert by_name["inner"].parent_id == by_name["outer"].span_id
        assert by_name["outer"].parent_id == by_name["last"].parent_id


def test_a_trial_reads_as_a_trajectory() -> None:
    @step("tool")
    def lookup(vendor: str) -> dict[str, str]:
        return {"vendor": vendor}

    with Collector() as collector:
        collector.ensure_provider()
        with collector.trial() as opened, step("workflow", "app"):
            lookup("Acme")
            with pytest.raises(ValueError, match="broke"), step("node", "fails"):
                raise ValueError("broke\nbadly")
        found = to_trajectory(opened.take())
    [workflow] = found.steps
    tool, node = workflow.steps
    assert (tool.arguments, tool.output) == ({"vendor": "Acme"}, {"vendor": "Acme"})
    assert (node.status, node.error) == ("error", "broke")
    assert found.trace_id == opened.trace_id


def test_a_second_collector_collects_once_and_the_first_no_more() -> None:
    with Collector() as first:
        first.ensure_provider()
        with first.trial() as opened:
            work(1)
        assert len(opened.take()) == 3
    work(2)
    assert first.stray_spans == 0
    with Collector() as second:
        second.ensure_provider()
        with second.trial() as opened:
            work(3)
        assert len(opened.take()) == 3
        work(4)
    assert second.stray_spans == 3
    assert first.stray_spans == 0


def test_two_collectors_at_once_each_get_their_trials() -> None:
    with Collector() as one, Collector() as two:
        one.ensure_provider()
        with one.trial() as of_one:
            work(1)
        with two.trial() as of_two:
            work(2)
            work(3)
        assert (len(of_one.take()), len(of_two.take())) == (3, 6)
        assert (one.stray_spans, two.stray_spans) == (0, 0)


def test_late_stray_and_dropped_spans_are_counted() -> None:
    tracer = trace.get_tracer("pipeline")
    with Collector(max_spans=2) as collector:
        collector.ensure_provider()
        with collector.trial() as opened:
            late = tracer.start_span("late")
            work(1)
            assert [span.name for span in opened.take()] == ["inner 1", "outer 1"]
            assert opened.dropped_spans == 1
            late.end()
            assert opened.take() == []
        work(2)
    assert (collector.late_spans, collector.stray_spans) == (1, 3)
    assert collector.dropped_spans == 1


def test_a_provider_of_its_own_is_collected_beside_its_exporter() -> None:
    exporter = InMemorySpanExporter()
    with Collector() as collector:
        provider = TracerProvider(shutdown_on_exit=False)
        provider.add_span_processor(SimpleSpanProcessor(exporter))
        with (
            collector.trial() as opened,
            provider.get_tracer("mine", "1.0").start_as_current_span("call") as current,
        ):
            current.set_attribute("text", "a")
            current.add_event("exception", {"exception.message": "m"})
            current.set_status(trace.StatusCode.ERROR, "broke")
        [span] = opened.take()
    assert [found.name for found in exporter.get_finished_spans()] == ["call"]
    assert (span.name, span.scope, span.scope_version) == ("call", "mine", "1.0")
    assert span.attributes == {"text": "a"}
    assert span.events[0].attributes == {"exception.message": "m"}
    assert (span.error, span.status_message) == (True, "broke")
    assert span.end_ns >= span.start_ns > 0
    assert span.parent_id == opened.traceparent.split("-")[2]
    assert span.resource["telemetry.sdk.name"] == "opentelemetry"


def test_a_shared_processor_delivers_once() -> None:
    with Collector() as collector:
        first = TracerProvider(shutdown_on_exit=False)
        shared = first._active_span_processor
        second = TracerProvider(shutdown_on_exit=False, active_span_processor=shared)
        with collector.trial() as opened:
            second.get_tracer("t").start_span("once").end()
        assert len(opened.take()) == 1


def test_a_sampler_that_may_drop_spans_is_noted() -> None:
    from opentelemetry.sdk.trace.sampling import TraceIdRatioBased

    with Collector() as collector:
        TracerProvider(sampler=TraceIdRatioBased(0.5), shutdown_on_exit=False)
    assert collector.notes == [
        "the tracer provider's sampler TraceIdRatioBased{0.5} may drop spans of trials"
    ]


def test_everything_is_as_before_afterwards() -> None:
    original, start = TracerProvider.__init__, threading.Thread.start
    with Collector():
        assert TracerProvider.__init__ is not original
        assert threading.Thread.start is not start
    assert TracerProvider.__init__ is original
    assert threading.Thread.start is start


def in_new_process(code: str) -> Any:
    """The global provider is set once per process: such cases run in one of their own."""
    prelude = """
        import json
        from opentelemetry import trace
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import SimpleSpanProcessor
        from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
        from evalkit.tracing.collector import Collector
        exporter = InMemorySpanExporter()
        def set_up():
            provider = TracerProvider()
            provider.add_span_processor(SimpleSpanProcessor(exporter))
            trace.set_tracer_provider(provider)
        def call(name="call"):
            trace.get_tracer("t").start_span(name).end()
    """
    source = textwrap.dedent(prelude) + textwrap.dedent(code)
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", source], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize("when", ["before", "within", "late", "never"])
def test_the_users_provider_whenever_it_is_set(when: str) -> None:
    found = in_new_process(f"""
        when = {when!r}
        counts = []
        early = trace.get_tracer("early")
        if when == "before":
            set_up()
        for _ in range(2):
            with Collector() as collector:
                if when == "within" and not counts:
                    set_up()
                collector.ensure_provider()
                with collector.trial() as opened:
                    if when == "late" and not counts:
                        set_up()
                    call()
                    early.start_span("early").end()
                counts.append(len(opened.take()))
        call("after")
        print(json.dumps([counts, [span.name for span in exporter.get_finished_spans()]]))
    """)
    counts, exported = found
    assert counts == [2, 2]
    users_own = ["call", "early"] * 2 + ["after"]
    assert exported == (users_own if when in ("before", "within") else [])


def test_import_evalkit_does_not_load_opentelemetry() -> None:
    code = "import evalkit.tracing.steps, evalkit.tracing.normalizer, evalkit.tracing.receiver, sys"
    code += "; print(any(name.startswith('opentelemetry') for name in sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_a_foreign_processor_gets_spans_in_trials_too() -> None:
    seen: list[str] = []

    class Seen(SpanProcessor):
        def on_end(self, span: Any) -> None:
            seen.append(f"{span.context.trace_id:032x}")

    with Collector() as collector:
        provider = TracerProvider(shutdown_on_exit=False)
        provider.add_span_processor(Seen())
        with collector.trial() as opened:
            provider.get_tracer("t").start_span("x").end()
    assert seen == [opened.trace_id]


def test_four_spans_cost_little() -> None:
    def one(collector: Collector) -> None:
        with collector.trial() as opened:
            with step("workflow", "app"):
                for name in ("a", "b", "c"):
                    with step("tool", name, arguments={"x": 1}):
                        pass
            to_trajectory(opened.take())

    with Collector() as collector:
        collector.ensure_provider()
        one(collector)
        best = min(_timed(one, collector) for _ in range(60))
    assert best < 0.003  # ten times what it takes on an idle machine


def _timed(function: Callable[[Collector], None], collector: Collector) -> float:
    started = time.perf_counter()
    function(collector)
    return time.perf_counter() - started
