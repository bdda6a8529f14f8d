"""From a configuration with a space to the best values in it."""

import shutil
import time
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console

from recsys.runs import folder as places
from recsys.runs.reading import Read, read_config
from recsys.runs.running import Stopped, as_used, check_same
from recsys.runs.shown import as_yaml

if TYPE_CHECKING:
    from recsys.runs.tuning.told import Tuned


def tune(
    source: str | Path | Mapping[str, Any],
    *,
    trials: int | None = None,
    name: str | None = None,
    settings: Sequence[str] = (),
    runs: str | Path = places.RUNS,
    console: Console | None = None,
) -> "Tuned":
    """Tries values of `tuning.space`, and writes a run's file with the best of them.

    Rows and pipeline are made once; a trial is a training with the first seed, compared
    by `training.monitor` on the validation rows. The test rows are not looked at. A
    call that is repeated goes on: it does the trials that are missing.

    Args:
        source: As in `run`.
        trials: How many trials there should be in the end. Default: `tuning.trials`.
        name: Name of the folder in `runs`. Default: that of the file, with `-tune`
            behind it.
        settings, runs, console: As in `run`.

    Returns:
        The trials, and where the file is.

    Raises:
        FileNotFoundError, ValueError: If the configuration, its space, or the data
            cannot be right; if the folder is of something else; or if all trials fail.
        ImportError: If optuna is missing.
    """
    read = read_config(source, settings)
    places.check_name(name)
    path = read.origin.path
    here = Path(runs) / (name or f"{'run' if path is None else path.stem}-tune")
    if name is None and path is not None and path.name == places.CONFIG:
        of_study = (path.parent / places.STUDY).is_file()
        here = path.parent if of_study else here
    return search(read, here, trials, console or Console())


def search(
    read: Read,
    here: Path,
    trials: int | None,
    console: Console,
    samples: Path | None = None,
) -> "Tuned":
    """Runs the trials that are missing in a folder.

    Args:
        read: The configuration.
        here: The folder, made if it is not there.
        trials: How many there should be in the end. Default: `tuning.trials`.
        console: Where to tell what goes on.
        samples: Folder of the rows, if they are not its own.

    Raises:
        FileNotFoundError, ValueError, ImportError: As in `tune`.
    """
    check_trials(read, trials)
    if here.is_dir() and not (here / places.STUDY).is_file():
        if not places.is_begun(here):
            raise ValueError(
                f"{here} must be new, or of the same study: --name gives another name. "
                "Received: a folder of something else"
            )
    is_new = not (here / places.STUDY).is_file()
    here.mkdir(parents=True, exist_ok=True)
    read = Read(as_used(read), read.schema, read.origin)
    with places.held(here):
        try:
            rows = samples or here / places.SAMPLES
            return _search(read, here, trials, console, rows)
        except KeyboardInterrupt:
            if not (here / places.STUDY).is_file():
                shutil.rmtree(here)
                raise Stopped("Stopped before anything was made.") from None
            raise Stopped(
                f"Stopped. `recsys tune {here / places.CONFIG}` goes on."
            ) from None
        except (OSError, ValueError):
            if is_new and not (here / places.BEST).is_file():
                shutil.rmtree(here)  # nothing is there to go on with
            raise


def check_trials(read: Read, trials: int | None) -> None:
    """Checks all that can be checked before anything is done.

    Args:
        read: The configuration.
        trials: How many there should be, if that is not `tuning.trials`.

    Raises:
        ValueError: If the model, a metric, the space or `trials` cannot be right.
        ImportError: If optuna is missing.
    """
    if find_spec("optuna") is None:
        raise ImportError("tune needs optuna: pip install 'deep-rec-kit[tune]'")
    if trials is not None and trials < 1:
        raise ValueError(f"tune: trials must be at least 1. Received: trials={trials}")
    from recsys.runs.building import check_names
    from recsys.runs.tuning.space import check_space

    check_names(read)
    check_space(read)
    negatives = read.config.samples.negatives
    if negatives is not None and negatives.by == "candidates":
        raise ValueError(
            f"{read.origin.where('samples', 'negatives', 'by')}: samples.negatives.by "
            "must not be 'candidates' to tune, as there is no match model yet that "
            "draws them. Received: 'candidates'"
        )


def _search(
    read: Read, here: Path, trials: int | None, console: Console, samples: Path
) -> "Tuned":
    from recsys.data.pipeline import FeaturePipeline
    from recsys.runs.evaluation.evaluating import print_block
    from recsys.runs.preparing import prepare
    from recsys.runs.tuning.space import monitor_of
    from recsys.runs.tuning.told import Tuned, line_of, write_best, write_page
    from recsys.runs.tuning.trials import opened, run_trial, trials_of

    console.rule(f"{here}")
    if read.config.match is not None:
        said = "The model that ranks is tuned, and that of match is left as it is."
        console.print(said, highlight=False)
    config, monitor = here / places.CONFIG, monitor_of(read)
    if (here / places.STUDY).is_file():
        check_same(config, read.config, but="tuning.trials")
    else:
        config.write_text(as_yaml(read.config), encoding="utf-8")
    with opened(here / places.STUDY, read, monitor) as study:
        prepare(read, samples, here, console)
        pipeline = FeaturePipeline.load(here / places.PIPELINE)
        there, total = len(trials_of(study, read)), trials or read.config.tuning.trials
        if there:
            said = f"{there} of {max(there, total)} trials are there"
            console.print(said, highlight=False)
        begun = time.perf_counter()
        while True:
            tuned = Tuned(here, monitor, trials_of(study, read))
            done = len(tuned.trials)
            if done > there:
                each = (time.perf_counter() - begun) / (done - there)
                line = line_of(tuned.trials[-1], monitor) + _left(each * (total - done))
                console.print(line, highlight=False, markup=False, soft_wrap=True)
            if tuned.is_found:  # of a study that is stopped, too
                write_best(tuned, read)
                write_page(tuned)
            if done >= total:
                break
            run_trial(study, read, pipeline, samples, done + 1, console)
    if not tuned.is_found:
        raise ValueError(
            "tuning.space must have values with which a model can be trained. "
            f"Received: {len(tuned.trials)} trials of {read.config.model.name}, all of "
            f"which failed, the first of them: {tuned.trials[0].reason}"
        )
    for block in tuned.blocks():
        print_block(block, console)
    console.print(f"{here / places.REPORT}", highlight=False)
    console.print(
        f"recsys train {tuned.config}", highlight=False, markup=False, soft_wrap=True
    )
    return tuned


def _left(seconds: float) -> str:
    if seconds <= 0:
        return ""
    about = f"{seconds / 60:.0f} min" if seconds > 90 else f"{seconds:.0f} s"
    return f"; about {about} left"
