"""The smallest distributed job: `springtide run examples/hello/hello.py --nodes 2`."""

import time

from springtide import sdk

for step in range(1, 6):
    print(f"hello from rank {sdk.rank()} of {sdk.world_size()}, step {step} of 5")
    sdk.report(step=step, total=5)
    time.sleep(0.2)
