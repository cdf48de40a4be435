"""Label cases or pairs on a page of this machine: one form at a time, from a small server that only it can reach.

The address holds a random token, the server listens on 127.0.0.1 alone and answers to that name alone, so that
neither the network nor another site in the same browser reads or writes labels. Whatever a case contains is
escaped, and the page may load and run nothing.
"""

from __future__ import annotations

import hmac
import secrets
import threading
from dataclasses import dataclass
from html import escape
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl

from ftgate_ext.evalset.label import CATEGORIES, SEVERITIES, opaque_key, read_answer
from ftgate_ext.schema import EvalSetError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from ftgate_ext.evalset.label import Labelling
    from ftgate_ext.evalset.label_pairs import PairLabelling

HOST = "127.0.0.1"
MAX_BODY_BYTES = 64 * 1024
HEADERS = {
    "Content-Type": "text/html; charset=utf-8",
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-store",
}
STYLE = """body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem}
pre{background:#f4f6fa;border:1px solid #ccd;padding:.6rem;overflow:auto;line-height:1.35}
pre span{color:#667;user-select:none}label{margin-right:1rem}fieldset{margin:.6rem 0;border:1px solid #ccd}
pre.wrapped{white-space:pre-wrap;overflow-wrap:anywhere}.pair{display:grid;grid-template-columns:1fr 1fr;gap:1rem}
textarea{width:100%}.problem{color:#b3261e;font-weight:600}button{font-size:1rem;margin-right:1rem}"""


@dataclass(frozen=True)
class PageForm:
    """How a page asks about one thing."""

    key: Callable[[Any], str]
    """A name for the thing that tells nothing about it."""
    show: Callable[[Any, int, str, dict[str, str]], str]
    """Thing, how many are left, what was wrong with the last answer, that answer -> the page."""
    read: Callable[[dict[str, str], Any], dict[str, Any]]
    """What was typed about the thing -> an answer; ValueError says why it is none."""


class LabelServer(ThreadingHTTPServer):
    """One labelling, served until it is shut down."""

    daemon_threads = True

    def __init__(
        self, labelling: Labelling | PairLabelling, port: int = 0, form: PageForm | None = None
    ) -> None:
        """Listen on a port of 127.0.0.1; 0 takes a free one.

        Args:
            labelling: What is asked, and where answers go.
            port: The port.
            form: How to ask; about cases when left out.

        Raises:
            EvalSetError: The port is taken.
        """
        try:
            super().__init__((HOST, port), _Handler)
        except (OSError, OverflowError) as error:
            raise EvalSetError(f"--page {port}: {error}; expected a free port, or 0.") from None
        self.labelling: Any = labelling
        self.form = form or CASE_FORM
        self.lock = threading.Lock()
        self.skipped: set[str] = set()
        self.token = secrets.token_urlsafe(24)

    @property
    def url(self) -> str:
        """Where the page is."""
        return f"http://{HOST}:{self.server_address[1]}/{self.token}/"

    def page(self, problem: str = "", told: dict[str, str] | None = None) -> str:
        """The form of the case that is asked next, or of the one whose answer was no label."""
        if told and (case := self.labelling.case_of(told.get("key", ""))):
            return self.form.show(case, len(self.labelling.remaining()), problem, told)
        waiting = self.labelling.remaining()
        unseen = [case for case in waiting if self.form.key(case) not in self.skipped]
        if unseen:
            return self.form.show(unseen[0], len(unseen), problem, {})
        return page_document(
            f"<p>Nothing left to label; {len(waiting)} skipped. You can close this page.</p>"
        )

    def take(self, told: dict[str, str]) -> str | None:
        """Save an answer; what is wrong with it, or None."""
        case = self.labelling.case_of(told.get("key", ""))
        if case is None:
            return "There is no such case; this one is asked now."
        if told.get("verdict") == "skip":
            self.skipped.add(told["key"])
            return None
        try:
            self.labelling.save(case, self.form.read(told, case))
        except (ValueError, EvalSetError) as error:
            return str(error)
        return None


def serve_page(
    labelling: Labelling | PairLabelling,
    port: int,
    tell: Callable[[str], None],
    form: PageForm | None = None,
) -> None:
    """Serve the page until Ctrl-C.

    Raises:
        EvalSetError: The port is taken.
    """
    with LabelServer(labelling, port, form) as server:
        tell(f"Open {server.url} - Ctrl-C ends it; every answer is saved at once.")
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            tell("Ended.")


class _Handler(BaseHTTPRequestHandler):
    server: LabelServer
    timeout = 30

    def do_GET(self) -> None:
        """Show the form."""
        if self._is_ours():
            with self.server.lock:
                self._send(HTTPStatus.OK, self._page())

    def do_POST(self) -> None:
        """Take an answer, then show the next form."""
        if not self._is_ours():
            return
        length = self.headers.get("Content-Length", "")
        if not (length.isascii() and length.isdecimal()) or int(length[:9]) > MAX_BODY_BYTES:
            self._send(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "")
            return
        body = self.rfile.read(int(length)).decode(errors="replace")
        try:
            told = dict(parse_qsl(body, keep_blank_values=True, max_num_fields=20))
        except ValueError:
            self._send(HTTPStatus.BAD_REQUEST, "")
            return
        with self.server.lock:
            problem = self.server.take(told)
            if problem:
                self._send(HTTPStatus.UNPROCESSABLE_ENTITY, self._page(problem, told))
                return
        # Back to the address: a reload must not send the answer again.
        self._send(HTTPStatus.SEE_OTHER, "", Location=f"/{self.server.token}/")

    def _page(self, problem: str = "", told: dict[str, str] | None = None) -> str:
        try:
            return self.server.page(problem, told)
        except EvalSetError as error:
            return page_document(f'<p class="problem">{escape(str(error))}</p>')

    def _is_ours(self) -> bool:
        port = self.server.server_address[1]
        hosts = {f"{HOST}:{port}", f"localhost:{port}"}
        origin = self.headers.get("Origin")
        asked = self.path.encode(errors="replace")
        if (
            self.headers.get("Host") in hosts
            and (origin in {None, "null"} or origin in {f"http://{host}" for host in hosts})
            and hmac.compare_digest(asked, f"/{self.server.token}/".encode())
        ):
            return True
        self._send(HTTPStatus.NOT_FOUND, "")
        return False

    def _send(self, status: HTTPStatus, text: str, **more: str) -> None:
        body = text.encode(errors="replace")
        self.send_response(status)
        for name, value in {**HEADERS, **more, "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - its name in the standard library
        """Say nothing: a log would hold the token."""


def page_document(body: str) -> str:
    """A whole page; the body is HTML, escaped where it must be."""
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Label</title>'
        f"<style>{STYLE}</style></head><body>{body}</body></html>"
    )


def _form(case: dict[str, Any], left: int, problem: str, told: dict[str, str]) -> str:
    code = "\n".join(
        f"<span>{number:4}  </span>{escape(line)}"
        for number, line in enumerate(case["code"].splitlines(), start=1)
    )
    kind = f"{case.get('language', '')} {case.get('form', '')}"
    return page_document(
        f"<p>{left} left, {escape(kind)}</p><h1>{escape(str(case.get('purpose', '')))}</h1>"
        f'<pre tabindex="0">{code}</pre>{warning_line(problem)}<form method="post" autocomplete="off">'
        f'<input type="hidden" name="key" value="{opaque_key(case["id"])}">'
        f"{radio_buttons('verdict', ('defect', 'clean', 'skip'), told)}"
        f"<p>For a defect:</p>{radio_buttons('category', CATEGORIES, told)}{radio_buttons('severity', SEVERITIES, told)}"
        f'<p><label>lines to change, 3-5 or 3 <input name="lines" size="9" value="{escape(told.get("lines", ""))}"></label></p>'
        f'<p><label>comment<br><textarea name="comment" rows="3">{escape(told.get("comment", ""))}</textarea></label></p>'
        f'<button type="submit">Save and next</button></form>'
    )


def warning_line(problem: str) -> str:
    """What was wrong with the last answer; nothing where nothing was."""
    return f'<p class="problem" role="alert">{escape(problem)}</p>' if problem else ""


def radio_buttons(
    name: str, values: Sequence[str], told: dict[str, str], keys: Mapping[str, str] | None = None
) -> str:
    """One of some values; `keys` are access keys of the browser."""
    access = {value: f' accesskey="{key}"' for value, key in (keys or {}).items()}
    options = "".join(
        f'<label><input type="radio" name="{name}" value="{value}"{access.get(value, "")}{" checked" if told.get(name) == value else ""}> {value.replace("_", " ")}</label>'
        for value in values
    )
    return f"<fieldset><legend>{name}</legend>{options}</fieldset>"


CASE_FORM = PageForm(
    key=lambda case: opaque_key(case["id"]),
    show=_form,
    read=lambda told, case: read_answer(told, case["code"]),
)
