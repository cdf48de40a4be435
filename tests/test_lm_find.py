"""Tasks found by name without parsing lm-eval's 14,000 YAMLs: the same ones that lm-eval finds."""

from __future__ import annotations

import logging
from pathlib import Path

import lm_eval.tasks
import pytest
from lm_eval.tasks import TaskManager

from ftgate_ext.capability.tasks import leaf_tasks
from ftgate_ext.lm_find import find_tasks, generative_variant, scored_by_likelihood
from ftgate_ext.lm_index import Folders, is_mentioned, outermost, read_names
from ftgate_ext.schema import EvalSetError

BUILT_IN = Path(str(lm_eval.tasks.__file__)).parent

FILES = {
    "a/plain.yaml": "task: plain\ntag: math  # a comment\n",
    "a/quoted.yaml": '"task": "quoted"\n"tag": ["one", \'two\']\n',
    "b/c/list.yaml": "task: listed_(x)\ntag:\n  - one\n- three\ndoc_to_text: q\n",
    "b/group.yaml": "group: all\ntask:\n  - plain\n  - task: quoted\n    num_fewshot: 0\n",
    "d/heir.yaml": "include: ../e/_template\ntask: heir\n",
    "e/_template": "include: base.yaml\noutput_type: generate_until\n",
    "e/base.yaml": "tag: inherited\n",
    "f/odd.yaml": "{output_type: generate_until,\n task: flow}\n",
    "f/notes.md": "task: no_yaml\n",
}


@pytest.fixture(scope="module")
def index() -> Folders:
    """All of lm-eval's names."""
    return read_names(BUILT_IN)


@pytest.fixture(scope="module")
def whole() -> TaskManager:
    """lm-eval's view of everything, which takes it 5 to 16 seconds."""
    logging.getLogger("lm_eval").setLevel(logging.ERROR)
    return TaskManager()


def test_every_way_to_write_a_name(tmp_path: Path) -> None:
    """Plain, quoted, listed and inherited names are found with their folders; others are mentioned."""
    for name, text in FILES.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    found = {
        name: {folder.relative_to(tmp_path).as_posix() for folder in folders}
        for name, folders in read_names(tmp_path).items()
    }
    assert found["plain"] == {"a", "b"}
    assert found["quoted"] >= {"a"}
    assert found["math"] == {"a"}
    assert (found["one"], found["two"], found["three"]) == ({"a", "b/c"}, {"a"}, {"b/c"})
    assert found["listed_(x)"] == {"b/c"}
    assert found["inherited"] == {"d", "e"}
    assert "no_yaml" not in found
    assert "flow" not in found
    assert is_mentioned(tmp_path, "flow")
    assert not is_mentioned(tmp_path, "nowhere")


def test_folders_in_folders_are_named_once(tmp_path: Path) -> None:
    """A folder below another adds nothing; what lm-eval reads first stands last and wins."""
    a, ab, b, c = (tmp_path / name for name in ("a", "a/b", "a-b", "c"))
    assert outermost([ab, c, a, b]) == [c, a, b]


@pytest.mark.parametrize(
    "name", ["openllm", "ai2_arc", "mmlu_stem_tasks", "mgsm_direct", "leaderboard", "bbh"]
)
def test_groups_and_tags_across_folders_are_whole(name: str, index: Folders) -> None:
    """A group or tag comes with its members wherever they stand, and with few others."""
    tasks = find_tasks([name], [])
    leaves = leaf_tasks(tasks, name)
    assert len(leaves) > 1
    if name == "mgsm_direct":  # in two folders: lm-eval keeps a tag's tasks of one folder alone
        assert len(leaves) == 12
    assert all(leaf in index for leaf in leaves)
    assert len(tasks.all_tasks) < 3000


def test_a_tag_of_the_user_stays_theirs(tmp_path: Path) -> None:
    """A tag in task_paths that lm-eval has too means the user's tasks, whatever else is asked."""
    (tmp_path / "own.yaml").write_text("task: mine\ntag: mgsm_direct\n")
    tasks = find_tasks(["mgsm_direct", "mgsm_direct_en"], [tmp_path])
    assert leaf_tasks(tasks, "mgsm_direct") == ["mine"]


def test_a_misspelt_name_is_refused_with_its_neighbour(tmp_path: Path) -> None:
    """The nearest of all known names is offered, ours and those of task_paths too."""
    (tmp_path / "own.yaml").write_text("task: quarterly_review\noutput_type: generate_until\n")
    with pytest.raises(EvalSetError, match=r"did you mean 'quarterly_review'\?"):
        find_tasks(["quarterly_revue"], [tmp_path])
    with pytest.raises(EvalSetError, match=r"did you mean 'codereview_golden'\?"):
        find_tasks(["codereview_goldn"], [])
    with pytest.raises(EvalSetError, match=r"^task 'x{9}': lm-eval knows no such task; looked in"):
        find_tasks(["x" * 9], [])


@pytest.mark.parametrize(
    ("name", "variant"),
    [
        ("mmlu", "mmlu_generative"),
        ("mmlu_anatomy", "mmlu_anatomy_generative"),
        ("hellaswag", "hellaswag_generative"),
        ("truthfulqa_mc2", "truthfulqa_gen"),
        ("leaderboard_mmlu_pro", "mmlu_pro"),
        ("gpqa_main_zeroshot", "gpqa_main_generative_n_shot"),
        ("arc_easy", None),
        ("lambada_openai", None),
    ],
)
def test_generative_variants(name: str, variant: str | None) -> None:
    """The task that asks the same in words; None where there is none."""
    assert generative_variant(name) == variant


@pytest.mark.slow
def test_the_same_names_and_tasks_as_lm_eval(index: Folders, whole: TaskManager) -> None:
    """Every name of the whole index is found in its folder, and every tag with all of its tasks."""
    known = whole.task_index
    for name, entry in known.items():
        if entry.yaml_path is not None and BUILT_IN in entry.yaml_path.parents:
            assert entry.yaml_path.parent in index[name], name
        for task in entry.tags if entry.kind.name == "TAG" else ():
            folder = known[task].yaml_path.parent
            if BUILT_IN in folder.parents:
                assert index[name] & {folder, *folder.parents}, (name, task)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["mmlu", "openllm", "glue", "ai2_arc", "mgsm_direct", "bbh"])
def test_a_few_folders_give_the_same_tasks_as_all(name: str, whole: TaskManager) -> None:
    """The tasks below a name, and the files they come from, are those of the whole index."""
    few = find_tasks([name], [])
    leaves = leaf_tasks(whole, name)
    assert leaf_tasks(few, name) == leaves
    for leaf in leaves:
        assert few.task_index[leaf].yaml_path == whole.task_index[leaf].yaml_path
        assert (few.task_index[leaf].cfg or {}) == (whole.task_index[leaf].cfg or {})


@pytest.mark.slow
def test_every_variant_is_generative(whole: TaskManager) -> None:
    """Whatever is offered in place of a task is itself asked in words."""
    likelihood = [n for n in whole.all_tasks if scored_by_likelihood(whole, n) == n]
    for name in likelihood[:: len(likelihood) // 25]:
        variant = generative_variant(name)
        if variant is not None and variant in whole.task_index:
            assert scored_by_likelihood(whole, variant) is None, (name, variant)
