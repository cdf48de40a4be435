"""Hostile programs get nowhere, and no code passes a test that it does not answer."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from sandbox_attacks import CHEATS, MARK, PROGRAMS, SECRET, SHORT, TEST, fill

from ftgate_ext.scoring import sandbox
from ftgate_ext.scoring.sandbox import (
    Limits,
    SandboxUnavailable,
    describe_sandbox,
    open_launcher,
    run_program,
    run_programs,
)
from ftgate_ext.scoring.sandbox_check import check_program, check_programs

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parent.parent
NOBODY = 65534
DRIVER = """
import json, sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from ftgate_ext.scoring.sandbox import Limits, SandboxUnavailable, open_launcher
asked = json.load(sys.stdin)
try:
    with open_launcher(asked["way"]) as launcher, ThreadPoolExecutor(4) as threads:
        run = lambda job: asdict(launcher.run(job["source"], stdin="given", limits=Limits(**job["limits"])))
        ended = list(threads.map(run, asked["jobs"]))
    print(json.dumps({"ended": ended}))
except SandboxUnavailable as error:
    print(json.dumps({"unavailable": str(error)}))
"""


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    """What a hostile program would like to reach: a key, a file, a port, two Unix sockets."""
    folder = tmp_path_factory.mktemp("host")
    (folder / "key").write_text(SECRET, encoding="utf-8")
    with socket.socket() as port, socket.socket(socket.AF_UNIX) as named:
        port.bind(("127.0.0.1", 0))
        port.listen()
        port.settimeout(0)
        named.bind("\0" + MARK)
        named.listen()
        named.settimeout(0)
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("FTGATE_TEST_KEY", SECRET)
            yield {
                "file": str(folder / "key"),
                "port": port.getsockname()[1],
                "name": MARK,
                "listening": (port, named),
            }


WAYS = [
    "as I am",
    "as nobody",
    pytest.param("as nobody, by bubblewrap", marks=pytest.mark.slow),
]


@pytest.fixture(scope="module", params=WAYS)
def attacked(request: pytest.FixtureRequest, host: dict[str, Any]) -> dict[str, Any]:
    """Every hostile program, run once in one way: name -> how it ended."""
    way = "bubblewrap" if "bubblewrap" in request.param else "namespaces"
    if request.param == "as nobody" and os.geteuid() != 0:
        pytest.skip("not root: the tests run as an ordinary user as they are")
    if way == "bubblewrap" and not shutil.which("bwrap"):
        pytest.skip("bubblewrap is not installed")
    jobs = [
        {"source": fill(p.source, host), "limits": {**SHORT, **p.limits}} for p in PROGRAMS.values()
    ]
    asked = {"way": way, "jobs": jobs}
    if request.param == "as I am" or os.geteuid() != 0:
        told = _drive(asked, sys.executable, str(ROOT), None)
    else:
        told = _drive(asked, _readable_interpreter(), _readable_package(request), NOBODY)
    if "unavailable" in told:
        pytest.skip(f"the kernel forbids it: {told['unavailable']}")
    return dict(zip(PROGRAMS, told["ended"], strict=True))


@pytest.fixture(scope="module")
def cheated() -> dict[str, bool]:
    """Every cheat, checked once: name -> whether it passed."""
    checked = check_programs([(code, TEST) for code in CHEATS.values()], 4, limits=Limits(**SHORT))
    return {name: result.passed for name, result in zip(CHEATS, checked, strict=True)}


def _drive(asked: dict[str, Any], interpreter: str, path: str, user: int | None) -> dict[str, Any]:
    ran = subprocess.run(
        [interpreter, "-c", DRIVER],
        input=json.dumps(asked),
        env={"PYTHONPATH": path, "FTGATE_TEST_KEY": SECRET, "PATH": os.environ.get("PATH", "")},
        cwd="/",
        user=user,
        group=user,
        extra_groups=None if user is None else [],
        capture_output=True,
        encoding="utf-8",
        check=False,
        timeout=120,
    )
    assert ran.returncode == 0, ran.stderr
    told: dict[str, Any] = json.loads(ran.stdout)
    return told


def _readable_interpreter() -> str:
    for name in (sys.executable, "/usr/bin/python3", "/usr/local/bin/python3"):
        script = "import sys; assert sys.version_info >= (3, 10)"
        if os.path.lexists(name):
            try:
                found = subprocess.run(
                    [name, "-c", script],
                    user=NOBODY,
                    env={},
                    cwd="/",
                    check=False,
                    capture_output=True,
                )
            except OSError:
                continue
            if found.returncode == 0:
                return name
    pytest.skip("no Python from 3.10 on that an ordinary user may read")


def _readable_package(request: pytest.FixtureRequest) -> str:
    """A copy of the sandbox's rooms where an ordinary user may read them."""
    import tempfile

    folder = Path(tempfile.mkdtemp())
    request.addfinalizer(lambda: shutil.rmtree(folder))
    rooms = folder / "ftgate_ext" / "scoring"
    rooms.mkdir(parents=True)
    for room in (ROOT / "ftgate_ext" / "scoring").glob("sandbox*.py"):
        shutil.copy(room, rooms)
    shutil.copy(ROOT / "ftgate_ext" / "scoring" / "__init__.py", rooms)
    for name in ("__init__.py", "errors.py"):
        shutil.copy(ROOT / "ftgate_ext" / name, folder / "ftgate_ext")
    for path in (folder, *folder.rglob("*")):
        path.chmod(0o755)
    return str(folder)


@pytest.mark.parametrize("name", PROGRAMS)
def test_a_hostile_program_gets_nowhere(attacked: dict[str, Any], name: str) -> None:
    """Each attack ends as it must, says what it must, and never shows the key."""
    ended = attacked[name]
    expected = PROGRAMS[name]
    assert ended["status"] in expected.statuses, ended
    if ended["status"] == expected.statuses[0]:
        assert expected.says is None or ended["stdout"] == expected.says, ended
    assert SECRET not in ended["stdout"] + ended["stderr"]
    most = {**SHORT, **expected.limits}["output_bytes"]
    assert len(ended["stdout"]) <= most
    assert len(ended["stderr"]) <= most
    assert ended["wall_s"] < SHORT["wall_s"] + 2


def test_nothing_survives_and_nobody_called(attacked: dict[str, Any], host: dict[str, Any]) -> None:
    """After the attacks no process of theirs is left and no socket of the host was reached."""
    assert attacked
    left = []
    for comm in Path("/proc").glob("[0-9]*/comm"):
        try:
            left += [comm] if MARK in comm.read_text(encoding="utf-8") else []
        except OSError:
            continue  # a process of somebody else that has just ended
    assert left == []
    for listening in host["listening"]:
        with pytest.raises(BlockingIOError):
            listening.accept()


@pytest.mark.parametrize("name", CHEATS)
def test_no_cheat_passes(cheated: dict[str, bool], name: str) -> None:
    """Only the right answer passes the test, whatever else the code does."""
    assert cheated[name] is (name == "the right answer")


def test_a_program_gets_its_input_and_its_files() -> None:
    """Standard input, files beside the program, threads and the standard library are there."""
    source = (
        "import beside, json, sqlite3, ssl, sys, tempfile, threading\n"
        "with tempfile.TemporaryFile() as file: file.write(b'x')\n"
        "seen = []\n"
        "workers = [threading.Thread(target=seen.append, args=(i,)) for i in range(4)]\n"
        "[w.start() for w in workers]; [w.join() for w in workers]\n"
        "print(sys.stdin.read(), beside.NAME, len(seen), sqlite3.connect(':memory:').execute('select 1').fetchone())\n"
        "print('bad', file=sys.stderr); sys.exit(3)\n"
    )
    ended = run_program(source, stdin="größe", files={"beside.py": "NAME = 'ünï'\n"})
    assert (ended.status, ended.exit_code) == ("failed", 3)
    assert (ended.stdout, ended.stderr) == ("größe ünï 4 (1,)\n", "bad\n")
    assert ended.isolation


def test_programs_share_nothing_and_keep_their_order() -> None:
    """Of many programs none sees a file of another, and results come in the order of the sources."""
    source = "import os; print(os.listdir('.'), {0}); open('left', 'w').write('x')"
    ended = run_programs([source.format(i) for i in range(8)])
    assert [e.stdout for e in ended] == [f"['program.py'] {i}\n" for i in range(8)]


def test_a_program_starts_quickly() -> None:
    """Once the launcher is up, the quickest of a few programs starts and ends within 150 ms."""
    with open_launcher() as launcher:
        assert min(launcher.run("pass").wall_s for _ in range(4)) < 0.15


def test_a_program_can_be_stopped_from_outside() -> None:
    """Stopping kills what runs and says so, long before its limit."""
    with open_launcher() as launcher:
        started = time.monotonic()
        running = launcher.start("import time; time.sleep(60)", limits=Limits(wall_s=60))
        running.stop()
        assert running.wait().status == "killed"
        assert time.monotonic() - started < 5


@pytest.mark.parametrize("name", ["/etc/x", "../x", "a/../../x", "", "a\0b"])
def test_a_file_outside_of_the_scratch_is_refused(name: str) -> None:
    """Names of files are relative and stay inside."""
    with pytest.raises(ValueError, match="expected a relative path"):
        run_program("pass", files={name: ""})


@pytest.mark.parametrize("limits", [{"wall_s": 0}, {"memory_mb": -1}, {"cpu_s": float("nan")}])
def test_limits_are_positive(limits: dict[str, Any]) -> None:
    """A limit of zero, less or nothing is refused."""
    with pytest.raises(ValueError, match="expected a positive number"):
        Limits(**limits)


def test_without_a_sandbox_nothing_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where no way works, the error says what to install and which switch takes the risk."""
    monkeypatch.setattr(sandbox.sys, "platform", "darwin")
    monkeypatch.delenv("FTGATE_UNSAFE_EXEC", raising=False)
    sandbox._choose_way.cache_clear()
    try:
        with pytest.raises(
            SandboxUnavailable, match=r"install bubblewrap .*FTGATE_UNSAFE_EXEC=1"
        ) as error:
            run_program("pass")
        assert "\n" not in str(error.value)
        assert describe_sandbox() == str(error.value)
    finally:
        sandbox._choose_way.cache_clear()


def test_limits_alone_are_named_in_every_result() -> None:
    """Without walls a program still has limits and no environment, and its result says so."""
    with open_launcher("rlimits") as launcher:
        ended = launcher.run("import os; print('HOME' in os.environ, len(os.environ) < 2)")
        assert (ended.status, ended.stdout) == ("ok", "False True\n")
        assert "no isolation" in ended.isolation
        slow = launcher.run("import time; time.sleep(60)", limits=Limits(wall_s=0.2))
        assert slow.status == "timeout"


def test_the_way_is_said_in_one_sentence() -> None:
    """`ftgate doctor` can show it in one line."""
    said = describe_sandbox()
    assert "\n" not in said
    assert "namespaces" in said or "bubblewrap" in said or "sandbox" in said


def test_objects_exceptions_and_changed_arguments_cross() -> None:
    """A test may use classes, generators, own exceptions and lists that the code changes."""
    code = (
        "from collections import Counter, namedtuple\nimport math\n"
        "class Stack:\n"
        "    def __init__(self): self.kept = []\n"
        "    def push(self, x): self.kept.append(x)\n"
        "    def __len__(self): return len(self.kept)\n"
        "class Empty(ValueError): pass\n"
        "def take(stack):\n    if not stack: raise Empty('none')\n    return stack.kept.pop()\n"
        "def order(items): items.sort()\n"
        "def count(n):\n    yield from range(n)\n"
        "Point = namedtuple('Point', 'x y')\n"
        "def point(): return Point(1, 2.5)\n"
        "def tally(text): return Counter(text)\n"
        "def odd(): return {(1, b'x'): {frozenset([2]), None}, 'n': 10**400, 'c': 1j, 'f': float('inf')}\n"
    )
    test = (
        "s = Stack(); s.push('a'); assert len(s) == 1 and isinstance(s, Stack) and 'a' in s.kept\n"
        "assert take(s) == 'a'\n"
        "try: take(s)\nexcept Empty as error: assert str(error) == 'none'\nelse: assert False\n"
        "items = [3, 1, 2]; order(items); assert items == [1, 2, 3]\n"
        "assert list(count(3)) == [0, 1, 2]\n"
        "assert point() == (1, 2.5) and point().x == 1\n"
        "assert tally('aab') == {'a': 2, 'b': 1}\n"
        "assert math.isclose(point().y, 2.5)\n"
        "assert odd() == {(1, b'x'): {frozenset([2]), None}, 'n': 10**400, 'c': 1j, 'f': float('inf')}\n"
    )
    assert check_program(code, test).reason == "passed"


@pytest.mark.parametrize(
    ("code", "test", "why"),
    [
        ("def f(x): return x", "assert f(1) == 2", "AssertionError"),
        ("def f(:", "f(1)", "the code does not load: SyntaxError"),
        ("while True: pass", "f(1)", "the code broke its limit: timeout"),
        ("def f(g): return g(1)", "f(lambda x: x)", "not checkable this way"),
        ("f = int", "import os; os._exit(0)", "the test ended before its last statement"),
        ("f = int", "import sys; sys.exit(0)", "SystemExit"),
    ],
)
def test_a_check_says_why(code: str, test: str, why: str) -> None:
    """The reason names whose fault it is: the code's, the test's, or the way's."""
    checked = check_program(code, test, limits=Limits(**SHORT))
    assert not checked.passed
    assert checked.reason.startswith(why)
    assert "\n" not in checked.reason


def test_checks_keep_their_order() -> None:
    """Many checks come back in the order of the pairs."""
    pairs = [(f"def f(): return {i % 2}", "assert f() == 1") for i in range(4)]
    assert [c.passed for c in check_programs(pairs)] == [False, True, False, True]


@pytest.mark.slow
@pytest.mark.parametrize(
    "deaf", ["", "import signal; signal.signal(signal.SIGXCPU, signal.SIG_IGN)\n"]
)
def test_processor_time_is_limited_apart(deaf: str) -> None:
    """A busy program ends by its CPU seconds long before its wall clock, even if it is deaf to that."""
    ended = run_program(deaf + "while True: pass", limits=Limits(wall_s=60, cpu_s=1))
    assert ended.status == "timeout"
    assert ended.exit_code in (-24, -9)
    assert ended.wall_s < 20


@pytest.mark.slow
def test_fifty_programs_a_second() -> None:
    """Two workers run at least fifty small programs a second on two free cores."""
    if os.getloadavg()[0] > (os.cpu_count() or 1) / 2:
        pytest.skip("the machine is busy with something else")
    rates = []
    for _ in range(3):
        started = time.monotonic()
        ended = run_programs([f"print({i})" for i in range(150)])
        rates.append(len(ended) / (time.monotonic() - started))
        assert all(e.status == "ok" for e in ended)
    assert max(rates) >= 50, rates


@pytest.mark.slow
def test_a_storm_of_attacks_leaves_the_honest_alone() -> None:
    """Fork bombs and memory bombs beside honest programs change nothing of their results."""
    bombs = [PROGRAMS[name].source for name in ("fork bomb", "memory of many processes")]
    with open_launcher() as launcher, ThreadPoolExecutor(4) as threads:
        jobs = [source for _ in range(6) for source in (*bombs, "print('well')")]
        limits = Limits(**{**asdict(Limits()), **SHORT, "wall_s": 5})
        ended = list(threads.map(lambda s: launcher.run(s, limits=limits), jobs))
    assert [e.stdout for e in ended][2::3] == ["well\n"] * 6
    assert all(e.status != "ok" for i, e in enumerate(ended) if i % 3 != 2)
