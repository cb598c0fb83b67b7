"""The device of a name, as people write it."""

import torch

from pamm.errors import PammError


def torch_device(name: str | torch.device) -> torch.device:
    """The torch device of a name that can be used here; "auto" is a GPU where there is one.

    Raises:
        PammError: there is no such device, or PyTorch cannot use it.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError, NotImplementedError, TypeError) as error:
        reason = str(error).strip().splitlines()[0].partition(" at start of device string")[0]
        if str(name).lower().startswith("gpu"):
            reason = "a GPU is called cuda"
        raise PammError(
            f"device {str(name)!r} cannot be used here: {reason}; want auto, cpu, cuda, cuda:1, ..."
        ) from None
    return device
