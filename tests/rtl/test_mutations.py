"""The list of faults that scripts/mutate_rtl.py makes fits the sources."""

from __future__ import annotations

import importlib

import pytest


@pytest.fixture
def mutate(root, monkeypatch):
    monkeypatch.syspath_prepend(root / "scripts")
    return importlib.import_module("mutate_rtl")


def test_every_old_text_stands_exactly_once(root, mutate):
    mutations = mutate.load()
    assert len(mutations) >= 40
    assert len({m.key for m in mutations}) == len(mutations)
    found = {m.name: (root / m.file).read_text(encoding="utf-8").count(m.old) for m in mutations}
    assert {name: count for name, count in found.items() if count != 1} == {}
    assert all(m.old != m.new for m in mutations)


def test_every_selection_names_a_test(root, mutate):
    for selection in {selection for m in mutate.load() for selection in m.tests}:
        file, _, name = selection.partition("::")
        assert f"def {name or 'test_'}" in (root / file).read_text(encoding="utf-8"), selection


def test_every_module_has_a_fault(root, mutate):
    """All but memories without logic of their own, and the rendered package."""
    modules = {path.stem for path in (root / "hw" / "rtl").glob("*.sv")}
    assert modules - {m.module for m in mutate.load()} == {"ram_1w1r", "ram_lut", "squeeze_pkg"}


def test_text_that_is_missing_is_an_error(tmp_path, mutate):
    (tmp_path / "hw" / "rtl").mkdir(parents=True)
    (tmp_path / "hw" / "rtl" / "loader.sv").write_text("a b a\n", encoding="utf-8")

    def mutation(old):
        return mutate.Mutation("loader-1", "loader", "", old, "c", ())

    for old in ("a", "d"):
        with pytest.raises(ValueError, match="not once"):
            mutation(old).apply(tmp_path)
    mutation("b").apply(tmp_path)
    assert (tmp_path / "hw" / "rtl" / "loader.sv").read_text(encoding="utf-8") == "a c a\n"
