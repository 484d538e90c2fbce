"""Who reads and who writes which tensor: what holds for the nodes of networks and for the front end's layers alike."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import ClassVar, Self, TypeVar


@dataclass(frozen=True, kw_only=True, eq=False)
class Operator:
    """Whatever reads tensors and writes one."""

    inputs: tuple[str, ...]
    output: str

    unary: ClassVar[bool] = False  # reads exactly one tensor

    def __post_init__(self) -> None:
        if not isinstance(self.inputs, tuple) or (self.unary and len(self.inputs) != 1):
            raise TypeError(f"{type(self).__name__} that writes '{self.output}': inputs are {self.inputs!r}")

    def renamed(self, names: Mapping[str, str]) -> Self:
        """The same operator with its tensors renamed where ``names`` has them."""
        inputs = tuple(names.get(tensor, tensor) for tensor in self.inputs)
        return replace(self, inputs=inputs, output=names.get(self.output, self.output))


O = TypeVar("O", bound=Operator)  # noqa: E741


def readers(operators: Iterable[O]) -> dict[str, list[O]]:
    """For each tensor that is read: the operators that do, in their order, once for each of their inputs."""
    result: dict[str, list[O]] = {}
    for operator in operators:
        for tensor in operator.inputs:
            result.setdefault(tensor, []).append(operator)
    return result


def groups(operators: Iterable[O], joins: Callable[[O], bool]) -> dict[str, str]:
    """For each tensor, in order of appearance, the one that stands for its group.

    Operators of which ``joins`` is true put their inputs and their output into one group, for which the first input's
    representative stands.
    """
    parent: dict[str, str] = {}

    def find(tensor: str) -> str:
        while (above := parent.setdefault(tensor, tensor)) != tensor:
            tensor = above
        return tensor

    for operator in operators:
        first, *others = [find(tensor) for tensor in (*operator.inputs, operator.output)]
        if joins(operator):
            parent.update(dict.fromkeys(others, first))
    return {tensor: find(tensor) for tensor in parent}
