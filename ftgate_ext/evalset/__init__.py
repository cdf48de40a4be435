"""Eval sets: their rows, how the shipped ones are built, proven, measured and versioned."""

from __future__ import annotations

from ftgate_ext.evalset.framings import load_framed_data
from ftgate_ext.evalset.perturbed_set import load_perturbed_data
from ftgate_ext.evalset.rows import (
    MAX_LISTED,
    Case,
    LoadedSet,
    file_sha256,
    load_cases,
    load_task_data,
    loaded_sets,
    resolve_data_file,
)

__all__ = [
    "MAX_LISTED",
    "Case",
    "LoadedSet",
    "file_sha256",
    "load_cases",
    "load_framed_data",
    "load_perturbed_data",
    "load_task_data",
    "loaded_sets",
    "resolve_data_file",
]
