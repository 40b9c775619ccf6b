"""The tables of the accelerator's benchmark, as Markdown and as JSON."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from resnet_jax.storage import atomic_path, write_json

from .bench import ALLOCATOR, COMPILED, RESIDENT_SET
from .harness import Failure, table_lines
from .turns import Result

TITLES = {
    "input": "Input pipeline",
    "steps": "Training step and forward pass",
    "epoch": "Whole epoch, data on the device",
}
"""The heading of each part."""

SOURCES = {
    ALLOCATOR: "the device's allocator",
    RESIDENT_SET: "the process's resident set, above that with the libraries loaded",
    COMPILED: "the compiler's analysis",
}
"""What the sources of a peak are."""

BASE = "ours"
"""The side that the others are compared with."""


@dataclass(frozen=True)
class Row:
    """One job of all sides.

    Attributes:
        part: A key of `TITLES`.
        facts: What tells the job apart, by column.
        images: Images of one repetition.
        sides: What was found of each side.
    """

    part: str
    facts: Mapping[str, Any]
    images: int
    sides: Mapping[str, Result | Failure]

    def seconds(self, side: str) -> float | None:
        """Return the seconds of a side; None where it was not measured."""
        result = self.sides.get(side)
        return result.seconds if isinstance(result, Result) else None


@dataclass
class Report:
    """What was measured so far.

    Attributes:
        facts: The date, the machine and the sizes.
        unavailable: The reason of each side that cannot run at all.
        rows: The jobs that were measured.
        left_out: The names of what there was no time for.
    """

    facts: Mapping[str, Any]
    unavailable: Mapping[str, str] = field(default_factory=dict)
    rows: list[Row] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)

    @staticmethod
    def paths(folder: Path) -> tuple[Path, Path]:
        """Return the files of a folder that `save` writes."""
        return folder / "accelerator.md", folder / "accelerator.json"

    def add(
        self,
        part: str,
        facts: Mapping[str, Any],
        images: int,
        sides: Mapping[str, Result | Failure],
    ) -> str:
        """Add a job, and return it as one line."""
        row = Row(part, facts, images, sides)
        self.rows.append(row)
        values = ", ".join(f"{side} {_milliseconds(found)}" for side, found in sides.items())
        return f"{' '.join(map(str, facts.values()))}: {values} (ms)"

    def save(self, folder: Path | None) -> None:
        """Write both files, each completely or not at all, if a folder is given."""
        if folder is None:
            return
        markdown, values = self.paths(folder)
        with atomic_path(markdown) as temporary:
            temporary.write_text("\n".join(self.lines()) + "\n", encoding="utf-8")
        write_json(values, self.values())

    def values(self) -> dict[str, Any]:
        """Return everything as the mapping that the JSON file holds."""
        return {
            **self.facts,
            "chip": self.chip,
            "unavailable": self.unavailable,
            "rows": [
                {
                    "part": row.part,
                    **row.facts,
                    "images": row.images,
                    "sides": {name: _plain(found) for name, found in row.sides.items()},
                }
                for row in self.rows
            ],
            "left_out": self.left_out,
        }

    @property
    def chip(self) -> str:
        """The name of the device; of a CPU, that of the processor and the number of cores."""
        for facts in self.facts["libraries"].values():
            if facts["platform"] != "cpu":
                return str(facts["chip"])
        machine = self.facts["machine"]
        return f"{machine['processor']}, {machine['cores']} cores"

    def _turns(self) -> str:
        """Say how many turns were timed, which is less than was asked for if the time was up."""
        asked = self.facts["repeats"]
        counts = {
            found.turns
            for row in self.rows
            for found in row.sides.values()
            if isinstance(found, Result)
        } or {asked}
        least, most = min(counts), max(counts)
        timed = f"{most} turns" if least == most else f"{least} to {most} turns"
        return timed if least == asked else f"{timed} (of {asked})"

    def lines(self) -> Iterator[str]:
        """Yield the lines of the Markdown file."""
        machine = self.facts["machine"]
        yield f"# Benchmark on {self.chip}, {self.facts['date'][:10]}"
        yield ""
        versions = ", ".join(f"{name} {number}" for name, number in machine["versions"].items())
        yield f"- Versions: {versions}"
        yield f"- Host: {machine['processor']}, {machine['cores']} cores, load {machine['load']}"
        for library, facts in self.facts["libraries"].items():
            told = ", ".join(f"{name} {value}" for name, value in facts.items())
            yield f"- {library} computes on: {told}"
        if len({facts["platform"] == "cpu" for facts in self.facts["libraries"].values()}) > 1:
            yield "- The libraries compute on different devices, so that ratios compare those, too"
        for side, reason in self.unavailable.items():
            yield f"- {side} cannot run: {reason}"
        yield (
            f"- Medians of {self._turns()}, all sides in turn. Ratios are the other side's time "
            f"over ours: above 1, ours is faster. Steps at {self.facts['pixels']} pixels; epochs "
            f"of {self.facts['epoch_images']} images"
        )
        for part, title in TITLES.items():
            rows = [row for row in self.rows if row.part == part]
            if rows:
                yield ""
                yield f"## {title}"
                yield from _part(rows)
        if self.left_out:
            yield ""
            yield "## Left out, because the time was up"
            yield ""
            yield from (f"- {name}" for name in self.left_out)


def _part(rows: list[Row]) -> Iterator[str]:
    """Yield the tables of a part and the reasons of failures."""
    sides = list(dict.fromkeys(side for row in rows for side in row.sides))
    columns = list(rows[0].facts)
    others = [side for side in sides if side != BASE] if BASE in sides else []
    yield ""
    yield from table_lines(
        [
            *columns,
            *(f"{side}, ms" for side in sides),
            *(f"{side}/{BASE}" for side in others),
            *(f"{side}, images/s" for side in sides),
        ],
        [
            [
                *row.facts.values(),
                *(_milliseconds(row.sides.get(side)) for side in sides),
                *(_ratio(row.seconds(side), row.seconds(BASE)) for side in others),
                *(_rate(row.images, row.seconds(side)) for side in sides),
            ]
            for row in rows
        ],
    )
    yield ""
    yield "First run, compilation included, in seconds, and peak memory, in MB:"
    yield ""
    yield from table_lines(
        [*columns, *(f"{side}, s" for side in sides), *(f"{side}, MB" for side in sides)],
        [
            [
                *row.facts.values(),
                *(_first_run(row.sides.get(side)) for side in sides),
                *(_peak(row.sides.get(side)) for side in sides),
            ]
            for row in rows
        ],
    )
    yield from _notes(rows)


def _notes(rows: list[Row]) -> Iterator[str]:
    """Yield what the tables have no room for: sources of memory, solitary sides, failures."""
    sources: dict[str, dict[str, None]] = {}
    for row in rows:
        for side, found in row.sides.items():
            if isinstance(found, Result) and found.built.peak_bytes:
                sources.setdefault(found.built.memory_source, {})[side] = None
    yield ""
    yield from (f"- Memory by {SOURCES[source]}: {', '.join(of)}" for source, of in sources.items())
    for row in rows:
        name = " ".join(map(str, row.facts.values()))
        for side, found in row.sides.items():
            if isinstance(found, Failure):
                yield f"- {name}, {side}: {found.reason}"
            elif found.alone and len(row.sides) > 1:
                yield f"- {name}, {side}: measured alone, for memory was short beside the others"


def _milliseconds(found: Result | Failure | None) -> str:
    """Return a time, or what is in its place in a table."""
    if found is None:
        return ""
    if isinstance(found, Failure):
        return "out of memory" if found.out_of_memory else "failed"
    return f"{1e3 * found.seconds:.2f}"


def _ratio(seconds: float | None, base: float | None) -> str:
    """Return a ratio of times, if both are known."""
    return "" if seconds is None or base is None else f"{seconds / base:.2f}"


def _rate(images: int, seconds: float | None) -> str:
    """Return images a second, if the time is known."""
    if seconds is None:
        return ""
    rate = images / seconds
    return f"{rate:.0f}" if rate >= 10 else f"{rate:.2f}"


def _first_run(found: Result | Failure | None) -> str:
    """Return the seconds of the first run."""
    return f"{found.built.first_seconds:.1f}" if isinstance(found, Result) else ""


def _peak(found: Result | Failure | None) -> str:
    """Return the peak memory in 10⁶ bytes, if it is known."""
    if not isinstance(found, Result) or not found.built.peak_bytes:
        return ""
    return f"{found.built.peak_bytes / 1e6:.0f}"


def _plain(found: Result | Failure) -> dict[str, Any]:
    """Return a result as the JSON file holds it."""
    if isinstance(found, Failure):
        return {"failed": found.reason, "out_of_memory": found.out_of_memory}
    values = asdict(found)
    built = values.pop("built")
    return {**values, **built}
