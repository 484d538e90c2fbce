"""``python -m squeeze_hls``."""

from squeeze_hls.cli import main

main()
