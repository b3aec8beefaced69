"""What earlier climbs left in a run folder, and whether a later one can add to it."""

from __future__ import annotations

from rung import storage
from rung.errors import ResumeError
from rung.ladder.divide import Divided
from rung.ladder.rungs import RUNGS, Rung
from rung.records import RunInfo
from rung.run_folder import RunFolder


def finished_rungs(folder: RunFolder) -> list[Rung]:
    """The rungs that have a result in `folder`; those from outside the package that are not registered do not
    count."""
    return [rung for name, rung in RUNGS.items() if folder.file("results", f"{name}.json").is_file()]


def same_rows(folder: RunFolder, info: RunInfo | None, rows: Divided) -> bool:
    """Whether earlier climbs, described by `info`, had the same parts as `rows`.

    If not, their results are deleted: a base that is loaded later may not be able to read every row. Raises
    `ResumeError` where earlier climbs had another base.
    """
    if info is None:
        return True
    facts = rows.base_facts()
    was, now = info.applied.get("base_fingerprint"), facts.get("fingerprint")
    if was and now and was != now:
        raise ResumeError(
            "the base is not the one that this run began with",
            where=str(folder.path),
            why=f"{rows.settings.base} has the fingerprint {now}, not {was}",
            fix="Give the original base, or another --output",
        )
    if info.data.get("split") in (None, rows.facts()["split"]):
        return True
    for path in folder.file("results").glob("*.json"):
        storage.delete(path)
    return False
