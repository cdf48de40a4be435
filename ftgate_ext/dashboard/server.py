"""Serve the pages on this machine: 127.0.0.1 only, reading only.

The Host header must name this very address, so that no site in the same browser can read the pages
through a name of its own. Nothing is ever written but the index of runs.
"""

from __future__ import annotations

import asyncio
import webbrowser
from contextlib import suppress
from typing import TYPE_CHECKING

from aiohttp import web

from ftgate_ext.dashboard.pages import render_message
from ftgate_ext.dashboard.site import live_case, live_cases, live_index, live_run
from ftgate_ext.errors import FtgateError
from ftgate_ext.schema import RunError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from ftgate_ext.history.store import RunStore

HOST = "127.0.0.1"
NAMES = ("127.0.0.1", "localhost")
HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}


def make_app(store: RunStore) -> web.Application:
    """The application: `/`, `/run?run=`, `/cases?run=&task=` and `/case?run=&task=&id=`."""

    async def index(_: web.Request) -> web.Response:
        return await _page(lambda: live_index(store))

    async def run(request: web.Request) -> web.Response:
        folder = request.query.get("run", "")
        return await _page(lambda: live_run(store, folder))

    async def cases(request: web.Request) -> web.Response:
        folder, task, page = (request.query.get(name, "") for name in ("run", "task", "page"))
        number = int(page) if page.isascii() and page.isdigit() and len(page) < 7 else 1
        return await _page(lambda: live_cases(store, folder, task, number))

    async def case(request: web.Request) -> web.Response:
        asked = [request.query.get(name, "") for name in ("run", "task", "id")]
        return await _page(lambda: live_case(store, *asked))

    app = web.Application(middlewares=[_only_this_machine])
    pages = {"/": index, "/run": run, "/cases": cases, "/case": case}
    app.add_routes([web.get(path, handler) for path, handler in pages.items()])
    return app


@web.middleware
async def _only_this_machine(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    if request.host.rpartition(":")[0] not in NAMES:
        return web.Response(status=403, text="This page answers to 127.0.0.1 only.\n")
    return await handler(request)


async def _page(make: Callable[[], str]) -> web.Response:
    """Make a page in a thread: reading a large run must not stop others."""
    status = 200
    try:
        text = await asyncio.to_thread(make)
    except FtgateError as error:
        status, text = 404, render_message("Not found", str(error), "./")
    return web.Response(
        text=text, status=status, content_type="text/html", charset="utf-8", headers=HEADERS
    )


def serve(store: RunStore, port: int, tell: Callable[[str], None], *, opened: bool) -> None:
    """Serve until Ctrl-C.

    Args:
        store: The runs.
        port: The port; 0 takes a free one.
        tell: Gets the address.
        opened: Also open it in the browser.

    Raises:
        RunError: The port is taken.
    """
    with suppress(KeyboardInterrupt):
        asyncio.run(_serve(store, port, tell, opened=opened))


async def _serve(store: RunStore, port: int, tell: Callable[[str], None], *, opened: bool) -> None:
    runner = web.AppRunner(make_app(store), access_log=None)
    await runner.setup()
    try:
        site = web.TCPSite(runner, HOST, port)
        try:
            await site.start()
        except (OSError, OverflowError) as error:
            raise RunError(f"--port {port}: {error}; expected a free port, or 0.") from None
        url = f"http://{HOST}:{runner.addresses[0][1]}/"
        tell(f"{store.where}: open {url} - Ctrl-C ends it.")
        if opened:
            webbrowser.open(url)
        await asyncio.Event().wait()
    finally:
        await runner.cleanup()
