"""Who is told what happens while something is computed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol

Watcher = Callable[[float, float | None, str], None]


class Stage:
    """Progress and outcome of one stage, for whoever shows them."""

    def __init__(self) -> None:
        self.outcome = ""
        self._watcher: Watcher | None = None

    def watch(self, watcher: Watcher) -> None:
        self._watcher = watcher

    def progress(self, done: float, total: float | None = None, detail: str = "") -> None:
        if self._watcher:
            self._watcher(done, total, detail)


class Listener(Protocol):
    """Somebody who shows notes and progress."""

    def note(self, text: str) -> None: ...

    def stage(self, name: str) -> AbstractContextManager[Stage]: ...


class Silent:
    """A Listener that shows nothing."""

    def note(self, text: str) -> None:
        pass

    @contextmanager
    def stage(self, name: str) -> Iterator[Stage]:
        yield Stage()


SILENT = Silent()
