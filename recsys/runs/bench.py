"""Several models on the same rows."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from recsys.registry import list_models
from recsys.runs import folder as places
from recsys.runs.comparing import Comparison, compare
from recsys.runs.reading import Read, read_config, with_values
from recsys.runs.running import run_or_found
from recsys.runs.tuning.tune import check_trials, search


def bench(
    source: str | Path | Mapping[str, Any],
    models: Sequence[str],
    *,
    seeds: int = 3,
    trials: int | None = None,
    name: str | None = None,
    settings: Sequence[str] = (),
    runs: str | Path = places.RUNS,
    console: Console | None = None,
) -> Comparison:
    """Trains models with the same rows, arguments and seeds, and compares them.

    Each is a run in a folder of its own in `runs/NAME`; of two stages the second alone.
    Of a call that is repeated, runs that have ended stay, and one that was stopped goes
    on. With `trials`, each model is tuned first, in a study of its own in
    `runs/NAME/MODEL-tune`, by as many trials of the file's `tuning.space`, and trained
    with the best values; keys of arguments that a model does not have are left out for
    it.

    Args:
        source: As in `run`; its model is replaced, its arguments are those of all.
        models: Names of models, the one to compare with first.
        seeds: How often each is trained, with seeds 0, 1, and so on.
        trials: Of each model. Default: none is tuned.
        name: Name of the folder. Default: that of the file, with `-bench` behind it.
        settings, runs, console: As in `run`.

    Raises:
        FileNotFoundError, ValueError: As in `run` and `compare`, with trials as in
            `tune`; or a model is unknown or there twice; or a run is there that was
            made otherwise.
        ImportError: With trials, if optuna is missing.
    """
    for model in models:
        if model not in list_models() or [*models].count(model) > 1:
            raise ValueError(
                "bench: models must be names of `recsys models` with commas between "
                f"them, each once. Received: {model!r}"
            )
    if len(models) < 2 or seeds < 1:
        raise ValueError(
            "bench must have two models or more, and one seed. Received: "
            f"{len(models)} models and {seeds} seeds"
        )
    console = console or Console()
    places.check_name(name)
    config = read_config(source, settings).config
    negatives = config.samples.negatives
    if negatives is not None and negatives.by == "candidates":
        raise ValueError(
            "bench must be of rows that need no match model: samples.negatives.by of "
            "another kind, by --set. Received: by='candidates'"
        )
    if config.match is not None:
        settings = [*settings, "match=null", "samples.positives={}"]
    given = {
        model: [*settings, f"model.name={model}", f"training.seeds={[*range(seeds)]}"]
        for model in models
    }
    reads = {model: read_config(source, own) for model, own in given.items()}
    to_tune = {
        model: _to_tune(read, trials, console)
        for model, read in reads.items()
        if trials is not None
    }
    path = reads[models[0]].origin.path
    here = Path(runs) / (name or f"{'run' if path is None else path.stem}-bench")
    here.mkdir(parents=True, exist_ok=True)
    samples, found = here / places.SAMPLES, []
    with places.held(here):
        for model in models:
            used: Any = source, given[model]
            if read := to_tune.get(model):
                at = here / f"{model}-tune"
                used = search(read, at, trials, console, samples).config, ()
            found.append(run_or_found(used[0], model, used[1], here, console, samples))
    return compare(found)


def _to_tune(read: Read, trials: int, console: Console) -> Read | None:
    """What a model tunes: without arguments that it does not have; `None` if nothing.

    Raises:
        ValueError, ImportError: As in `tune`.
    """
    from recsys.runs.tuning.space import lacks

    model, space = read.config.model.name, read.config.plain()["tuning"]["space"]
    missing = [key for key in space if lacks(model, key)]
    own = {key: entry for key, entry in space.items() if key not in missing}
    if missing:
        console.print(
            f"{model} has no {', '.join(missing)}, "
            + ("which are left out for it" if own else "and is not tuned"),
            highlight=False,
            soft_wrap=True,
        )
        if not own:
            return None
    read = with_values(read, {"tuning.space": own}, read.origin)
    check_trials(read, trials)
    return read
