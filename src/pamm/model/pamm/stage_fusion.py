"""Stage fusion: the maps of all stages become one map per task (eqs. 21-22)."""

import torch
from torch import Tensor, nn

from pamm.model.layers import per_task


class StageFusion(nn.Module):
    """Per task, a softmax over the stages at every position, and the weighted sum of their maps.

    With a single stage there is nothing to weigh, and the module has no parameters.

    Args:
        tasks: number of tasks T.
        d_model: channels per task.
        stages: number of stages S.
    """

    def __init__(self, *, tasks: int, d_model: int, stages: int) -> None:
        super().__init__()
        self.tasks, self.stages = tasks, stages
        if stages > 1:
            self.mlp = nn.Sequential(
                per_task.Pointwise(
                    tasks, stages * d_model, d_model, bias=False
                ),  # the norm has one
                per_task.batch_norm(tasks, d_model),
                nn.GELU(),
                per_task.conv(tasks, d_model, stages, 3),
            )

    def forward(self, maps: list[Tensor]) -> Tensor:
        """S maps (B, T*d_model, h, w) -> (B, T*d_model, h, w)."""
        if self.stages == 1:
            return maps[0]
        by_stage = torch.stack(
            [per_task.split(m, self.tasks) for m in maps], 2
        )  # (B, T, S, C, h, w)
        logits = self.mlp(by_stage.flatten(1, 3)).unflatten(1, (self.tasks, self.stages, 1))
        return (logits.softmax(2) * by_stage).sum(2).flatten(1, 2)
