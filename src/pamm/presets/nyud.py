"""NYUD-v2 with the paper's recipe (sections V-A, table I)."""

from pamm.presets.recipe import NOT_MEASURED, OfModel, Recipe, papers_vit


def recipe(backbone: str, *, pamm: str, baseline: str = "") -> Recipe:
    """The recipe on a backbone; `pamm` and `baseline` are the paper's scores, if it prints them."""
    return Recipe(
        summary="NYUD-v2, four tasks, the paper's recipe; give the images as --data.root",
        hardware="a GPU",
        backbone=papers_vit(backbone),
        data={"name": "nyud", "size": (448, 576), "scale": (0.5, 2.0)},
        optim={"lr": 1e-5},
        models={
            "pamm": OfModel(expected=f"{NOT_MEASURED}; the paper: {pamm}"),
            "baseline": OfModel(
                note="; Baseline, without task convolution and PAME",
                expected=f"{NOT_MEASURED}; the paper: {baseline}" if baseline else NOT_MEASURED,
            ),
        },
    )


RECIPES = {
    "nyud-vit-b": recipe(
        "vit_base_patch16_384.augreg_in21k_ft_in1k",
        pamm="mIoU 51.10, RMSE 0.5349, mErr 18.90, odsF 78.00",
    ),
    "nyud-vit-l": recipe(
        "vit_large_patch16_384.augreg_in21k_ft_in1k",
        pamm="mIoU 56.63, RMSE 0.5102, mErr 18.52, odsF 78.10",
        baseline="mIoU 53.36, RMSE 0.5635, mErr 19.25, odsF 76.90",
    ),
}
