"""Names become plug-ins, and what does not load is said in a way a person can act on."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from evalkit import plugins
from evalkit.errors import PluginError


@pytest.fixture(autouse=True)
def restored_imports() -> Iterator[None]:
    path, modules = sys.path[:], set(sys.modules)
    yield
    sys.path[:] = path
    for name in set(sys.modules) - modules:
        del sys.modules[name]


def test_every_registered_plug_in_loads() -> None:
    for kind in plugins.GROUPS:
        assert plugins.registered(kind), f"no {kind} is registered: is evalkit installed?"
        for name in plugins.registered(kind):
            assert callable(plugins.load(kind, name))


def test_an_unknown_name_is_answered_with_the_nearest() -> None:
    with pytest.raises(PluginError, match="Did you mean 'task_completion'"):
        plugins.load("scorer", "task_completeness")


def test_a_module_is_found_beside_the_suite_or_above_it(tmp_path: Path) -> None:
    (tmp_path / "my_own_scorers.py").write_text("def one(case, trajectory): ...")
    folder = tmp_path / "suites" / "deep"
    folder.mkdir(parents=True)
    assert plugins.load("scorer", "my_own_scorers:one", folder).__name__ == "one"


@pytest.mark.parametrize(
    ("source", "name", "says"),
    [
        ("x = 1", "broken_plugin_a:y", "has no 'y'"),
        ("1/0", "broken_plugin_b:y", "ZeroDivisionError"),
        ("import no_such_module", "broken_plugin_c:y", "no_such_module"),
        ("def (", "broken_plugin_d:y", "SyntaxError"),
        ("raise SystemExit(3)", "broken_plugin_e:y", "SystemExit"),
    ],
)
def test_what_does_not_load_says_why(tmp_path: Path, source: str, name: str, says: str) -> None:
    (tmp_path / f"{name.partition(':')[0]}.py").write_text(source)
    with pytest.raises(PluginError, match=says):
        plugins.load("scorer", name, tmp_path)
