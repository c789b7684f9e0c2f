"""What the processes of `test_parallel` do: `torchrun ... together.py JOB ...`, where a job is `CONFIG=FOLDER`.

With `CONFIG=FOLDER=STAGE` the leader alone asks to stop once that stage has begun; the run is then resumed.
"""

import sys
from pathlib import Path

import torch

from eclectus import config as cfg
from eclectus import parallel
from eclectus.errors import InterruptedRunError
from eclectus.training import run
from eclectus.training.tracking import Tracker


def stopped_in(stage, config, folder):
    """Begin a run that is stopped by a signal that the first process alone gets."""
    log = Tracker.log

    def listening(self, kind, at, step, values):
        log(self, kind, at, step, values)
        if at == stage and parallel.leads():
            self.stop_requested = True

    Tracker.log = listening
    try:
        run.start(config, folder)
    except InterruptedRunError:
        return
    finally:
        Tracker.log = log
    raise AssertionError(f"the run was not stopped in {stage}")


if __name__ == "__main__":
    torch.set_num_threads(1)
    for job in sys.argv[1:]:
        path, folder, *stage = job.split("=")
        if stage:
            stopped_in(stage[0], cfg.load(Path(path)), Path(folder))
            run.resume(Path(folder))
        else:
            run.start(cfg.load(Path(path)), Path(folder))
