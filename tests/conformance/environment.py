"""A throw-away virtual environment for each process of a run.

It is how children that tests start get the same loops as the tests, `python -I` and
multiprocessing's included: whatever runs its interpreter reads its ``.pth`` file.
"""

from __future__ import annotations

import site
import sys
from dataclasses import dataclass
from pathlib import Path

from conformance.substitution import Kind

PACKAGE = Path(__file__).resolve().parent


@dataclass(frozen=True)
class Environment:
    """A folder with an interpreter of its own."""

    folder: Path

    @property
    def python(self) -> Path:
        """The interpreter."""
        return self.folder / "bin" / "python"

    @property
    def census(self) -> Path:
        """One line for each loop made by any process of this environment."""
        return self.folder / "loops"

    @property
    def output(self) -> Path:
        """What the tests print."""
        return self.folder / "output"

    @property
    def work(self) -> Path:
        """The folder to run in."""
        return self.folder / "work"


def make(folder: Path, kind: Kind, path: tuple[Path, ...] = ()) -> Environment:
    """Make an environment whose asyncio makes loops of this kind.

    It sees what the running interpreter has installed, and the folders in ``path``.
    """
    environment = Environment(folder)
    version = f"python{sys.version_info[0]}.{sys.version_info[1]}"
    packages = folder / "lib" / version / "site-packages"
    for subfolder in (packages, folder / "bin", environment.work):
        subfolder.mkdir(parents=True)
    base = Path(getattr(sys, "_base_executable", sys.executable))
    (folder / "pyvenv.cfg").write_text(f"home = {base.parent}\n")
    environment.python.symlink_to(base)
    environment.census.touch()
    # Python 3.15 complains of folders that do not exist, on the standard error of every child.
    packages_of_this = [entry for entry in site.getsitepackages() if Path(entry).is_dir()]
    seen = [*path, PACKAGE.parent, *packages_of_this]
    arrange = f"substitution.arrange({kind!r}, {str(environment.census)!r})"
    (packages / "conformance.pth").write_text(
        "".join(f"{entry}\n" for entry in seen)
        + f"import conformance.substitution as substitution; {arrange}\n"
    )
    return environment
