"""Several processes of one run, as `accelerate launch` and torchrun start them.

The first process opens the run folder, asks servers and writes; the others only compute their share
of what a data-parallel backend is asked.
"""

from __future__ import annotations

import os
from datetime import timedelta
from typing import Any

from ftgate_ext.schema import RunError

PATIENCE = timedelta(days=7)
"""How long a process waits for the others: a model behind an API may take the first one hours."""


def n_processes() -> int:
    """How many processes share this run; 1 without a launcher."""
    return int(os.environ.get("WORLD_SIZE", "1")) if "RANK" in os.environ else 1


def is_first() -> bool:
    """Whether this process opens the run, writes and speaks."""
    return n_processes() == 1 or os.environ["RANK"] == "0"


def agree(value: Any) -> Any:
    """What the first process says, in every process. The others wait for it here.

    Raises:
        RunError: The processes are on several machines, or accelerate is missing.
    """
    if n_processes() == 1:
        return value
    if os.environ.get("LOCAL_WORLD_SIZE", os.environ["WORLD_SIZE"]) != os.environ["WORLD_SIZE"]:
        raise RunError(
            "accelerate: the processes are on several machines, which lm-eval's hf backend does not share its requests between; use one machine, or --executor ray."
        )
    _join()
    from accelerate.utils import broadcast_object_list

    box = [value]
    broadcast_object_list(box, from_process=0)
    return box[0]


def _join() -> None:
    """Meet the other processes, on the CPU where there is nothing faster."""
    try:
        import torch
        from accelerate import PartialState
        from accelerate.utils import parse_flag_from_env
    except ImportError:
        raise RunError(
            "several processes, but torch or accelerate is not installed; pip install 'ftgate-ext[hf]', or start one process."
        ) from None
    if not torch.accelerator.is_available():
        # Without it accelerate takes each process for the only one, and each asks everything.
        os.environ["ACCELERATE_USE_CPU"] = "true"
    state = PartialState(cpu=parse_flag_from_env("ACCELERATE_USE_CPU"), timeout=PATIENCE)
    if state.num_processes != n_processes():
        raise RunError(
            f"accelerate sees {state.num_processes} of {n_processes()} processes; start them with `accelerate launch --multi_gpu` or torchrun."
        )
