"""The report as a page: complete, self-contained, escaped, and rendered by a real browser."""

import contextlib
import html
import json
import re
import shutil
import subprocess
import zlib
from html.parser import HTMLParser
from urllib.parse import unquote

import numpy as np
import pytest
from awkward import NAMES
from matplotlib.figure import Figure
from PIL import Image
from sklearn.datasets import load_digits

from resnet_jax.evaluation import (
    Mistake,
    calibration,
    class_report,
    confusion_matrix,
    environment,
    most_confident_mistakes,
    plot_accuracy,
    plot_calibration,
    plot_confusion_matrix,
    plot_explanations,
    plot_overlay,
    plot_training_loss,
    show_examples,
    write_page,
)
from resnet_jax.evaluation.page_words import describe_figures

CHROMIUM = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)
AWKWARD = "<script>alert(\"1\")</script> & 'ß'"


class Undrawable(Figure):
    """A figure that Matplotlib cannot draw."""

    def draw(self, renderer):
        raise RuntimeError("no glyph\nat all")


FILES = {"report.json": "the numbers", "figures/50 % & <b>.pdf": "a figure"}
EPOCH = {"data": 0.5, "steps": 6.0, "checkpoints": 1.5}


def write(path, names, *, mistakes=True, epoch_seconds=EPOCH, report=None, **changes):
    """A page of a run that was not; digits stand for its images."""
    count = len(names)
    generator = np.random.default_rng(0)
    images, labels = load_digits(return_X_y=True)
    images = np.round(images[:200].reshape(-1, 8, 8, 1) * (255 / 16)).astype(np.uint8)
    labels = labels[:200] % count
    logits = generator.normal(size=(200, count)) + 6 * np.eye(count)[labels]
    probabilities = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    predictions = probabilities.argmax(1)
    matrix = confusion_matrix(labels, predictions, num_classes=count)
    reliability = calibration(labels, probabilities)
    epochs = np.arange(1, 11)
    train, valid = 60 + 3.6 * epochs, 60 + 3.2 * epochs
    losses = 2 * np.exp(-np.arange(200) / 50) + 0.2 * generator.random(200)
    maps = generator.random((4, 8, 8))
    changed = report or {}
    report = {
        "weights": "last epoch (10)",
        "initial_weights": f"the weights {AWKWARD}",
        "tests_on_valid": False,
        "image_sizes": None,
        "best_checkpoint": {
            "epoch": 9,
            "step": 180,
            "valid_accuracy": 0.92,
            "test_accuracy": 0.875,
        },
        "test_accuracy": float((predictions == labels).mean()),
        "ece": reliability.error,
        "per_class": class_report(matrix, class_names=names),
        "confusion_matrix": matrix,
        "grad_cam_stage": "layer4",
        "best_epoch": 10,
        "best_valid_accuracy": 0.92,
        "train_accuracy": train / 100,
        "valid_accuracy": valid / 100,
        "learning_rates": [0.1] * 6 + [0.01] * 4,
        "training_seconds": 278.4,
        "images_per_second": None,
        "epoch_seconds": epoch_seconds,
        "environment": environment(),
        "config": {"variant": "resnet34", "dataset": AWKWARD, "archive": None, "lr": 0.1},
        **changed,
    }
    write_page(
        path,
        report,
        title=f"resnet34 on {AWKWARD}",
        figures={
            "loss": plot_training_loss(losses, 10, 20),
            "accuracy": plot_accuracy(train, valid),
            "learning_rate": plot_overlay(
                {"rate": (np.arange(10), report["learning_rates"])},
                xlabel="Epoch",
                ylabel="Learning rate",
                log_y=True,
                steps=True,
            ),
            "examples": show_examples(images[:15], predictions[:15], labels[:15], names),
            "confusion_matrix": plot_confusion_matrix(matrix, class_names=names),
            "calibration": plot_calibration(reliability),
            "grad_cam": plot_explanations(
                images[:4], predictions[:4], labels[:4], names, cam=maps, saliency=maps
            ),
            **changes,
        },
        mistakes=[
            Mistake(
                int(index), images[index], names[labels[index]], names[predictions[index]], 0.875
            )
            for index in most_confident_mistakes(labels, probabilities) * mistakes
        ],
        files=FILES,
    )
    return report


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    path = tmp_path_factory.mktemp("page") / "report.html"
    names = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship")
    return path, write(path, (*names, AWKWARD))


class Reader(HTMLParser):
    """Elements and their attributes; text of headings and captions."""

    def __init__(self, text):
        super().__init__()
        self.elements = []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))

    def of(self, *tags):
        return [attributes for tag, attributes in self.elements if tag in tags]


@pytest.fixture(scope="module")
def read(page):
    return Reader(page[0].read_text(encoding="utf-8"))


def test_nothing_is_fetched_and_nothing_runs(page, read):
    assert not read.of("script", "iframe", "object", "embed")
    assert not any(name.startswith("on") for _, attributes in read.elements for name in attributes)
    addresses = [
        value
        for _, attributes in read.elements
        for name, value in attributes.items()
        if name in ("src", "href", "xlink:href", "srcset", "action", "data")
    ]
    links = {attributes["href"] for attributes in read.of("a")}
    assert set(addresses) >= links
    # The links to other files are followed by the reader alone.
    fetched = [address for address in addresses if address not in links]
    assert fetched
    assert all(address.startswith(("data:", "#")) for address in fetched), fetched
    text = page[0].read_text(encoding="utf-8")
    assert "@import" not in text
    assert all(target.startswith("#") for target in re.findall(r"url\(\s*['\"]?([^)]*)", text))


def test_values_are_escaped(page):
    text = page[0].read_text(encoding="utf-8")
    assert "<script" not in text
    assert "&lt;script&gt;" in text


def test_names_are_no_markup(tmp_path):
    path = tmp_path / "report.html"
    # Reports refuse what UTF-8 cannot encode.
    names = tuple(name for name in NAMES if "\udcff" not in name)
    write(path, names)
    text = path.read_text(encoding="utf-8")
    assert {chr(code) for code in range(32)} & set(text) == {"\n"}
    reader = Reader(text)
    assert not reader.of("script", "bold")
    assert reader.of("bdi")
    shown = html.unescape(re.sub(r"<[^>]*>", "", text))
    for name in names:
        if name.isprintable() and name.strip():
            assert name in shown
    for written in (r"two\nlines\ttab", r"\x00bell\x07 \x1b[31m red", "''", "'   '"):
        assert written in shown


def test_the_page_says_whose_accuracies_it_shows(page):
    text = page[0].read_text(encoding="utf-8")
    assert "<dt>Test accuracy, last epoch (10)</dt>" in text
    assert "<dt>Test accuracy, best epoch (9)</dt><dd>87.50\N{NO-BREAK SPACE}%</dd>" in text
    assert "<dt>Validation accuracy, best epoch (9)</dt>" in text
    assert "weights of the last epoch (10)," in text


def test_the_page_says_where_the_weights_are_from(page, tmp_path):
    text = html.unescape(page[0].read_text(encoding="utf-8"))
    assert f"Training began with the weights {AWKWARD}. " in text
    path = tmp_path / "report.html"
    write(path, tuple("0123456789"), report={"initial_weights": None, "config": {"ema_decay": 0.9}})
    text = path.read_text(encoding="utf-8")
    assert "Training began with" not in text
    assert "weights of the last epoch (10), averaged over the steps with decay 0.9, except" in text


@pytest.mark.parametrize("name", ["loss", "calibration", "grad_cam", "examples"])
def test_a_figure_that_cannot_be_drawn_is_named(name, tmp_path):
    path = tmp_path / "report.html"
    write(path, tuple("0123456789"), **{name: Undrawable()})
    text = path.read_text(encoding="utf-8")
    assert f"The figure {name} could not be drawn: no glyph." in text
    assert text.count("could not be drawn") == 1
    assert len(Reader(text).of("svg")) + len(Reader(text).of("img")) == 6


def test_ids_are_distinct_and_links_lead_somewhere(read):
    ids = [attributes["id"] for _, attributes in read.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    links = [attributes["href"] for attributes in read.of("a")]
    for link in links[: -len(FILES)]:
        assert link[0] == "#"
        assert link[1:] in ids
    assert list(map(unquote, links[-len(FILES) :])) == list(FILES)
    assert {"files", "training", "calibration"} <= set(ids)
    for attributes in read.of("section"):
        assert attributes["aria-labelledby"] in ids


def test_pictures_have_words(read):
    assert len(read.of("img")) > 2
    assert all(attributes["alt"] for attributes in read.of("img"))
    labels = [attributes["aria-label"] for attributes in read.of("svg")]
    assert all(attributes["role"] == "img" for attributes in read.of("svg"))
    assert labels == [
        "Lines of the training loss over 10 epochs: each minibatch, and the running average.",
        "Lines of the accuracy over 10 epochs: validation from 63.20\N{NO-BREAK SPACE}% to "
        "92.00\N{NO-BREAK SPACE}%, training from 63.60\N{NO-BREAK SPACE}% to "
        "96.00\N{NO-BREAK SPACE}%.",
        "Line of the learning rate over 10 epochs: 0.1 in the first, 0.01 in the last.",
        labels[3],
    ]
    assert "calibration error is" in labels[3]
    assert len(read.of("figcaption")) == len(read.of("figure"))
    assert len(read.of("caption")) == len(read.of("table"))
    assert all(attributes.get("scope") in ("row", "col") for attributes in read.of("th"))


def test_a_screen_reader_finds_its_way(read):
    """A language, one heading of the first level, and landmarks with names."""
    assert [attributes["lang"] for attributes in read.of("html")] == ["en"]
    assert [len(read.of(tag)) for tag in ("h1", "header", "main", "nav")] == [1, 1, 1, 1]
    for attributes in read.of("nav"):
        assert attributes["aria-label"]
    assert len(read.of("section")) == len(read.of("h2")) == 8
    # What scrolls can be reached by the keyboard.
    for attributes in read.of("div"):
        if attributes.get("class") == "scroll":
            assert attributes["role"] == "region"
            assert attributes["aria-label"]
            assert attributes["tabindex"] == "0"


@pytest.mark.parametrize(
    ("valid", "told"),
    [
        ([0.5], "over 1 epoch: validation 50.00\N{NO-BREAK SPACE}%"),
        (
            [0.25, 0.75, 0.5],
            "over 3 epochs: validation from 25.00\N{NO-BREAK SPACE}% to 50.00\N{NO-BREAK SPACE}%, "
            "at best 75.00\N{NO-BREAK SPACE}% in epoch 2",
        ),
        (
            [None, 0.5, None],
            "over 3 epochs: validation from – to –, at best 50.00\N{NO-BREAK SPACE}% in epoch 2",
        ),
        ([None, None], "over 2 epochs: validation from – to –"),
    ],
)
def test_accuracies_in_words(valid, told):
    report = {
        "valid_accuracy": valid,
        "confusion_matrix": [[3, 1], [0, 2]],
        "learning_rates": [0.1],
        "ece": None,
    }
    words = describe_figures(report)
    assert words["accuracy"] == f"Lines of the accuracy {told}."
    assert "5 of 6 test images are on the diagonal" in words["confusion_matrix"]


def test_numbers_are_the_reports(page):
    path, report = page
    text = path.read_text(encoding="utf-8")
    assert f"<dd>{100 * report['test_accuracy']:.2f}\N{NO-BREAK SPACE}%</dd>" in text
    assert "<dd>4 min 38 s</dd>" in text
    cells = re.findall(r'<td[^>]*style="--share: [\d.]+%">(\d+)</td>', text)
    assert [int(cell) for cell in cells] == report["confusion_matrix"].ravel().tolist()
    assert "Training images/s" not in text


def test_what_an_epoch_is_made_of(page, tmp_path):
    text = page[0].read_text(encoding="utf-8")
    table = text[text.index("What an epoch is made of") :]
    rows = re.findall(r'<th scope="row">([^<]*)</th><td>([^<]*)</td><td[^>]*>([^<]*)</td>', table)
    assert rows[:3] == [
        ("waiting for data", "0.50", "6.2\N{NO-BREAK SPACE}%"),
        ("training steps", "6.00", "75.0\N{NO-BREAK SPACE}%"),
        ("checkpoints", "1.50", "18.8\N{NO-BREAK SPACE}%"),
    ]
    # Of a run that did not measure it, the page says nothing.
    write(tmp_path / "report.html", tuple("0123456789"), epoch_seconds=None)
    assert "What an epoch is made of" not in (tmp_path / "report.html").read_text(encoding="utf-8")


def test_many_classes_and_no_mistakes(tmp_path):
    """Above thirty classes the matrix is a picture."""
    path = tmp_path / "report.html"
    write(path, [f"class {number}" for number in range(31)], mistakes=False)
    text = path.read_text(encoding="utf-8")
    assert 'class="matrix"' not in text
    assert 'alt="Confusion matrix of 31 classes: ' in text
    assert "every test image was classified correctly" in text


def test_mistakes_by_confidence():
    probabilities = [[0.4, 0.6], [0.9, 0.1], [0.8, 0.2], [0.3, 0.7], [0.6, 0.4]]
    labels = [0, 0, 1, 0, 1]
    assert most_confident_mistakes(labels, probabilities).tolist() == [2, 3, 0, 4]
    assert most_confident_mistakes(labels, probabilities, count=1).tolist() == [2]
    assert most_confident_mistakes([1, 0], probabilities[:2]).tolist() == []


@pytest.mark.parametrize(
    ("labels", "probabilities", "options", "message"),
    [
        ([0], np.ones((3, 2)), {}, "`probabilities` must have the shape [n, classes] with n = 1"),
        ([0, 1], np.ones((3, 2)), {}, "with n = 2, as `labels` has; its shape is (3, 2)"),
        ([0], [0.5], {}, "its shape is (1,)"),
        ([0], [[]], {}, "its shape is (1, 0)"),
        ([0, 1], np.ones((2, 2)), {"count": -1}, "`count` (=-1) must be at least 0"),
    ],
)
def test_mistakes_of_other_shapes(labels, probabilities, options, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        most_confident_mistakes(labels, probabilities, **options)


def browse(address, folder, *options):
    """Let Chromium open a page, without a network."""
    process = subprocess.run(
        [
            CHROMIUM,
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-background-networking",
            "--disable-component-update",
            "--no-first-run",
            "--host-resolver-rules=MAP * ~NOTFOUND",
            f"--user-data-dir={folder / 'profile'}",
            *options,
            address,
        ],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert process.returncode == 0, process.stderr
    return process


needs_browser = pytest.mark.skipif(
    CHROMIUM is None, reason="no Chromium here: apt-get install chromium"
)


@needs_browser
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_browser_renders_it(page, tmp_path, scheme):
    """No message on the console, no request beyond the file, and a picture with content."""
    log, picture = tmp_path / "net.json", tmp_path / "page.png"
    browsed = browse(
        page[0].as_uri(),
        tmp_path,
        f"--blink-settings=preferredColorScheme={['dark', 'light'].index(scheme)}",
        "--enable-logging=stderr",
        f"--log-net-log={log}",
        f"--screenshot={picture}",
        "--window-size=1200,3000",
    )
    assert "CONSOLE" not in browsed.stderr
    records = json.loads(log.read_text())
    kind = records["constants"]["logEventTypes"]["URL_REQUEST_START_JOB"]
    requests = [
        event["params"]
        for event in records["events"]
        if event["type"] == kind and "url" in event.get("params", {})
    ]
    # What Chromium itself asks for has no origin.
    ours = [request for request in requests if request.get("initiator") != "not an origin"]
    assert ours == []
    with Image.open(picture) as image:
        pixels = np.asarray(image.convert("L"))
    assert pixels.shape == (3000, 1200)
    # The margin is paper: white or nearly black; and there is ink of many shades.
    assert (pixels[:, 2] > 240).all() if scheme == "light" else (pixels[:, 2] < 40).all()
    assert len(np.unique(pixels)) > 100


def colors(pdf):
    """The colours, as hexadecimal numbers, that areas of a PDF are filled with."""
    found = set()
    for stream in re.findall(rb"stream\r?\n(.*?)endstream", pdf, re.DOTALL):
        with contextlib.suppress(zlib.error):
            text = zlib.decompress(stream)
            found.update(re.findall(rb"([\d.]+) ([\d.]+) ([\d.]+) rg\b", text))
    return {"#" + bytes(round(255 * float(one)) for one in color).hex() for color in found}


@needs_browser
def test_it_is_printed_in_light_colours_whatever_the_screen_shows(page, tmp_path):
    """With the backgrounds, without which white numbers would be lost."""
    path = tmp_path / "page.pdf"
    dark = "--blink-settings=preferredColorScheme=0"
    browse(page[0].as_uri(), tmp_path, dark, f"--print-to-pdf={path}")
    printed = colors(path.read_bytes())
    assert {"#005a8c", "#f4f5f7"} <= printed
    assert not {"#15171a", "#1274ae", "#1d5578", "#1f2227"} & printed


MEASURE = """<iframe src="PAGE" width="390" height="2000"></iframe><pre></pre><script>
document.querySelector("iframe").onload = (event) => {
  const page = event.target.contentDocument;
  const heights = [...page.querySelectorAll("tbody th")].map((cell) => cell.offsetHeight);
  document.querySelector("pre").textContent =
    `${page.documentElement.scrollWidth} ${Math.max(...heights)}`;
};
</script>"""


@needs_browser
def test_it_fits_a_phone(page, tmp_path):
    """Tables scroll inside the page, and their headers are not broken into letters."""
    frame = tmp_path / "frame.html"
    frame.write_text(MEASURE.replace("PAGE", page[0].as_uri()), encoding="utf-8")
    options = "--allow-file-access-from-files", "--virtual-time-budget=5000", "--dump-dom"
    read = browse(frame.as_uri(), tmp_path, *options).stdout
    width, tallest = map(int, re.findall(r"<pre>(\d+) (\d+)</pre>", read)[0])
    assert width <= 390
    assert tallest < 100  # pixels: up to three lines
