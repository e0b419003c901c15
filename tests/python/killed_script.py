"""`sparkcider run` with short parts and waves, so that a kill finds finished work; started by test_job_kills.py."""

from __future__ import annotations

import sys

from sparkcider import cli
from sparkcider.job import tables, waves

if __name__ == "__main__":
    tables.PART_SECONDS = 0.05
    tables.GROUP_ROWS = 64
    waves.WAVE_SECONDS = 0.01  # a wave has as few tasks as there are cores
    waves.TASKS_PER_CORE = 1
    waves.TASK_FILES = 150
    sys.exit(cli.main())
