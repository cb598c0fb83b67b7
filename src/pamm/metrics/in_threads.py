"""Metrics that take long for an image, measured in threads beside the caller."""

from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType

import torch
from torch import Tensor

from pamm.metrics.base import Metric, State


class InThreads:
    """Updates metrics; of those that are `slow` each image in a thread, as many as PyTorch uses.

    So a network can predict the next images meanwhile. When the `with` block ends, all is added.

    >>> from pamm.metrics import BoundaryF
    >>> metric = BoundaryF(0.1)
    >>> with InThreads() as threads:
    ...     threads.update(metric, torch.zeros(2, 1, 9, 9), torch.zeros(2, 1, 9, 9))
    >>> int(metric.state()["images"])
    2
    """

    def __init__(self) -> None:
        self._workers = torch.get_num_threads()
        self._pool = ThreadPoolExecutor(self._workers, thread_name_prefix="metric")
        self._begun: deque[tuple[Metric, Future[State]]] = deque()

    def __enter__(self) -> "InThreads":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        try:
            if error is None:
                self._add(leave=0)
        finally:
            self._pool.shutdown(cancel_futures=True)

    def update(self, metric: Metric, prediction: Tensor, target: Tensor) -> None:
        """As `metric.update`, whose errors may come later."""
        if not metric.slow:
            metric.update(prediction, target)
            return
        # A copy, as it is read later.
        images = prediction.detach().to("cpu", copy=True).split(1), target.to("cpu").split(1)
        for image in zip(*images, strict=True):
            self._begun.append((metric, self._pool.submit(metric.measure, *image)))
        self._add(leave=2 * self._workers)  # enough in memory to keep the threads busy

    def _add(self, *, leave: int) -> None:
        """Add what the oldest images gave, all but the newest so many."""
        while len(self._begun) > leave:
            metric, state = self._begun.popleft()
            metric.add(state.result())
