"""The ``squeeze-hls`` command group."""

from __future__ import annotations

import click

from squeeze_hls.cli.bitstream import bitstream
from squeeze_hls.cli.build import build
from squeeze_hls.cli.compare import compare
from squeeze_hls.cli.compress import compress
from squeeze_hls.cli.convert import quantize, unpack
from squeeze_hls.cli.deploy import deploy
from squeeze_hls.cli.infer import evaluate, run
from squeeze_hls.cli.info import boards, doctor, models
from squeeze_hls.cli.notebook import notebook
from squeeze_hls.cli.options import global_options, version_option
from squeeze_hls.cli.simulate import simulate
from squeeze_hls.cli.synth import synth

CONTEXT = {"help_option_names": ["-h", "--help"], "max_content_width": 100}


@click.group(context_settings=CONTEXT, invoke_without_command=True)
@global_options
@version_option
@click.pass_context
def cli(context: click.Context) -> None:
    """Turn a quantized SqueezeNet in ONNX into an FPGA accelerator."""
    if context.invoked_subcommand is None:
        click.echo(context.get_help())


RUNS = (build, run, evaluate, compare, simulate, synth, bitstream, notebook, deploy)
CONVERTS = (quantize, compress, unpack)
INFORMS = (boards, models, doctor)
for command in (*RUNS, *CONVERTS, *INFORMS):
    cli.add_command(command)
