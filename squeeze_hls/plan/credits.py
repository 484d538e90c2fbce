"""Row credits: when the loader may store each image row, in this frame or ahead of the next."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from squeeze_hls.engine.addresses import gathered_cells
from squeeze_hls.engine.config import EngineConfig
from squeeze_hls.engine.fields import INSTRUCTION
from squeeze_hls.engine.program import Program
from squeeze_hls.errors import DoesNotFitError

if TYPE_CHECKING:
    from squeeze_hls.plan.assemble import Band


def grant_credits(program: Program, bands: Sequence[Band], engine: EngineConfig) -> None:
    """Fill in `credit` of the header and of all instructions.

    A row may be stored once the rows it overwrites have been read for the last time. Rows that overwrite
    none may even be stored while the frame before is still computed, as soon as nothing else uses their place.
    Raises DoesNotFitError where the picture has more rows than the instructions' fields hold.
    """
    rows = program.header.rows
    readers = _last_readers(bands, rows)
    owner = np.full((engine.pix, engine.act_depth), -1)
    last_use = _last_use(program, engine)
    count = len(program.instructions)
    grants = np.zeros(count, np.int64)
    prefetched, prefetching, earliest, ahead = 0, True, 0, 0
    for row in range(rows):
        bank, address = gathered_cells(program, row, engine.pix)
        cells = bank[:, None], address
        overwritten = owner[cells].max()
        owner[cells] = row
        ahead = max(ahead, int(last_use[address].max()) + 1)
        prefetching = prefetching and overwritten < 0 and ahead < count
        if prefetching:
            prefetched += 1
            grants[ahead] += 1
        else:
            if overwritten >= 0:
                earliest = max(earliest, readers[overwritten] + 1)
            grants[earliest] += 1
    program.header.credit = prefetched
    limit, backlog = INSTRUCTION.limit("credit"), 0
    for instruction, grant in zip(program.instructions, grants.tolist(), strict=True):
        backlog += grant
        instruction.credit = min(backlog, limit)
        backlog -= instruction.credit
    if backlog:
        raise DoesNotFitError(
            f"the picture has {backlog:,} rows more than the credits of {count} instructions count. Use one with fewer "
            "rows."
        )


def _last_readers(bands: Sequence[Band], rows: int) -> list[int]:
    """Per image row the last instruction that reads it."""
    last = [-1] * rows
    for i, band in enumerate(bands):
        if band.image_rows:
            for row in range(*band.image_rows):
                last[row] = i
    return last


def _last_use(program: Program, engine: EngineConfig) -> np.ndarray:
    """Per address the last instruction whose buffers include it."""
    last = np.full(engine.act_depth, -1)
    for i, instruction in enumerate(program.instructions):
        used = [program.buffers[instruction.source]]
        if not program.layers[instruction.layer].average:
            used.append(program.buffers[instruction.target])
        for buffer in used:
            last[buffer.base : buffer.base + buffer.depth] = i
    return last
