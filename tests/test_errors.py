"""What a name may be, wherever a file or a person declares one."""

import re

import pytest
from torch import nn

from pamm.errors import LONGEST_NAME, TAKEN, PammError, check_name
from pamm.model import PAMMConfig
from pamm.tasks import Depth, Semseg, task_from_dict

BAD = [
    "",
    "a.b",
    "../up",
    "/tmp/x",
    "1st",
    "_x",
    "é",
    "a b",
    "a\n",
    "a[/b]",
    "a$b",
    "x" * 101,
    "a\0",
]


@pytest.mark.parametrize("name", [*BAD, 3, None, "overview", "total", "keys", "train", "type"])
def test_a_name_is_refused_in_one_line_wherever_it_is_declared(name):
    for declare in (
        lambda: check_name("task", name),
        lambda: Depth(name=name),
        lambda: task_from_dict({"type": "depth", "name": name}),
        lambda: PAMMConfig(tasks={name: 1}),
    ):
        with pytest.raises(PammError, match="^[^\n]*task[^\n]*$") as error:
            declare()
        assert str(error.value).isascii()


@pytest.mark.parametrize("name", ["a", "depth2", "left-eye", "Depth_far", "x" * LONGEST_NAME])
def test_a_name_that_all_can_hold(name):
    check_name("task", name)
    nn.ModuleDict({Depth(name=name).name: nn.Identity()})


def test_no_module_of_torch_has_a_name_that_is_not_taken():
    module = nn.ModuleDict()
    has = {name for name in dir(module) if re.fullmatch("[A-Za-z][A-Za-z0-9_-]*", name)}
    assert has <= TAKEN


@pytest.mark.parametrize("names", [("é", "道路", "a[/b]", "$x$", "a b", "")])
def test_classes_may_have_any_printable_name(names):
    assert Semseg(channels=len(names), class_names=names).class_names == names


@pytest.mark.parametrize("name", ["two\nlines", "\x1b[31m", "\udcff", "tab\t", 7])
def test_classes_may_not_have_a_name_that_cannot_be_printed(name):
    with pytest.raises(PammError, match="class.name"):
        Semseg(channels=1, class_names=(name,))
