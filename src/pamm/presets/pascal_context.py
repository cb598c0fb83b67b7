"""PASCAL-Context with the paper's recipe (sections V-A, table I)."""

from pamm.presets.recipe import NOT_MEASURED, OfModel, Recipe, papers_vit


def recipe(backbone: str, d_model: int, *, pamm: str, baseline: str) -> Recipe:
    """The recipe on a backbone; `pamm` and `baseline` are the paper's scores."""
    return Recipe(
        summary="PASCAL-Context, five tasks, the paper's recipe; give the images as --data.root",
        hardware="a GPU",
        backbone=papers_vit(backbone),
        data={"name": "pascal_context", "size": (512, 512), "scale": (0.5, 2.0)},
        optim={"lr": 2e-5},
        models={
            "pamm": OfModel(
                fields={"d_model": d_model, "d_state": 64},
                expected=f"{NOT_MEASURED}; the paper: {pamm}",
            ),
            "baseline": OfModel(
                fields={"d_model": d_model},
                note="; Baseline, without task convolution and PAME",
                expected=f"{NOT_MEASURED}; the paper: {baseline}",
            ),
        },
    )


RECIPES = {
    "pascal-vit-b": recipe(
        "vit_base_patch16_384.augreg_in21k_ft_in1k",
        768,
        pamm="mIoU 79.12, parts 67.83, maxF 85.25, mErr 13.40, odsF 73.40",
        baseline="mIoU 77.12, parts 66.16, maxF 84.71, mErr 13.80, odsF 69.80",
    ),
    "pascal-vit-l": recipe(
        "vit_large_patch16_384.augreg_in21k_ft_in1k",
        1024,
        pamm="mIoU 81.38, parts 70.39, maxF 84.51, mErr 13.36, odsF 75.30",
        baseline="mIoU 78.67, parts 67.75, maxF 84.13, mErr 14.01, odsF 71.32",
    ),
}
