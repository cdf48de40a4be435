"""A plain `lm_eval` finds our tasks and our model: by the start-up hook, by --include_path, by wheel."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from fake_server import FakeServer

ROOT = Path(__file__).resolve().parent.parent
QUIET = {"HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1"}


def python(
    code: str, executable: str = sys.executable, **env: str
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [executable, "-c", code],
        env={**os.environ, **env},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


KNOWS_OUR_TASKS = (
    "from pathlib import Path; import lm_eval.tasks.manager as m\n"
    "import lm_eval.tasks._index as i\n"
    "scanned = []\n"
    "i.TaskIndex.build = lambda self, paths, **k: scanned.extend(map(str, paths)) or {}\n"
    "m.TaskManager(include_path=['/mine'])\n"
    "print(scanned)"
)


def test_hook_puts_our_folder_between_built_in_and_the_users() -> None:
    """A user's --include_path still wins over us, and we win over nothing built in by accident."""
    scanned = eval(python(KNOWS_OUR_TASKS).stdout)  # noqa: S307 - our own print
    assert scanned[0].endswith("lm_eval/tasks")
    assert scanned[1:] == [str(ROOT / "tasks"), "/mine"]


def test_hook_can_be_switched_off() -> None:
    """FTGATE_NO_AUTOLOAD=1 leaves lm-eval as it is."""
    scanned = eval(python(KNOWS_OUR_TASKS, FTGATE_NO_AUTOLOAD="1").stdout)  # noqa: S307
    assert scanned[1:] == ["/mine"]


def test_hook_does_nothing_once_lm_eval_discovers_tasks_itself() -> None:
    """A release that knows entry points for tasks is not patched."""
    code = (
        "import types; from ftgate_ext.autoload import add_task_folder\n"
        "class TaskManager: pass\n"
        "m = types.SimpleNamespace(TASKS_ENTRY_POINT_GROUP='lm_eval.tasks', TaskManager=TaskManager)\n"
        "before = TaskManager.__init__; add_task_folder(m); assert TaskManager.__init__ is before"
    )
    assert python(code).returncode == 0


def test_built_in_models_stay_and_ours_is_lazy() -> None:
    """Registering ours first would hide all of lm-eval's; and nothing of ours is imported yet."""
    code = (
        "import sys; import lm_eval.models; from lm_eval.api.registry import get_model\n"
        "assert 'ftgate_ext.inference.lm' not in sys.modules\n"
        "assert get_model('ftgate-chat').__name__ == 'FtgateChat'; get_model('dummy')"
    )
    done = python(code)
    assert done.returncode == 0, done.stderr


def test_hook_imports_nothing_but_itself_at_start() -> None:
    """Every start of the environment's Python pays for the hook: it may cost next to nothing."""
    code = "import sys; print(sorted(m for m in sys.modules if 'ftgate' in m or m in ('pathlib', 'typing', 'importlib.util')))"
    with_hook = python(code).stdout
    without = python(code, FTGATE_NO_AUTOLOAD="1").stdout
    extra = set(eval(with_hook)) - set(eval(without))  # noqa: S307
    assert extra == {"ftgate_ext", "ftgate_ext.autoload"}


def test_entry_points_for_the_next_lm_eval_are_declared() -> None:
    """The groups are named as upstream names them, and resolve to our folder and our model."""
    from importlib.metadata import entry_points
    from importlib.util import find_spec

    tasks = next(e for e in entry_points(group="lm_eval.tasks") if e.name == "ftgate")
    spec = find_spec(tasks.value)
    assert spec is not None
    folders = list(spec.submodule_search_locations or [])
    assert (Path(folders[0]) / "codereview" / "codereview.yaml").is_file()
    model = next(e for e in entry_points(group="lm_eval.models") if e.name == "ftgate-chat")
    assert model.load().__name__ == "FtgateChat"


def lm_eval(
    executable: Path, output: Path, server: FakeServer, *more: str, **env: str
) -> subprocess.CompletedProcess[str]:
    command = [
        str(executable), "--model", "ftgate-chat", "--model_args", f"base_url={server.base_url},model={server.models[0]}",
        "--tasks", "codereview_golden", "--limit", "4", "--output_path", str(output), "--log_samples",
        "--apply_chat_template", *more,
    ]  # fmt: skip
    return subprocess.run(
        command,
        env={**os.environ, **QUIET, **env},
        cwd=output.parent,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def check_results(output: Path) -> None:
    results = json.loads(next(output.glob("*/results_*.json")).read_text())
    assert results["n-samples"]["codereview_golden"] == {"original": 1000, "effective": 4}
    assert results["config"]["eval_sets"]
    samples = next(output.glob("*/samples_codereview_golden_*.jsonl")).read_text().splitlines()
    responses = next(output.glob("*/responses_*.jsonl")).read_text().splitlines()
    asked = {json.loads(line)["prompt_hash"] for line in responses}
    assert asked == {json.loads(line)["prompt_hash"] for line in samples}
    assert len(asked) == 4


def test_plain_lm_eval_right_after_an_editable_install(
    tmp_path: Path, fake_server: FakeServer
) -> None:
    """`lm_eval --tasks codereview_golden` with no flag of ours, by the hook of this environment."""
    command = Path(sysconfig.get_path("scripts")) / "lm_eval"
    done = lm_eval(command, tmp_path / "out", fake_server)
    assert done.returncode == 0, done.stderr[-2000:]
    check_results(tmp_path / "out")


def test_include_path_without_the_hook(tmp_path: Path, fake_server: FakeServer) -> None:
    """The second way in: `--include_path "$(ftgate tasks-path)"`, our model by name of its module."""
    command = Path(sysconfig.get_path("scripts")) / "lm_eval"
    shown = subprocess.run(
        [sys.executable, "-m", "ftgate_ext", "tasks-path"],
        capture_output=True,
        text=True,
        check=True,
    )
    env = {"FTGATE_NO_AUTOLOAD": "1", "OPENAI_API_KEY": "none"}
    arguments = [
        str(command), "--model", "local-chat-completions", "--model_args",
        f"base_url={fake_server.base_url}/chat/completions,model={fake_server.models[0]}", "--include_path", shown.stdout.strip(),
        "--tasks", "codereview_golden", "--limit", "4", "--output_path", "out", "--log_samples", "--apply_chat_template",
    ]  # fmt: skip
    done = subprocess.run(
        arguments,
        env={**os.environ, **QUIET, **env},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert (
        len(
            next((tmp_path / "out").glob("*/samples_codereview_golden_*.jsonl"))
            .read_text()
            .splitlines()
        )
        == 4
    )


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The built wheel."""
    folder = tmp_path_factory.mktemp("wheel")
    command = [
        sys.executable,
        "-m",
        "build",
        "--wheel",
        "--no-isolation",
        "--outdir",
        str(folder),
        str(ROOT),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    return next(folder.glob("*.whl"))


def test_wheel_holds_data_and_hook(wheel: Path) -> None:
    """Tasks, eval sets, policies, adapters, templates and the one-line hook travel with the wheel."""
    names = set(zipfile.ZipFile(wheel).namelist())
    wanted = {
        "ftgate_ext_autoload.pth",
        "ftgate_ext/tasks/codereview_golden/codereview_golden.yaml",
        "ftgate_ext/golden/codereview_golden.jsonl",
        "ftgate_ext/configs/gate.yaml",
        "ftgate_ext/judge/pairwise.j2",
        "ftgate_ext/judge/rubric.j2",
        "ftgate_ext/report/templates/report.html.j2",
        "ftgate_ext/demo_adapters/final/adapter_model.safetensors",
        "ftgate_ext/py.typed",
    }
    assert wanted <= names
    hook = zipfile.ZipFile(wheel).read("ftgate_ext_autoload.pth").decode()
    assert len(hook.splitlines()) == 1
    assert not any(name.startswith(("tests/", "tasks/", "scripts/")) for name in names)


def test_plain_lm_eval_right_after_installing_the_wheel(
    wheel: Path, tmp_path: Path, fake_server: FakeServer
) -> None:
    """In an environment of its own, from the wheel, outside the checkout, with no flag of ours."""
    venv = tmp_path / "venv"
    subprocess.run([sys.executable, "-m", "venv", str(venv)], check=True)
    executable = venv / "bin" / "python"
    purelib = Path(
        subprocess.run(
            [str(executable), "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"],
            capture_output=True,
            text=True,
            check=True,
        ).stdout.strip()
    )
    # The dependencies come from this environment; a path line does not run its .pth files.
    (purelib / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    subprocess.run(
        [str(executable), "-m", "pip", "install", "--quiet", "--no-deps", str(wheel)], check=True
    )
    where = python(
        "import ftgate_ext; print(ftgate_ext.__file__)", str(executable), PYTHONSAFEPATH="1"
    )
    assert str(venv) in where.stdout
    (venv / "bin" / "lm_eval").write_text(
        f"#!{executable}\nfrom lm_eval.__main__ import cli_evaluate\ncli_evaluate()\n"
    )
    (venv / "bin" / "lm_eval").chmod(0o755)
    done = lm_eval(venv / "bin" / "lm_eval", tmp_path / "out", fake_server)
    assert done.returncode == 0, done.stderr[-2000:]
    check_results(tmp_path / "out")
