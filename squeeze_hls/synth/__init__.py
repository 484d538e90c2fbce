"""Synthesis of the RTL engine with Yosys: what it costs on a part, and its deepest path, without vendor tools."""
