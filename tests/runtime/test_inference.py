"""A view of a model in evaluation mode: right results, and nothing of it shows in the model."""

import copy

import pytest
import torch
from torch import Tensor, nn

from pamm.runtime.inference import evaluation_view


class Odd(nn.Module):
    """Modules in lists, dictionaries, bound methods and two places; traces of each pass."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(4)
        self.drop = nn.Dropout(0.5)
        self.same = self.norm
        self.listed, self.named = [self.drop], {"drop": (self.drop,)}
        self.method = self.drop.forward
        self.cache: dict[str, Tensor] = {}
        self.calls = 0

    def forward(self, x: Tensor) -> Tensor:
        self.calls += 1
        self.cache["last"] = x
        x = self.same(self.norm(x))
        return self.method(self.named["drop"][0](self.listed[0](x)))


def test_a_view_computes_as_in_evaluation_and_leaves_no_trace():
    model, x = Odd().train(), torch.randn(8, 4)
    expected = copy.deepcopy(model).eval()(x)
    before = {key: value.clone() for key, value in model.state_dict().items()}
    assert torch.equal(evaluation_view(model)(x), expected)
    assert all(module.training for module in model.modules())
    assert model.calls == 0
    assert not model.cache
    for key, value in model.state_dict().items():
        assert torch.equal(value, before[key])


def test_a_view_has_the_tensors_and_hooks_of_the_model():
    model, seen = Odd().train(), []
    view = evaluation_view(model)
    assert view is not model
    assert [p.data_ptr() for p in view.parameters()] == [p.data_ptr() for p in model.parameters()]
    assert view.norm is view.same
    assert list(view.state_dict()) == list(model.state_dict())
    model.norm.register_forward_hook(lambda module, *_: seen.append(module.training))
    evaluation_view(model)(torch.randn(8, 4))
    assert seen == [False, False]


def test_a_view_of_a_compiled_model_is_of_the_one_inside():
    model, x = Odd().train(), torch.randn(8, 4)
    expected = copy.deepcopy(model).eval()(x)
    compiled = torch.compile(model)  # not run, so nothing is compiled
    assert torch.equal(evaluation_view(compiled)(x), expected)
    model.compile()
    assert torch.equal(evaluation_view(model)(x), expected)
    assert all(module.training for module in model.modules())


@pytest.mark.filterwarnings("ignore:.torch.jit")
def test_a_view_of_a_traced_model_is_itself():
    with torch.no_grad():
        traced = torch.jit.freeze(torch.jit.script(nn.Linear(3, 2).eval()))
    assert evaluation_view(traced) is traced
