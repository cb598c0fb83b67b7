"""Off line a hub is asked once, and what to do instead is told in one line."""

import http.server
import socket
import threading
from pathlib import Path

import pytest
from huggingface_hub import constants

import pamm
from pamm.cli import main
from pamm.errors import PammError
from pamm.model.backbone import create_timm_model
from pamm.runtime.hub import one_try, unreachable


@pytest.fixture
def closed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> str:
    """The address of a hub that nobody runs, and an empty cache."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{free.getsockname()[1]}"
    for proxy in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(proxy, raising=False)
    monkeypatch.setattr(constants, "ENDPOINT", address)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    return address


def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The pauses between tries, which are not made."""
    found: list[float] = []
    monkeypatch.setattr("time.sleep", found.append)
    return found


def test_weights_of_a_backbone(closed, monkeypatch, capfd):
    pauses = waits(monkeypatch)
    with pytest.raises(PammError, match=f"'resnet10t': the hub .*{closed} cannot be reached"):
        create_timm_model("resnet10t", pretrained=True, drop_path=0.0)
    assert not pauses
    assert capfd.readouterr() == ("", "")


def test_a_model_of_the_hub(closed, monkeypatch, capfd):
    pauses = waits(monkeypatch)
    with pytest.raises(PammError, match=f"no folder 'owner/name' here.*{closed} cannot be reached"):
        pamm.load("owner/name")
    assert not pauses
    assert capfd.readouterr() == ("", "")


def test_on_the_command_line(closed, monkeypatch, capfd, tmp_path):
    monkeypatch.chdir(tmp_path)
    arguments = ["--model.pretrained", "True", "--data.train-count", "2", "--data.val-count", "1"]
    with pytest.raises(SystemExit) as end:
        main(["train", "synthetic-tiny", *arguments])
    error = capfd.readouterr().err
    assert end.value.code == 2
    assert error.splitlines()[-1].startswith("pamm: backbone 'tf_efficientnet_lite0'")
    assert "--model.pretrained False" in error
    assert "Retrying" not in error


def test_whoever_answers_is_reached_whatever_the_answer(closed, monkeypatch):
    class Refusing(http.server.BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            self.send_error(503)

        def log_message(self, *_: object) -> None:
            pass

    with http.server.HTTPServer(("127.0.0.1", 0), Refusing) as server:
        thread = threading.Thread(target=server.handle_request)
        thread.start()
        assert unreachable(f"http://127.0.0.1:{server.server_port}") == ""
        thread.join()
    assert "cannot be reached" in unreachable("no address")
    with one_try() as problem:
        assert closed in problem
        assert constants.HF_HUB_OFFLINE
    assert not constants.HF_HUB_OFFLINE


def test_who_wants_no_network_is_not_asked_for_any(closed, monkeypatch):
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with one_try() as problem:
        assert problem == ""
    assert constants.HF_HUB_OFFLINE
