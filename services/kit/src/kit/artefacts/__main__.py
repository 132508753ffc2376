"""`python -m kit.artefacts`: list, verify and fetch what a store holds; a model pod's init container runs `fetch`."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from kit.artefacts import BadArtefact, Published, Store

DONE, BAD_INPUT = 0, 2


def main(argv: Sequence[str] | None = None) -> int:
    """Exit 0 done, 2 when the store, the artefact or its sha256 is not as named."""
    parser = argparse.ArgumentParser(prog="python -m kit.artefacts", description="Artefacts of a store.")
    commands = parser.add_subparsers(dest="command", required=True)
    listing = commands.add_parser("list", help="the versions of a project")
    fetch = commands.add_parser("fetch", help="copy one artefact to TO/VERSION, checked byte for byte")
    verify = commands.add_parser("verify", help="read one artefact and compare every file with its manifest")
    for command in (listing, fetch, verify):
        command.add_argument("--store", required=True, help="a folder or an fsspec URL")
        command.add_argument("--project", required=True)
    for command in (fetch, verify):
        command.add_argument("--version", type=int, required=True)
        command.add_argument("--sha256", required=True, help="of its manifest")
    fetch.add_argument("--to", type=Path, required=True)
    options = parser.parse_args(argv)
    try:
        store = Store(options.store)
        if options.command == "list":
            for version in store.versions(options.project):
                print(version)
            return DONE
        named = Published(options.project, options.version, options.sha256)
        manifest = store.fetch(named, options.to) if options.command == "fetch" else store.verify(named)
        print(f"{options.project}/{options.version}: {len(manifest.files)} files, whole")
    except BadArtefact as error:
        print(f"kit.artefacts: {error}", file=sys.stderr)
        return BAD_INPUT
    return DONE


if __name__ == "__main__":
    sys.exit(main())
