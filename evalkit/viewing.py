"""`evalkit view`: the store in a browser of this machine. It reads run folders and locks nothing.

Only this machine can reach it, and only who has the token: pages from elsewhere cannot, since the
Host header must be this address and the cookie is not sent across sites. No page runs a script but
the report's own, which its policy names by hash.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import html
import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from http import HTTPStatus
from http.cookies import CookieError, SimpleCookie
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import NamedTuple
from urllib.parse import parse_qs, urlencode, urlsplit

from evalkit.errors import EvalkitError, InputError
from evalkit.escaping import line
from evalkit.promotion import Draft
from evalkit.results import Run
from evalkit.reviewing import pending
from evalkit.store import Store

RenderReport = Callable[[Run, "Run | None"], str]
"""The report of a run, against a baseline if one is given, as HTML."""

COOKIE = "evalkit"
REFRESH_SECONDS = 2
MOST_RUNS = 200

STYLE = """
:root { color-scheme: light dark; font: 15px/1.5 system-ui, sans-serif; }
body { max-width: 70rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.3rem; }
table { border-collapse: collapse; width: 100%; }
th, td { text-align: left; padding: .35rem .6rem; border-bottom: 1px solid #8884; }
td.number { text-align: right; font-variant-numeric: tabular-nums; }
button { font: inherit; padding: .4rem 1rem; }
.scroll { overflow-x: auto; }
"""


class View(NamedTuple):
    """A server that listens: its address with the token, and the server itself."""

    url: str
    server: ThreadingHTTPServer


def open_view(store: Store, render_report: RenderReport, port: int = 0) -> View:
    """Binds to a loopback port (any free one for 0). InputError where the port is taken."""
    token = secrets.token_urlsafe(24)

    class Handler(_Handler):
        pass

    try:
        server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
    except OSError as error:
        raise InputError(
            f"port {port} cannot be used: {error.strerror}. Leave out --port for a free one"
        ) from None
    server.daemon_threads = True
    Handler.store, Handler.render_report = store, staticmethod(render_report)
    Handler.token, Handler.port = token, server.server_port
    return View(f"http://127.0.0.1:{server.server_port}/?{urlencode({'token': token})}", server)


class _Handler(BaseHTTPRequestHandler):
    store: Store
    render_report: RenderReport
    token: str
    port: int
    server_version = "evalkit"
    sys_version = ""
    timeout = 30

    def do_GET(self) -> None:
        """Serves the list of runs, or a report."""
        if self.headers.get("host") not in {f"127.0.0.1:{self.port}", f"localhost:{self.port}"}:
            self._answer(HTTPStatus.MISDIRECTED_REQUEST, "This address only.")
            return
        asked = urlsplit(self.path)
        query = {key: values[-1] for key, values in parse_qs(asked.query).items()}
        if not self._may_read(query):
            self._answer(HTTPStatus.FORBIDDEN, "Open the address that evalkit view printed.")
        elif "token" in query:
            self._let_in(asked.path)
        elif asked.path == "/":
            self._answer(HTTPStatus.OK, index(self.store), refreshing=True)
        elif asked.path == "/report" and "run" in query:
            self._report(query["run"], query.get("baseline"))
        else:
            self._answer(HTTPStatus.NOT_FOUND, "No such page.")

    def _may_read(self, query: dict[str, str]) -> bool:
        try:
            cookie = SimpleCookie(self.headers.get("cookie", "")).get(COOKIE)
        except CookieError:
            cookie = None
        given = query.get("token") or (cookie.value if cookie else "")
        return hmac.compare_digest(given.encode(), self.token.encode())

    def _let_in(self, path: str) -> None:
        """Moves the token from the address, which is seen and kept, into a cookie."""
        self.send_response(HTTPStatus.SEE_OTHER)
        self.send_header("location", path if path.startswith("/") and path[1:2] != "/" else "/")
        attributes = "HttpOnly; SameSite=Strict; Path=/"
        self.send_header("set-cookie", f"{COOKIE}={self.token}; {attributes}")
        self.send_header("content-length", "0")
        self.end_headers()

    def _report(self, run: str, baseline: str | None) -> None:
        try:
            found = self.store.find(run)
            against = self.store.find(baseline) if baseline and baseline != run else None
            page = type(self).render_report(found, against)
        except EvalkitError as error:
            self._answer(HTTPStatus.BAD_REQUEST, line(error, 1000))
            return
        # The page's own policy, which is stricter, stands in the page.
        self._send(HTTPStatus.OK, page, "frame-ancestors 'none'")

    def _answer(self, status: HTTPStatus, body: str, *, refreshing: bool = False) -> None:
        shown = body if refreshing else f"<p>{html.escape(body)}</p>"
        page = f"<!doctype html><html lang=en><meta charset=utf-8><title>evalkit</title>{shown}"
        self._send(
            status, page, f"default-src 'none'; style-src {_hash(STYLE)}; form-action 'self'"
        )

    def _send(self, status: HTTPStatus, page: str, policy: str) -> None:
        content = page.encode("utf-8", "replace")
        self.send_response(status)
        self.send_header("content-type", "text/html; charset=utf-8")
        self.send_header("content-length", str(len(content)))
        self.send_header("content-security-policy", policy)
        self.send_header("x-content-type-options", "nosniff")
        self.send_header("referrer-policy", "no-referrer")
        self.send_header("cache-control", "no-store")
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        """Nothing is logged: addresses hold the token."""


def index(store: Store) -> str:
    """All runs, newest first, with a choice of two to compare; it reloads while one is running."""
    runs, trials = store.runs(cases=False)[:MOST_RUNS], store.stored_trials()
    going = any(run.status == "running" for run in runs)
    reload = f"<meta http-equiv=refresh content={REFRESH_SECONDS}>" if going else ""
    rows = "".join(_row(store, run, number, trials) for number, run in enumerate(runs))
    head = "".join(
        f"<th scope=col>{name}</th>"
        for name in ("run", "against", "label", "suite", "started", "status", "trials")
    )
    table = (
        f"<form action=/report><div class=scroll><table><thead><tr>{head}</tr></thead>"
        f"<tbody>{rows}</tbody></table></div><p><button>Show the report</button></form>"
    )
    nothing = "<p>No runs yet: make one with <code>evalkit run SUITE --label LABEL</code>."
    return (
        f"{reload}<meta name=viewport content='width=device-width'><style>{STYLE}</style>"
        f"<body><h1>evalkit · {html.escape(line(store.path))}</h1>{table if runs else nothing}"
        f"{_drafts(pending(store.path)[:MOST_RUNS])}"
    )


def _drafts(drafts: Sequence[Draft]) -> str:
    """Cases that wait for a person's review: what they ask, and where their steps come from."""
    if not drafts:
        return ""
    head = "".join(
        f"<th scope=col>{name}</th>" for name in ("draft", "route", "asks", "steps from")
    )
    rows = "".join(
        "<tr>"
        + "".join(
            f"<td>{html.escape(line(text, 200))}"
            for text in (draft.id, draft.case.route, draft.case.input, draft.proposal)
        )
        for draft in drafts
    )
    table = f"<table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>"
    return (
        "<h2>Drafts to review</h2><p>Accept, edit or reject them with <code>evalkit review</code>."
        f"<div class=scroll>{table}</div>"
    )


def _row(store: Store, run: Run, number: int, trials: Mapping[str, int]) -> str:
    name = html.escape(run.id, quote=True)
    label = html.escape(line(run.label, 80))
    disabled = "" if run.status == "complete" else " disabled"
    newest = " checked" if number == 0 and not disabled else ""
    started = time.strftime("%Y-%m-%d %H:%M", time.localtime(run.started))
    total = len(run.planned) * run.trials or trials.get(run.id, 0)
    done = total if run.status == "complete" else store.finished_trials(run.id)

    def choice(field: str, what: str, checked: str = "") -> str:
        about = f"aria-label='{what} {label}'{checked}{disabled}"
        return f"<td><input type=radio name={field} value='{name}' {about}>"

    cells: Sequence[str] = (
        choice("run", "show", newest),
        choice("baseline", "against"),
        f"<td><a href='/report?{urlencode({'run': run.id})}'>{label}</a>",
        f"<td>{html.escape(line(run.suite.name, 80))}",
        f"<td>{started}",
        f"<td>{run.status}",
        f"<td class=number>{done:,} of {total:,}",
    )
    return "<tr>" + "".join(cells)


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
