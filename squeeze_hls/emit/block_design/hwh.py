"""The hardware handoff file of the block design: the XML beside a bitstream that Vivado writes and PYNQ reads.

Modules with their parameters, ports, interfaces, memory map and, for what the processor reaches, registers.  On a board
Vivado's own file is used; this one belongs to the simulated board.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from xml.etree import ElementTree
from xml.etree.ElementTree import Element, SubElement

from squeeze_hls.emit.block_design.design import DMA_REGISTERS, INTC_REGISTERS, BlockDesign, Cell, Slave, divisors
from squeeze_hls.engine.registers import REGISTERS, Register

_CLOCKS = 4  # that a processor gives
_INTERFACES = {"aximm": ("MASTER", "SLAVE"), "axis": ("INITIATOR", "TARGET")}
_DMA_DEFAULTS = {"c_micro_dma": "0", "c_include_mm2s": "1", "c_include_s2mm": "1", "c_addr_width": "32"}


def handoff(design: BlockDesign) -> bytes:
    """The file's bytes."""
    root = Element("EDKSYSTEM", EDWVERSION="1.2", VIVADOVERSION="2023.2")
    arch = "zynq" if design.processor.vlnv.endswith("7") else "zynquplus"
    SubElement(root, "SYSTEMINFO", ARCH=arch, DEVICE=design.part, NAME="system")
    SubElement(root, "EXTERNALPORTS")
    SubElement(root, "EXTERNALINTERFACES")
    modules = SubElement(root, "MODULES")
    for cell in design.cells:
        _module(modules, design, cell)
    ElementTree.indent(root)
    return ElementTree.tostring(root, encoding="UTF-8", xml_declaration=True) + b"\n"


def _module(parent: Element, design: BlockDesign, cell: Cell) -> None:
    module = SubElement(
        parent,
        "MODULE",
        FULLNAME=f"/{cell.name}",
        HWVERSION=cell.version,
        INSTANCE=cell.name,
        IPTYPE="BUS" if cell.kind == "axi_interconnect" else "PERIPHERAL",
        IS_ENABLE="1",
        MODTYPE=cell.kind,
        VLNV=f"{cell.vlnv}:{cell.version}",
    )
    slave = {slave.cell: slave for slave in design.slaves}.get(cell.name)
    if slave is not None:
        _registers(module, cell, slave)
    parameters = SubElement(module, "PARAMETERS")
    for name, value in _parameters(design, cell, slave).items():
        SubElement(parameters, "PARAMETER", NAME=name, VALUE=value)
    _ports(SubElement(module, "PORTS"), design, cell)
    interfaces = SubElement(module, "BUSINTERFACES")
    for link in design.links:
        for end, kind in zip((link.source, link.sink), _INTERFACES[link.protocol], strict=True):
            owner, name = end.split("/")
            if owner == cell.name:
                interface = SubElement(
                    interfaces,
                    "BUSINTERFACE",
                    BUSNAME=link.source.replace("/", "_"),
                    DATAWIDTH=str(link.bits),
                    NAME=name,
                    TYPE=kind,
                    VLNV=f"xilinx.com:interface:{link.protocol}:1.0",
                )
                SubElement(interface, "PORTMAPS")
    _memory_map(module, design, cell)


def _parameters(design: BlockDesign, cell: Cell, slave: Slave | None) -> dict[str, str]:
    """What the script sets, and what Vivado adds that PYNQ looks at."""
    values = _DMA_DEFAULTS.copy() if cell.kind == "axi_dma" else {}
    values |= dict(cell.parameters)
    if cell.kind == "axi_intc":
        inputs = len(design.interrupts)
        values |= {"C_NUM_INTR_INPUTS": str(inputs), "C_KIND_OF_INTR": "0x00000000", "C_IRQ_IS_LEVEL": "1"}
    if cell.name == "ps":
        values |= _clocks(design)
    if slave is not None:
        values |= {"C_BASEADDR": _hex(slave.address), "C_HIGHADDR": _hex(slave.address + slave.range - 1)}
    return values


def _clocks(design: BlockDesign) -> dict[str, str]:
    """The processor's clocks: the first one is the design's."""
    zynq = "PCW" in design.processor.clock_setting
    source = design.processor.pll_mhz
    values: dict[str, str] = {}
    for i in range(_CLOCKS):
        first, second = divisors(source / design.clock_mhz) if i == 0 else (1, 1)
        if zynq:
            values |= {
                f"PCW_FPGA_FCLK{i}_ENABLE": str(int(i == 0)),
                f"PCW_FCLK{i}_PERIPHERAL_DIVISOR0": str(first),
                f"PCW_FCLK{i}_PERIPHERAL_DIVISOR1": str(second),
                f"PCW_FCLK{i}_PERIPHERAL_CLKSRC": "IO PLL",
                f"PCW_ACT_FPGA{i}_PERIPHERAL_FREQMHZ": f"{source / (first * second) if i == 0 else 10:.6f}",
            }
        else:
            prefix = f"PSU__CRL_APB__PL{i}_REF_CTRL__"
            values |= {
                f"PSU__FPGA_PL{i}_ENABLE": str(int(i == 0)),
                f"{prefix}DIVISOR0": str(first),
                f"{prefix}DIVISOR1": str(second),
                f"{prefix}SRCSEL": "IOPLL",
                f"{prefix}ACT_FREQMHZ": f"{source / (first * second) if i == 0 else 100:.6f}",
            }
    return values


def _registers(module: Element, cell: Cell, slave: Slave) -> None:
    interface = slave.interface.split("/")[1]
    blocks = SubElement(module, "ADDRESSBLOCKS")
    block = SubElement(
        blocks,
        "ADDRESSBLOCK",
        ACCESS="read-write",
        INTERFACE=interface,
        NAME="Reg",
        RANGE=str(slave.range),
        USAGE="register",
    )
    registers = SubElement(block, "REGISTERS")
    for register in _register_map(cell):
        if cell.kind == "axi_dma" and "S2MM" in register.name and ("c_include_s2mm", "0") in cell.parameters:
            continue
        element = SubElement(registers, "REGISTER", NAME=register.name)
        properties = {
            "DESCRIPTION": register.doc,
            "ADDRESS_OFFSET": f"0x{register.offset:02X}",
            "SIZE": "32",
            "ACCESS": "read-write" if register.writable else "read-only",
            "IS_ENABLED": "true",
        }
        for name, value in properties.items():
            SubElement(element, "PROPERTY", NAME=name, VALUE=value)


def _register_map(cell: Cell) -> Iterable[Register]:
    if cell.name == "engine":
        return REGISTERS
    offsets = DMA_REGISTERS if cell.kind == "axi_dma" else INTC_REGISTERS
    return [Register(name, offset, name.replace("_", " "), writable=True) for name, offset in offsets.items()]


def _ports(parent: Element, design: BlockDesign, cell: Cell) -> None:
    """Pins that are wired, in the order of their first wire; each names all that it is connected to."""
    pins: dict[str, list[tuple[str, str]]] = defaultdict(list)  # other pin, direction of this one
    nets = {}
    for driver, driven in design.wires:
        for pin, other, direction in ((driver, driven, "O"), (driven, driver, "I")):
            owner, name = pin.split("/")
            if owner == cell.name:
                pins[name].append((other, direction))
                nets[name] = driver
    for name, ends in pins.items():
        port = SubElement(
            parent, "PORT", DIR=ends[0][1], NAME=name, SIGIS=_signal(design, nets[name]), SIGNAME=_net(nets[name])
        )
        if f"{cell.name}/{name}" in ("concat/dout", "intc/intr"):
            port.attrib |= {"LEFT": str(len(design.interrupts) - 1), "RIGHT": "0"}
        if nets[name] == design.clock_pin:
            port.set("CLKFREQUENCY", str(round(design.made_clock_mhz * 1e6)))
        connections = SubElement(port, "CONNECTIONS")
        for other, _ in ends:
            instance, pin = other.split("/")
            SubElement(connections, "CONNECTION", INSTANCE=instance, PORT=pin)


def _signal(design: BlockDesign, driver: str) -> str:
    if driver == design.clock_pin:
        return "clk"
    if driver in (f"ps/{design.processor.reset}", "reset/peripheral_aresetn"):
        return "rst"
    return "undef" if driver.startswith("concat/") else "INTERRUPT"


def _net(driver: str) -> str:
    return driver.replace("/", "_")


def _memory_map(module: Element, design: BlockDesign, cell: Cell) -> None:
    """What a master of this cell reaches."""
    processor = design.processor
    ranges = []
    if cell.name == "ps":
        for slave in design.slaves:
            ranges.append((processor.master, slave.interface, "REGISTER", "Reg", slave.address, slave.range))
    for master in design.memory_masters:
        owner, name = master.split("/")
        if owner == cell.name:
            segment, size = processor.memory
            ranges.append((name, f"ps/{processor.slave}", "MEMORY", segment, 0, size))
    if not ranges:
        return
    memory_map = SubElement(module, "MEMORYMAP")
    for master, target, kind, segment, base, size in ranges:
        instance, interface = target.split("/")
        SubElement(
            memory_map,
            "MEMRANGE",
            ADDRESSBLOCK=segment,
            BASENAME="C_BASEADDR",
            BASEVALUE=_hex(base),
            HIGHNAME="C_HIGHADDR",
            HIGHVALUE=_hex(base + size - 1),
            INSTANCE=instance,
            IS_DATA="TRUE",
            MASTERBUSINTERFACE=master,
            MEMTYPE=kind,
            SLAVEBUSINTERFACE=interface,
        )


def _hex(value: int) -> str:
    return f"0x{value:08X}"
