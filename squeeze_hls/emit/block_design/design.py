"""The block design, described once: cells, links, nets, addresses, interrupts, clock and DMA parameters.

Vivado's script (``vivado.py``), the hardware handoff file (``hwh.py``) and the simulated board (``sim/board``) are made
from it.  Pins and interfaces are named ``cell/pin``, as in Vivado.
"""

from __future__ import annotations

from dataclasses import dataclass

HLS_VLNV = "squeeze-hls:hls:squeeze_engine"
MODULE_VLNV = "xilinx.com:module_ref"
STREAM_BITS = 64
LENGTH_BITS = 26  # of a DMA's LENGTH register
RANGE = 0x1_0000  # bytes of a cell's registers

# Registers of the AXI DMA in direct register mode (AMD PG021) and of the interrupt controller (PG099), by offset.
DMA_REGISTERS = {
    "MM2S_DMACR": 0x00, "MM2S_DMASR": 0x04, "MM2S_SA": 0x18, "MM2S_SA_MSB": 0x1C, "MM2S_LENGTH": 0x28,
    "S2MM_DMACR": 0x30, "S2MM_DMASR": 0x34, "S2MM_DA": 0x48, "S2MM_DA_MSB": 0x4C, "S2MM_LENGTH": 0x58,
}  # fmt: skip
INTC_REGISTERS = {
    "ISR": 0x00, "IPR": 0x04, "IER": 0x08, "IAR": 0x0C, "SIE": 0x10, "CIE": 0x14, "IVR": 0x18, "MER": 0x1C,
}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Processor:
    """A family's processing system as a block design cell: its pins, settings and address map."""

    vlnv: str
    version: str
    rule: str
    automation: str
    clock: str
    reset: str
    master: str  # to the registers
    master_clock: str
    slave: str  # to the memory
    slave_clock: str
    interrupt: str
    clock_setting: str  # MHz
    pll_mhz: int  # that PYNQ's boot loader gives the PLL from which the clock is divided
    settings: tuple[tuple[str, str], ...]
    addresses: dict[str, int]  # of the cells with registers
    memory_map: str  # of what lies beyond `slave`
    memory: tuple[str, int]  # the DRAM's segment in it, and its bytes, from address 0
    first_interrupt: int  # of `interrupt`, as the operating system counts


PROCESSORS = {
    "zynq-7000": Processor(
        vlnv="xilinx.com:ip:processing_system7",
        version="5.5",
        rule="xilinx.com:bd_rule:processing_system7",
        automation='make_external "FIXED_IO, DDR" Master Disable Slave Disable',
        clock="FCLK_CLK0",
        reset="FCLK_RESET0_N",
        master="M_AXI_GP0",
        master_clock="M_AXI_GP0_ACLK",
        slave="S_AXI_HP0",
        slave_clock="S_AXI_HP0_ACLK",
        interrupt="IRQ_F2P",
        clock_setting="PCW_FPGA0_PERIPHERAL_FREQMHZ",
        pll_mhz=1000,
        settings=(
            ("PCW_USE_M_AXI_GP0", "1"),
            ("PCW_USE_S_AXI_HP0", "1"),
            ("PCW_S_AXI_HP0_DATA_WIDTH", "64"),
            ("PCW_EN_CLK0_PORT", "1"),
            ("PCW_FCLK0_PERIPHERAL_CLKSRC", "IO PLL"),
            ("PCW_EN_RST0_PORT", "1"),
            ("PCW_USE_FABRIC_INTERRUPT", "1"),
            ("PCW_IRQ_F2P_INTR", "1"),
        ),
        addresses={"engine": 0x43C0_0000, "dma": 0x4040_0000, "dma_weights": 0x4041_0000, "intc": 0x4180_0000},
        memory_map="ps/S_AXI_HP0",
        memory=("HP0_DDR_LOWOCM", 0x2000_0000),
        first_interrupt=61,
    ),
    "zynq-ultrascale+": Processor(
        vlnv="xilinx.com:ip:zynq_ultra_ps_e",
        version="3.5",
        rule="xilinx.com:bd_rule:zynq_ultra_ps_e",
        automation="",
        clock="pl_clk0",
        reset="pl_resetn0",
        master="M_AXI_HPM0_FPD",
        master_clock="maxihpm0_fpd_aclk",
        slave="S_AXI_HP0_FPD",
        slave_clock="saxihp0_fpd_aclk",
        interrupt="pl_ps_irq0",
        clock_setting="PSU__CRL_APB__PL0_REF_CTRL__FREQMHZ",
        pll_mhz=1500,
        settings=(
            ("PSU__USE__M_AXI_GP0", "1"),
            ("PSU__USE__M_AXI_GP1", "0"),
            ("PSU__USE__M_AXI_GP2", "0"),
            ("PSU__USE__S_AXI_GP2", "1"),
            ("PSU__SAXIGP2__DATA_WIDTH", "64"),
            ("PSU__USE__IRQ0", "1"),
            ("PSU__CRL_APB__PL0_REF_CTRL__SRCSEL", "IOPLL"),
        ),
        addresses={"engine": 0xA000_0000, "dma": 0xA001_0000, "dma_weights": 0xA002_0000, "intc": 0xA003_0000},
        memory_map="ps/SAXIGP2",
        memory=("HP0_DDR_LOW", 0x8000_0000),
        first_interrupt=121,
    ),
}


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One cell; its clock and reset pins are all on the design's one clock and reset."""

    name: str
    vlnv: str  # vendor:library:name
    version: str
    pinned: bool = False  # Vivado takes this version rather than its newest: PYNQ binds drivers by version
    parameters: tuple[tuple[str, str], ...] = ()
    clocks: tuple[str, ...] = ()
    resets: tuple[str, ...] = ()

    @property
    def kind(self) -> str:
        return self.vlnv.split(":")[2]

    @property
    def is_module(self) -> bool:
        """Whether it is a Verilog module, referred to by name."""
        return self.vlnv.startswith(MODULE_VLNV)


@dataclass(frozen=True)
class Link:
    """Two interfaces that are connected."""

    source: str  # the master's, or the stream's sender's
    sink: str
    protocol: str  # aximm or axis
    bits: int = 32  # of its data


@dataclass(frozen=True)
class Slave:
    """Registers in the processor's address space."""

    interface: str
    address: int
    range: int = RANGE

    @property
    def cell(self) -> str:
        return self.interface.split("/")[0]


@dataclass(frozen=True, kw_only=True)
class BlockDesign:
    """The whole design.  ``ps`` is the processor, ``reset`` its reset generator."""

    part: str
    board_part: str
    settings: tuple[tuple[str, str], ...]  # of the processor on this board; none: they come with Vivado's board files
    clock_mhz: float
    processor: Processor
    cells: tuple[Cell, ...]  # the processor first
    links: tuple[Link, ...]
    wires: tuple[tuple[str, str], ...]  # driver and driven pin, clocks and resets included
    slaves: tuple[Slave, ...]
    interrupts: tuple[str, ...]  # pins, by the number that the interrupt controller gives them
    memory_masters: tuple[str, ...]  # interfaces that read or write the processor's memory

    @property
    def made_clock_mhz(self) -> float:
        """The fastest clock that the processor can make and that is not faster than ``clock_mhz``."""
        return made_clock(self.processor, self.clock_mhz)

    @property
    def clock_pin(self) -> str:
        return f"ps/{self.processor.clock}"

    @property
    def memory_segment(self) -> str:
        """The DRAM that the DMA reaches."""
        return f"{self.processor.memory_map}/{self.processor.memory[0]}"

    @property
    def memory_spaces(self) -> tuple[str, ...]:
        """Address spaces of the interfaces that reach it."""
        return tuple(master.replace("M_AXI_", "Data_") for master in self.memory_masters)

    @property
    def streamed(self) -> bool:
        return any(cell.name == "dma_weights" for cell in self.cells)

    def slave(self, cell: str) -> Slave:
        """The registers of a cell; KeyError where it has none."""
        return {slave.cell: slave for slave in self.slaves}[cell]


def describe(
    family: str,
    part: str,
    clock_mhz: float,
    *,
    streamed: bool,
    board_part: str = "",
    settings: tuple[tuple[str, str], ...] = (),
    rtl_top: str = "",
) -> BlockDesign:
    """The design around an engine that Vitis HLS packaged, or around the Verilog module ``rtl_top``.

    ``family`` is a key of PROCESSORS, ``settings`` are the processor's on the board.  With ``streamed`` weights they
    get a DMA of their own.
    """
    ps = PROCESSORS[family]
    dmas = ("dma", "dma_weights") if streamed else ("dma",)
    slaves = ("engine/s_axi_control", *(f"{dma}/S_AXI_LITE" for dma in dmas), "intc/s_axi")
    masters = ("dma/M_AXI_MM2S", "dma/M_AXI_S2MM", *(f"{dma}/M_AXI_MM2S" for dma in dmas[1:]))
    interrupts = ("engine/interrupt", "dma/mm2s_introut", "dma/s2mm_introut", *(f"{d}/mm2s_introut" for d in dmas[1:]))
    clock = (ps.clock_setting, f"{made_clock(ps, clock_mhz):.9g}")
    cells = (
        Cell(
            name="ps",
            vlnv=ps.vlnv,
            version=ps.version,
            parameters=(*settings, *ps.settings, clock),
            clocks=(ps.master_clock, ps.slave_clock),
        ),
        Cell(name="reset", vlnv="xilinx.com:ip:proc_sys_reset", version="5.0", clocks=("slowest_sync_clk",)),
        _engine(rtl_top),
        *(_dma(name, receives=name == "dma") for name in dmas),
        *_interrupt_cells(len(interrupts)),
        _interconnect("control", 1, len(slaves)),
        _interconnect("memory", len(masters), 1),
    )
    return BlockDesign(
        part=part,
        board_part=board_part,
        settings=settings,
        clock_mhz=clock_mhz,
        processor=ps,
        cells=cells,
        links=_links(ps, slaves, masters, streamed=streamed),
        wires=_wires(ps, cells, interrupts),
        slaves=tuple(Slave(slave, ps.addresses[slave.split("/")[0]]) for slave in slaves),
        interrupts=interrupts,
        memory_masters=masters,
    )


def _links(ps: Processor, slaves: tuple[str, ...], masters: tuple[str, ...], *, streamed: bool) -> tuple[Link, ...]:
    """Streams between DMA and engine; processor to registers and DMA to memory, each by way of an interconnect."""
    streams = [("dma/M_AXIS_MM2S", "engine/s_axis_in"), ("engine/m_axis_out", "dma/S_AXIS_S2MM")]
    if streamed:
        streams.append(("dma_weights/M_AXIS_MM2S", "engine/s_axis_weights"))
    return (
        *(Link(source, sink, "axis", STREAM_BITS) for source, sink in streams),
        Link(f"ps/{ps.master}", "control/S00_AXI", "aximm"),
        *(Link(f"control/M{i:02}_AXI", slave, "aximm") for i, slave in enumerate(slaves)),
        *(Link(master, f"memory/S{i:02}_AXI", "aximm", STREAM_BITS) for i, master in enumerate(masters)),
        Link("memory/M00_AXI", f"ps/{ps.slave}", "aximm", STREAM_BITS),
    )


def _wires(ps: Processor, cells: tuple[Cell, ...], interrupts: tuple[str, ...]) -> tuple[tuple[str, str], ...]:
    """One clock and one reset for all cells, and the interrupts."""
    return (
        *((f"ps/{ps.clock}", f"{cell.name}/{pin}") for cell in cells for pin in cell.clocks),
        (f"ps/{ps.reset}", "reset/ext_reset_in"),
        *(("reset/peripheral_aresetn", f"{cell.name}/{pin}") for cell in cells for pin in cell.resets),
        *((pin, f"concat/In{i}") for i, pin in enumerate(interrupts)),
        ("concat/dout", "intc/intr"),
        ("intc/irq", f"ps/{ps.interrupt}"),
    )


def divisors(ratio: float) -> tuple[int, int]:
    """Two divisors of 6 bits whose product is closest to ``ratio``, and no clock is faster than asked for."""
    pairs = [(a, b) for a in range(1, 64) for b in range(1, a + 1) if a * b >= ratio - 1e-9]
    return min(pairs, key=lambda pair: pair[0] * pair[1]) if pairs else (63, 63)


def made_clock(processor: Processor, clock_mhz: float) -> float:
    """MHz; asked for exactly, lest Vivado round up."""
    first, second = divisors(processor.pll_mhz / clock_mhz)
    return processor.pll_mhz / (first * second)


def _engine(rtl_top: str) -> Cell:
    """The packaged core, or the Verilog module where one is named."""
    return Cell(
        name="engine",
        vlnv=f"{MODULE_VLNV}:{rtl_top}" if rtl_top else HLS_VLNV,
        version="1.0",
        pinned=True,
        clocks=("ap_clk",),
        resets=("ap_rst_n",),
    )


def _interrupt_cells(count: int) -> tuple[Cell, Cell]:
    """The interrupt controller, and what joins the wires of ``count`` interrupts to its one input."""
    controller = Cell(
        name="intc",
        vlnv="xilinx.com:ip:axi_intc",
        version="4.1",
        pinned=True,
        parameters=(("C_IRQ_CONNECTION", "1"),),  # its output is a plain pin
        clocks=("s_axi_aclk",),
        resets=("s_axi_aresetn",),
    )
    parameters = (("NUM_PORTS", str(count)),)
    return controller, Cell(name="concat", vlnv="xilinx.com:ip:xlconcat", version="2.1", parameters=parameters)


def _dma(name: str, *, receives: bool) -> Cell:
    """An AXI DMA in direct register mode, without realignment: addresses are multiples of 8 bytes."""
    width = str(STREAM_BITS)
    parameters = [
        ("c_include_sg", "0"),
        ("c_sg_length_width", str(LENGTH_BITS)),
        ("c_include_mm2s", "1"),
        ("c_include_mm2s_dre", "0"),
        ("c_m_axi_mm2s_data_width", width),
        ("c_m_axis_mm2s_tdata_width", width),
        ("c_include_s2mm", str(int(receives))),
    ]
    if receives:
        parameters += [("c_include_s2mm_dre", "0"), ("c_m_axi_s2mm_data_width", width)]
    directions = ("mm2s", "s2mm") if receives else ("mm2s",)
    return Cell(
        name=name,
        vlnv="xilinx.com:ip:axi_dma",
        version="7.1",
        pinned=True,
        parameters=tuple(parameters),
        clocks=("s_axi_lite_aclk", *(f"m_axi_{direction}_aclk" for direction in directions)),
        resets=("axi_resetn",),
    )


def _interconnect(name: str, masters: int, slaves: int) -> Cell:
    ports = [f"S{i:02}" for i in range(masters)] + [f"M{i:02}" for i in range(slaves)]
    return Cell(
        name=name,
        vlnv="xilinx.com:ip:axi_interconnect",
        version="2.1",
        parameters=(("NUM_SI", str(masters)), ("NUM_MI", str(slaves))),
        clocks=("ACLK", *(f"{port}_ACLK" for port in ports)),
        resets=("ARESETN", *(f"{port}_ARESETN" for port in ports)),
    )
