"""``sam2 segment``: prompts on one image."""

from __future__ import annotations

import argparse
from typing import Any

from sam2_core.cli import common, prompts, sources
from sam2_core.cli.results import Output
from sam2_core.results import Masklet
from sam2_core.session import Session


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
    clock, output = common.Clock(), Output.of(options)
    with prompts.opened(options) as session:
        masklets, model = _prompted(session), session.model.name
        output.keep(session, masklets)
        common.finish(masklets, output.written, model, clock, as_json=options.json)
    return 0


def _prompted(session: Session) -> dict[int, Masklet]:
    """Of each object the frames of its prompts; a saved session may know what was tracked between them."""
    return {
        object_id: Masklet(object_id, {i: f for i, f in masklet.items() if f.source == "prompted"})
        for object_id, masklet in session.masklets().items()
    }
