"""Build hook: an editable wheel carries the start-up hook, but no copy of tasks, golden or configs."""

from __future__ import annotations

from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class EditableHook(BuildHookInterface):  # type: ignore[misc]
    """Keep the data folders of an editable install in the checkout, where they are edited."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Replace the forced files of an editable wheel by the one line that must lie beside it."""
        if version == "editable":
            build_data["force_include_editable"] = {
                "ftgate_ext/autoload.pth": "ftgate_ext_autoload.pth"
            }
