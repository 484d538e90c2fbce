"""Quantized SqueezeNets in ONNX to FPGA accelerators whose weights stay on chip."""

__version__ = "0.1.0"
