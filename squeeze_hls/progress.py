"""Who is told what happens while something is computed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
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

    def note(self, text: str) -> None:
        """Something that the user should know of a result."""

    def remark(self, text: str) -> None:
        """Something of this moment, which the same command may not meet again, such as a download."""

    def stage(self, name: str) -> AbstractContextManager[Stage]: ...


class Silent:
    """A Listener that shows nothing."""

    def note(self, text: str) -> None:
        pass

    def remark(self, text: str) -> None:
        pass

    @contextmanager
    def stage(self, name: str) -> Iterator[Stage]:
        yield Stage()


SILENT = Silent()


class Keeper:
    """A Listener that keeps the notes, each once and in their order, and passes everything on to another.

    Where it is not ``aloud``, notes are kept and not passed on.
    """

    def __init__(self, listener: Listener, *, aloud: bool = True) -> None:
        self.notes: list[str] = []
        self._listener, self._aloud = listener, aloud

    def note(self, text: str) -> None:
        if text not in self.notes:
            self.notes.append(text)
            if self._aloud:
                self._listener.note(text)

    def remark(self, text: str) -> None:
        self._listener.remark(text)

    def stage(self, name: str) -> AbstractContextManager[Stage]:
        return self._listener.stage(name)


def tell(notes: Iterable[str], listener: Listener) -> None:
    """Pass notes on, one after the other."""
    for note in notes:
        listener.note(note)
