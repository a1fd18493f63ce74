"""Compiles the road plan of the town, `town.nod.xml` and `town.edg.xml`, into SUMO's network `town.net.xml`.

    pip install eclipse-sumo==1.28.0     # 456 MB, only for this; not in requirements.txt
    python -m data_prep.miniworld.build_town

Run it after editing the plain XML, and commit all three files. netconvert's own header (date, paths) is left out, so
the same plan gives the same bytes.
"""

import re
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path

from data_prep.miniworld.world.road_network import NET_FILE
from dima_jax.errors import UserError

OPTIONS = (
    "--offset.disable-normalization",  # keep the plan's coordinates
    "--crossings.guess --walkingareas --default.crossing-width 3.5",
    "--opposites.guess --opposites.guess.fix-lengths",  # overtaking through the opposite lane
    "--junctions.limit-turn-speed 3.0 --junctions.corner-detail 8 --junctions.internal-link-detail 15",
    "--rectangular-lane-cut --no-turnarounds",
    "--tls.default-type static --tls.cycle.time 44 --tls.left-green.time 0",  # one state per approach
    "--seed 1",
)


def netconvert() -> str:
    """Path of SUMO's netconvert, beside this Python or on PATH; raises `UserError` when not installed."""
    program = shutil.which("netconvert", path=sysconfig.get_path("scripts")) or shutil.which("netconvert")
    if program is None:
        raise UserError("netconvert is not installed: run `pip install eclipse-sumo==1.28.0`, then this command again")
    return program


def build(folder: Path) -> str:
    """The text of the network of `folder`/town.{nod,edg}.xml. Raises `UserError` with the message of netconvert."""
    with tempfile.TemporaryDirectory() as scratch:
        out = Path(scratch) / NET_FILE.name
        command = [netconvert(), "-n", str(folder / "town.nod.xml"), "-e", str(folder / "town.edg.xml"), "-o", str(out)]
        done = subprocess.run([*command, *" ".join(OPTIONS).split()], capture_output=True, text=True)
        if done.returncode != 0:
            raise UserError(f"netconvert refused the plan in {folder}: {done.stderr.strip()}")
        return re.sub(r"\n<!--.*?-->\n", "", out.read_text(), count=1, flags=re.DOTALL)


def main() -> None:
    """Rebuild the committed network in place."""
    try:
        NET_FILE.write_text(build(NET_FILE.parent))
    except UserError as error:
        print(error, file=sys.stderr)
        sys.exit(2)
    print(f"wrote {NET_FILE.name}")


if __name__ == "__main__":
    main()
