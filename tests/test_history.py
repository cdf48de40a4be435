"""The history: an index that follows the run folders, candidate lines, and figures kept apart."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING, Any

import fsspec
import pytest
from command import ftgate_here
from hypothesis import given
from hypothesis import strategies as st
from records import QUICK
from run_folders import GOLDEN, REGRESSION, SHADOW, write_run, write_runs

from ftgate_ext.errors import FtgateError
from ftgate_ext.history import HistoryEntry, last_green, load_history, new_regressions, read_history
from ftgate_ext.history.fingerprints import Fingerprint, difference, split_series
from ftgate_ext.history.green import last_greens
from ftgate_ext.history.index import IndexLine
from ftgate_ext.history.line import candidate_line, without_build
from ftgate_ext.history.store import INDEX, RemoteStore, open_store
from ftgate_ext.report.text import cell_width
from ftgate_ext.schema import Estimate

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


def entry(number: int = 0, **more: Any) -> HistoryEntry:
    values: dict[str, Any] = {
        "folder": f"run-{number}", "run_id": f"run-{number}", "created_at": f"2026-01-{number + 1:02d}T00:00:00+00:00",
        "state": "decided", "line": "gate / reviewer", "policy_name": "gate", "policy_hash": "a", "generation_hash": "b",
        "models": [],
    }  # fmt: skip
    return HistoryEntry(**(values | more))


def regressed(*cases: str) -> dict[str, Any]:
    row = {"task": REGRESSION, "metric": "passed", "against": "production", "cases": list(cases), "n_pairs": 50}  # fmt: skip
    return {
        "regressions": [row],
        "sets": [{"task": REGRESSION, "sha256": "12", "n_rows": 50, "prompts": "p"}],
    }


def folders(place: str | Path) -> list[str]:
    return [e.folder for e in load_history(place)]


def index_lines(runs: Path) -> list[IndexLine]:
    texts = (runs / INDEX).read_text(encoding="utf-8").split("\n")
    return [IndexLine.model_validate_json(text) for text in texts if text]


# the index


def test_an_entry_holds_what_the_run_says(tmp_path: Path) -> None:
    """Verdict, rules, figures with intervals, regressions, judge and fingerprints come from the run's files."""
    write_run(tmp_path / "one", quality=0.6, win_rate=0.55, regressed=["regression-0007"], verdict="NO-GO")  # fmt: skip
    (found,) = load_history(tmp_path)
    assert (found.verdict, found.state, found.line) == ("NO-GO", "decided", "code review gate / reviewer")  # fmt: skip
    assert [(r.name, r.outcome) for r in found.rules] == [("better at the task", "INCONCLUSIVE"), ("no regressions", "FAIL")]  # fmt: skip
    assert found.primary
    assert (found.primary.task, found.primary.metric) == (GOLDEN, "f1")
    assert found.primary.levels["candidate"].value == pytest.approx(0.6)
    assert found.primary.differences["production"].lower == pytest.approx(-0.01)
    (rate,) = found.win_rates
    assert (rate.task, rate.baseline, rate.estimate and rate.estimate.n) == (SHADOW, "production", 120)  # fmt: skip
    serving = found.serving_of("candidate")
    assert serving
    assert serving.cost_usd_per_request
    assert serving.cost_usd_per_request.upper
    assert set(serving.latencies) == {"latency_p50_s", "latency_p95_s", "latency_p99_s"}
    assert found.regressions[0].cases == ["regression-0007"]
    assert found.judge
    assert found.judge.fingerprint == "aa" * 32
    assert {s.task: (s.sha256, s.prompts) for s in found.sets}[GOLDEN] == ("12" * 32, "34" * 32)
    assert {r.metric for r in found.safety} == {"refusal_harmful", "refusal_benign"}


def test_a_second_reading_reads_no_run_again(tmp_path: Path) -> None:
    """What stands in the index under the same sizes and times is taken from there."""
    write_runs(tmp_path, 3, buckets=0)
    first = load_history(tmp_path)
    before = (tmp_path / INDEX).read_bytes()
    assert load_history(tmp_path) == first
    assert (tmp_path / INDEX).read_bytes() == before
    assert len(index_lines(tmp_path)) == 3


def test_the_index_follows_the_folders(tmp_path: Path) -> None:
    """Runs copied in appear, deleted ones go, and one that went on is read anew."""
    elsewhere = write_run(tmp_path / "elsewhere" / "second", number=1)
    runs = tmp_path / "runs"
    write_run(runs / "first", number=0, until="unfinished")
    assert [(e.folder, e.state, e.verdict) for e in load_history(runs)] == [("first", "unfinished", None)]  # fmt: skip
    shutil.copytree(elsewhere, runs / "second")
    assert folders(runs) == ["first", "second"]
    write_run(runs / "first", number=0)
    assert [(e.folder, e.verdict) for e in load_history(runs)] == [("first", "GO"), ("second", "GO")]  # fmt: skip
    shutil.rmtree(runs / "first")
    assert folders(runs) == ["second"]
    assert [line.folder for line in index_lines(runs)] == ["first", "second", "first"]


@pytest.mark.parametrize("damage", ['{"torn', "", '{"index_version": 0, "folder": "one"}', "\x00"])
def test_a_damaged_index_costs_nothing_but_time(tmp_path: Path, damage: str) -> None:
    """Torn lines and lines of another version are passed over, and do not swallow the next line."""
    write_run(tmp_path / "one")
    (tmp_path / INDEX).write_text(damage, encoding="utf-8")
    assert folders(tmp_path) == ["one"]
    assert damage == "" or (tmp_path / INDEX).read_text(encoding="utf-8").startswith(damage)
    write_run(tmp_path / "two", number=1)
    assert folders(tmp_path) == ["one", "two"]


def test_half_a_run_keeps_what_it_has(tmp_path: Path) -> None:
    """A run without a decision, comparisons, judge or results has an entry without these, and no zeros."""
    write_run(tmp_path / "asked", number=0, until="asked")
    write_run(tmp_path / "compared", number=1, until="compared", win_rate=None)
    asked, compared = load_history(tmp_path)
    assert (asked.state, asked.primary, asked.serving, asked.win_rates, asked.judge) == ("asked", None, [], [], None)  # fmt: skip
    assert (compared.state, compared.verdict, compared.win_rates) == ("compared", None, [])
    assert compared.primary
    assert compared.primary.metric == "f1"


def test_one_model_alone_has_levels_and_no_differences(tmp_path: Path) -> None:
    """Without another model there is nothing to compare with, and nothing is made up."""
    write_run(tmp_path / "alone", roles=["candidate"])
    (found,) = load_history(tmp_path)
    assert found.primary
    assert set(found.primary.levels) == {"candidate"}
    assert (found.primary.differences, found.win_rates, found.regressions) == ({}, [], [])


def test_what_cannot_be_read_is_named(tmp_path: Path) -> None:
    """A broken run.json costs its run, another broken file its figures; both are told."""
    for number, name in enumerate(("bad", "half", "good")):
        write_run(tmp_path / name, number=number)
    (tmp_path / "bad" / "run.json").write_text("{", encoding="utf-8")
    (tmp_path / "half" / "comparisons.json").write_text("[]", encoding="utf-8")
    (tmp_path / "no run at all").mkdir()
    history = read_history(tmp_path)
    assert [e.folder for e in history.entries] == ["half", "good"]
    assert len(history.skipped) == 1
    assert history.skipped[0].startswith("bad/run.json: not readable")
    (problem,) = history.entries[0].problems
    assert problem == "half/comparisons.json: found a JSON list; expected an object."
    assert history.entries[0].verdict == "GO"
    assert history.entries[0].primary is None


def test_the_same_run_in_two_folders_counts_once(tmp_path: Path) -> None:
    """A copy is no second look: its figures would stand twice in every chart."""
    write_run(tmp_path / "one")
    shutil.copytree(tmp_path / "one", tmp_path / "one-copy")
    history = read_history(tmp_path)
    assert [e.folder for e in history.entries] == ["one"]
    assert history.skipped == ["one-copy: the same run as one; counted once."]


def test_a_run_folder_itself_will_do(tmp_path: Path) -> None:
    """Whoever names one run sees that run, and no index is written beside it."""
    write_run(tmp_path / "one")
    write_run(tmp_path / "two", number=1)
    assert folders(tmp_path / "one") == ["one"]
    assert not (tmp_path / INDEX).exists()


def test_a_missing_folder_is_one_line(tmp_path: Path) -> None:
    """A folder or a file system that is not there is said in one line."""
    with pytest.raises(FtgateError, match="no such folder"):
        load_history(tmp_path / "nothing")
    with pytest.raises(FtgateError, match="cannot be opened"):
        load_history("nosuchstore://bucket/runs")


def test_no_run_outside_the_folder_is_opened(tmp_path: Path) -> None:
    """A run is a folder directly below: no path leads out."""
    write_run(tmp_path / "secret")
    write_run(tmp_path / "runs" / "one")
    store = open_store(tmp_path / "runs")
    for name in ("../secret", "..", ".", "", str(tmp_path / "secret"), "one/../../secret"):
        with pytest.raises(FtgateError, match="no run"):
            store.local_dir(name)


def test_an_object_store_gives_the_same_entries(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What fsspec lists and fetches is read as the same files on disk; entries are kept in the user's cache."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    write_runs(tmp_path / "runs", 4, buckets=0)
    memory = fsspec.filesystem("memory")
    url = f"memory://{tmp_path.name}/runs"
    memory.put(str(tmp_path / "runs"), url, recursive=True)
    on_disk = load_history(tmp_path / "runs")
    assert load_history(url) == on_disk == load_history(f"file://{tmp_path / 'runs'}")
    store = open_store(url)
    assert isinstance(store, RemoteStore)
    assert store.index
    assert store.index.is_file()
    fetched = store.local_dir(on_disk[0].folder)
    assert (fetched / "run.json").read_bytes() == (tmp_path / "runs" / on_disk[0].folder / "run.json").read_bytes()  # fmt: skip
    with pytest.raises(FtgateError, match="no run"):
        store.local_dir("../runs")
    memory.rm(f"{url}/{on_disk[0].folder}", recursive=True)
    assert folders(url) == [e.folder for e in on_disk[1:]]


# lines and green builds


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("reviewer-v2", "reviewer"), ("reviewer-v2.1-rc1", "reviewer"), ("reviewer-2026-11-21", "reviewer"),
        ("reviewer-20261121", "reviewer"), ("reviewer:latest", "reviewer"), ("reviewer-step-1200", "reviewer"),
        ("reviewer_ckpt3", "reviewer"), ("org/reviewer-8b-7", "org/reviewer-8b"), ("reviewer@9f3c2ab1", "reviewer"),
        ("reviewer", "reviewer"), ("reviewer-8b", "reviewer-8b"), ("smollm2-135m+final", "smollm2-135m+final"),
        ("v2", "v2"), ("2", "2"), ("reviewer, end of training", "reviewer, end of training"), ("defaced", "defaced"),
        ("team-facade", "team-facade"),
    ],
)  # fmt: skip
def test_a_line_is_the_name_without_the_build(name: str, line: str) -> None:
    """Versions, dates, steps and commits say which build it is; sizes and adapters what it is."""
    assert without_build(name) == line
    assert candidate_line("gate", name) == f"gate / {line}"


def test_the_last_green_build_is_of_the_line_and_before() -> None:
    """Neither another line, nor a later run, nor the run itself, nor one without GO counts."""
    runs = [
        entry(0, verdict="GO"), entry(1, verdict="GO", line="gate / other"), entry(2, verdict="NO-GO"),
        entry(3, verdict="GO"), entry(4), entry(5, verdict="GO"),
    ]  # fmt: skip
    assert last_green(runs, runs[3]) is runs[0]
    assert last_green(runs, runs[4]) is runs[3]
    assert last_green(runs, runs[0]) is None


verdicts = st.lists(
    st.tuples(st.sampled_from(["GO", "NO-GO", None]), st.sampled_from(["a", "b"])), max_size=12
)


@QUICK
@given(verdicts)
def test_all_last_greens_are_each_ones_own(chosen: Sequence[tuple[Any, str]]) -> None:
    """One pass over all runs finds what is found run by run."""
    runs = [entry(i, verdict=verdict, line=line) for i, (verdict, line) in enumerate(chosen)]
    assert last_greens(runs) == [last_green(reversed(runs), run) for run in runs]


def test_a_regression_is_new_unless_the_green_build_had_it() -> None:
    """Known cases are not news; without a green build, or with other cases or prompts, all are."""
    green, run = entry(0, verdict="GO", **regressed("a", "b")), entry(1, **regressed("b", "c"))
    assert new_regressions(run, green) == [f"{REGRESSION}: c"]
    assert new_regressions(run, None) == [f"{REGRESSION}: b", f"{REGRESSION}: c"]
    changed = run.model_copy(deep=True)
    changed.sets[0].sha256 = "34"
    assert new_regressions(changed, green) == [f"{REGRESSION}: b", f"{REGRESSION}: c"]


# series


def estimates(*prints: Fingerprint) -> list[tuple[HistoryEntry, Estimate, Fingerprint]]:
    made = Estimate(value=0.5, n=10, method="by hand")
    return [(entry(i), made, fingerprint) for i, fingerprint in enumerate(prints)]


def test_figures_of_other_judges_sets_or_prompts_stand_apart() -> None:
    """Every change of a fingerprint starts a series, which says what changed."""
    old, new = {"judge": "a", "cases": "1"}, {"judge": "b", "cases": "1"}
    first, second = split_series("win rate", estimates(old, old, new, new))
    assert [len(s.points) for s in (first, second)] == [2, 2]
    assert (first.why, second.why) == (None, "judge: a became b")
    assert difference({}, {"judge": "b"}) == "judge: not recorded became b"


@QUICK
@given(st.lists(st.sampled_from(["a", "b", "c"]), max_size=12))
def test_no_series_mixes_fingerprints_and_none_is_lost(judges: list[str]) -> None:
    """Each figure stands in exactly one series, and each series has one fingerprint."""
    figures = estimates(*[{"judge": judge} for judge in judges])
    series = split_series("win rate", figures)
    assert len(series) == len(set(judges))
    told = sorted((p.entry.folder, s.fingerprint["judge"]) for s in series for p in s.points)
    assert told == sorted((f"run-{i}", judge) for i, judge in enumerate(judges))


# the command


def test_the_table_fits_and_says_what_is_not_comparable(tmp_path: Path) -> None:
    """At most 100 columns; a set that changed has another letter, with the reason below."""
    write_run(tmp_path / "a-run-with-quite-a-long-name-of-its-own-0001", candidate="a reviewer with a name that is long-v1", number=0)  # fmt: skip
    write_run(tmp_path / "two", candidate="a reviewer with a name that is long-v2", number=1, set_hash="56" * 32, verdict="NO-GO", regressed=["case-1", "case-2"])  # fmt: skip
    done = ftgate_here("history", str(tmp_path), cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert max(map(cell_width, done.stdout.splitlines())) <= 100
    assert "Series B is not comparable with A: cases of codereview_golden" in done.stdout
    assert "Last green build: a-run-with" in done.stdout
    assert "2 new" in done.stdout
    assert done.stdout.index("21:30") < done.stdout.index("09:30")  # the newest first


def test_json_has_all_and_the_green_build(tmp_path: Path) -> None:
    """Programs get whole entries, the last green build and the new regressions."""
    write_run(tmp_path / "one", number=0)
    write_run(tmp_path / "two", number=1, verdict="NO-GO", regressed=["case-1"])
    done = ftgate_here("history", str(tmp_path), "--json", "--limit", "1", cwd=tmp_path)
    (run,) = json.loads(done.stdout)["runs"]
    assert (run["folder"], run["last_green"], run["new_regressions"]) == ("two", "one", [f"{REGRESSION}: case-1"])  # fmt: skip
    assert HistoryEntry(**{k: v for k, v in run.items() if k in HistoryEntry.model_fields})


def test_lines_are_told_apart_and_can_be_chosen(tmp_path: Path) -> None:
    """Each line has a table of its own; --line takes part of a name, and an unknown one is an error."""
    write_run(tmp_path / "one", policy="gate one")
    write_run(tmp_path / "two", policy="gate two", number=1)
    whole = ftgate_here("history", str(tmp_path), cwd=tmp_path).stdout
    assert "gate one / reviewer" in whole
    assert "gate two / reviewer" in whole
    chosen = ftgate_here("history", str(tmp_path), "--line", "GATE ONE", cwd=tmp_path).stdout
    assert "gate one / reviewer" in chosen
    assert "gate two" not in chosen
    wrong = ftgate_here("history", str(tmp_path), "--line", "three", cwd=tmp_path)
    assert wrong.returncode == 2
    assert "there are 'gate one / reviewer'" in wrong.stderr


def test_an_unfit_judge_and_an_absent_figure_are_no_numbers(tmp_path: Path) -> None:
    """A win rate of a judge that may not vote is not shown, and what is missing is a dash."""
    write_run(tmp_path / "one", fit=False, win_rate=0.77)
    write_run(tmp_path / "two", number=1, until="unfinished")
    told = ftgate_here("history", str(tmp_path), cwd=tmp_path).stdout
    assert "unfit" in told
    assert "77" not in told
    unfinished = next(line for line in told.splitlines() if "unfinished" in line)
    assert unfinished.split()[-4:] == ["-", "-", "-", "-"]


def test_an_empty_folder_says_so(tmp_path: Path) -> None:
    """No runs is no error, and leaves no index behind."""
    done = ftgate_here("history", str(tmp_path), cwd=tmp_path)
    assert done.returncode == 0
    assert "no runs" in done.stdout
    assert list(tmp_path.iterdir()) == []
