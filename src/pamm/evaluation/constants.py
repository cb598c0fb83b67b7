"""Constant predictors: what labels alone, without an image, are worth as a prediction."""

from collections.abc import Mapping

from pamm.data import MultiTaskDataset
from pamm.evaluation.image_list import ImageList
from pamm.metrics import InThreads, Metric
from pamm.runtime.progress import progress
from pamm.tasks.match import Match


def are_of_one_size(*datasets: MultiTaskDataset) -> bool:
    """Whether all images of data sets have one size; where they may not have, they are read."""
    if all(dataset.same_size for dataset in datasets):
        return True
    sizes = (dataset[i]["image"].shape[-2:] for dataset in datasets for i in range(len(dataset)))
    first = next(sizes, None)
    return all(size == first for size in sizes)  # ends at the first other one


def constant_scores(
    train: MultiTaskDataset,
    test: MultiTaskDataset,
    matches: Mapping[str, Match],
    *,
    lists: Mapping[str, ImageList] | None = None,
    everywhere: bool = False,
) -> dict[str, dict[str, float]]:
    """What a predictor reaches that knows the training labels and never looks at the image.

    Args:
        train: whose labels it knows.
        test: what it is scored on.
        matches: what it predicts, and how the labels go with that.
        lists: {task: the images it is scored on}.
        everywhere: it says the same at all positions, as it must where images differ in size; else
            it knows the labels at each position.

    Returns:
        {task: {score name: value}}.

    Raises:
        ValueError: the images differ in size, and it is not the same everywhere.
    """
    scores = {}
    for name, pair in matches.items():
        task = pair.task
        labels = (pair.target(train[i]["targets"][name]) for i in range(len(train)))
        metric: Metric = task.metric()
        images = (lists or {}).get(name)
        prediction = task.constant_prediction(labels, everywhere=everywhere)
        with InThreads() as threads:
            for i in progress(range(len(test)), label=f"constant {task.title}"):
                if images is None or test.name(i) in images.ids:
                    target = pair.target(test[i]["targets"][name])
                    said = prediction.expand(target.shape) if everywhere else prediction
                    threads.update(metric, said[None], target[None])
        scores[name] = metric.compute()
    return scores
