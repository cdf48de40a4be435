"""The start-up hook: a plain `lm_eval` of release 0.4.13 finds ftgate's tasks and model.

`ftgate_ext_autoload.pth` imports this module at every start of the environment's Python. It imports
nothing itself and only leaves a finder that waits for two modules of lm-eval. FTGATE_NO_AUTOLOAD=1
switches it off; a release of lm-eval that discovers tasks by entry points makes it a no-op.
"""

import sys

TASK_MODULE = "lm_eval.tasks.manager"
MODEL_MODULE = "lm_eval.models"
UPSTREAM_MARK = "TASKS_ENTRY_POINT_GROUP"  # present where lm-eval discovers tasks itself


class LmEvalFinder:
    """Wait for the modules of lm-eval that know tasks and models, and extend them once loaded."""

    def find_spec(self, name, path=None, target=None):  # type: ignore[no-untyped-def]
        if name not in (TASK_MODULE, MODEL_MODULE):
            return None
        from importlib.machinery import PathFinder

        spec = PathFinder.find_spec(name, path, target)
        if spec is None or spec.loader is None:
            return None
        execute = spec.loader.exec_module
        extend = add_task_folder if name == TASK_MODULE else add_model

        def exec_and_extend(module):  # type: ignore[no-untyped-def]
            execute(module)
            extend(module)  # type: ignore[no-untyped-call]

        spec.loader.exec_module = exec_and_extend  # type: ignore[method-assign]
        return spec


def add_task_folder(manager):  # type: ignore[no-untyped-def]
    """Make `TaskManager` scan ftgate's task folder between its own and the user's folders."""
    if hasattr(manager, UPSTREAM_MARK):
        return
    original = manager.TaskManager.__init__

    def __init__(self, verbosity=None, include_path=None, include_defaults=True, metadata=None):  # type: ignore[no-untyped-def]  # noqa: N807 - it replaces one
        from ftgate_ext.assets import asset_dir

        if include_defaults:
            given = include_path if isinstance(include_path, (list, tuple)) else [include_path]
            ours = str(asset_dir("tasks"))
            include_path = [ours, *(p for p in given if p and str(p) != ours)]
        original(self, verbosity, include_path, include_defaults, metadata)

    manager.TaskManager.__init__ = __init__


def add_model(_models):  # type: ignore[no-untyped-def]
    """Register `ftgate-chat` lazily, after the built-in models (never before: it would hide them)."""
    from lm_eval.api.registry import model_registry

    if "ftgate-chat" not in model_registry:
        model_registry.register("ftgate-chat", target="ftgate_ext.inference.lm:FtgateChat")


if not any(type(finder).__name__ == "LmEvalFinder" for finder in sys.meta_path):
    sys.meta_path.insert(0, LmEvalFinder())
