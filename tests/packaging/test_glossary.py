"""The glossary's numbers are those of the default engine."""

import re
from pathlib import Path

import pytest

import squeeze_hls as sq
from squeeze_hls.plan.overview import LayerRow

WORDS = """
map layer half stage band instruction border lane block group step tap set requantization flush turn word store tile
chunk expander bank ring pitch credit carry program header packet frame identity wait plan
"""


@pytest.fixture(scope="module")
def text(root: Path) -> str:
    return " ".join((root / "docs" / "glossary.md").read_text().split())


@pytest.fixture(scope="module")
def plan() -> sq.Plan:
    return sq.plan(sq.load())


def row(plan: sq.Plan, beginning: str) -> LayerRow:
    return next(r for r in plan.table if r.name.startswith(beginning))


def test_every_word_is_explained(root: Path) -> None:
    explained = re.findall(r"^\*\*([\w ]+)\*\*", (root / "docs" / "glossary.md").read_text(), re.MULTILINE)
    assert set(WORDS.split()) <= {word.lower() for word in explained}


def test_numbers_of_the_plan(text: str, plan: sq.Plan) -> None:
    engine, header = plan.engine, plan.program.header
    fire2 = row(plan, "fire2/expand")
    pooled = sum(1 for stage in plan.stages if stage.tail is not None)
    for said in (
        f"an array of PIX = {engine.pix}, CIN = {engine.cin} and COUT = {engine.cout}",
        f"The default network has {len(plan.layers)}.",
        f"The default network has {len(plan.stages)} stages",
        f"fire2's 55 rows are divided into {fire2.bands} bands of 2 or {fire2.band_rows} rows",
        f"The default program has {len(plan.program.instructions)}.",
        f"{engine.pix} x {engine.cin} x {engine.cout} = {engine.macs} products",
        f"the {engine.pix} x {engine.cout} = {engine.pix * engine.cout} sums",
        f"leave for memory in {engine.set_cycles} cycles",
        f"the default engine holds {engine.param_depth:,}",
        f"{engine.store_words:,} store words in the default engine, of which {plan.store.words:,} are in use",
        f"two tile memories of {engine.tile_words} words",
        f"**Chunk**: {engine.chunk} weights of one output",
        f"A tile word is {engine.chunks_per_word} chunks",
        f"{engine.act_depth:,} activation words each",
        f"The header grants the first {header.credit} once",
        f"add up to the {header.rows} rows",
        f"share one ring of {plan.memory.rings[0].depth:,} words though each has {-(-55 * 55 // 3) * 2:,}",
        f"{3 * header.kernel} bytes in {header.gather_words} words",
    ):
        assert said in text, said
    assert pooled == len(plan.stages) == 9
    assert sum(i.credit for i in plan.program.instructions) == header.rows


def test_numbers_of_the_example(text: str, plan: sq.Plan) -> None:
    """fire2's expansion: its tiles and their cycles."""
    fire2 = next(layer for layer in plan.layers if layer.name.startswith("fire2/expand"))
    first, second = fire2.halves
    assert f"has {first.depth} words for half A (9 taps of 2 words) and {second.depth} for half B" in text
    assert first.groups == second.groups == 4 and "so 4 groups" in text
    fill = (first.depth + second.depth) * plan.engine.chunks_per_word
    assert f"so fire2's tile takes {fill} cycles to fill" in text
    blocks = 3 * 55 // plan.engine.pix
    assert f"165 pixels, or {blocks} blocks" in text
    assert f"{blocks} x {first.depth + second.depth} = {blocks * (first.depth + second.depth):,} cycles" in text
