"""How the work of a job on Spark is cut: files into tasks, tasks into waves of a few minutes. A wave is one write.

A driver that dies loses the tasks that were running, and at most the wave that it was writing: not every committer
keeps the files of its finished tasks.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt

TASK_FILES, TASK_BYTES = 2048, 128 << 20
"""Most files and bytes of a task: an executor that dies loses its tasks, and a last task lets the others wait."""

FILE_COST = 1 << 20
"""Bytes that take as long as the network of one image: small files differ less in work than in size."""

TASKS_PER_CORE, FEWEST_FILES = 4, 64
"""Tasks for each core, so that the last ones end together; of fewer files a task would cost more than its images."""

WAVE_SECONDS = 300.0
"""Of a wave: the most work that a dying driver loses. The tail of a wave, when cores wait, is a few seconds."""

FIRST_WAVE = 32
"""Tasks of the first wave where the number of cores is not known."""


def plan_tasks(lengths: npt.NDArray[np.int64], cores: int) -> list[int]:
    """Cuts a listing into tasks of about the same work.

    Args:
        lengths: (N) bytes of each file.
        cores: Of the cluster; 0 where that is not known.

    Returns:
        The first row of each task, and N.

    Example:
        >>> plan_tasks(np.full(1_000, 5_000), cores=2)
        [0, 125, 250, 375, 500, 625, 750, 875, 1000]
        >>> plan_tasks(np.array([300 << 20, 10, 10, 10]), cores=0)
        [0, 1, 4]
    """
    costs = np.cumsum(lengths + FILE_COST)
    tasks = max(-(-len(lengths) // TASK_FILES), -(-int(lengths.sum()) // TASK_BYTES))
    tasks = max(tasks, min(TASKS_PER_CORE * cores, -(-len(lengths) // FEWEST_FILES)), 1)
    ends = np.searchsorted(costs, costs[-1] / tasks * np.arange(1, tasks + 1) - 0.5) + 1
    bounds = np.unique(np.minimum([0, *ends], len(lengths)))
    return [int(bound) for bound in bounds]


def wave_size(cores: int, before: tuple[int, float] | None) -> int:
    """Number of tasks of the next wave.

    Args:
        cores: Of the cluster; 0 where that is not known.
        before: Tasks and seconds of the wave before; None for the first one.

    Example:
        >>> wave_size(2, None), wave_size(2, (8, 60.0)), wave_size(64, (256, 9_000.0))
        (8, 40, 64)
    """
    if before is None:
        return TASKS_PER_CORE * cores or FIRST_WAVE
    tasks, seconds = before
    return max(round(tasks * WAVE_SECONDS / max(seconds, 1.0)), cores, 1)
