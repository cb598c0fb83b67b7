"""Slow metrics in threads: the same counts, and errors that are told."""

import pytest
import torch

from pamm.metrics import BoundaryF, InThreads, MeanIoU


def maps(count: int) -> tuple[torch.Tensor, torch.Tensor]:
    torch.manual_seed(0)
    target = (torch.rand(count, 1, 40, 50) < 0.1).long()
    target[1, :, :9] = 255
    return torch.rand(count, 1, 40, 50), target


def test_the_state_is_that_of_one_thread():
    prediction, target = maps(9)
    plain, threaded = BoundaryF(0.02), BoundaryF(0.02)
    plain.update(prediction, target)
    with InThreads() as threads:
        for i in range(0, 9, 4):
            threads.update(threaded, prediction[i : i + 4], target[i : i + 4])
    assert plain.state().keys() == threaded.state().keys()
    for name, value in plain.state().items():
        assert torch.equal(threaded.state()[name], value), name
    assert int(plain.state()["images"]) == 9


def test_what_is_given_may_be_changed_afterwards():
    prediction, target = maps(4)
    plain, threaded = BoundaryF(0.02), BoundaryF(0.02)
    plain.update(prediction, target)
    with InThreads() as threads:
        threads.update(threaded, prediction, target)
        prediction.zero_()
    assert all(torch.equal(v, plain.state()[n]) for n, v in threaded.state().items())


def test_quick_metrics_are_updated_at_once():
    metric = MeanIoU(3)
    with InThreads() as threads:
        threads.update(metric, torch.zeros(1, 2, 2), torch.zeros(1, 2, 2))
        assert metric.compute()["mIoU_present"] == 1


def test_an_error_comes_out_of_the_block():
    metric = BoundaryF(0.02)

    def update_all() -> None:
        with InThreads() as threads:
            threads.update(metric, torch.full((1, 1, 4, 4), 2.0), torch.zeros(1, 1, 4, 4))

    with pytest.raises(ValueError, match="prediction: got"):
        update_all()
