"""Processes that serve another one end with it, whatever ends that one."""

import multiprocessing
import os
import threading
import time

SECONDS = 0.5  # between two looks at the parent


def end_with_parent(parent: int) -> None:
    """Let this process, a child of the process `parent`, end at once when that one has ended.

    Where the system does not show that (Windows), nothing happens.
    """

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(SECONDS)
        os._exit(1)  # nobody is left to be told anything

    threading.Thread(target=watch, daemon=True, name="end-with-parent").start()


def end_with_owner() -> None:
    """The same for a process of `multiprocessing`, which need not be a child of its owner."""
    owner = multiprocessing.parent_process()
    assert owner is not None

    def watch() -> None:
        owner.join()
        os._exit(1)

    threading.Thread(target=watch, daemon=True, name="end-with-owner").start()
