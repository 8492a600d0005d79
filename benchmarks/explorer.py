"""The explorer in headless Chromium, opened from disk: smallest and median of several tries, beside the bars."""

import shutil
import statistics
import tempfile
from pathlib import Path

from tests import explorer_page

MOVE = """() => { const box = document.querySelector('.ex-slider input');
  box.value = 40 + Math.floor(200 * Math.random()); const t = performance.now();
  box.dispatchEvent(new Event('input')); return performance.now() - t; }"""
NETS = """const { engine, liveNetworks } = bioadvExplorer; const nets = liveNetworks(bioadvData.networks);
  const image = engine.unit(engine.unpack(bioadvData.networks.images).subarray(3072 * i, 3072 * (i + 1)));
  const labels = nets.map((net) => engine.argmax(engine.logits(net, image.x))); const t = performance.now();"""
ATTACK = f"""(i) => {{ {NETS} nets.forEach((net, k) => engine.attack('pgd', net, image, labels[k])(0.005));
  return performance.now() - t; }}"""
CRITICAL = f"""(i) => {{ {NETS} nets.forEach((net, k) => engine.critical('pgd', net, image, labels[k]));
  return performance.now() - t; }}"""


def main(tries: int = 12) -> None:
    """Print each time in milliseconds."""
    from playwright.sync_api import sync_playwright

    if explorer_page.CHROMIUM is None:
        raise SystemExit("no Chromium on this machine")
    folder = Path(tempfile.mkdtemp())
    address = explorer_page.write(folder / "page")
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=explorer_page.CHROMIUM, args=["--no-sandbox"])
        times: dict[str, list[float]] = {"ready": [], "ready, playground": []}
        for name, view in (("ready", "#spectra"), ("ready, playground", "#playground")):
            for _ in range(tries // 2):
                tab = started.new_page()
                tab.goto(f"{address}{view}")
                tab.wait_for_selector("#bioadv-explorer[data-ready]", state="attached")
                times[name].append(float(tab.locator("#bioadv-explorer").get_attribute("data-ready") or "nan"))
                tab.close()
        tab = started.new_page()
        tab.goto(f"{address}#spectra")
        tab.wait_for_selector(".ex-brush")
        times["slider"] = [float(tab.evaluate(MOVE)) for _ in range(5 * tries)]
        times["one attack on all"] = [float(tab.evaluate(ATTACK, i)) for i in range(tries)]
        times["smallest of all"] = [float(tab.evaluate(CRITICAL, i)) for i in range(tries)]
        started.close()
    shutil.rmtree(folder)
    bars = {"ready": 1000, "ready, playground": 1000, "slider": 5, "one attack on all": 50, "smallest of all": 250}
    for name, found in times.items():
        print(f"{name:20s} min {min(found):7.1f} ms  median {statistics.median(found):7.1f} ms  bar {bars[name]} ms")
