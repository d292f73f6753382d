"""Waiting for a level: ask again until it holds, and never longer than allowed."""

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def until(what: str, probe: Callable[[], T | None], seconds: float = 30, pause: float = 0.02) -> T:
    """The first true answer of `probe`. Fails naming `what` and the last answer when the time is over."""
    deadline = time.monotonic() + seconds
    while True:
        answer = probe()
        if answer:
            return answer
        if time.monotonic() > deadline:
            raise AssertionError(f"waited {seconds} s in vain for {what}; last answer: {answer!r}")
        time.sleep(pause)
