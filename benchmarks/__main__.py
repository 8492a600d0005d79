"""``python -m benchmarks``: run all, or those named."""

import importlib
import sys

KNOWN = ["attacks", "landscapes", "local_learning", "spectra", "training"]
# Only when named.
LONG = ["explorer", "peers", "precision", "probe", "products", "readout", "screening", "seed", "spectral", "stored"]

for name in sys.argv[1:] or KNOWN:
    if name not in KNOWN + LONG:
        sys.exit(f"benchmark {name!r} is not known; choose from {', '.join(KNOWN + LONG)}")
    importlib.import_module(f"benchmarks.{name}").main()
