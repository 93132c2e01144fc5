"""Draws per second on a GPU: the runtime against the bare encoder and against PyTorch, by noise batch.

    python benchmarks/gpu.py                                                     # both models, on cuda:0
    python benchmarks/gpu.py --model vit-l-14-336 --noise-batches 16,64 --rounds 5
    python benchmarks/gpu.py --backend tensorrt-rtx                              # a plan, built here before
    python benchmarks/gpu.py --device cpu --model vit-tiny --precision fp32 --noise-batches 4,8 --rounds 2 --seconds .2

measures full-size encoders of random weights (full_size.py) in rounds that take the contenders in turn:

runtime    encoder.certify by --backend, pilot and statistics included
bare       ONNX Runtime on the encoder alone (bare_encoder.py), same batch and precision, its pixels on the device
resident   ONNX Runtime on the smoothed graph, all inputs on the device: a block without noise, copies and host
eager      PyTorch fp32: x.repeat(N) + randn * sigma, model(...), inference_mode
compiled   the same in fp16 by torch.compile (on a CPU in fp32: fp16 is no contender there)

Ratios are paired within a round. "Noise and copies" is what the device's clock says of them where the backend reads
one; else all of a block that the resident graph does not take, the host included: an upper bound. Judged at the noise
batch with most draws per second: runtime / bare >= 0.95, runtime / eager >= 3, noise and copies <= 3 % of the block;
exit code 1 where one is missed. Writes benchmarks/results/gpu.json, or gpu-BACKEND.json of another backend, after every
model; on a CPU, which only tries the script out, nothing is judged or written. Of a contender that cannot run here the
reason is written: not run.
"""

import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack, closing
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import click
import msgspec
import numpy as np
import torch
from bare_encoder import cut_encoder
from common import console, options, quartiles, verdict, write_results
from full_size import NAMES, save_model
from rich.table import Table
from speed_bundle import PLANS, add_plan, write_speed_bundle

from fs_models.encoders import LoadRequest, load_encoder
from fs_runtime.backends.device import Device
from fs_runtime.bench import Asked, Contender, bench_line
from fs_runtime.bench.bare import ResidentSession, open_session
from fs_runtime.bench.measurement import Measurement, seconds_each
from fs_runtime.bundle import Bundle, read_bundle
from fs_runtime.cuda_driver import ask_driver
from fs_runtime.environment import default_max_pixels, default_threads
from fs_runtime.errors import FsError

TARGETS = {"runtime / bare": (">=", 0.95), "runtime / eager": (">=", 3.0), "noise and copies": ("<=", 0.03)}
MODELS = ("vit-b-32", "vit-l-14-336")
Run = Callable[[], object]


@dataclass
class Entry:
    """One model at one noise batch.

    Attributes:
        batch: N.
        contender: the runtime and the bare session.
        others: seconds-taking runs of one batch, by name.
        measured: of the runtime, a round each.
        seconds: of one batch of the others, by name, a round each.
        not_run: why, by name.
    """

    batch: int
    contender: Contender
    others: dict[str, Run] = field(default_factory=dict)
    measured: list[Measurement] = field(default_factory=list)
    seconds: dict[str, list[float]] = field(default_factory=dict)
    not_run: dict[str, str] = field(default_factory=dict)

    @property
    def times(self) -> int:
        """Batches in one measurement of the others."""
        return max(2, self.contender.blocks // 4)


def resident(bundle: Bundle, device: str, threads: int) -> ResidentSession:
    """The smoothed graph with all its inputs on the device."""
    manifest, graph = bundle.manifest, bundle.graph("smoothed")
    rng = np.random.default_rng(0)
    feed = {tensor.name: rng.random(tensor.shape, np.float32) for tensor in graph.inputs}
    feed["noise"] = ((feed["noise"] - 0.5) * manifest.sigma).astype(np.float32)
    path = bundle.graph_path(graph)
    return ResidentSession(path, open_session(path, device, threads), feed, device=device)


class Loops:
    """The usual loops in PyTorch, whose networks serve every noise batch."""

    def __init__(self, folder: Path, device: str) -> None:
        self._folder, self._device = folder, device
        self._networks: dict[str, Any] = {}

    def opened(self, what: str, batch: int) -> Run:
        """One batch of ``eager`` or ``compiled``; it is done when it returns."""
        dtype = torch.float16 if what == "compiled" and self._device != "cpu" else torch.float32
        encoder = load_encoder(LoadRequest(str(self._folder)))
        if what not in self._networks:
            network = encoder.to(device=self._device, dtype=dtype)
            self._networks[what] = torch.compile(network, dynamic=False) if what == "compiled" else network
        network = self._networks[what]
        one = torch.rand((1, 3, encoder.spec.height, encoder.spec.width), device=self._device, dtype=dtype)

        def run() -> None:
            with torch.inference_mode():
                copies = one.repeat(batch, 1, 1, 1)
                network(copies + torch.randn_like(copies) * 0.25)
            if self._device != "cpu":
                torch.cuda.synchronize(self._device)

        return run


def prepared(name: str, folder: Path, batches: tuple[int, ...], asked: dict[str, Any], stack: ExitStack) -> list[Entry]:
    """Bundles of one model, opened and run once each."""
    device, threads = asked["device"], asked["threads"] or default_threads()
    begun = time.perf_counter()

    def tell(what: str) -> None:
        console.print(f"{name}: {what}, {time.perf_counter() - begun:.0f} s so far", highlight=False)

    save_model(name, folder / "model")
    encoder = load_encoder(LoadRequest(str(folder / "model")))
    loops = Loops(folder / "model", device)
    torch.set_num_threads(threads)
    entries = []
    for batch in batches:
        place = folder / f"n{batch}"
        write_speed_bundle(encoder, place, noise_batch=batch, precision=asked["precision"])
        if asked["backend"] in PLANS:
            add_plan(place, asked["backend"], Device.parse(device).index)
            tell(f"plan of noise batch {batch} built")
        bundle = read_bundle(place)
        bare = cut_encoder(place, folder / f"bare-{batch}.onnx")
        tell(f"graph of noise batch {batch} traced")
        made = Contender(
            bundle,
            Asked(seconds=asked["seconds"], bare=bare),
            backend="tensorrt" if asked["backend"] in PLANS else asked["backend"],
            device=device,
            threads=threads,
            max_pixels=default_max_pixels(),
        )
        entry = Entry(batch, stack.enter_context(closing(made)))
        made.warm_up()
        for what, opened in (
            ("resident", lambda bundle=bundle: stack.enter_context(closing(resident(bundle, device, threads))).run),
            ("eager", lambda batch=batch: loops.opened("eager", batch)),
            ("compiled", lambda batch=batch: loops.opened("compiled", batch)),
        ):
            if what in asked["without"]:
                entry.not_run[what] = "left out by --without"
                continue
            try:
                run = opened()
                run()
                run()
            except (FsError, RuntimeError, ImportError) as error:  # torch's own errors are RuntimeErrors
                entry.not_run[what] = (str(error).strip().splitlines() or [type(error).__name__])[0]
                continue
            entry.others[what] = run
        tell(f"noise batch {batch} warm")
        entries.append(entry)
    return entries


def measure(entries: list[Entry], rounds: int) -> None:
    """Every contender in turn, beginning with another noise batch each round."""
    for number in range(rounds):
        turn = number % len(entries)
        for entry in (*entries[turn:], *entries[:turn]):
            entry.measured.append(entry.contender.measure(number))
            for what, run in entry.others.items():
                entry.seconds.setdefault(what, []).append(seconds_each(run, entry.times))


def outcome(entry: Entry) -> dict[str, Any]:
    """Rates, ratios and the share of noise and copies of one noise batch."""
    line = bench_line(entry.contender, entry.measured)
    runtime = [each.certify.blocks * entry.batch / each.certify.seconds for each in entry.measured]
    rates = {"runtime": runtime, "bare": [entry.batch / (each.bare or np.nan) for each in entry.measured]}
    rates |= {what: [entry.batch / each for each in seconds] for what, seconds in entry.seconds.items()}
    ratios = {
        f"runtime / {what}": quartiles([own / other for own, other in zip(runtime, others, strict=True)])
        for what, others in rates.items()
        if what != "runtime"
    }
    return {
        "noise_batch": entry.batch,
        "draws_per_second": {what: quartiles(values) for what, values in rates.items()},
        "ratios": ratios,
        "noise_and_copies": beside_the_graph(entry),
        "bench": msgspec.to_builtins(line),
        "not_run": entry.not_run,
        "rounds": [asdict(each) for each in entry.measured],
    }


def beside_the_graph(entry: Entry) -> dict[str, Any] | None:
    """Noise and copies as a share of the block, and how it is known."""
    runs = [each.certify for each in entry.measured]
    if all(run.device is not None for run in runs):
        shares = [
            (run.waiting + run.device.noise + run.device.copy) / run.seconds for run in runs if run.device is not None
        ]
        return {**quartiles(shares), "by": "the device's clock"}
    if "resident" not in entry.seconds:
        return None
    pairs = zip(runs, entry.seconds["resident"], strict=True)
    shares = [1.0 - alone * run.blocks / run.seconds for run, alone in pairs]
    return {**quartiles(shares), "by": "block less resident graph, host included: an upper bound"}


def judged(found: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The targets at the noise batch with most draws per second."""
    best = max(found, key=lambda each: each["draws_per_second"]["runtime"]["median"])
    values = {name: ratio["median"] for name, ratio in best["ratios"].items()}
    if best["noise_and_copies"] is not None:
        values["noise and copies"] = best["noise_and_copies"]["median"]
    return [
        {
            "what": what,
            "noise_batch": best["noise_batch"],
            "target": f"{sign} {bound:g}",
            "median": values.get(what),
            "met": what in values and (values[what] >= bound if sign == ">=" else values[what] <= bound),
        }
        for what, (sign, bound) in TARGETS.items()
    ]


def show(name: str, found: list[dict[str, Any]], targets: list[dict[str, Any]]) -> None:
    """Print one model."""
    contenders = ("runtime", "bare", "resident", "eager", "compiled")
    made = Table("N", *contenders, "noise and copies", title=f"{name}: draws per second, medians", title_justify="left")
    for each in found:
        rates = each["draws_per_second"]
        share = each["noise_and_copies"]
        cells = [f"{rates[what]['median']:,.1f}" if what in rates else "not run" for what in contenders]
        made.add_row(str(each["noise_batch"]), *cells, "-" if share is None else f"{100 * share['median']:.1f} %")
    console.print(made)
    made = Table("N", "ratio", "median", "quartiles", title="Paired within each round", title_justify="left")
    for each in found:
        for what, ratio in each["ratios"].items():
            spread = f"{ratio['lower_quartile']:.3f} to {ratio['upper_quartile']:.3f}"
            made.add_row(str(each["noise_batch"]), what, f"{ratio['median']:.3f}", spread)
    console.print(made)
    for each in found:
        for what, why in each["not_run"].items():
            console.print(f"N {each['noise_batch']}: {what} not run: {why}", highlight=False, markup=False)
    for target in targets:
        value = "not run" if target["median"] is None else f"{target['median']:.3f}"
        line = f"N {target['noise_batch']}: {target['what']} {value}, wanted {target['target']}: "
        console.print(line + ("not run" if target["median"] is None else verdict(target["met"])), highlight=False)


def batches_of(_: click.Context, __: click.Parameter, text: str | None) -> tuple[int, ...] | None:
    if text is None:
        return None
    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError:
        raise click.BadParameter(f"{text!r} is no list of whole numbers, as 16,64") from None


@click.command(help=__doc__.splitlines()[0])
@click.option("--device", default="cuda:0", show_default=True)
@click.option(
    "--backend",
    type=click.Choice(("onnxruntime", "onnxruntime-tensorrt", *PLANS)),
    default="onnxruntime",
    show_default=True,
    help="Of tensorrt and tensorrt-rtx a plan is built first, on the GPU that it is for.",
)
@click.option("--model", "models", type=click.Choice(NAMES), multiple=True, default=MODELS, show_default=True)
@click.option("--precision", type=click.Choice(["fp32", "fp16"]), default="fp16", show_default=True)
@click.option(
    "--noise-batches", callback=batches_of, help="With commas between. Default: 32,128,512; vit-l-14-336: 16,64,128."
)
@click.option("--without", type=click.Choice(["resident", "eager", "compiled"]), multiple=True, help="May be repeated.")
@click.option("--threads", type=click.IntRange(min=1), help="For a CPU. Default: the cores this process may use.")
@click.option("--rounds", type=click.IntRange(min=1), default=7, show_default=True)
@click.option("--seconds", type=float, default=1.0, show_default=True, help="What one measurement takes about.")
def main(models: tuple[str, ...], noise_batches: tuple[int, ...] | None, rounds: int, **asked: Any) -> None:
    """Measure, print, write."""
    driver = ask_driver()
    gpus = driver.gpus if asked["device"] != "cpu" else ()
    if asked["device"] != "cpu" and not gpus:
        raise click.UsageError(f"there is no GPU to measure: {driver.problem}; try the script out with --device cpu")
    results: dict[str, Any] = {}
    missed = False
    for name in models:
        batches = noise_batches or ((16, 64, 128) if name == "vit-l-14-336" else (32, 128, 512))
        try:
            with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
                entries = prepared(name, Path(folder), batches, asked, stack)
                measure(entries, rounds)
                found = [outcome(entry) for entry in entries]
        except FsError as error:  # the other models may still run
            console.print(f"{name}: not run: {error}", style="red", markup=False, highlight=False)
            missed = True
            continue
        targets = judged(found) if asked["device"] != "cpu" else []
        show(name, found, targets)
        missed |= not all(target["met"] for target in targets)
        results[name] = {"by_noise_batch": found, "targets": targets}
        if asked["device"] != "cpu":
            cards = [{"name": gpu.name, "compute_capability": gpu.compute_capability} for gpu in gpus]
            name_of = "gpu" if asked["backend"] == "onnxruntime" else f"gpu-{asked['backend']}"
            write_results(name_of, {"gpus": cards, "setting": options(), "models": results})
    if asked["device"] == "cpu":
        console.print("A trial on a CPU: nothing is judged or written.")
    sys.exit(missed)


if __name__ == "__main__":
    main()
