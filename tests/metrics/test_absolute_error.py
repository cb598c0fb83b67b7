"""MAE and RMSE against scikit-learn, whatever the sign of the numbers."""

import numpy as np
import pytest
import torch
from sklearn.metrics import mean_absolute_error, root_mean_squared_error

from pamm.metrics import MeanAbsoluteError


def test_against_scikit_learn_over_valid_pixels():
    rng = np.random.default_rng(0)
    prediction, target = rng.normal(size=(2, 5, 1, 6, 7)) * 30 - 5
    target[rng.random(target.shape) < 0.3] = np.nan
    target[0, 0, 0, 0] = np.inf
    metric = MeanAbsoluteError()
    for i in range(5):
        metric.update(torch.from_numpy(prediction[i : i + 1]), torch.from_numpy(target[i : i + 1]))
    valid = np.isfinite(target)
    scores = metric.compute()
    assert scores["MAE"] == pytest.approx(mean_absolute_error(target[valid], prediction[valid]))
    assert scores["RMSE"] == pytest.approx(
        root_mean_squared_error(target[valid], prediction[valid])
    )
