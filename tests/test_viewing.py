"""The local viewer over a real socket: who may read, and what they see."""

import http.client
import threading
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from evalkit.dataset import Case
from evalkit.errors import InputError
from evalkit.journal import Journal
from evalkit.planning import plan
from evalkit.promotion import Draft
from evalkit.reviewing import save
from evalkit.runner import run
from evalkit.store import Store
from evalkit.viewing import View, open_view
from tests.project import load_project


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


@pytest.fixture
def view(store: Store) -> Iterator[View]:
    shown = open_view(store, lambda run, old: f"<p>{run.id} against {old and old.id}</p>")
    thread = threading.Thread(target=shown.server.serve_forever, daemon=True)
    thread.start()
    yield shown
    shown.server.shutdown()
    shown.server.server_close()
    thread.join()


def get(view: View, path: str, **headers: str) -> tuple[int, dict[str, str], str]:
    connection = http.client.HTTPConnection(str(urlsplit(view.url).hostname), port_of(view))
    connection.request("GET", path, headers=headers)
    response = connection.getresponse()
    body = response.read().decode()
    connection.close()
    return response.status, {k.lower(): v for k, v in response.getheaders()}, body


def port_of(view: View) -> int:
    return int(urlsplit(view.url).port or 0)


def cookie_of(view: View) -> str:
    return "evalkit=" + parse_qs(urlsplit(view.url).query)["token"][0]


def test_only_who_has_the_token_and_asks_this_address_may_read(view: View) -> None:
    assert get(view, "/")[0] == 403
    assert get(view, "/", cookie="evalkit=guess")[0] == 403
    assert get(view, "/", cookie=cookie_of(view), host="evil.example")[0] == 421
    status, headers, _ = get(view, view.url.partition(str(port_of(view)))[2])
    assert (status, headers["location"]) == (303, "/")
    assert "HttpOnly" in headers["set-cookie"] and "SameSite=Strict" in headers["set-cookie"]
    token = urlsplit(view.url).query
    assert not get(view, f"//evil.example/?{token}")[1]["location"].startswith("//")
    assert get(view, "/", cookie=cookie_of(view))[0] == 200


def test_runs_are_listed_as_text_and_progress_is_live(
    view: View, store: Store, tmp_path: Path
) -> None:
    loaded = load_project(tmp_path)
    done = run(loaded, label="<script>alert(1)</script>", store=store.path)
    with Journal.start(store.path, plan(loaded, label="going")) as journal:
        journal.extend(list(store.trials(done.id))[:5])
        _, headers, page = get(view, "/", cookie=cookie_of(view))
        assert "5 of 12" in page and "12 of 12" in page
        assert "http-equiv=refresh" in page
    assert "<script" not in page and "&lt;script&gt;" in page
    assert "default-src 'none'" in headers["content-security-policy"]
    assert "http-equiv=refresh" not in get(view, "/", cookie=cookie_of(view))[2]


def test_reports_are_shown_and_errors_are_text(view: View, store: Store, tmp_path: Path) -> None:
    loaded = load_project(tmp_path)
    one = run(loaded, label="main", store=store.path)
    two = run(loaded, label="two", store=store.path)
    path = f"/report?run={two.id}&baseline=main"
    assert get(view, path, cookie=cookie_of(view))[2] == f"<p>{two.id} against {one.id}</p>"
    status, _, page = get(view, "/report?run=%3Cb%3Enope", cookie=cookie_of(view))
    assert status == 400
    assert "<b>" not in page and "nope" in page
    assert get(view, "/etc/passwd", cookie=cookie_of(view))[0] == 404


def test_drafts_that_wait_for_a_person_are_listed_as_text(view: View, store: Store) -> None:
    case = Case("c", {"question": "<b>refund?</b>"}, "refund")
    save(store.path, Draft(id="d-1", case=case, dataset="d.jsonl", proposal="the golden path"))
    page = get(view, "/", cookie=cookie_of(view))[2]
    assert "the golden path" in page and "&lt;b&gt;refund?" in page


def test_a_busy_port_is_an_input_error(view: View, store: Store) -> None:
    with pytest.raises(InputError, match="cannot be used"):
        open_view(store, lambda run, baseline: "", port_of(view))
