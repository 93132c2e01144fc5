"""The one schema of a bundle: what ``manifest.json`` says (docs/bundle-format.md).

Both machines use these types: the exporter writes them, the runtime reads them, and msgspec holds every value to its
bounds before anything is allocated.
"""

from typing import Annotated, Literal

import msgspec

from fs_runtime.preprocess import PreprocessRule

SCHEMA_VERSION: Literal[1] = 1
MANIFEST = "manifest.json"

Text = Annotated[str, msgspec.Meta(max_length=1024)]
RelativePath = Annotated[str, msgspec.Meta(min_length=1, max_length=512)]
Sha256 = Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{64}$")]
Count = Annotated[int, msgspec.Meta(ge=0)]
Side = Annotated[int, msgspec.Meta(ge=1, le=4096)]
Dimension = Annotated[int, msgspec.Meta(ge=1, le=1 << 22)]
Precision = Literal["fp32", "fp16", "bf16", "int8"]
Tap = Literal["pooled", "cls", "tokens"]
Positive = Annotated[float, msgspec.Meta(gt=0.0, le=1e6)]


class Source(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Where the encoder came from: the id or folder the user named, and the revision if it has one."""

    model: Text
    revision: Text | None = None


class Tensor(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One input or output of a graph."""

    name: Text
    dtype: Literal["float32", "int64"]
    shape: Annotated[tuple[Dimension, ...], msgspec.Meta(max_length=4)]


class Calibration(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What the scales of an int8 graph come from: photos, each with one draw of the bundle's noise.

    ``pixels_sha256`` is over the prepared pixels, in the order of the files' names; ``skipped`` counts the files that
    could not be read, and ``skipped_names`` lists the first of them.
    """

    images: Count
    skipped: Count
    skipped_names: Annotated[tuple[RelativePath, ...], msgspec.Meta(max_length=64)] = ()
    pixels_sha256: Sha256
    seed: Text


class Graph(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One ONNX graph; ``sha256`` covers the file, then its external data in the order listed.

    ``multiply_adds`` counts those of the matrix products, convolutions and attention of one draw; None: not counted.
    ``clean`` is the bare encoder of a bundle with a booster: the smoothed graph without it, for one draw.
    """

    role: Literal["smoothed", "clean"]
    file: RelativePath
    external_data: Annotated[tuple[RelativePath, ...], msgspec.Meta(max_length=64)] = ()
    sha256: Sha256
    bytes: Count
    precision: Precision
    calibration: Calibration | None = None
    opset: Annotated[int, msgspec.Meta(ge=1, le=1000)]
    inputs: Annotated[tuple[Tensor, ...], msgspec.Meta(max_length=16)]
    outputs: Annotated[tuple[Tensor, ...], msgspec.Meta(max_length=16)]
    multiply_adds: Count | None = None


class File(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Hash and size of any other file of the bundle."""

    sha256: Sha256
    bytes: Count


class Booster(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The Gaussian Smoothness Booster inside the graph."""

    kind: Text
    sha256: Sha256


class Parity(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How the graph compared with the original module on the same noise, and what was allowed.

    Angles are in radians at radius sigma / 2, from the angle law at ``alpha`` on ``draws`` draws after ``pilot`` pilot
    draws: what the difference between both does to a certificate; None where so few draws certify nothing. ``ran`` says
    what computed the graph's side, and ``not_checked`` what the comparison leaves open.
    """

    graph: RelativePath
    ran: Text
    not_checked: Annotated[tuple[Text, ...], msgspec.Meta(max_length=16)] = ()
    image: Text
    seed: Text
    pilot: Count
    draws: Count
    alpha: float
    smallest_cosine: float
    smallest_cosine_allowed: float
    mean_cosine: float
    mean_cosine_allowed: float
    largest_difference: dict[Text, float]
    largest_difference_allowed: dict[Text, float]
    angle_original: float | None
    angle_graph: float | None
    angle_change_allowed: float


class EngineSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What a plan was built with; it is strongly typed and without TF32 always.

    ``workspace_mb`` is the builder's limit for scratch memory in MiB, None for its own default.
    """

    workspace_mb: Annotated[int, msgspec.Meta(ge=1, le=1 << 20)] | None = None
    version_compatible: bool = False
    hardware_compatible: bool = False


class Engine(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One TensorRT plan; it loads only if its hash is listed here.

    ``graph_sha256`` is the hash of the ONNX graph it was built from. ``parity`` compares the plan with that graph;
    where it is None, ``parity_not_run`` says why. In a bundle there is one of both.
    """

    file: RelativePath
    sha256: Sha256
    bytes: Count
    builder: Literal["tensorrt", "tensorrt-rtx"]
    version: Text
    graph_sha256: Sha256
    precision_requested: Precision
    precision_observed: Precision
    compute_capability: Annotated[str, msgspec.Meta(pattern=r"^[1-9][0-9]?\.[0-9]$")]
    noise_batch: Annotated[int, msgspec.Meta(ge=1, le=4096)]
    settings: EngineSettings = EngineSettings()
    parity: Parity | None = None
    parity_not_run: Text | None = None


class Manifest(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Everything the runtime must know about a bundle.

    ``sigma`` is in units of [0, 1] pixels, ``mean`` and ``std`` are the model's normalisation (already inside the
    graph), ``feature_shape`` is the raw feature's before flattening; ``images`` is how many images'
    draws one noise batch mixes.
    """

    schema_version: Literal[1]
    source: Source
    family: Text
    tap: Tap
    feature_shape: Annotated[tuple[Dimension, ...], msgspec.Meta(min_length=1, max_length=3)]
    height: Side
    width: Side
    sigma: Annotated[float, msgspec.Meta(gt=0.0, le=2.0)]
    noise_batch: Annotated[int, msgspec.Meta(ge=1, le=4096)]
    images: Annotated[int, msgspec.Meta(ge=1, le=64)] = 1
    mean: tuple[float, float, float]
    std: tuple[Positive, Positive, Positive]
    preprocess: PreprocessRule
    gsb: Booster | None = None
    graphs: Annotated[tuple[Graph, ...], msgspec.Meta(min_length=1, max_length=4)]
    engines: Annotated[tuple[Engine, ...], msgspec.Meta(max_length=64)] = ()
    files: Annotated[dict[RelativePath, File], msgspec.Meta(max_length=1024)] = {}
    parity: Annotated[tuple[Parity, ...], msgspec.Meta(max_length=64)] = ()
    tools: Annotated[dict[Text, Text], msgspec.Meta(max_length=64)] = {}

    @property
    def dimension(self) -> int:
        """D, the length of the flattened feature."""
        product = 1
        for side in self.feature_shape:
            product *= side
        return product

    @property
    def bare(self) -> "Manifest":
        """The same for the graph of role ``clean``, the bare encoder: one draw of one image a run."""
        return msgspec.structs.replace(self, noise_batch=1, images=1)

    @property
    def has_features(self) -> bool:
        """Whether the smoothed graph gives each draw's unit feature (pooled and cls taps)."""
        return self.tap != "tokens"

    @property
    def smoothed_inputs(self) -> tuple[Tensor, ...]:
        """The inputs that the smoothed graph must have."""
        n, images, height, width = self.noise_batch, self.images, self.height, self.width
        pixels = Tensor(name="pixel_values", dtype="float32", shape=(images, 3, height, width))
        noise = Tensor(name="noise", dtype="float32", shape=(n, 3, height, width))
        if images == 1:
            return (pixels, noise, Tensor(name="reference", dtype="float32", shape=(self.dimension,)))
        return (
            pixels,
            noise,
            Tensor(name="reference", dtype="float32", shape=(images, self.dimension)),
            Tensor(name="image_index", dtype="int64", shape=(n,)),
        )

    @property
    def smoothed_outputs(self) -> tuple[Tensor, ...]:
        """The outputs that the smoothed graph must have."""
        n, dimension = self.noise_batch, self.dimension
        sums = (dimension,) if self.images == 1 else (self.images, dimension)
        outputs = (
            Tensor(name="cosine", dtype="float32", shape=(n,)),
            Tensor(name="feature_sum", dtype="float32", shape=sums),
            Tensor(name="raw_norm", dtype="float32", shape=(n,)),
        )
        features = Tensor(name="features", dtype="float32", shape=(n, dimension))
        return (*outputs, features) if self.has_features else outputs
