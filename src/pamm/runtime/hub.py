"""One try to reach the Hugging Face hub, where its library would try for a minute and more."""

import logging
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

SECONDS = 5.0


@contextmanager
def one_try() -> Iterator[str]:
    """Within it, the hub's library looks into its cache only if the hub does not answer now.

    Yields:
        Why the hub cannot be reached; "" where it can, or is not to be asked.
    """
    from huggingface_hub import constants

    logger = logging.getLogger("huggingface_hub")
    offline, level = constants.HF_HUB_OFFLINE, logger.level
    problem = "" if offline else unreachable(constants.ENDPOINT)
    constants.HF_HUB_OFFLINE = offline or bool(problem)
    logger.setLevel(logging.ERROR)  # what fails is told once, by whoever asked for it
    try:
        yield problem
    finally:
        constants.HF_HUB_OFFLINE = offline
        logger.setLevel(level)


def unreachable(address: str) -> str:
    """Why nothing answers at an address, in a few words; "" where something does."""
    try:
        with urlopen(Request(address, method="HEAD"), timeout=SECONDS):
            return ""
    except HTTPError:  # an answer, if not a friendly one
        return ""
    except (OSError, ValueError) as error:
        reason = error.reason if isinstance(error, URLError) else error
        if isinstance(reason, ssl.SSLError):  # the hub's library has certificates of its own
            return ""
        text = reason.strerror if isinstance(reason, OSError) else None
        return f"{address} cannot be reached: {text or reason}"
