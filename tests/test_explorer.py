"""The explorer in a real browser, opened from disk: what it computes, what its reader does, and what may be wrong."""

import base64
import json

import numpy as np
import pytest
import torch

from bioadv.data import datasets
from bioadv.measure import attacks, critical, landscapes, powerlaw
from bioadv.measure.gradient_ascent import PGD
from bioadv.pages import explorer_data
from bioadv.pages.explorer_networks import Network
from tests import explorer_page
from tests.explorer_page import CHROMIUM

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine (Debian: apt install chromium)")
VIEWS = ("spectra", "playground", "landscape", "ledger")
IMAGES = 100


@pytest.fixture(scope="module")
def browser():
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        yield started
        started.close()


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    """The page of the built book, if it has the bundle of today; else the same markup in a plain frame."""
    return explorer_page.built() or explorer_page.write(tmp_path_factory.mktemp("explorer"))


@pytest.fixture
def visit(browser, address):
    """Opens the page at a hash; fails on an error in the page, or if it asks the network for anything."""
    contexts, wrong = [], []

    def open_page(hash="", at=None, ready=True, **options):
        context = browser.new_context(viewport={"width": 1000, "height": 900}, **options)
        contexts.append(context)
        tab = context.new_page()
        tab.on("pageerror", lambda error: wrong.append(str(error)))
        tab.on("request", lambda r: wrong.append(r.url) if not r.url.startswith(("file:", "data:", "blob:")) else None)
        tab.goto(f"{at or address}{hash}")
        if ready:
            tab.wait_for_selector("#bioadv-explorer[data-ready]", timeout=60_000, state="attached")
        return tab

    yield open_page
    for context in contexts:
        context.close()
    assert wrong == []


@pytest.fixture(scope="module")
def trained():
    """The live networks as the file has them."""
    content = explorer_data.read_script(explorer_data.FOLDER / "networks.js")
    return [
        Network(
            name=entry["name"],
            power=entry["power"],
            accuracy=entry["accuracy"],
            **{key: explorer_data.unpack(entry[key]) for key in ("hidden", "scale", "readout", "bias")},
        )
        for entry in content["networks"]
    ]


@pytest.fixture(scope="module")
def patches():
    test = datasets.load("photo-patches").test
    return datasets.Images(test.pixels[:IMAGES], test.labels[:IMAGES], test.classes, "patches")


# What it computes

COMPUTE = """([pixels, kinds]) => {
  const { engine, liveNetworks } = bioadvExplorer;
  const nets = liveNetworks(bioadvData.networks);
  const bytes = Uint8Array.from(atob(pixels), (c) => c.charCodeAt(0));
  const found = [];
  const packed = (g) => btoa(String.fromCharCode(...new Uint8Array(Float32Array.from(g).buffer)));
  for (let i = 0; 3072 * i < bytes.length; i++) {
    const image = engine.unit(bytes.subarray(3072 * i, 3072 * (i + 1)));
    const net = nets[i % nets.length];
    const label = engine.argmax(engine.logits(net, image.x));
    const of = (kind) => { const c = engine.critical(kind, net, image, label); return [c.index, c.norm]; };
    found.push({
      logits: nets.map((one) => [...engine.logits(one, image.x)]),
      gradients: ['cross-entropy', 'margin'].map((loss) => packed(engine.gradient(net, image.x, label, loss).g)),
      critical: Object.fromEntries(kinds.map((kind) => [kind, of(kind)])),
    });
  }
  return found;
}"""


@pytest.mark.slow
def test_the_engine_agrees_with_the_package_on_a_hundred_images(visit, trained, patches):
    """Logits and gradients to 1e-4 of their size; 95 % of critical strengths at the same point of the grid of 400, and
    all but one image in a hundred within two points (2.6 % each): sums have another order than torch's."""
    packed = base64.b64encode(patches.pixels.tobytes()).decode()
    kinds = ["fgsm", "pgd", "l2"]
    found = visit("#playground").evaluate(COMPUTE, [packed, kinds])
    x, models = datasets.unit_lp(patches), [network.model() for network in trained]
    for i, model in enumerate(models):
        ours, theirs = attacks.logits(model, x).numpy(), np.array([one["logits"][i] for one in found])
        np.testing.assert_allclose(theirs, ours, atol=1e-4 * np.abs(ours).max())
    index = {kind: ([], []) for kind in kinds}
    for i, model in enumerate(models):
        mine = torch.arange(i, IMAGES, len(models))
        labels = attacks.logits(model, x[mine]).argmax(1)
        for k, loss in enumerate(attacks.LOSSES):
            ours = attacks.gradient(model, x[mine], labels, loss)[0].numpy()
            packed = [base64.b64decode(found[j]["gradients"][k]) for j in mine]
            theirs = np.array([np.frombuffer(g, np.float32) for g in packed])
            np.testing.assert_allclose(theirs, ours, atol=1e-4 * np.abs(ours).max())
        subject = model, x[mine], labels
        box = (0.0, datasets.ceiling(patches)[mine])
        l2 = PGD(steps=20, norm="l2", loss="margin", step=0.125, best=True, project=True)
        for kind, attack, grid, norm in (
            ("fgsm", critical.fgsm(*subject), critical.GRID, "linf"),
            ("pgd", critical.pgd(*subject), critical.GRID, "linf"),
            ("l2", critical.pgd(*subject, l2, box), critical.L2_GRID, "l2"),
        ):
            result = critical.search(*subject, attack, grid, critical.guess(*subject, grid, norm))
            index[kind][0].extend(result.index)
            index[kind][1].extend(found[j]["critical"][kind][0] for j in mine)
    for kind, (ours, theirs) in index.items():
        apart = np.abs(np.array(ours) - np.array(theirs))
        assert np.mean(apart == 0) >= 0.95, (kind, apart)
        assert np.sum(apart > 2) <= 1, (kind, apart)


def test_exponents_agree_with_the_package(visit):
    """Over several windows of every stored spectrum, to 1e-4; and the ends of the lines, to one rank in a hundred."""
    script = """(windows) => bioadvData.results.spectra.flatMap((entry) => Object.keys(entry)
      .filter((key) => entry[key].data).map((key) => {
        const { engine } = bioadvExplorer;
        const spectrum = engine.powerlaw.prepare(engine.unpack(entry[key]));
        return [entry.model, entry.seed, key, windows.map(([first, last]) => {
          const fit = engine.powerlaw.fit(spectrum, first, last);
          return fit && [fit.alpha, fit.last, engine.powerlaw.reach(spectrum, fit)];
        })];
      }))"""
    windows = [(11, 500), (11, 100), (1, 2000), (300, 340)]
    found = visit("#spectra").evaluate(script, windows)
    assert len(found) > 40
    stored = {(e["model"], e["seed"]): e for e in explorer_data.results()["spectra"]}
    for model, seed, key, fits in found:
        values = np.exp(explorer_data.unpack(stored[model, seed][key]))
        for window, theirs in zip(windows, fits, strict=True):
            ours = powerlaw.fit(values, window, truncate=True)
            assert theirs[:2] == [pytest.approx(ours.alpha, abs=1e-4), ours.last], (model, key, window)
            assert theirs[2] == pytest.approx(powerlaw.reach(values, ours), rel=0.01), (model, key, window)


def test_live_landscapes_agree_with_the_package(visit, trained):
    script = """() => { const { engine, liveNetworks } = bioadvExplorer;
      return liveNetworks(bioadvData.networks).map((net) => {
        const at = engine.normal(3072, 7).map((value) => Math.abs(value) / 20);
        const plane = engine.plane(at, engine.normal(3072, 8), engine.normal(3072, 9));
        const map = engine.landscape(net, plane, 5, 11);
        return [[...plane.origin], [...plane.u], [...plane.v], [...map.jacobian], [...map.classes],
                [...map.confidence]];
      }); }"""
    for network, found in zip(trained, visit("#landscape").evaluate(script), strict=True):
        plane = landscapes.Plane(*(torch.tensor(v, dtype=torch.float32) for v in found[:3]))
        assert abs(float(plane.u @ plane.v)) < 1e-5
        ours = landscapes.landscape(network.model(), plane, 5, 11)
        np.testing.assert_allclose(found[3], ours.latent_jacobian.ravel(), rtol=1e-3)
        assert np.mean(np.array(found[4]) == ours.classes.ravel()) > 0.98
        np.testing.assert_allclose(found[5], ours.confidence.ravel(), atol=2e-3)


# What its reader does


def alpha(tab, model="kh"):
    return float(tab.locator(f"[data-alpha={model}]").inner_text().split()[0])


def box_of(place):
    """Where something is drawn, after the page was scrolled to it: a mouse beyond the window's edge moves nothing."""
    place.scroll_into_view_if_needed()
    return place.bounding_box()


def wait_for(tab, condition):
    tab.wait_for_function(condition, timeout=20_000)


def test_a_window_is_typed_dragged_touched_and_moved_by_keys(visit):
    tab = visit("#spectra?models=kh")
    values = explorer_data.results()["spectra"]
    kh = np.exp(explorer_data.unpack(next(e for e in values if e["model"] == "kh")["images_before"]))

    def expected(first, last):
        return pytest.approx(powerlaw.fit(kh, (first, last), truncate=True).alpha, abs=2e-3)

    assert alpha(tab) == expected(11, 500)
    tab.get_by_label("Last rank", exact=True).fill("100")
    tab.keyboard.press("Enter")
    assert alpha(tab) == expected(11, 100)
    wait_for(tab, "location.hash.includes('last=100')")

    slider = tab.get_by_label("Move the first rank")
    slider.focus()
    for _ in range(5):
        tab.keyboard.press("ArrowRight")
    first = int(tab.get_by_label("First rank", exact=True).input_value())
    assert first > 11
    assert alpha(tab) == expected(first, 100)

    box = box_of(tab.locator(".ex-brush .overlay").first)
    tab.mouse.move(box["x"] + 0.2 * box["width"], box["y"] + 50)
    tab.mouse.down()
    tab.mouse.move(box["x"] + 0.6 * box["width"], box["y"] + 60, steps=4)
    tab.mouse.up()
    window = [int(tab.get_by_label(f"{end} rank", exact=True).input_value()) for end in ("First", "Last")]
    assert window[0] != first
    assert alpha(tab) == expected(*window)

    tab.get_by_label("BP", exact=True).check()
    assert tab.locator("[data-alpha=bp]").count() == 1
    tab.get_by_label("Images seen").select_option("noise")
    assert alpha(tab) != expected(*window)


def test_a_window_is_drawn_by_touch(visit):
    tab = visit("#spectra?models=kh", has_touch=True, is_mobile=True)
    box = box_of(tab.locator(".ex-brush .overlay").first)
    before = alpha(tab)
    session = tab.context.new_cdp_session(tab)

    def touch(kind, share):
        points = [] if share is None else [{"x": box["x"] + share * box["width"], "y": box["y"] + 40}]
        session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})

    touch("touchStart", 0.1)
    for share in (0.2, 0.25, 0.3):
        touch("touchMove", share)
    touch("touchEnd", None)
    wait_for(tab, f"!document.querySelector('[data-alpha=kh]').textContent.startsWith('{before:g}')")


def test_an_image_is_picked_attacked_and_its_smallest_change_found(visit):
    tab = visit("#playground?attack=fgsm")
    card = tab.get_by_role("region", name="BP", exact=True)
    length = "document.querySelectorAll('.ex-decision')[2].textContent"
    was = card.locator(".ex-decision").inner_text()
    tab.get_by_label("Strength ε").press("End")
    assert card.locator(".ex-decision").inner_text() != was
    assert "✗" in card.locator(".ex-decision").inner_text()
    tab.get_by_label("cat, patch 2").check(force=True)
    assert "cat" in tab.locator(".ex-note").first.inner_text()
    tab.get_by_role("button", name="Find the smallest").click()
    tab.wait_for_selector("[data-norm=random]", timeout=60_000)
    norms = {e.get_attribute("data-norm"): e.inner_text() for e in tab.locator("[data-norm]").all()}
    assert len(norms) == 6
    assert float(norms["kh"]) > float(norms["random"])  # the chapter's finding, on this image too
    assert tab.locator(".ex-trace circle").count() > 20
    wait_for(tab, "location.hash.includes('image=7')")
    assert tab.evaluate(length)


@pytest.fixture
def own(tmp_path):
    """Files of all kinds that a reader may drop."""
    from PIL import Image

    rng = np.random.default_rng(0)
    photo = Image.fromarray(rng.integers(0, 255, (40, 90, 3), dtype=np.uint8))
    photo.save(tmp_path / "photo.png")
    Image.new("RGBA", (64, 64), (0, 0, 0, 0)).save(tmp_path / "clear.png")
    half = Image.new("RGBA", (64, 64), (200, 30, 30, 255))
    half.paste((0, 0, 0, 0), (0, 0, 32, 64))
    half.save(tmp_path / "half.png")
    Image.new("RGB", (64, 64)).save(tmp_path / "black.png")
    Image.new("L", (8000, 8000), 90).save(tmp_path / "huge.png")
    (tmp_path / "text.png").write_text("no image at all")
    (tmp_path / "empty.png").write_bytes(b"")
    with (tmp_path / "heavy.png").open("wb") as heavy:
        heavy.truncate(60_000_000)
    return tmp_path


def test_an_own_image_is_used_or_refused_with_a_sentence(visit, own):
    tab = visit("#playground")
    give, problem, note = tab.locator("#ex-own"), tab.locator(".ex-panel .ex-problem"), tab.locator(".ex-note").first
    for name, words in {
        "text.png": "no image that this browser can read",
        "empty.png": "is empty",
        "heavy.png": "has 60 MB",
        "huge.png": "8000 × 8000 pixels",
        "clear.png": "transparent throughout",
        "black.png": "black throughout",
    }.items():
        give.set_input_files(own / name)
        tab.wait_for_function(
            "(w) => document.querySelector('.ex-panel .ex-problem').textContent.includes(w)", arg=words
        )
        assert problem.is_visible()
        assert "photograph “astronaut”" in note.inner_text()  # what was there stays
    give.set_input_files(own / "photo.png")
    wait_for(tab, "document.querySelector('.ex-panel .ex-note').textContent.includes('photo.png')")
    assert not problem.is_visible()
    assert "its middle square was taken; 40 × 40 pixels were scaled" in note.inner_text()
    give.set_input_files(own / "half.png")
    wait_for(tab, "document.querySelector('.ex-panel .ex-note').textContent.includes('laid on white')")
    tab.get_by_role("button", name="Find the smallest").click()
    tab.wait_for_selector("[data-norm=random]", timeout=60_000)
    assert "image=" not in tab.evaluate("location.hash")  # it stays in the page


def test_an_image_is_dropped(visit, own):
    tab = visit("#playground")
    data = base64.b64encode((own / "photo.png").read_bytes()).decode()
    tab.evaluate(
        """(data) => { const bytes = Uint8Array.from(atob(data), (c) => c.charCodeAt(0));
        const given = new DataTransfer(); given.items.add(new File([bytes], 'dropped.png', { type: 'image/png' }));
        document.querySelector('.ex-drop').dispatchEvent(
          new DragEvent('drop', { dataTransfer: given, bubbles: true, cancelable: true })); }""",
        data,
    )
    wait_for(tab, "document.querySelector('.ex-panel .ex-note').textContent.includes('dropped.png')")


def test_a_change_is_painted_by_mouse_and_by_keys(visit):
    tab = visit("#playground?image=1")
    board, caption = tab.locator(".ex-board"), tab.locator(".ex-two caption")
    assert "length 0" in caption.inner_text()
    box = box_of(board)
    tab.mouse.move(box["x"] + 60, box["y"] + 60)
    tab.mouse.down()
    tab.mouse.move(box["x"] + 120, box["y"] + 90, steps=5)
    tab.mouse.up()
    painted = float(caption.inner_text().split()[-1])
    assert painted > 0
    board.focus()
    tab.keyboard.press("ArrowDown")
    tab.keyboard.press("Space")
    assert float(caption.inner_text().split()[-1]) != painted
    tab.get_by_role("button", name="Show the machine's").click()
    wait_for(tab, "[...document.querySelectorAll('.ex-two td:last-child')].every((cell) => cell.textContent !== '–')")
    tab.get_by_role("button", name="Start over").click()
    assert "length 0" in caption.inner_text()


@pytest.mark.parametrize("source", ["stored", "live"])
def test_a_point_is_dragged_over_the_plane(visit, source):
    tab = visit(f"#landscape?source={source}")
    board = tab.locator(".ex-map").first
    place = tab.locator(".ex-maps td").first
    assert place.inner_text() == "0, 0"
    box = box_of(board)
    tab.mouse.move(box["x"] + 0.5 * box["width"], box["y"] + 0.5 * box["height"])
    tab.mouse.down()
    tab.mouse.move(box["x"] + 0.95 * box["width"], box["y"] + 0.1 * box["height"], steps=5)
    tab.mouse.up()
    s, t = (float(v) for v in place.inner_text().replace("−", "-").split(","))
    assert s == pytest.approx(18, abs=0.5)
    assert t == pytest.approx(16, abs=0.5)
    board.focus()
    tab.keyboard.press("ArrowLeft")
    assert float(place.inner_text().split(",")[0]) == pytest.approx(s - 0.4, abs=0.06)
    assert tab.locator("canvas.ex-large").is_visible() == (source == "live")
    wait_for(tab, "location.hash.includes('s=')")


def test_stored_planes_are_those_of_the_study(visit):
    """The decision at the image itself, by model, is the one in the stored map."""
    content = explorer_data.read_script(explorer_data.FOLDER / "results.js")
    names = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]
    tab = visit("#landscape")
    for entry in content["planes"]:
        tab.get_by_label("Model", exact=True).select_option(entry["model"])
        classes = explorer_data.unpack(entry["classes"])[1, 0]
        middle = len(classes) // 2
        assert tab.locator("[data-decision]").inner_text() == names[classes[middle, middle]]


def test_a_claim_shows_its_data(visit):
    tab = visit("#ledger")
    claims = explorer_data.read_script(explorer_data.FOLDER / "results.js")["claims"]
    claim = next(c for c in claims if c["id"] == "critical-pgd-bp")
    tab.get_by_role("button", name=claim["text"]).click()
    shown = tab.locator(".ex-claim")
    assert claim["verdict"] in shown.inner_text()
    assert all(f"{v:.4g}" in shown.inner_text() for column in claim["values"].values() for v in column)
    assert shown.locator(".ex-marker").count() == sum(map(len, claim["values"].values()))
    tab.get_by_role("button", name="Show these models").click()
    wait_for(tab, "location.hash.includes('models=bp')")
    wait_for(tab, "document.querySelector('.ex-panel table').innerText.includes('BP, 0')")
    row = tab.locator(".ex-panel table").first
    assert "BP, 0" in row.inner_text()
    assert "KH" not in row.inner_text()
    tab.get_by_role("slider", name="Size of the perturbation").press("End")
    assert "100 %" in row.inner_text()


# What may be wrong


def test_an_address_sets_the_view_and_what_it_cannot_is_told(visit):
    tab = visit("#spectra?models=bp&first=20&last=200")
    assert tab.get_by_label("First rank", exact=True).input_value() == "20"
    assert tab.locator("[data-alpha]").count() == 1
    tab.evaluate("location.hash = '#landscape?model=bp'")
    wait_for(tab, "document.querySelector('.ex-title').textContent === 'Landscape'")
    tab.evaluate("location.hash = '#nonsense'")
    wait_for(tab, "document.querySelector('.ex-problem').textContent.includes('no view “nonsense”')")
    assert tab.locator(".ex-title").inner_text() == "Spectra"
    tab.evaluate("location.hash = '#spectra?models=bp,unheard&first=-3'")
    wait_for(tab, "document.querySelectorAll('.ex-problem p').length === 2")
    assert tab.get_by_label("First rank", exact=True).input_value() == "11"
    tab.evaluate("location.hash = '#%E0%A4%A?%&=='")
    wait_for(tab, "document.querySelector('.ex-problem').textContent.includes('no view')")


def test_a_missing_file_is_told_and_the_rest_works(visit, tmp_path):
    tab = visit("#playground", at=explorer_page.write(tmp_path / "a", without=["networks.js"]))
    assert "networks.js was not found" in tab.locator(".ex-problem").first.inner_text()
    assert tab.locator(".ex-title").inner_text() == "Spectra"
    tab = visit("#spectra", at=explorer_page.write(tmp_path / "b", without=["results.js"]))
    assert "results.js was not found" in tab.locator(".ex-problem").first.inner_text()
    assert tab.locator(".ex-title").inner_text() == "Playground"
    tab.evaluate("location.hash = '#landscape'")
    wait_for(tab, "document.querySelector('.ex-title').textContent === 'Landscape'")


def test_without_any_data_the_static_figure_stays(visit, tmp_path):
    tab = visit(at=explorer_page.write(tmp_path / "a", without=["networks.js", "results.js"]), ready=False)
    assert tab.locator(".ex-problem p").count() == 2
    assert tab.locator(".ex-static img.only-light").is_visible()
    tab.goto(explorer_page.write(tmp_path / "b", without=["explorer.js"]))
    assert tab.locator(".ex-static img.only-light").is_visible()


def test_a_file_of_another_version_is_told(visit, tmp_path):
    def older(name, text):
        return text.replace(f'"version":{explorer_data.VERSION}', '"version":0') if name == "results.js" else text

    tab = visit(at=explorer_page.write(tmp_path / "a", change=older))
    assert (
        f"has version 0, this page needs version {explorer_data.VERSION}"
        in tab.locator(".ex-problem").first.inner_text()
    )


def test_without_scripts_there_are_a_sentence_and_a_figure(visit, address):
    tab = visit(java_script_enabled=False, ready=False)
    assert "JavaScript is switched off" in tab.locator("#bioadv-explorer").inner_text()
    assert tab.locator(".ex-static img.only-light").is_visible()


@pytest.mark.parametrize("view", VIEWS)
def test_axe_finds_nothing_in_both_themes(visit, view):
    if not explorer_page.AXE.is_file():
        pytest.skip("axe-core is not installed; run `npm ci` in explorer/")
    tab = visit(f"#{view}{'?claim=accuracy-kh' if view == 'ledger' else ''}", reduced_motion="reduce")
    if view == "playground":
        tab.get_by_role("button", name="Find the smallest").click()
        tab.wait_for_selector("[data-norm=random]", timeout=60_000)
    for twin in tab.locator(".ex-twin summary").all():
        if twin.is_visible():
            twin.click()
    tab.add_script_tag(path=explorer_page.AXE)
    for theme in ("light", "dark"):
        tab.evaluate(f"document.documentElement.dataset.theme = '{theme}'")
        found = tab.evaluate("async () => (await axe.run('#bioadv-explorer')).violations")
        told = [(v["id"], v["nodes"][0]["html"][:200], v["nodes"][0]["failureSummary"]) for v in found]
        assert not found, (theme, json.dumps(told, indent=1))


@pytest.mark.parametrize("view", VIEWS)
def test_a_phone_shows_all_in_legible_letters(visit, view):
    tab = visit(f"#{view}", has_touch=True, is_mobile=True)
    tab.set_viewport_size({"width": 375, "height": 800})
    tab.wait_for_timeout(300)
    assert tab.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth") <= 0
    sizes = tab.evaluate(
        "[...document.querySelectorAll('#bioadv-explorer *')].filter((e) => e.textContent.trim() && e.clientWidth)"
        ".map((e) => parseFloat(getComputedStyle(e).fontSize))"
    )
    assert min(sizes) >= 8
