"""`python -m kit.deploy`: name a bundle to the chart or to docker-compose.yml, or fetch it into a pod."""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from kit.artefacts import BadArtefact, Store
from kit.bundles import BadBundle, list_bundles, read_bundle
from kit.deploy import chart_values, compose_variables, fetch

DONE, BAD_INPUT = 0, 2


def main(argv: Sequence[str] | None = None) -> int:
    """Exit 0 done, 2 when the store, the bundle or an artefact is not as named."""
    options = _parser().parse_args(argv)
    store = Store(options.store)
    try:
        bundle = read_bundle(store, options.bundle or _newest(store))
        match options.command:
            case "values":
                print(json.dumps(chart_values(bundle), indent=1))
            case "env":
                print("\n".join(f"{name}={value}" for name, value in compose_variables(bundle).items()))
            case _:
                fetch(store, bundle, options.to)
                print(f"bundle {bundle.id} and its two artefacts, whole")
    except (BadArtefact, BadBundle) as error:
        print(f"kit.deploy: {error}", file=sys.stderr)
        return BAD_INPUT
    return DONE


def _newest(store: Store) -> str:
    bundles = list_bundles(store)
    if not bundles:
        raise BadBundle(f"no bundle in {store.url}: the models' `test` stages make one")
    return bundles[-1]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m kit.deploy", description="What a deployment needs of a bundle.")
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("values", help="print the chart's `release` section, as JSON, which is YAML")
    commands.add_parser("env", help="print the variables of docker-compose.yml")
    commands.add_parser("fetch", help="copy the bundle and its artefacts to TO, checked byte for byte").add_argument(
        "--to", type=Path, required=True
    )
    for command in commands.choices.values():
        command.add_argument("--store", required=True, help="a folder or an fsspec URL")
        command.add_argument("--bundle", help="its id (default: the newest)")
    return parser


if __name__ == "__main__":
    sys.exit(main())
