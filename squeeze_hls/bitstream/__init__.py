"""The bitstream flow: AMD's Vitis HLS and Vivado, here or on another machine, and what they make."""
