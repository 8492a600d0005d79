"""Write the data of the explorer into ``book/_static/explorer``.

``python -m tools.explorer results``   from the stored runs in ``results/``, after each new one; and the static figure
``python -m tools.explorer networks``  train the small networks anew, some minutes
``python -m tools.explorer looks``     names and colours of these networks, as the registry has them today
"""

from __future__ import annotations

import sys

from bioadv.data import datasets
from bioadv.pages import explorer_data, explorer_figure, explorer_networks


def main(names: list[str]) -> None:
    """Write the named files."""
    if not names or set(names) - {"results", "networks", "looks"}:
        raise SystemExit(__doc__)
    if "results" in names:
        found = explorer_data.results()
        for path in (explorer_data.write("results", found), *explorer_figure.write(found)):
            print(path)
    if "looks" in names:
        content = explorer_data.read_script(explorer_data.FOLDER / "networks.js")
        networks = [entry | explorer_data.about(entry["name"]) for entry in content["networks"]]
        print(explorer_data.write("networks", {**content, "version": explorer_data.VERSION, "networks": networks}))
    if "networks" in names:
        data = datasets.load("photo-patches")
        trained = explorer_networks.train_all(data)
        print(explorer_data.write("networks", explorer_data.networks(data, trained)))


if __name__ == "__main__":
    main(sys.argv[1:])
