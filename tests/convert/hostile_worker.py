"""Reads each file of a folder with a GiB of memory to spare; prints a JSON line of its name, seconds of work and refusal."""

import json
import resource
import sys
import time
from pathlib import Path

from dima_jax.convert import torch_file
from dima_jax.errors import UserError

torch_file.read_state_dict(Path(__file__).parent / "torch_files" / "zip.pth")  # imports what is imported late
pages = int(Path("/proc/self/statm").read_text().split()[0])
limit = pages * resource.getpagesize() + 2**30
resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
for file in sorted(Path(sys.argv[1]).iterdir()):
    start, refusal = time.process_time(), None
    try:
        torch_file.read_state_dict(file)
    except UserError as error:
        refusal = str(error)
    print(json.dumps([file.name, time.process_time() - start, refusal]), flush=True)
