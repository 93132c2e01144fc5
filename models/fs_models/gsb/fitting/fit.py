"""A whole fit: photos, purifier, mapper, checkpoint; interrupted at any moment, it can go on."""

import copy
import hashlib
import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import msgspec
import torch
from torch import nn

from fs_models.encoders import EncoderAdapter
from fs_models.encoders.frozen import frozen_for_training
from fs_models.gsb.checkpoint import (
    WEIGHTS,
    FittedEncoder,
    GsbConfig,
    MapperSizes,
    PurifierSizes,
    Score,
    Training,
    make_mapper,
    make_purifier,
    read_checkpoint,
    weights_sha256,
    write_checkpoint,
)
from fs_models.gsb.diffusers_folder import read_diffusers_folder
from fs_models.gsb.diffusion import DiffusionPurifier
from fs_models.gsb.fitting.crops import CropMaker, ahead
from fs_models.gsb.fitting.curve import Curve, Point, latest_scores, write_curve
from fs_models.gsb.fitting.inner import watched
from fs_models.gsb.fitting.judge import Judge, Verdict, averaged
from fs_models.gsb.fitting.learner import DivergedError, Learner
from fs_models.gsb.fitting.mapper_stage import collect
from fs_models.gsb.fitting.photos import Photos
from fs_models.gsb.fitting.purifier_stage import CROPS, CROPS_ON_GPU, PurifierStage, takes_crops
from fs_models.gsb.fitting.settings import DEFAULT_STEPS, MOST_MAPPER_STEPS, FitProgress, FitRequest
from fs_models.gsb.fitting.state import STATE, FitState, read_state, write_state
from fs_models.gsb.fitting.workers import Workers, workers
from fs_models.gsb.mapper import PooledMapperSizes, TokenMapperSizes
from fs_models.gsb.unet import UNetSizes
from fs_runtime.environment import default_threads
from fs_runtime.errors import BackendError, FsError, InputError

LOOKS = 12
"""How often in a stage the held-out photos are looked at, and the state is saved."""

_RATES = {"unet": 1e-3, "diffusion": 2e-5, "mapper": 5e-4}
_PURIFIER_SHARE, _FEATURES_UNTIL = 0.82, 0.94
_LAST_DRAWS, _MAPPER_DRAWS = 2, 2
_MOST_BETWEEN = 0.05
"""How much nearer to each other the features of different photos may come: beyond it, they are only drawn together."""

Watch = Callable[[FitProgress], None]
Tell = Callable[[str], None]


@dataclass(frozen=True)
class FitResult:
    """A booster that was fitted.

    Attributes:
        path: its folder.
        config: what it says of itself.
        sha256: its hash.
        skipped: names of photos that could not be read.
        repeated: names of photos that have the same pixels as one before them; they were skipped too.
    """

    path: Path
    config: GsbConfig
    sha256: str
    skipped: tuple[str, ...]
    repeated: tuple[str, ...]


def fit_booster(
    encoder: EncoderAdapter,
    request: FitRequest,
    *,
    threads: int | None = None,
    on_progress: Watch = lambda _: None,
    on_stage: Tell = lambda _: None,
    on_photos: Callable[[int, int], None] = lambda _, __: None,
) -> FitResult:
    """Fit a booster for ``encoder``, which stays as it is, on a folder of photos.

    Args:
        encoder: of any family and tap, frozen.
        request: what is asked for.
        threads: on the CPU; default: the cores this process may use.
        on_progress: called now and then.
        on_stage: called with a line for each finished part, and for each look at the held-out photos.
        on_photos: called with (files read, files in all).

    Raises:
        InputError: an argument or the photos cannot be used, or the output exists.
        FsError: the loss was no number any more; what was good until then is in the output, and the message says so.
    """
    request.check()
    _check_output(request)
    device = _device(request.device)
    photos = Photos.read(request.data, encoder.spec, seed=request.seed, progress=on_photos)
    notes = f", {line}" if (line := photos.skipped_line()) else ""
    on_stage(f"photos: {len(photos.fitted)} to fit on, {len(photos.held_out)} held out{notes}")
    request.output.mkdir(parents=True, exist_ok=True)
    fitted = FittedEncoder.of(encoder)
    frozen = frozen_for_training(encoder, device)
    threads = threads or default_threads()
    with workers(threads, device, CROPS) as crew:
        return _Fit(frozen, fitted, request, photos, threads, crew, on_progress, on_stage).run()


@dataclass
class _Fit:
    """One fit and where it is."""

    encoder: EncoderAdapter
    fitted: FittedEncoder
    request: FitRequest
    photos: Photos
    threads: int
    workers: Workers
    on_progress: Watch
    on_stage: Tell
    points: list[Point] = field(default_factory=list)
    samples: int = 0
    trouble: str | None = None
    _before: float = 0.0
    _since: float = 0.0

    def run(self) -> FitResult:
        """Both stages, and the checkpoint."""
        request = self.request
        purifier, mapper = self._untrained()
        self.asked = _asked(request, self.fitted, self.photos, self.workers.device, purifier)
        state, tensors = read_state(request.output, self.asked) if request.resume else (None, {})
        pixels = torch.from_numpy(self.photos.judged(self.encoder.spec)).to(self.workers.device)
        self.judge = Judge.of(self.encoder, pixels, request.sigmas, request.seed, self.workers)
        self.bare = self.judge.look(None, None, draws=_LAST_DRAWS)
        self.on_stage(f"without a booster: {_words(self.bare)}")
        first = Learner(purifier, _RATES["diffusion" if request.diffusion else "unet"])
        second = Learner(mapper, _RATES["mapper"])
        if request.overwrite:  # not before everything that may be refused was looked at
            (request.output / STATE).unlink(missing_ok=True)
        self._since = time.monotonic()
        if state is not None:
            self._before, self.samples, self.points = state.seconds, state.samples, list(state.points)
            self.on_stage(f"resumed after step {state.step} of the {state.stage}")
            if state.threads != self.threads and self.workers.device.type == "cpu":
                self.on_stage(
                    f"with {self.threads} threads, not {state.threads} as before: sums are made in another order, so "
                    "the weights will differ by rounding from those of a fit with one number of threads"
                )
            first.restore(_part(tensors, "purifier."), state.purifier_steps)
        if state is None or state.stage == "purifier":
            self._fit_purifier(first)
        finished = averaged(first.module, first.average)
        if self.trouble is None:
            resumed = state is not None and state.stage == "mapper"
            self._fit_mapper(first, finished, second, (state.step, tensors) if state and resumed else None)
        return self._finish(finished, averaged(second.module, second.average), first.steps, second.steps)

    def _untrained(self) -> tuple[nn.Module, nn.Module]:
        spec = self.encoder.spec
        self.mapper_sizes = _mapper_sizes(spec.tap, spec.feature_shape)
        with torch.random.fork_rng(devices=()):
            torch.manual_seed(self.request.seed)
            if self.request.diffusion is None:
                self.purifier_sizes: PurifierSizes = UNetSizes()
                purifier = make_purifier(self.purifier_sizes)
            else:
                purifier = read_diffusers_folder(self.request.diffusion, spec)
                self.purifier_sizes = purifier.sizes
            mapper = make_mapper(self.mapper_sizes)
        assert purifier is not None
        assert mapper is not None
        purifier = purifier.to(self.workers.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        return purifier, mapper.to(self.workers.device)

    @property
    def seconds(self) -> float:
        """Of training, over all sittings."""
        return self._before + time.monotonic() - self._since

    def _purified(self, step: int) -> float:
        """Progress of the first stage, in [0, 1]."""
        steps, minutes = self.request.steps, self.request.minutes
        if steps is None and minutes is None:
            steps = DEFAULT_STEPS
        by_steps = 0.0 if steps is None else step / steps
        by_time = 0.0 if minutes is None else self.seconds / (_PURIFIER_SHARE * 60.0 * minutes)
        return min(1.0, max(by_steps, by_time))

    def _fit_purifier(self, learner: Learner) -> None:
        if self._purified(learner.steps) >= 1.0:
            return  # interrupted right after the last step
        maker, device = self._crops("purifier"), self.workers.device
        copied, good = copy.deepcopy(learner.module), _copied(learner.average) if learner.steps else None
        pace, looks = _Pace(self.seconds, self._purified(learner.steps)), int(LOOKS * self._purified(learner.steps))
        with watched(self.encoder) as inner:
            crops = CROPS if device.type == "cpu" else CROPS_ON_GPU
            stage = PurifierStage(self.encoder, inner, maker, crops, takes_crops(self.encoder, device))
            for batch in ahead(lambda step: stage.batch(step, self._purified(step)), learner.steps):
                parts = batch.parts(self.workers.count, self.workers.device)
                try:
                    # The batch's own progress: an encoder of one size takes no batch that was made for pixels alone.
                    lost = partial(stage.loss, progress=batch.progress)
                    loss = learner.learn(parts, lost, self.workers, batch.progress)
                except DivergedError as error:
                    self._diverged(learner, good, f"{error} of the purifier")
                    return
                self.samples += len(batch.sigma)
                pace.add(loss, len(batch.sigma))
                now = self._purified(learner.steps)
                if int(LOOKS * now) > looks:
                    looks = int(LOOKS * now)
                    verdict = self.judge.look(averaged(copied, learner.average), None)
                    good = _copied(learner.average)
                    self._keep("purifier", learner.steps, now, pace, verdict)
                    self._save(learner.steps, _named("purifier.", learner.tensors()))
                    pace.begin_look()
                self.on_progress(pace.progress("purifier", learner.steps, now, self.seconds, self.points))
                if now >= 1.0:
                    return

    def _fit_mapper(
        self,
        first: Learner,
        purifier: nn.Module,
        learner: Learner,
        resumed: tuple[int, dict[str, torch.Tensor]] | None,
    ) -> None:
        minutes, begun = self.request.minutes, self.seconds
        end = math.inf if minutes is None else 60.0 * minutes

        def enough(rows: int) -> bool:
            self.on_progress(FitProgress("features", rows, min(1.0, rows / wanted), math.nan))
            return self.seconds > begun + (_FEATURES_UNTIL - _PURIFIER_SHARE) * end if minutes else False

        wanted = 4 * first.steps
        bank = collect(self.encoder, purifier, self._crops("mapper"), self.workers, wanted=wanted, enough=enough)
        self.on_stage(f"features: {len(bank.raw)} noisy crops encoded")
        raws = {
            sigma: [self.judge.raw(purifier, sigma, draw) for draw in range(_MAPPER_DRAWS)]
            for sigma in self.request.sigmas
        }
        steps = min(self.request.steps or MOST_MAPPER_STEPS, MOST_MAPPER_STEPS)
        copied, pace, started = copy.deepcopy(learner.module), _Pace(self.seconds), self.seconds
        chosen = _Chosen(self.judge.clean_between + _MOST_BETWEEN)
        chosen.offer(self.judge.verdict(raws, averaged(copied, learner.average)), learner.average)
        if resumed is not None:
            step, tensors = resumed
            learner.restore(_part(tensors, "mapper."), step)
            best = _part(tensors, "chosen.")
            chosen.offer(self.judge.verdict(raws, averaged(copied, best)), best)

        def progress(step: int) -> float:
            by_time = 0.0 if minutes is None else (self.seconds - started) / max(end - started, 10.0)
            return min(1.0, max(step / steps, by_time))

        now = progress(learner.steps)
        looks = int(LOOKS * now)
        while now < 1.0:
            try:
                rows = bank.rows(self.request.seed, learner.steps)
                with bank.chances(self.request.seed, learner.steps):
                    loss = learner.learn([rows], bank.loss, self.workers, now)
            except DivergedError as error:
                self._diverged(learner, chosen.average, f"{error} of the mapper")
                break
            pace.add(loss, len(rows))
            now = progress(learner.steps)
            if int(LOOKS * now) > looks:
                looks = int(LOOKS * now)
                verdict = self.judge.verdict(raws, averaged(copied, learner.average))
                chosen.offer(verdict, learner.average)
                self._keep("mapper", learner.steps, now, pace, verdict)
                self._save(
                    first.steps,
                    _named("purifier.", first.tensors())
                    | _named("mapper.", learner.tensors())
                    | _named("chosen.", chosen.average),
                )
                pace.begin_look()
            self.on_progress(pace.progress("mapper", learner.steps, now, self.seconds, self.points))
        learner.average = chosen.average

    def _crops(self, stage: str) -> CropMaker:
        spec = self.encoder.spec
        return CropMaker(self.photos, spec.height, spec.width, self.request.sigmas, self.request.seed, stage)

    def _diverged(self, learner: Learner, good: dict[str, torch.Tensor] | None, what: str) -> None:
        if good is None:
            raise FsError(f"{what}, before there was anything good: nothing was written; look at the photos of --data")
        learner.average, self.trouble = good, what

    def _keep(self, stage: str, step: int, share: float, pace: "_Pace", verdict: Verdict) -> None:
        """Add a look to the curve, and tell of it."""
        self.points.append(
            Point(
                stage=stage,
                step=step,
                seconds=self.seconds,
                samples=self.samples,
                loss=pace.mean_loss,
                scores={f"{sigma:g}": score for sigma, score in verdict.scores.items()},
                between=verdict.between,
            )
        )
        self._draw()
        now = pace.progress(stage, step, share, self.seconds, self.points)
        self.on_stage(
            f"{stage}, step {step}, {self.seconds / 60.0:.1f} min: loss {now.loss:.3f}, {_words(verdict)}; "
            f"{now.images_per_second:.0f} images/s, {now.seconds_left / 60.0:.1f} min left of it"
        )

    def _save(self, purifier_steps: int, tensors: dict[str, torch.Tensor]) -> None:
        """Make the fit able to go on from the last look."""
        last = self.points[-1]
        state = FitState(
            request=self.asked,
            stage=last.stage,
            step=last.step,
            seconds=last.seconds,
            samples=last.samples,
            threads=self.threads,
            purifier_steps=purifier_steps,
            points=tuple(self.points),
        )
        write_state(self.request.output, state, tensors)

    def _draw(self) -> None:
        bare = {f"{sigma:g}": score for sigma, score in self.bare.scores.items()}
        curve = Curve(bare=bare, clean_between=self.judge.clean_between, points=tuple(self.points))
        write_curve(self.request.output, curve)

    def _finish(self, purifier: nn.Module, mapper: nn.Module, first: int, second: int) -> FitResult:
        """Write the checkpoint, read it back, and judge what was read; only then the state has served."""
        output = self.request.output
        untold = GsbConfig(
            encoder=self.fitted, sigmas=self.request.sigmas, purifier=self.purifier_sizes, mapper=self.mapper_sizes
        )
        write_checkpoint(output, untold, purifier, mapper)
        read = read_checkpoint(output)
        assert read.purifier is not None
        assert read.mapper is not None
        kept = read.purifier.to(self.workers.device), read.mapper.to(self.workers.device)
        verdict = self.judge.look(*kept, draws=_LAST_DRAWS)
        training = Training(
            photos=len(self.photos.fitted),
            held_out=len(self.photos.held_out),
            skipped=len(self.photos.skipped) + len(self.photos.repeated),
            purifier_steps=first,
            mapper_steps=second,
            samples=self.samples,
            seconds=self.seconds,
            seed=self.request.seed,
            scores=tuple(
                Score(sigma=sigma, without=self.bare.scores[sigma], with_gsb=score)
                for sigma, score in verdict.scores.items()
            ),
            clean_between=self.judge.clean_between,
            boosted_between=verdict.between,
            torch=str(torch.__version__),
            stopped_early=self.trouble,
        )
        write_checkpoint(output, msgspec.structs.replace(untold, training=training), *kept)
        read = read_checkpoint(output)
        (output / STATE).unlink(missing_ok=True)
        self.on_stage(f"with the booster: {_words(verdict)}")
        if self.trouble is not None:
            raise FsError(f"{self.trouble}: {output} holds what was good until then; look at the photos of --data")
        skipped, repeated = tuple(self.photos.skipped), tuple(self.photos.repeated)
        return FitResult(output, read.config, read.sha256, skipped, repeated)


@dataclass
class _Pace:
    """Losses and images since the last look."""

    begun: float
    share: float = 0.0
    losses: float = 0.0
    count: int = 0
    images: int = 0

    def add(self, loss: float, images: int) -> None:
        self.losses, self.count, self.images = self.losses + loss, self.count + 1, self.images + images

    def begin_look(self) -> None:
        self.losses, self.count = 0.0, 0

    @property
    def mean_loss(self) -> float:
        return self.losses / self.count if self.count else math.nan

    def progress(self, stage: str, step: int, share: float, seconds: float, points: list[Point]) -> FitProgress:
        spent = max(seconds - self.begun, 1e-9)
        return FitProgress(
            stage=stage,
            step=step,
            share=share,
            loss=self.mean_loss,
            scores=latest_scores(points),
            images_per_second=self.images / spent,
            seconds_left=spent * (1.0 - share) / max(share - self.share, 1e-9),
        )


class _Chosen:
    """The best mapper so far that does not draw different photos together; the first one offered, if none is better."""

    def __init__(self, most_between: float) -> None:
        self._most_between = most_between
        self._best = -math.inf
        self.average: dict[str, torch.Tensor] = {}

    def offer(self, verdict: Verdict, average: dict[str, torch.Tensor]) -> None:
        """Take a mapper's averaged weights if they are better."""
        if not self.average:
            self._most_between = max(self._most_between, verdict.between)
        if verdict.mean > self._best and verdict.between <= self._most_between:
            self._best = verdict.mean
            self.average = _copied(average)


def _copied(average: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {name: value.detach().clone() for name, value in average.items()}


def _named(prefix: str, tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {prefix + name: value for name, value in tensors.items()}


def _part(tensors: dict[str, torch.Tensor], prefix: str) -> dict[str, torch.Tensor]:
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}


def _mapper_sizes(tap: str, shape: tuple[int, ...]) -> MapperSizes:
    if tap == "tokens":
        return TokenMapperSizes(tokens=math.prod(shape[:-1]), channels=shape[-1])
    return PooledMapperSizes(dimension=math.prod(shape))


def _asked(
    request: FitRequest, fitted: FittedEncoder, photos: Photos, device: torch.device, untrained: nn.Module
) -> dict[str, str]:
    """What a fit must have in common with the one that it goes on from."""
    names = [path.relative_to(photos.folder).as_posix() for path in (*photos.fitted, *photos.held_out)]
    return {
        "--sigma": ", ".join(f"{sigma:g}" for sigma in request.sigmas),
        "--steps": str(request.steps),
        "--minutes": str(request.minutes),
        "--seed": str(request.seed),
        "--diffusion": _pretrained(untrained),
        "--device": device.type,
        "encoder": f"{fitted.weights_sha256[:12]}, tap {fitted.tap}",
        "input size": f"{fitted.height} x {fitted.width}",
        "photos": f"{len(names)} ({hashlib.sha256(repr(sorted(names)).encode()).hexdigest()[:12]})",
    }


def _pretrained(purifier: nn.Module) -> str:
    if not isinstance(purifier, DiffusionPurifier):
        return "none"
    known = weights_sha256(purifier).encode() + msgspec.json.encode(purifier.sizes)
    return f"of a network with hash {hashlib.sha256(known).hexdigest()[:12]}"


def _check_output(request: FitRequest) -> None:
    """Refuse an output that would be lost, or that there is nothing to go on from."""
    output = request.output
    if request.overwrite and request.resume:
        raise InputError("--resume and --overwrite exclude one another: give one of them")
    if output.exists() and not output.is_dir():
        raise InputError(f"{output} exists and is not a folder: choose another -o")
    if request.resume or not output.exists() or not any(output.iterdir()):
        return
    interrupted = (output / STATE).exists()
    if request.overwrite and (interrupted or (output / WEIGHTS).exists()):
        return
    if request.overwrite:
        raise InputError(f"{output} holds no booster, and --overwrite replaces nothing else: choose another -o")
    if interrupted:
        raise InputError(f"{output} holds an interrupted fit: go on with --resume, or start again with --overwrite")
    raise InputError(f"{output} exists: choose another -o, or give --overwrite to replace the booster")


def _device(wanted: str | None) -> torch.device:
    if wanted is None:
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if wanted.startswith("cuda") and not torch.cuda.is_available():
        raise BackendError("--device cuda was asked for, but PyTorch finds no CUDA device: use --device cpu")
    return torch.device(wanted)


def _words(verdict: Verdict) -> str:
    scores = ", ".join(f"{score:.4f} at sigma {sigma:g}" for sigma, score in verdict.scores.items())
    return f"held-out robustness score {scores}; mean cosine between photos {verdict.between:.3f}"
