"""Multi-task gain over a baseline, in per cent."""

from collections.abc import Collection, Mapping


def delta_g(
    scores: Mapping[str, float],
    baseline: Mapping[str, float],
    lower_is_better: Collection[str] | Mapping[str, bool],
) -> float:
    """Mean over tasks of the signed relative gain over the baseline, in per cent.

    scores, baseline: task -> score, the same tasks and units in both. lower_is_better: the names
    of the tasks whose score is an error (or name -> bool); names of other tasks do no harm.
    Raises ValueError when the tasks differ, when there is none, or when a baseline score is 0.

    >>> round(delta_g({"semseg": 55, "depth": 0.45}, {"semseg": 50, "depth": 0.5}, {"depth"}), 6)
    10.0
    """
    if isinstance(lower_is_better, str):
        raise TypeError(
            f"lower_is_better: got the text {lower_is_better!r}, want a collection of task names"
        )
    if isinstance(lower_is_better, Mapping):
        lower_is_better = {name for name, lower in lower_is_better.items() if lower}
    if set(scores) != set(baseline):
        raise ValueError(
            f"scores and baseline: got the tasks {sorted(scores)} and {sorted(baseline)}, want "
            "the same tasks in both"
        )
    if not scores:
        raise ValueError("scores: got no task, want at least one")
    zeros = [name for name, value in baseline.items() if value == 0]
    if zeros:
        raise ValueError(
            f"baseline: got a score of 0 for {', '.join(zeros)}, want non-zero scores: the gain "
            "is relative to them"
        )
    gains = [
        (scores[name] - baseline[name]) / baseline[name] * (-1 if name in lower_is_better else 1)
        for name in scores
    ]
    return 100 * sum(gains) / len(gains)
