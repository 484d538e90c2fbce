"""Latencies of the RTL engine: one table, rendered into squeeze_pkg.sv and read by timing, planner, benches, documents.

Where a pipeline gets another stage, one number here changes: the RTL inserts the register, sequencer and output stage
count with it, the planner keeps reads and writes further apart, predictions follow.  A program that was planned with
other numbers may read too early: whoever changes one raises ``fields.FORMAT_VERSION``, and a test holds that.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields


def _cycles(default: int, module: str, meaning: str, *, stages: bool = False) -> int:
    """A latency with its place; ``stages``: the RTL takes the number, which may grow."""
    return field(default=default, metadata={"module": module, "meaning": meaning, "stages": stages})  # type: ignore[no-any-return]


@dataclass(frozen=True, kw_only=True)
class Latencies:
    """Cycles; the defaults are the least, where the RTL takes a number."""

    # stages that the RTL inserts by these numbers
    operands: int = _cycles(1, "operand_stage.sv", "from the words of the banks to the MAC array", stages=True)
    mac_output: int = _cycles(0, "mac_array.sv", "registers after the accumulators", stages=True)
    requantize: int = _cycles(6, "requantizer.sv", "from sums to activations", stages=True)
    write: int = _cycles(0, "output_stage.sv", "registers on the way to the activation memory", stages=True)
    # what the modules' own structure gives
    issue: int = _cycles(4, "sequencer.sv", "s1 to s4: from the decision for a step to the words of the banks")
    mac: int = _cycles(3, "mac_array.sv", "pair, product, sum; each further channel takes one more")
    holding: int = _cycles(1, "output_stage.sv", "from finished sums to the holding register")
    back: int = _cycles(6, "output_stage.sv", "front register, pooling and wrap, write, and the record's end")
    to_logit: int = _cycles(
        3, "output_stage.sv", "besides the requantizer, from a group's last word to its first logit"
    )
    beat: int = _cycles(2, "logit_stream.sv", "from a logit to the beat that carries it")
    fetch: int = _cycles(7, "program_memory.sv", "from the event that calls for a record to f_done, the port free")
    prepare: int = _cycles(3, "sequencer.sv", "POINTERS, CENTER, FOLLOWING; then a cycle for each lane")
    row_seen: int = _cycles(2, "sequencer.sv", "from row_stored to a start, through rows_have and rows_enough")
    credit_seen: int = _cycles(2, "loader.sv", "from `reached` to a row's begin, through credit and granted")
    first_row: int = _cycles(5, "receiver.sv", "the first row begins; three cycles are the packet's header")
    row_end: int = _cycles(3, "gatherer.sv", "from a complete window to row_stored, besides its words")
    free: int = _cycles(2, "expander.sv", "from a tile's release to `free`")
    tile_seen: int = _cycles(7, "funnel.sv", "from a tile's last chunk to the first step that may use it")
    anew: int = _cycles(4, "store_reader.sv", "the first tile of an instruction waits for its first words")
    lookup: int = _cycles(2, "entropy_decoder.sv", "a half of an entropy-coded layer begins so much later")
    copy_end: int = _cycles(3, "expander.sv", "from a tile's last record to the end of copy_busy")
    stream_begins: int = _cycles(10, "weight_stream.sv", "the first tag of a weight stream is read")
    margin: int = _cycles(11, "plan/checks.py", "kept besides between a word's write and its read")

    def __post_init__(self) -> None:
        for f in fields(self):
            if f.metadata["stages"] and getattr(self, f.name) < f.default:
                raise ValueError(f"latency {f.name}: at least {f.default}")

    def mac_array(self, cin: int) -> int:
        """From a set's last operands to its sums."""
        return self.mac + cin + self.mac_output

    def set(self, cin: int) -> int:
        """From the decision for a set's last step to its sums in a holding register."""
        return self.issue + self.operands + self.mac_array(cin) + self.holding

    @property
    def flush(self) -> int:
        """Between the sets of two instructions in the output stage, OUTPUT_FLUSH."""
        return self.requantize + self.back + self.write

    @property
    def send(self) -> int:
        """From the last word of a group's sets to its first logit, SEND."""
        return self.requantize + self.to_logit

    @property
    def release(self) -> int:
        """From a tile's last step to `free`: it is released when its last word has been read."""
        return self.free + self.operands - 1

    def written(self, cin: int) -> int:
        """From a step to the write of the word that it completes, no other set in the way, and a margin."""
        return self.set(cin) + self.flush + self.margin

    @property
    def deeper(self) -> int:
        """Stages that were added to those of the default table, between a read and the write that depends on it."""
        return sum(getattr(self, f.name) - f.default for f in fields(self) if f.metadata["stages"])


TABLE = Latencies()


def markdown(table: Latencies = TABLE) -> str:
    """The table as docs/timing.md has it."""
    lines = ["| latency | cycles | module | from what to what |", "|---|---|---|---|"]
    for f in fields(table):
        more = ", or more" if f.metadata["stages"] else ""
        lines.append(
            f"| `{f.name}` | {getattr(table, f.name)}{more} | `{f.metadata['module']}` | {f.metadata['meaning']} |"
        )
    return "\n".join(lines)
