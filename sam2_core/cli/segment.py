"""``sam2 segment``: prompts on one image."""

from __future__ import annotations

import argparse
from typing import Any

from sam2_core.cli import common, prompts, sources


def add_parser(commands: Any) -> argparse.ArgumentParser:
    """Add the command."""
    parser: argparse.ArgumentParser = commands.add_parser("segment", help="segment objects of one image")
    parser.add_argument(
        "source", metavar="IMAGE", help="an image, or anything that 'track' takes: its prompted frames"
    )
    prompts.add_arguments(parser)
    sources.add_arguments(parser)
    common.add_model_arguments(parser)
    common.add_output_arguments(parser, "labels")
    parser.set_defaults(run=run)
    return parser


def run(options: argparse.Namespace) -> int:
    """Run the command."""
    clock, output = common.Clock(), common.Output.of(options)
    with prompts.opened(options) as session:
        output.keep(session)
        common.finish(session, output, clock, as_json=options.json)
    return 0
