"""The dashboard: what it shows, what it says is absent, and that nothing a model wrote comes alive."""

from __future__ import annotations

import asyncio
import hashlib
import json
import re
import shutil
import threading
from contextlib import contextmanager
from html.parser import HTMLParser
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer
from browser import chromium, needs_chromium
from hypothesis import given
from hypothesis import strategies as st
from records import QUICK
from run_folders import GOLDEN, REGRESSION, SHADOW, write_run, write_runs

import ftgate_ext.dashboard
from ftgate_ext.dashboard.case import load_case
from ftgate_ext.dashboard.charts import (
    charts_of,
    frontier_of,
    latency_chart,
    safety_chart,
    win_rate_chart,
)
from ftgate_ext.dashboard.data import page_data
from ftgate_ext.dashboard.matrix import matrix_of
from ftgate_ext.dashboard.pages import SCRIPTS, STYLES, content_security_policy, render_index
from ftgate_ext.dashboard.server import make_app
from ftgate_ext.dashboard.site import (
    case_query,
    live_case,
    live_cases,
    live_index,
    live_run,
    run_query,
    write_site,
)
from ftgate_ext.errors import FtgateError
from ftgate_ext.history import load_history, read_history
from ftgate_ext.history.store import open_store

if TYPE_CHECKING:
    from collections.abc import Iterator

    from browser import Page

ROOM = Path(ftgate_ext.dashboard.__file__).parent
FIRST_PAINT_S = 2.0
HOSTILE = (
    "<script>alert(1)</script><img src=x onerror=alert(2)></script><script>alert(3)</script>"
    '<a href="javascript:alert(4)">x</a> javascript:alert(5) <!-- --> ]]> </pre></td></table></title></style>'
    "\u2028\u2029 {{ 7 * 7 }} ${alert(6)} `alert(7)` \"' onmouseover=alert(8) <svg/onload=alert(9)>"
)


class Parts(HTMLParser):
    """The elements of a page, and its text."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.text = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs

    def handle_data(self, data: str) -> None:
        self.text += data


def data_of(page: str) -> dict[str, Any]:
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', page, re.DOTALL)
    assert found
    return dict(json.loads(found[1]))


def chart(page: dict[str, Any], name: str) -> dict[str, Any]:
    line = page["lines"][0]
    return next(c for c in [*line["charts"], line["frontier"]] if c["id"] == name)


def hostile_run(folder: Path, **more: Any) -> Path:
    """A run in which everything that others write is hostile: names, cases, prompts, answers, verdicts."""
    values: dict[str, Any] = {
        "candidate": HOSTILE + "-v1", "policy": HOSTILE, "verdict": "NO-GO", "regressed": [HOSTILE, "case-2"],
        "answers": {HOSTILE: {"candidate": HOSTILE, "production": HOSTILE}, "case-2": {"candidate": "fine"}},
        "prompt": HOSTILE, "reasoning": HOSTILE,
    }  # fmt: skip
    return write_run(folder, **(values | more))


# what is shown


def test_every_point_is_a_figure_of_its_run(tmp_path: Path) -> None:
    """Win rate, metric, latencies and safety rates stand at their runs, with the limits of their intervals."""
    write_run(tmp_path / "one", number=0, win_rate=0.52, quality=0.6)
    write_run(tmp_path / "two", number=1, win_rate=0.61, quality=0.7)
    win, quality, latency, safety = charts_of(load_history(tmp_path))
    assert [p[:2] for p in win["labels"][0]["series"][0]] == [[0, 0.52], [1, 0.61]]
    assert win["labels"][0]["series"][0][0][2:4] == [pytest.approx(0.45), pytest.approx(0.59)]
    assert win["labels"][0]["label"] == f"candidate against production on {SHADOW}"
    assert [label["label"] for label in quality["labels"]] == ["candidate", "production"]
    assert quality["labels"][0]["series"][0][1][4] == "70.0% (67.0% to 73.0%, n = 200)"
    assert [label["label"] for label in latency["labels"]] == ["candidate p50", "candidate p95", "candidate p99", "production p95"]  # fmt: skip
    assert len(safety["labels"]) == 2
    assert not any(c["breaks"] or c["absent"] for c in (win, quality, latency, safety))


def test_what_is_absent_has_no_point_and_is_counted(tmp_path: Path) -> None:
    """No judge, a judge that may not vote, no comparisons, unfinished: no point, and why is told."""
    write_run(tmp_path / "a", number=0)
    write_run(tmp_path / "b", number=1, win_rate=None)
    write_run(tmp_path / "c", number=2, fit=False)
    write_run(tmp_path / "d", number=3, until="unfinished")
    write_run(tmp_path / "e", number=4, until="asked")
    write_run(tmp_path / "f", number=5, roles=["candidate"])
    found = win_rate_chart(load_history(tmp_path))
    assert [p[0] for label in found["labels"] for s in label["series"] for p in s] == [0]
    assert found["absent"] == (
        "5 of 6 runs have no point here: 1 without a judge, 1 with a judge that is not fit to vote, "
        "1 unfinished, 1 without comparisons, 1 without a win rate."
    )


def test_no_figure_at_all_is_said_not_drawn(tmp_path: Path) -> None:
    """One run that only began: every chart is without labels and says why."""
    write_run(tmp_path / "one", until="unfinished")
    entries = load_history(tmp_path)
    for found in charts_of(entries):
        assert found["labels"] == []
        assert found["absent"] == "1 of 1 run has no point here: 1 unfinished."
    assert frontier_of(entries)["points"] == []
    assert matrix_of(entries)["rows"] == []


def test_other_judges_and_sets_are_not_joined(tmp_path: Path) -> None:
    """A new judge breaks the win rate and nothing else; a new set breaks what was measured on it."""
    write_run(tmp_path / "a", number=0)
    write_run(tmp_path / "b", number=1, judge="bb" * 32)
    write_run(tmp_path / "c", number=2, judge="bb" * 32, set_hash="56" * 32)
    win, quality, latency, safety = charts_of(load_history(tmp_path))
    assert [len(s) for s in win["labels"][0]["series"]] == [1, 1, 1]
    assert [b["run"] for b in win["breaks"]] == [1, 2]
    assert win["breaks"][0]["why"] == "judge: judge-1 aaaaaaaa became judge-1 bbbbbbbb"
    for found in (quality, latency, safety):
        assert [b["run"] for b in found["breaks"]] == [2]
        assert found["breaks"][0]["why"].startswith("cases of ")


def test_the_frontier_has_only_comparable_runs(tmp_path: Path) -> None:
    """Runs on another set are left out and counted; the front holds what nothing beats in both."""
    write_run(tmp_path / "old", number=0, set_hash="56" * 32)
    for number, quality in enumerate((0.6, 0.7, 0.65), start=1):
        write_run(tmp_path / f"run-{number}", number=number, quality=quality, roles=["candidate", "production", "frontier"])  # fmt: skip
    found = frontier_of(load_history(tmp_path))
    assert found["left_out"] == 1
    assert [(p["run"], p["role"]) for p in found["points"]] == [(1, "candidate"), (2, "candidate"), (3, "candidate"), (3, "production"), (3, "frontier")]  # fmt: skip
    assert all(None not in p["x"] + p["y"] for p in found["points"])
    xs, ys = zip(*found["front"], strict=True)
    assert list(xs) == sorted(xs)
    assert list(ys) == sorted(ys)
    assert max(p["y"][0] for p in found["points"]) == ys[-1]


points = st.lists(st.tuples(st.integers(1, 9), st.integers(0, 9)), min_size=1, max_size=12)


@QUICK
@given(points)
def test_nothing_beats_the_front(measured: list[tuple[int, int]]) -> None:
    """Every point is at or under the front, and no point of the front is under another."""
    from ftgate_ext.dashboard.charts import _front

    front = _front([(float(c), float(q)) for c, q in measured], higher_is_better=True)
    for cost, quality in measured:
        assert any(c <= cost and q >= quality for c, q in front)
    for cost, quality in front:
        assert not any((c <= cost and q > quality) or (c < cost and q >= quality) for c, q in measured)  # fmt: skip


def test_the_matrix_tells_new_from_known(tmp_path: Path) -> None:
    """N is new since the last green build, R was there, a dot is clean, a blank was not compared."""
    write_run(tmp_path / "a", number=0, regressed=["x"], verdict="GO")  # approved
    write_run(tmp_path / "b", number=1, regressed=["x", "y"], verdict="NO-GO")
    write_run(tmp_path / "c", number=2, until="unfinished")
    write_run(tmp_path / "d", number=3, regressed=["y"], verdict="NO-GO", set_hash="56" * 32)
    found = matrix_of(load_history(tmp_path))
    assert {row["case"]: row["cells"] for row in found["rows"]} == {"x": "NR .", "y": ".N N"}
    assert [row["case"] for row in found["rows"]] == ["y", "x"]
    assert found["breaks"] == {REGRESSION: [3]}


def test_one_run_has_a_page(tmp_path: Path) -> None:
    """A folder with a single run is enough for everything."""
    write_run(tmp_path / "one", answers={"case-1": {"candidate": "hello"}}, regressed=["case-1"])
    page = data_of(live_index(open_store(tmp_path)))
    assert [run["folder"] for run in page["lines"][0]["runs"]] == ["one"]
    told = live_run(open_store(tmp_path), "one")
    assert "regressed against production, new since the last green build" in told
    assert "no golden set" not in told


def test_a_run_without_golden_set_or_regressions_says_so(tmp_path: Path) -> None:
    """No regression set is 'not compared', never 0."""
    write_run(tmp_path / "one", has_regression_set=False)
    run = data_of(live_index(open_store(tmp_path)))["lines"][0]["runs"][0]
    assert (run["regressed"], run["new"]) == (None, None)
    safe = safety_chart(load_history(tmp_path))
    assert safe["absent"] is None
    assert latency_chart(load_history(tmp_path))["absent"] is None


def test_facts_of_other_sets_have_other_fingerprints(tmp_path: Path) -> None:
    """Two pinned runs share a fingerprint only where their figures may be subtracted."""
    write_run(tmp_path / "a", number=0)
    write_run(tmp_path / "b", number=1)
    write_run(tmp_path / "c", number=2, set_hash="56" * 32)
    page = data_of(live_index(open_store(tmp_path)))
    prints = [
        {f["label"]: f.get("print") for f in run["facts"]} for run in page["lines"][0]["runs"]
    ]
    label = f"task F1 on {GOLDEN}: candidate"
    assert prints[0][label] == prints[1][label] != prints[2][label]
    assert prints[0]["Verdict"] is None


# cases


def test_a_case_shows_answers_scores_and_verdicts(tmp_path: Path) -> None:
    """Prompt, expected answer, all answers, both looks of the judge."""
    write_run(tmp_path / "one", answers={"case-1": {"candidate": "mine", "production": "theirs"}})
    case = load_case(tmp_path / "one", REGRESSION, "case-1")
    assert [(a.role, a.text) for a in case.answers] == [("candidate", "mine"), ("production", "theirs")]  # fmt: skip
    assert (case.prompt, case.expected) == ("Review the code below.", "defect")
    assert [j.first for j in case.judgments] == ["candidate", "baseline"]
    page = live_case(open_store(tmp_path), "one", REGRESSION, "case-1")
    assert "theirs" in page
    listed = live_cases(open_store(tmp_path), "one", REGRESSION, 99)
    assert Parts(listed).text.count("case-1") == 1


@pytest.mark.parametrize("ask", [("one", REGRESSION, "no such"), ("one", "no task", "case-1"), ("no run", REGRESSION, "case-1"), ("../one", REGRESSION, "case-1")])  # fmt: skip
def test_what_is_not_there_is_one_line(tmp_path: Path, ask: tuple[str, str, str]) -> None:
    """A case, a task or a run that is not there is said so."""
    write_run(tmp_path / "one", answers={"case-1": {"candidate": "mine"}})
    with pytest.raises(FtgateError, match="no "):
        live_case(open_store(tmp_path), *ask)


# files


def test_files_hold_the_cases_worth_opening_up_to_a_limit(tmp_path: Path) -> None:
    """Regressed cases of the newest runs come first; what has no page is counted."""
    for number in range(3):
        cases = [f"case-{number}-{i}" for i in range(4)]
        write_run(tmp_path / "runs" / f"run-{number}", number=number, regressed=cases, verdict="NO-GO",
                  answers={case: {"candidate": "a"} for case in cases})  # fmt: skip
    written = write_site(open_store(tmp_path / "runs"), tmp_path / "site", cases_in_all=6)
    assert (written.n_runs, written.n_cases, written.n_left_out) == (3, 6, 6)
    assert len(list((tmp_path / "site").glob("case-*.html"))) == 6
    page = data_of(written.index.read_text(encoding="utf-8"))
    folders = [key.split("\n")[0] for key in page["cases"]]
    assert folders == ["run-2"] * 4 + ["run-1"] * 2
    for name in [*page["cases"].values(), *(run["href"] for run in page["lines"][0]["runs"])]:
        assert (tmp_path / "site" / name).is_file()


def test_an_object_store_is_written_as_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Runs behind a URL give the same pages, their cases fetched from there."""
    import fsspec

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    hostile_run(tmp_path / "runs" / "one")
    url = f"memory://{tmp_path.name}/site-runs"
    fsspec.filesystem("memory").put(str(tmp_path / "runs"), url, recursive=True)
    assert write_site(open_store(url), tmp_path / "site").n_cases == 2


# nothing comes alive


def test_vendored_files_are_those_of_the_package() -> None:
    """The sums in the note beside them are theirs, and the licence is there."""
    note = (ROOM / "vendor" / "README.md").read_text(encoding="utf-8")
    for name in ("uPlot.iife.min.js", "uPlot.min.css"):
        assert hashlib.sha256((ROOM / "vendor" / name).read_bytes()).hexdigest() in note
    assert "MIT" in (ROOM / "vendor" / "uPlot.LICENSE").read_text(encoding="utf-8")


def test_scripts_cannot_end_their_block_and_read_no_markup() -> None:
    """Our scripts hold no closing tag, and none turns text into markup or code."""
    for name in SCRIPTS:
        text = (ROOM / name).read_text(encoding="utf-8")
        assert not re.search(r"</script|<!--|innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function", text), name  # fmt: skip
        assert not re.search(r"https?://(?!www\.w3\.org)", text.removeprefix("/*! https://github.com/leeoniya/uPlot (v1.6.32) */")), name  # fmt: skip


def test_the_policy_allows_our_own_script_and_nothing_else() -> None:
    """No `unsafe`, no host, no 'self': only hashes."""
    policy = content_security_policy(STYLES, SCRIPTS)
    assert policy.startswith("default-src 'none'; script-src 'sha256-")
    assert not re.search(r"unsafe|http|\*|'self'", policy)


@pytest.mark.parametrize("page", ["index", "run", "case", "cases"])
def test_hostile_text_makes_no_element(tmp_path: Path, page: str) -> None:
    """The elements of a page with hostile names and answers are those of a page with harmless ones."""
    pages = []
    for text in ("harmless", HOSTILE):
        runs = tmp_path / ("b" if text == HOSTILE else "a")
        hostile_run(runs / "one", candidate=text + "-v1", policy=text, prompt=text, reasoning=text, regressed=[text, "case-2"],
                    answers={text: {"candidate": text, "production": text}, "case-2": {"candidate": "fine"}})  # fmt: skip
        store = open_store(runs)
        made = {
            "index": lambda s=store: live_index(s),
            "run": lambda s=store: live_run(s, "one"),
            "case": lambda s=store, t=text: live_case(s, "one", REGRESSION, t),
            "cases": lambda s=store: live_cases(s, "one", REGRESSION, 1),
        }
        pages.append(Parts(made[page]()))
    assert pages[1].tags == pages[0].tags
    assert [name for name, _ in pages[1].attributes] == [name for name, _ in pages[0].attributes]
    links = [value or "" for name, value in pages[1].attributes if name == "href"]
    assert all(re.match(r"(\./$|run\?|cases\?|case\?)", link) for link in links)


@QUICK
@given(st.text(max_size=40))
def test_any_name_comes_back_as_it_was(name: str) -> None:
    """The data block holds every text unharmed, whatever stands in it."""
    page = render_index({"where": name, "lines": [], "skipped": [name]})
    assert data_of(page)["skipped"] == [name]


@contextmanager
def served(runs: Path) -> Iterator[str]:
    """The dashboard on a free port, in a thread with a loop of its own."""
    ready, stop, found = threading.Event(), asyncio.Event(), []
    loop = asyncio.new_event_loop()

    async def main() -> None:
        runner = web.AppRunner(make_app(open_store(runs)), access_log=None)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        found.append(f"http://127.0.0.1:{runner.addresses[0][1]}/")
        ready.set()
        await stop.wait()
        await runner.cleanup()

    thread = threading.Thread(target=lambda: loop.run_until_complete(main()))
    thread.start()
    assert ready.wait(20)
    try:
        yield found[0]
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join()
        loop.close()


def test_the_server_answers_this_machine_only(tmp_path: Path) -> None:
    """Another Host header is refused; pages carry the policy; what is not there is 404 with a sentence."""
    write_run(tmp_path / "one", answers={"case-1": {"candidate": "mine"}})

    async def ask() -> None:
        async with TestClient(TestServer(make_app(open_store(tmp_path)))) as client:
            for url in ("/", f"/{run_query('one')}", f"/{case_query('one', REGRESSION, 'case-1')}", f"/cases?run=one&task={REGRESSION}&page=x"):  # fmt: skip
                told = await client.get(url)
                assert told.status == 200, url
                assert told.headers["X-Content-Type-Options"] == "nosniff"
                assert "Access-Control-Allow-Origin" not in told.headers
                assert "default-src &#39;none&#39;" in await told.text()
            refused = await client.get("/", headers={"Host": "evil.example:80"})
            assert refused.status == 403
            missing = await client.get("/run?run=../../etc")
            assert missing.status == 404
            assert "no run" in await missing.text()
            assert (await client.post("/")).status == 405

    asyncio.run(ask())


def test_a_page_sees_runs_that_came_after_the_start(tmp_path: Path) -> None:
    """The server reads the folder again for every page."""
    write_run(tmp_path / "one")
    store = open_store(tmp_path)
    assert len(data_of(live_index(store))["lines"][0]["runs"]) == 1
    write_run(tmp_path / "two", number=1)
    assert len(data_of(live_index(store))["lines"][0]["runs"]) == 2
    shutil.rmtree(tmp_path / "one")
    with pytest.raises(FtgateError, match="no run"):
        live_run(store, "one")


# in a browser


async def survive(page: Page, url: str) -> None:
    """Open a page: nothing speaks, nothing is loaded but the page itself, nothing is refused."""
    page.requests.clear()
    await page.open(url)
    assert page.requests == [url]
    assert page.dialogs == []
    assert page.complaints == []


@needs_chromium
def test_hostile_answers_do_nothing_in_a_browser(tmp_path: Path) -> None:
    """Pages and files with hostile text: no dialog, no request, no element of theirs, all of it text."""
    hostile_run(tmp_path / "runs" / "one")
    hostile_run(tmp_path / "runs" / "two", number=1)
    written = write_site(open_store(tmp_path / "runs"), tmp_path / "site")
    count = "document.querySelectorAll('img, iframe, object, embed, svg *[onload], [onerror], [onmouseover], a[href^=javascript]').length"  # fmt: skip

    async def look() -> None:
        async with chromium() as page:
            pages = sorted((tmp_path / "site").glob("*.html"))
            for path in pages:
                await survive(page, path.as_uri())
                assert await page.run(count) == 0
            with served(tmp_path / "runs") as url:
                for below in ("", run_query("one"), case_query("one", REGRESSION, HOSTILE)):
                    await survive(page, (url + below).replace("'", "%27"))
                    assert await page.run(count) == 0
                assert await page.run("document.querySelector('.answer pre').textContent.includes('<script>alert(1)</script>')")  # fmt: skip
            await page.open(f"{written.index.as_uri()}#a=one&b=two")
            await page.run("document.querySelectorAll('details').forEach(d => d.open = true)")
            assert await page.run("document.body.innerText.includes('<img src=x onerror=alert(2)>')")  # fmt: skip
            assert await page.run(count) == 0
            assert page.dialogs == page.complaints == []

    asyncio.run(look())


@needs_chromium
@pytest.mark.slow
def test_the_page_is_worked_by_hand_and_keyboard(tmp_path: Path) -> None:
    """A pin goes into the address and comes back from it; arrows reach a point, Enter its run; tables hold the figures."""
    write_runs(tmp_path / "runs", 12, buckets=0)
    write_site(open_store(tmp_path / "runs"), tmp_path / "site")
    entries = read_history(tmp_path / "runs").entries
    index = (tmp_path / "site" / "index.html").as_uri()

    async def work() -> None:
        async with chromium() as page:
            await page.open(index)
            assert await page.run("document.querySelectorAll('.plot canvas').length") == 5
            await page.run("document.querySelectorAll('table.runs button')[1].click()")
            await page.run("document.querySelectorAll('table.runs button')[2].click()")
            address = await page.run("location.hash")
            assert f"b={entries[-1].folder}" in address
            assert f"a={entries[-2].folder}" in address
            await page.open("about:blank")
            await page.open(index + address)
            heads = await page.run("document.querySelector('#pinned + .scroll thead').innerText")
            assert entries[-2].folder in heads
            await page.run("document.querySelector('#quality details').open = true")
            await page.run("new Promise(done => setTimeout(done, 100))")
            rows = await page.run("document.querySelectorAll('#quality tbody th').length")
            assert rows == len(entries)
            await page.run("document.querySelector('#quality .plot').focus()")
            await page.press("ArrowRight")
            assert (await page.run("document.querySelector('#quality .tip b').textContent")).startswith("candidate: ")  # fmt: skip
            await page.press("Enter")
            await page.run("new Promise(done => setTimeout(done, 500))")
            assert await page.run("document.querySelector('h1').textContent")
            assert "run-" in await page.run("location.pathname")
            assert page.complaints == []

    asyncio.run(work())


@needs_chromium
@pytest.mark.slow
def test_two_hundred_runs_are_painted_in_time(tmp_path: Path) -> None:
    """First paint, and all charts drawn, within two seconds of opening a page of 200 runs; best of three."""
    write_runs(tmp_path / "runs", 200)

    async def measure() -> float:
        async with chromium() as page:
            with served(tmp_path / "runs") as url:
                found = []
                for _ in range(3):
                    await page.open(url)
                    found.append(await page.run("performance.getEntriesByName('drawn')[0].startTime / 1000"))  # fmt: skip
                assert page.complaints == []
                assert await page.run("document.querySelectorAll('.strip li').length") == 200
                return min(found)

    assert asyncio.run(measure()) < FIRST_PAINT_S


def test_the_page_data_is_plain_json(tmp_path: Path) -> None:
    """Whatever the runs are like, the data have no NaN and no type of ours."""
    write_runs(tmp_path, 12, buckets=0)
    data = page_data(read_history(tmp_path), run_query)
    assert json.loads(json.dumps(data, allow_nan=False)) == data
    assert chart(data, "frontier")["points"]
