import os
import signal
import subprocess
import sys
import time

import pytest

COMMAND = [sys.executable, "-c", "import sys; from evalkit.cli import main; sys.exit(main())"]
HEAVY = ["duckdb", "pyarrow", "pandas", "numpy", "scipy", "sklearn", "opentelemetry", "ruamel"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["run", "nowhere.yaml"], "nowhere.yaml: no such file"),
        (["run", "suite.yaml", "--label", "a", "--case", "nope"], "no case has the case 'nope'"),
        (["run", "suite.yaml", "--label", "a", "--baseline", "nope"], "'nope'"),
        (["run", "suite.yaml", "--set", "skp=true"], "Did you mean 'skip'?"),
        (["run", "suite.yaml", "--on", "nope"], "task_completion"),
        (["run", "suite.yaml", "--resume", "x", "--trials", "3"], "--resume"),
        (["gate", "nope", "--baseline", "nope"], "error: "),
        (["show", "nope"], "error: "),
        (["compare", "nope"], "error: "),
        (["ingest", "--format", "tau", "nope.json", "--label", "x"], "nope.json: no such file"),
        (["ingest", "--format", "tau", "cases.jsonl", "--label", "x", "--trials", "a"], "--trials"),
        (["frobnicate"], "No such command"),
        (["run"], "Missing argument"),
        (["run", "suite.yaml", "--trials", "0"], "--trials"),
    ],
)
def test_wrong_input_is_a_line_on_stderr_and_exit_2(evalkit, arguments, said):
    code, out, err = evalkit(*arguments)
    assert (code, out) == (2, "")
    assert said in err


def test_a_gate_needs_a_baseline(evalkit):
    evalkit("run", "suite.yaml", "--label", "main", "--limit", "1")
    code, _, err = evalkit("gate", "main")
    assert code == 2 and "--baseline" in err
    code, _, err = evalkit("show", "main", "status-9")
    assert code == 2 and "Did you mean 'status-" in err


def test_check_lists_every_problem(evalkit, project):
    (project / "cases.jsonl").write_text('{"id": "a"}\n{"id": "b", "inputs": 1}\n')
    code, out, err = evalkit("check", "suite.yaml")
    assert (code, out) == (2, "")
    assert "cases.jsonl:1" in err and "cases.jsonl:2" in err


def test_a_defect_is_a_line_too_and_a_traceback_only_with_debug(evalkit, monkeypatch):
    monkeypatch.setattr("evalkit.check.inspect", lambda path: 1 / 0)
    code, _, err = evalkit("check", "suite.yaml")
    assert code == 3
    assert err.startswith("internal error: ZeroDivisionError") and "--debug" in err
    code, _, err = evalkit("--debug", "check", "suite.yaml")
    assert code == 3 and "Traceback" in err


def test_a_report_that_cannot_be_written_exits_3(evalkit, project):
    (project / "file").write_text("")
    code, _, err = evalkit("run", "suite.yaml", "--limit", "1", "--junit", "file/j.xml")
    assert code == 3 and "cannot write file/j.xml" in err


def test_a_reader_that_goes_away_is_quiet(evalkit, project):
    evalkit("run", "suite.yaml", "--label", "main", "--limit", "1")
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(
        [*COMMAND, "runs"], stdout=writer, stderr=subprocess.PIPE, cwd=project, check=False
    )
    os.close(writer)
    assert (done.returncode, done.stderr) == (0, b"")


def test_ctrl_c_says_how_to_resume_and_resuming_repeats_nothing(evalkit, project):
    (pipeline,) = project.glob("pipeline_*.py")
    slow = pipeline.read_text().replace(
        "def answer(request, settings):",
        "def answer(request, settings):\n    import os, time\n"
        "    with open('calls', 'a') as calls:\n        calls.write('x')\n"
        "    time.sleep(0 if os.path.exists('fast') else 0.3)",
    )
    pipeline.write_text(slow)
    process = subprocess.Popen(
        [*COMMAND, "run", "suite.yaml", "--label", "main", "--concurrency", "1"],
        stderr=subprocess.PIPE,
        cwd=project,
        text=True,
    )
    for _ in range(200):
        if (project / "calls").exists() and len((project / "calls").read_text()) >= 3:
            break
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    err = process.communicate(timeout=20)[1]
    assert process.returncode == 130
    assert "Traceback" not in err
    command = err.strip().rpartition("evalkit ")[2].split()
    assert command[:3] == ["run", "suite.yaml", "--resume"]
    before = len((project / "calls").read_text())
    (project / "fast").write_text("")
    code, out, _ = evalkit(*command)
    assert code == 0 and "main" in out
    # At most the trial that was in flight is tried again.
    assert len((project / "calls").read_text()) - 48 <= 1
    assert before < 48


def test_help_loads_nothing_heavy():
    script = (
        "import sys; from evalkit.cli import main; main(['--help']); main(['run', '--help']);"
        f"print('LOADED', [name for name in {HEAVY} + ['rich.console'] if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines()[-1] == "LOADED []"
    assert "compare" in done.stdout and "--baseline" in done.stdout
