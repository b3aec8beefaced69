"""The only training loop. What is trained, how long and how fast are values it is given.

for step in plan:   loss = sum over packs of cross-entropy / target tokens of the step
                    stop if anything is not finite; clip; AdamW; now and then measure dev loss and save
"""

from __future__ import annotations

import math
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory

from torch import Tensor
from transformers import PreTrainedModel

from rung import cost, storage
from rung.data.pack import Step, plan
from rung.data.pairs import size, texts
from rung.methods import on_disk
from rung.methods.method import Attached, Objective
from rung.methods.on_disk import OnDisk
from rung.records import CurvePoint, Mechanism, Rendered
from rung.train import optim, trunk
from rung.train.best import hurts, is_best, is_over
from rung.train.checkpoint import Progress, load_checkpoint, mark_of, save_checkpoint
from rung.train.keep import Keep
from rung.train.loss import NEXT_TOKENS, mean_loss
from rung.train.mechanisms import mechanisms
from rung.train.settings import Listener as Listener
from rung.train.settings import Outcome as Outcome
from rung.train.settings import StepTime as StepTime
from rung.train.settings import TrainSettings as TrainSettings
from rung.train.trunk import Trunk

_LARGE = 2**25  # numbers trained, from which memory is given back: it takes a quarter of a second
_BEST = ".best.tmp"  # the best state so far, next to the checkpoints


class Trainer:
    """Trains what is attached to a model on rendered rows and leaves it in its best state on dev."""

    def __init__(
        self,
        model: PreTrainedModel,
        attached: Attached,
        rows: Sequence[Rendered],
        dev: Sequence[Rendered],
        settings: TrainSettings,
        folder: Path | None = None,
        listener: Listener | None = None,
        keep: Keep | None = None,
        judge: Callable[[], float] | None = None,
        slack: float = 0.0,
        loss: Objective | None = None,
    ) -> None:
        """`folder` keeps the checkpoints; none are written without it. `keep` holds general texts. `loss` is
        what training makes small; if not given the method's own, else that of the next token.

        `judge` is asked for the score of the state at each look at dev, higher is better; scores that are
        apart by at most `slack` count as equal (`rung.train.best`).
        """
        self.model = model
        self.attached = attached
        self.objective = loss or attached.objective() or NEXT_TOKENS
        self.rows = rows
        self.dev = dev
        self.settings = settings
        self.folder = folder
        self.listener = listener
        self.keep = keep if keep is not None and keep.on() else None
        self.judge, self.slack = judge, slack
        self.plan = plan(
            [size(row) for row in rows],
            [row.ids for row in rows],
            seed=settings.seed,
            epochs=settings.epochs,
            step_tokens=settings.step_tokens,
            pack_tokens=settings.pack_tokens,
        )
        vectors = optim.flatten(attached.parameters(), attached.rates())
        self._large = sum(vector.numel() for vector in vectors.values()) >= _LARGE
        self._trim()  # the moments, long vectors too, would not fit into what lies free between others
        self.parameters = list(vectors.values())
        self.optimizer = optim.adamw(vectors, settings.weight_decay)
        self.progress = Progress()
        self.best: Mapping[str, Tensor] = {}  # in a file where there is a folder
        self.notes = list(attached.notes())
        self.trunk: Trunk | None = None
        self.mechanisms: tuple[Mechanism, ...] = ()
        self._last_loss = 0.0
        self._look_at = _spread(len(self.plan), settings.evaluations)

    def run(self) -> Outcome:
        """Train to the end of the plan, or to the time limit. Raises `optim.Diverged` before a bad step."""
        try:
            self._resume()
            start, before = time.monotonic(), self.progress.seconds
            with self.cached_trunk():
                return self._run(start, before)
        finally:
            if self.folder is not None:
                storage.remove(self.folder / _BEST)

    def finish(self) -> None:
        """Take all steps and stay in the last state, without dev loss or checkpoints. See `run`."""
        start = time.monotonic()
        with self.cached_trunk():
            for step in self.plan:
                self._take(step)
                self.progress.seconds = time.monotonic() - start
                self._tell()

    def steps(self, clock: Callable[[], float] = time.perf_counter) -> Iterator[StepTime]:
        """Take one step after the other and yield how long each took, without dev loss or checkpoints."""
        for step in self.plan:
            start = clock()
            total, targets = self._passes(step)
            between = clock()
            self._update(step, total, targets)
            yield StepTime(sum(size(self.rows[row]) for row in step.rows), between - start, clock() - between)

    def _run(self, start: float, before: float) -> Outcome:
        if not self.progress.curve:
            self.attached.begin(self.rows)
            self._look()  # the base itself: if training only hurts, it stays the best
        saved = start
        pause = self.settings.checkpoint_seconds
        for step in self.plan[self.progress.step :]:
            if self._hurts():
                break
            if self._is_over():
                at = f"{self.progress.step} of {len(self.plan)}"
                self.notes.append(f"training stopped at step {at}: the loss on dev was rising")
                break
            self._take(step)
            self.progress.seconds = before + time.monotonic() - start
            late = self._is_late()
            if self.progress.step in self._look_at or late:
                self._look()
                self.progress.seconds = before + time.monotonic() - start
            if time.monotonic() - saved >= pause:
                begun = time.monotonic()
                self._save()
                saved = time.monotonic()
                pause = max(self.settings.checkpoint_seconds, 20 * (saved - begun))
            try:
                self._tell()
            except BaseException:  # the listener wants to stop: keep what was learned
                self._save()
                raise
            if late:
                self.notes.append(
                    f"training was stopped by the time limit at step {self.progress.step} of {len(self.plan)}"
                )
                break
        self.attached.load(self.best)
        return self._outcome()

    def _take(self, step: Step) -> None:
        """One optimizer step."""
        self._update(step, *self._passes(step))

    def _passes(self, step: Step) -> tuple[float, int]:
        """Gradients of `step`; its loss summed over the targets, and their number."""
        targets = self.objective.count([self.rows[row] for row in step.rows])
        total = 0.0
        self.attached.learning(True)
        try:
            texts, weight = self._texts(step)
            for number, indices in enumerate(step.packs):
                self.attached.before_pass(self.progress.step, number)
                rows = [self.rows[index] for index in indices]
                if texts and self.keep is not None and number == 0 and self.objective is NEXT_TOKENS:
                    loss, kept = self.keep.with_rows(self.model, rows, texts, self.trunk)
                    (loss + kept * (weight * targets)).backward()  # type: ignore[no-untyped-call]
                else:
                    loss = self.objective.loss(self.model, rows, self.trunk)
                    loss.backward()  # type: ignore[no-untyped-call]
                total += float(loss.detach())
            if texts and self.keep is not None and self.objective is not NEXT_TOKENS:
                self.attached.before_pass(self.progress.step, len(step.packs))
                kept = self.keep.loss(self.model, texts, self.trunk)
                (kept * (weight * targets)).backward()  # type: ignore[no-untyped-call]
        finally:
            self.attached.learning(False)
        return total, targets

    def _texts(self, step: Step) -> tuple[list[int], float]:
        """The general texts that the step reads, and the weight of their loss."""
        if self.keep is None:
            return [], 0.0
        return self.keep.texts_of(self.progress.step, sum(size(self.rows[row]) for row in step.rows))

    def _update(self, step: Step, total: float, targets: int) -> None:
        """Change the parameters, unless something is not finite."""
        progress, settings = self.progress, self.settings
        optim.scale_gradients(self.parameters, targets)
        norm = optim.clip(self.parameters, settings.max_grad_norm)
        optim.require_finite(total, norm, self.parameters, progress.step + 1)
        optim.set_learning_rate(self.optimizer, self._learning_rate(progress.step))
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=False)
        self.attached.updated()
        progress.step += 1
        progress.tokens += sum(size(self.rows[row]) for row in step.rows)
        progress.targets += targets
        progress.loss_since += total
        progress.targets_since += targets
        self._last_loss = total / targets

    def _trim(self) -> None:
        """Give back what is free, where the sizes to come are so large that it counts."""
        if self._large:
            cost.trim()

    def _look(self) -> None:
        """Measure dev loss, ask the judge, keep the state if it is the best so far."""
        progress = self.progress
        self._trim()  # what steps leave free does not fit what this needs: their sum would be the peak
        dev_loss = mean_loss(self.model, self.dev, trunk=self.trunk, objective=self.objective)
        self._trim()
        optim.require_finite_dev(dev_loss, progress.step)
        score = self.judge() if self.judge is not None else None
        loss, targets = progress.loss_since, progress.targets_since
        progress.loss_since, progress.targets_since = 0.0, 0
        progress.curve.append(
            CurvePoint(
                step=progress.step,
                tokens=progress.tokens,
                seconds=round(progress.seconds, 2),
                train_loss=loss / targets if targets else None,
                dev_loss=dev_loss,
                learning_rate=self._learning_rate(progress.step - 1) if progress.step else None,
                dev_score=score if score is not None and math.isfinite(score) else None,
            )
        )
        if is_best(progress.curve, progress.best_step, self.slack):
            progress.best_loss, progress.best_step = dev_loss, progress.step
            self.best = self.attached.state() if self.folder is None else self._kept(self.folder)

    def _kept(self, folder: Path) -> OnDisk:
        """The state as it is now, in a file. Raises `ResourceError`."""
        path = folder / _BEST
        with storage.explained(path):
            storage.make_folder(folder)
            with storage.step("write", path):
                on_disk.write(self.attached.state(copy=False), path)
        return OnDisk(path)

    @contextmanager
    def cached_trunk(self) -> Iterator[None]:
        """Keeps what frozen first layers put out, where there are any; notes which mechanisms are on."""
        layers = self.attached.frozen_layers()
        used = {row for step in self.plan for row in step.rows}
        learned = texts([*(self.rows[row] for row in sorted(used)), *self.dev])
        rows = [row.ids for row in learned]
        rows += [row.ids for row in self.keep.general.rows] if self.keep else []
        with ExitStack() as stack:
            folder = self.folder
            if folder is None:
                folder = Path(stack.enter_context(TemporaryDirectory(prefix="rung-")))
            why = trunk.why_not(self.model, layers, rows, folder)
            if why is None:
                self.trunk = Trunk(self.model, layers, rows, folder)
                stack.callback(setattr, self, "trunk", None)
            reason = why or f"the first {layers} layers were computed once for every token"
            about = Mechanism("cached trunk", why is None, reason)
            self.mechanisms = mechanisms(self.model, self.rows, self.plan, about)
            yield

    def _learning_rate(self, step: int) -> float:
        return optim.learning_rate(step, len(self.plan), self.settings.learning_rate, self.settings.warmup)

    def _is_late(self) -> bool:
        limit = self.settings.limit_seconds
        return limit is not None and self.progress.seconds > limit and self.progress.step < len(self.plan)

    def _is_over(self) -> bool:
        settings = self.settings
        over = is_over(self.progress.curve, settings.patience, settings.learning_rate)
        return over and self.progress.step < len(self.plan)

    def _hurts(self) -> bool:
        return self.settings.guarded and hurts(self.progress.curve)

    @cached_property
    def _mark(self) -> str:
        keep = self.keep.facts() if self.keep is not None else {}
        settings = asdict(self.settings) | keep | self.objective.facts()
        return mark_of(settings, (self.rows, self.dev), self.parameters)

    def _save(self) -> None:
        if self.folder is not None:
            save_checkpoint(self.folder, self._mark, self.progress, self.optimizer, self.folder / _BEST)

    def _resume(self) -> None:
        if self.folder is None or not self.folder.is_dir():
            return
        found = load_checkpoint(self.folder, self._mark, self.optimizer)
        if found is None:
            return
        self.progress, best, skipped = found
        if best is not None:
            path = self.folder / _BEST
            with storage.explained(path), storage.step("write", path):
                shutil.copyfile(best, path)  # the checkpoint may be removed before another state is better
            self.best = OnDisk(path)
        self.attached.updated()
        self.notes += [f"skipped a damaged checkpoint: {note}" for note in skipped]
        self.notes.append(f"continued from the checkpoint at step {self.progress.step} of {len(self.plan)}")

    def _tell(self) -> None:
        if self.listener is not None:
            done, total = self.progress.step, len(self.plan)
            rate = self.progress.tokens / max(self.progress.seconds, 1e-9)
            left = self.progress.seconds / done * (total - done)
            self.listener.step(done, total, self._last_loss, rate, left)

    def _outcome(self) -> Outcome:
        progress = self.progress
        assert progress.best_step is not None
        assert progress.best_loss is not None
        return Outcome(
            steps=progress.step,
            planned_steps=len(self.plan),
            best_step=progress.best_step,
            best_loss=progress.best_loss,
            tokens=progress.tokens,
            targets=progress.targets,
            seconds=progress.seconds,
            curve=tuple(progress.curve),
            notes=tuple(self.notes),
            mechanisms=self.mechanisms,
            early=self._is_over(),
            hurt=self._hurts(),
        )


def _spread(steps: int, count: int) -> frozenset[int]:
    """`count` step numbers, evenly spread, the last step among them."""
    return frozenset(max(1, round(steps * (i + 1) / count)) for i in range(count))
