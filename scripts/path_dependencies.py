"""Print the `--editable FOLDER` arguments that install a project and the projects beside it that it depends on."""

import sys
import tomllib
from pathlib import Path


def folders(project: Path) -> list[Path]:
    """Every folder to install, dependencies first, each once."""
    uv = tomllib.loads((project / "pyproject.toml").read_text()).get("tool", {}).get("uv", {})
    found: list[Path] = []
    for source in uv.get("sources", {}).values():
        if "path" in source:
            found += [f for f in folders((project / source["path"]).resolve()) if f not in found]
    return [*found, *([project] if uv.get("package", True) else [])]


for folder in folders(Path(sys.argv[1]).resolve()):
    print("--editable")
    print(folder)
