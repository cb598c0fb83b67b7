"""A network as it predicts, whatever else is done with it at the same time."""

import types
from typing import Any, TypeVar

import torch
from torch import nn

M = TypeVar("M", bound=nn.Module)


def evaluation_view(model: M) -> M:
    """The model in evaluation mode, without touching it: new modules around the same tensors.

    Whoever calls `model.eval()` changes the mode for all who use the model, a training in another
    thread among them, and a forward pass leaves traces in modules: running statistics, caches, the
    weights of routers. Here each module is copied by itself, as are the lists and dictionaries that
    it holds. Parameters and buffers are shared: a view takes no memory and a few milliseconds, and
    follows the training. Of a network that `torch.compile` made the one inside is taken, and a
    program of `torch.jit` as it is.
    """
    view: M = _view(model, {})
    return view


def uncompiled(module: nn.Module) -> Any:
    """The module that `torch.compile` was given; any other as it is."""
    return getattr(module, "_orig_mod", module)


def _view(module: Any, done: dict[int, Any]) -> Any:
    module = uncompiled(module)  # what is compiled is bound to the module itself, and its mode
    if isinstance(module, torch.jit.ScriptModule):
        return module
    if id(module) not in done:
        done[id(module)] = view = object.__new__(type(module))
        view.__dict__.update({k: _held(v, done) for k, v in list(module.__dict__.items())})
        view.__dict__.update(training=False, _compiled_call_impl=None)
    return done[id(module)]


def _held(value: Any, done: dict[int, Any]) -> Any:
    """What a module holds, with views in the place of modules."""
    if isinstance(value, nn.Module):
        return _view(value, done)
    if isinstance(value, types.MethodType) and isinstance(value.__self__, nn.Module):
        return types.MethodType(value.__func__, _view(value.__self__, done))
    if type(value) is dict:
        return {key: _held(each, done) for key, each in list(value.items())}
    if type(value) in (list, tuple, set):
        return type(value)(_held(each, done) for each in list(value))
    return value
