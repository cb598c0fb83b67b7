"""A whole experiment as one value: what to train, on what, how. A run directory records it."""

from contextlib import nullcontext
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

from pamm.data import DataConfig, dataset_description, dataset_tasks
from pamm.errors import PammError
from pamm.model import ModelConfig, model_type
from pamm.runtime.distributed import will_be_first
from pamm.runtime.files import check_folder, locked, reason
from pamm.runtime.run_folder import folders
from pamm.runtime.select import select_tasks
from pamm.runtime.strict_json import from_json, read_json, to_json
from pamm.training.loop import matching_tasks, train
from pamm.training.optim import OptimConfig
from pamm.training.run_log import RECORDS, environment
from pamm.training.train_config import TrainConfig

EXPERIMENT, ENVIRONMENT, DATA = "experiment.json", "environment.json", "data.json"


@dataclass(frozen=True, kw_only=True)
class Experiment:
    """Everything that decides the result of a training run."""

    model: ModelConfig
    data: DataConfig
    optim: OptimConfig
    train: TrainConfig

    def with_tasks(self, names: list[str]) -> "Experiment":
        """The experiment with some of its tasks only.

        Raises:
            PammError: a task that it does not have, or none.
        """
        chosen = select_tasks(self.model.tasks, names)
        tasks = {name: c for name, c in self.model.tasks.items() if name in chosen}
        return replace(self, model=replace(self.model, tasks=tasks))

    def with_model(self, name: str) -> "Experiment":
        """The experiment with another model, on the same backbone.

        It keeps the fields that the two models share, and has its own defaults for the rest.

        Raises:
            PammError: an unknown model.
        """
        config: Any = model_type(name).Config
        shared = {f.name: getattr(self.model, f.name, f.default) for f in fields(config)}
        return replace(self, model=config(**shared))

    def changed_from(self, preset: "Experiment", names: list[str] | None) -> "Experiment":
        """The experiment with the named tasks (None = all), where it is a preset with changes.

        On another data set than the preset's, the model gets that one's tasks and channels, unless
        its tasks were changed, too.

        Raises:
            PammError: a task that there is not, or the data set's folder is not there.
        """
        if self.model.tasks == preset.model.tasks and self.data != preset.data:
            known = dataset_tasks(self.data)
            channels = {name: task.channels for name, task in known.items()}
            fits = self.model.tasks.items() <= channels.items()
            if self.data.name != preset.data.name or not fits:
                chosen = {name: channels[name] for name in select_tasks(known, names)}
                return replace(self, model=replace(self.model, tasks=chosen))
        return self if names is None else self.with_tasks(names)


def read_experiment(path: Path) -> Experiment:
    """The experiment in a JSON file, such as the experiment.json of a run.

    Raises:
        PammError: no such file, or it is not an experiment.
    """
    found = read_json(path)
    if isinstance(found, dict) and "format" in found:
        raise PammError(
            f"{str(path)!r} describes a model and not its training: give the experiment.json of "
            "the run, in the folder above"
        )
    return from_json(Experiment, found, where=f"{str(path)!r}: experiment")


def run_experiment(experiment: Experiment, run: Path, *, resume: bool = False) -> Path:
    """Train in a run directory, which also gets experiment.json and environment.json.

    Args:
        experiment: what to do.
        run: the run directory.
        resume: go on with the run that is there; where there is none, start it.

    Returns:
        The folder of the final model.

    Raises:
        PammError: there is a run already and resume is off, or it is another experiment, or another
            program trains there; or the training could not go on, for example as the disk is full.
    """
    matching_tasks(experiment.model, experiment.data)
    if not str(run).isprintable():  # who could type it?
        raise PammError(f"{str(run)!r} has characters that cannot be printed; choose another --out")
    check_folder(run, "choose another --out")
    waiting = "wait for it, or choose another --out"
    with locked(run, waiting) if will_be_first() else nullcontext():
        check_run(run, experiment, resume=resume)
        description = dataset_description(experiment.data)
        try:
            return train(
                model=experiment.model,
                data=experiment.data,
                optim=experiment.optim,
                settings=experiment.train,
                run=run,
                run_files={
                    EXPERIMENT: to_json(experiment),
                    ENVIRONMENT: environment(),
                    **({} if description is None else {DATA: description}),
                },
            )
        except OSError as error:
            place = f" ({error.filename!r})" if error.filename else ""
            raise PammError(
                f"the training stopped: {reason(error)}{place}. Mend this and go on with --resume: "
                f"the last checkpoint in {str(run)!r}, if one was due, is whole"
            ) from error


def check_run(run: Path, experiment: Experiment, *, resume: bool) -> None:
    """Raise unless an experiment may start in a run directory, or go on there."""
    if (run / EXPERIMENT).exists():
        if not resume:
            raise PammError(
                f"{str(run)!r} already holds a run: add --resume to go on with it, or choose "
                "another --out"
            )
        check_same(read_experiment(run / EXPERIMENT), experiment, run)
        if (run / DATA).exists() and read_json(run / DATA) != dataset_description(experiment.data):
            raise PammError(
                f"{str(experiment.data.root)!r} lists other data sets than when {str(run)!r} was "
                f"begun ({DATA} there has them): put it back, or choose another --out"
            )
        return
    left = [*folders(run, "last"), *folders(run, "best"), *run.glob(RECORDS)]
    if left:
        raise PammError(
            f"{str(run)!r} holds {left[0].name!r} of a run, but no {EXPERIMENT} that says what was "
            f"trained: put it back and add --resume, or choose another --out"
        )


def check_same(saved: Experiment, given: Experiment, run: Path) -> None:
    """Raise unless a run can go on as `given`: all that decides its result must be as saved.

    But for rounding, and for noise that each process draws by itself, another number of processes
    and another way to compute give the same result.
    """
    free = {
        "data.root",
        "data.workers",
        "train.devices",
        "train.strategy",
        "train.compile",
        "train.gradient_checkpointing",
        "train.log_every",
        "train.checkpoint_every",
        "train.keep",
    }
    old, new = flat(to_json(saved)), flat(to_json(given))
    for values, experiment in ((old, saved), (new, given)):
        values["the order of model.tasks"] = list(experiment.model.tasks)
    changed = [
        f"{key} was {old.get(key)}, is {new.get(key)}"
        for key in sorted(old.keys() | new.keys())
        if key not in free and old.get(key) != new.get(key)
    ]
    if changed:
        raise PammError(
            f"{str(run)!r} is another experiment: {'; '.join(changed)}. Resume it as it was, or "
            "choose another --out"
        )


def flat(tree: dict, prefix: str = "") -> dict[str, object]:
    """{"a": {"b": 1}} -> {"a.b": 1}."""
    result: dict[str, object] = {}
    for key, value in tree.items():
        result |= (
            flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {prefix + key: value}
        )
    return result
