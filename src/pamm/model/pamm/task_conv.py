"""Task convolution, TC: one stage map becomes one map per task (paper section IV-A)."""

from torch import Tensor, nn

from pamm.model.layers import per_task


class TaskConv(nn.Module):
    """A 3x3 convolution with GroupNorm shared by all tasks, then a 3x3 convolution per task.

    Args:
        tasks: number of tasks T.
        inputs: channels of the stage map.
        d_model: channels per task.
        enabled: False is the ablation "no TC": every task gets the shared map as it is.
    """

    def __init__(self, *, tasks: int, inputs: int, d_model: int, enabled: bool = True) -> None:
        super().__init__()
        self.tasks = tasks
        self.shared = nn.Sequential(
            nn.Conv2d(inputs, d_model, 3, padding=1), per_task.group_norm(1, d_model)
        )
        # All tasks read the same map: their convolutions are one, with their outputs side by side.
        self.per_task = nn.Conv2d(d_model, tasks * d_model, 3, padding=1) if enabled else None

    def forward(self, stage: Tensor) -> Tensor:
        """(B, inputs, h, w) -> (B, T*d_model, h, w)."""
        shared = self.shared(stage)
        return (
            shared.repeat(1, self.tasks, 1, 1) if self.per_task is None else self.per_task(shared)
        )
