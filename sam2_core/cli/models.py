"""``sam2 models``: list, fetch and import models."""

from __future__ import annotations

import argparse
import importlib.util
import json
from pathlib import Path
from typing import Any

from tqdm import tqdm

from sam2_core import plugins
from sam2_core.cli import common
from sam2_core.cli.failures import usage
from sam2_core.models import registry


def add_parser(commands: Any) -> argparse.ArgumentParser:
    """Add the command; without a verb it lists."""
    parser: argparse.ArgumentParser = commands.add_parser("models", help="list, fetch and import models")
    parser.set_defaults(run=run_list, json=False)
    verbs = parser.add_subparsers(metavar="VERB")
    list_all = verbs.add_parser("list", help="all models, and whether they are on this computer")
    list_all.add_argument("--json", action="store_true", help="print JSON")
    list_all.set_defaults(run=run_list)
    fetch = verbs.add_parser("fetch", help="download a published model")
    fetch.add_argument(
        "name", type=_published, metavar="NAME", help="a published model, for example sam2.1-tiny"
    )
    fetch.add_argument("--sha256", help="what the file must hash to, if you know it")
    fetch.set_defaults(run=run_fetch)
    bring = verbs.add_parser("import", help="take a published model from a file")
    bring.add_argument("file", type=Path, metavar="FILE", help="a checkpoint in Meta's or the hub's layout")
    bring.add_argument("--name", type=_published, help="what it should be; recognised if not given")
    bring.add_argument("--sha256", help="what the file must hash to, if you know it")
    bring.set_defaults(run=run_import)
    return parser


def run_list(options: argparse.Namespace) -> int:
    """Print all models."""
    rows = [
        {"name": name, "here": _is_here(name), "description": entry.description}
        for name, entry in plugins.models().items()
    ]
    if options.json:
        print(json.dumps(rows, indent=2))
        return 0
    cells = [[str(r["name"]), "yes" if r["here"] else "no", str(r["description"])] for r in rows]
    common.print_table(["name", "here", "what it is"], cells, left=True)
    print(f"\nfetched models are kept in {registry.cache_folder()} (the variable SAM2_CACHE moves it)")
    return 0


def run_fetch(options: argparse.Namespace) -> int:
    """Download a model with a progress bar."""
    steps = registry.fetch(options.name, options.sha256)
    with tqdm(unit="B", unit_scale=True, disable=not common.on_terminal(), leave=False) as bar:
        while True:
            try:
                progress = next(steps)
            except StopIteration as end:
                print(f"{options.name} is in {end.value}")
                return 0
            bar.total = progress.total
            bar.update(progress.done - bar.n)


def run_import(options: argparse.Namespace) -> int:
    """Copy a file into the cache folder."""
    print(f"imported as {registry.import_file(options.file, options.name, options.sha256)}")
    return 0


def _published(name: str) -> str:
    with usage():
        return registry.published(name).name


def _is_here(name: str) -> bool:
    if name == "flow":
        return importlib.util.find_spec("cv2") is not None
    return name not in registry.PUBLISHED or registry.is_cached(name)
