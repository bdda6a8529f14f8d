"""From one YAML file to a folder: samples, training, evaluation, report.

`init` writes the file, `tune` finds better values for it, `run` makes the folder, a
`Run` is what is in it; `bench` trains several models on the same rows, `backtest` one
at several times, and `compare` holds runs side by side.
"""

from typing import TYPE_CHECKING

from recsys._face import public_face

if TYPE_CHECKING:
    from recsys.runs.backtest import Backtest, backtest
    from recsys.runs.bench import bench
    from recsys.runs.comparing import Compared, Comparison, compare
    from recsys.runs.finished import Run
    from recsys.runs.init import init
    from recsys.runs.running import run
    from recsys.runs.tuning.told import Tuned
    from recsys.runs.tuning.trials import Trial
    from recsys.runs.tuning.tune import tune

__all__ = [
    "Backtest",
    "Compared",
    "Comparison",
    "Run",
    "Trial",
    "Tuned",
    "backtest",
    "bench",
    "compare",
    "init",
    "run",
    "tune",
]

public_face(
    __name__,
    {
        "recsys.runs.backtest": ["Backtest", "backtest"],
        "recsys.runs.bench": ["bench"],
        "recsys.runs.comparing": ["Compared", "Comparison", "compare"],
        "recsys.runs.init": ["init"],
        "recsys.runs.finished": ["Run"],
        "recsys.runs.running": ["run"],
        "recsys.runs.tuning.told": ["Tuned"],
        "recsys.runs.tuning.trials": ["Trial"],
        "recsys.runs.tuning.tune": ["tune"],
    },
)
