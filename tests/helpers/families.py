"""One case for each encoder family: a tiny, randomly initialised model in a folder, as a user's own would be.

They show that the graph computes what transformers computes, not that a feature means anything.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import transformers
from helpers import tiny_face, tiny_open_clip
from PIL import Image
from torch import nn
from transformers import models as hf

SIDE = 32
PATCH = 8
Outputs = dict[str, torch.Tensor]

VIT: dict[str, Any] = {
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "image_size": SIDE,
    "patch_size": PATCH,
}
TEXT: dict[str, Any] = {
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 1,
    "num_attention_heads": 4,
    "vocab_size": 99,
}
_ENDS: dict[str, Any] = {"bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0}


def processed(folder: Path, image: Image.Image) -> npt.NDArray[np.float32]:
    """By the processor of transformers."""
    return transformers.AutoImageProcessor.from_pretrained(folder)(image, return_tensors="np")["pixel_values"]


@dataclass(frozen=True)
class Case:
    """A family's tiny model, and what transformers itself makes of it.

    Attributes:
        name: of the case.
        family: the adapter that must be chosen.
        make: writes the folder.
        expected: every tap of normalised pixels [B, 3, H, W], by the folder's whole model.
        exported: the tap that the export test takes.
        size: (height, width) that the user asks for, where the encoder takes several.
        norms: LayerNormalization nodes of the graph of the exported tap.
        part: what the user puts behind the folder.
        pixels: what the model's own processor makes of an image, [1, 3, H, W], normalised.
    """

    name: str
    family: str
    make: Callable[[Path], None]
    expected: Callable[[Path, torch.Tensor], Outputs]
    exported: Any
    norms: int
    size: tuple[int, int] | None = None
    part: str = ""
    pixels: Callable[[Path, Image.Image], npt.NDArray[np.float32]] | None = processed


def save(case: Case, folder: Path) -> Path:
    """Make the case's folder."""
    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    folder.mkdir(parents=True, exist_ok=True)
    with torch.random.fork_rng():
        torch.manual_seed(5)
        case.make(folder)
    return folder


def livened(network: nn.Module) -> nn.Module:
    """Give a new model the spread that trained ones have; as initialised its layers hardly do anything."""
    for name, value in network.named_parameters():
        if value.dim() > 1:
            nn.init.normal_(value, std=0.7 / value[0].numel() ** 0.5)
        elif "weight" in name or "scale" in name or "lambda" in name:
            nn.init.uniform_(value, 0.7, 1.3)
        else:
            nn.init.normal_(value, std=0.1)
    for name, value in network.named_buffers():
        if name.endswith("running_mean"):
            nn.init.normal_(value, std=0.1)
        elif name.endswith("running_var"):
            nn.init.uniform_(value, 0.5, 1.5)
    return network


def _maker(model: Callable[[], nn.Module], processor: Callable[[], Any]) -> Callable[[Path], None]:
    def make(folder: Path) -> None:
        livened(model()).save_pretrained(folder)  # type: ignore[operator]
        processor().save_pretrained(folder)

    return make


def _pretrained(loader: Any, folder: Path) -> Any:
    return loader.from_pretrained(folder).eval()


def _clip_processor() -> Any:
    return transformers.CLIPImageProcessorPil(size={"shortest_edge": SIDE}, crop_size={"height": SIDE, "width": SIDE})


def _exact_processor(kind: str) -> Callable[[], Any]:
    return lambda: getattr(transformers, kind)(size={"height": SIDE, "width": SIDE})


def _hidden(folder: Path, pixels: torch.Tensor) -> Outputs:
    output = _pretrained(transformers.AutoModel, folder)(pixel_values=pixels)
    hidden = output.last_hidden_state
    if hidden.dim() == 4:
        return {"pooled": output.pooler_output.flatten(1), "tokens": hidden.flatten(2).mT}
    taps = {"cls": hidden[:, 0], "tokens": hidden}
    return taps if output.pooler_output is None else {"pooled": output.pooler_output, **taps}


def _without_class_token(folder: Path, pixels: torch.Tensor) -> Outputs:
    return {tap: feature for tap, feature in _hidden(folder, pixels).items() if tap != "cls"}


# ---- two towers


def _clip() -> nn.Module:
    config = hf.clip.CLIPConfig(text_config={**TEXT, **_ENDS}, vision_config=VIT, projection_dim=16)
    return hf.clip.CLIPModel(config)


def _clip_expected(folder: Path, pixels: torch.Tensor) -> Outputs:
    output = _pretrained(hf.clip.CLIPModel, folder).get_image_features(pixels)
    hidden = output.last_hidden_state
    return {"pooled": output.pooler_output, "cls": hidden[:, 0], "tokens": hidden}


def _clip_vision_expected(folder: Path, pixels: torch.Tensor) -> Outputs:
    output = _pretrained(hf.clip.CLIPVisionModelWithProjection, folder)(pixels)
    hidden = output.last_hidden_state
    return {"pooled": output.image_embeds, "cls": hidden[:, 0], "tokens": hidden}


def _siglip() -> nn.Module:
    return hf.siglip.SiglipModel(hf.siglip.SiglipConfig(text_config={**TEXT, **_ENDS}, vision_config=VIT))


def _siglip_expected(folder: Path, pixels: torch.Tensor) -> Outputs:
    output = _pretrained(hf.siglip.SiglipModel, folder).get_image_features(pixels)
    return {"pooled": output.pooler_output, "tokens": output.last_hidden_state}


# ---- vision sides of language models


def _language(kind: str) -> dict[str, Any]:
    return {**TEXT, **_ENDS, "model_type": kind, "num_key_value_heads": 2, "max_position_embeddings": 128}


def _llava(**changes: Any) -> Callable[[], nn.Module]:
    def make() -> nn.Module:
        settings = {"vision_feature_layer": -2, "vision_feature_select_strategy": "default", **changes}
        config = hf.llava.LlavaConfig(
            vision_config={**VIT, "model_type": "clip_vision_model"},
            text_config=_language("llama"),
            image_token_index=98,
            image_seq_length=16,
            **settings,
        )
        return hf.llava.LlavaForConditionalGeneration(config)

    return make


def _llava_next() -> nn.Module:
    config = hf.llava_next.LlavaNextConfig(
        vision_config={**VIT, "model_type": "clip_vision_model"},
        text_config=_language("mistral"),
        image_token_index=98,
        image_grid_pinpoints=[[SIDE, 2 * SIDE], [2 * SIDE, SIDE]],
        vision_feature_layer=-2,
    )
    return hf.llava_next.LlavaNextForConditionalGeneration(config)


def _internvl() -> nn.Module:
    config = hf.internvl.InternVLConfig(
        vision_config={**VIT, "image_size": [SIDE, SIDE], "patch_size": [PATCH, PATCH]},
        text_config=_language("qwen2"),
        image_token_id=98,
        image_seq_length=4,
    )
    return hf.internvl.InternVLForConditionalGeneration(config)


def _projected(folder: Path, pixels: torch.Tensor, **settings: Any) -> Outputs:
    model = _pretrained(transformers.AutoModelForImageTextToText, folder).model
    return {"tokens": torch.stack(list(model.get_image_features(pixel_values=pixels, **settings).pooler_output))}


def _llava_tower(folder: Path, pixels: torch.Tensor) -> Outputs:
    tower = _pretrained(hf.llava.LlavaForConditionalGeneration, folder).model.vision_tower
    return {"tokens": tower(pixels, output_hidden_states=True).hidden_states[-2][:, 1:]}


def _llava_next_expected(folder: Path, pixels: torch.Tensor) -> Outputs:
    # The first tile of an image that has two more.
    tiles = pixels[:, None].repeat(1, 3, 1, 1, 1)
    sizes = torch.tensor([[SIDE, 2 * SIDE]] * len(pixels))
    whole = _projected(folder, tiles, image_sizes=sizes)["tokens"]
    return {"tokens": whole[:, : (SIDE // PATCH) ** 2]}


def _first_tile(folder: Path, image: Image.Image) -> npt.NDArray[np.float32]:
    return processed(folder, image)[:, 0]


def _idefics(kind: str) -> Callable[[], nn.Module]:
    def make() -> nn.Module:
        config = getattr(hf, kind.lower())
        settings = getattr(config, f"{kind}Config")(
            vision_config=VIT, text_config=_language("llama"), scale_factor=2, image_token_id=98
        )
        return getattr(config, f"{kind}ForConditionalGeneration")(settings)

    return make


def _idefics_processor(kind: str) -> Callable[[], Any]:
    edge = {"longest_edge": SIDE}
    return lambda: getattr(transformers, f"{kind}ImageProcessorPil")(
        size={"longest_edge": 4 * SIDE}, max_image_size=edge
    )


def _idefics_expected(folder: Path, pixels: torch.Tensor) -> Outputs:
    return _projected(folder, pixels[:, None])


def _idefics_pixels(folder: Path, image: Image.Image) -> npt.NDArray[np.float32]:
    # Its other resize comes first and would be a second one.
    processor = transformers.AutoImageProcessor.from_pretrained(folder)
    return processor(image, do_image_splitting=False, do_resize=False, return_tensors="np")["pixel_values"][:, 0]


QWEN_SIZE = (64, 80)
_QWEN_VISION: dict[str, Any] = {"depth": 2, "num_heads": 4, "patch_size": PATCH, "spatial_merge_size": 2}


def _qwen2_vl() -> nn.Module:
    vision = {**_QWEN_VISION, "embed_dim": 32, "hidden_size": 48, "mlp_ratio": 2}
    text = {**TEXT, **_ENDS, "hidden_size": 48, "num_key_value_heads": 2, "max_position_embeddings": 128}
    config = hf.qwen2_vl.Qwen2VLConfig(vision_config=vision, text_config=text, image_token_id=98)
    return hf.qwen2_vl.Qwen2VLForConditionalGeneration(config)


def _qwen2_5_vl() -> nn.Module:
    # Windows of two by two cells, the second block whole.
    vision = {**_QWEN_VISION, "hidden_size": 32, "intermediate_size": 48, "out_hidden_size": 48, "window_size": 32}
    text = {**TEXT, **_ENDS, "hidden_size": 48, "num_key_value_heads": 2, "max_position_embeddings": 128}
    config = hf.qwen2_5_vl.Qwen2_5_VLConfig(
        vision_config={**vision, "fullatt_block_indexes": [1]}, text_config=text, image_token_id=98
    )
    return hf.qwen2_5_vl.Qwen2_5_VLForConditionalGeneration(config)


def _qwen_processor() -> Any:
    size = {"shortest_edge": 16 * 16, "longest_edge": 128 * 128}
    return transformers.Qwen2VLImageProcessorPil(patch_size=PATCH, merge_size=2, size=size)


def _qwen_patches(pixels: torch.Tensor) -> torch.Tensor:
    """What the processor makes of prepared pixels, [B * L, patch]."""
    processor = transformers.Qwen2VLImageProcessorPil()
    return torch.cat([torch.from_numpy(processor.patchify(one.numpy(), PATCH, 2, 2)[0]) for one in pixels])


def qwen_expected(folder: Path, pixels: torch.Tensor) -> Outputs:
    grid = torch.tensor([[1, pixels.shape[2] // PATCH, pixels.shape[3] // PATCH]] * len(pixels))
    return _projected(folder, _qwen_patches(pixels), image_grid_thw=grid)


def _qwen_pixels(folder: Path, image: Image.Image) -> npt.NDArray[np.float32]:
    # The image of the test is 60 x 80, which the processor makes 64 x 80.
    patches = processed(folder, image)
    rows, columns = (side // PATCH // 2 for side in QWEN_SIZE)
    cells = patches.reshape(rows, columns, 2, 2, 3, 2, PATCH, PATCH)[:, :, :, :, :, 0]
    return cells.transpose(4, 0, 2, 5, 1, 3, 6).reshape(1, 3, *QWEN_SIZE)


def _siglip2() -> nn.Module:
    vision = {key: value for key, value in VIT.items() if key != "image_size"} | {"num_patches": 9}
    return hf.siglip2.Siglip2Model(hf.siglip2.Siglip2Config(text_config={**TEXT, **_ENDS}, vision_config=vision))


def _siglip2_processor() -> Any:
    return transformers.Siglip2ImageProcessorPil(patch_size=PATCH, max_num_patches=12)


def _siglip2_expected(folder: Path, pixels: torch.Tensor) -> Outputs:
    rows, columns = pixels.shape[2] // PATCH, pixels.shape[3] // PATCH
    grid = pixels.reshape(len(pixels), 3, rows, PATCH, columns, PATCH)
    patches = grid.permute(0, 2, 4, 3, 5, 1).reshape(len(pixels), rows * columns, -1)
    output = _pretrained(hf.siglip2.Siglip2Model, folder).get_image_features(
        patches,
        pixel_attention_mask=torch.ones(len(pixels), rows * columns, dtype=torch.int64),
        spatial_shapes=torch.tensor([[rows, columns]] * len(pixels)),
    )
    return {"pooled": output.pooler_output, "tokens": output.last_hidden_state}


def _siglip2_pixels(folder: Path, image: Image.Image) -> npt.NDArray[np.float32]:
    # 60 x 80 gives 3 x 4 patches.
    patches = processed(folder, image).reshape(3, 4, PATCH, PATCH, 3)
    return patches.transpose(4, 0, 2, 1, 3).reshape(1, 3, 3 * PATCH, 4 * PATCH)


# ---- other formats


def _open_clip_pixels(folder: Path, image: Image.Image) -> npt.NDArray[np.float32]:
    # torchvision's Resize, CenterCrop, ToTensor and Normalize on an image of Pillow.
    settings = json.loads((folder / "open_clip_config.json").read_text())["preprocess_cfg"]
    width, height = image.size
    small = image.resize((int(SIDE * width / height), SIDE), Image.Resampling.BICUBIC)
    left = round((small.width - SIDE) / 2)
    array = np.asarray(small.crop((left, 0, left + SIDE, SIDE)), np.float32) / 255
    return ((array - settings["mean"]) / settings["std"]).transpose(2, 0, 1)[None].astype(np.float32)


CASES: tuple[Case, ...] = (
    Case("clip", "clip", _maker(_clip, _clip_processor), _clip_expected, "pooled", 6),
    Case(
        "clip-vision",
        "clip",
        _maker(
            lambda: hf.clip.CLIPVisionModelWithProjection(hf.clip.CLIPVisionConfig(**VIT, projection_dim=16)),
            _clip_processor,
        ),
        _clip_vision_expected,
        "tokens",
        5,
    ),
    Case(
        "siglip", "siglip", _maker(_siglip, _exact_processor("SiglipImageProcessorPil")), _siglip_expected, "pooled", 6
    ),
    Case(
        "dinov2",
        "dino",
        _maker(lambda: hf.dinov2.Dinov2Model(hf.dinov2.Dinov2Config(**VIT)), _clip_processor),
        _hidden,
        "pooled",
        5,
    ),
    Case(
        "dinov2-registers",
        "dino",
        _maker(
            lambda: hf.dinov2_with_registers.Dinov2WithRegistersModel(
                hf.dinov2_with_registers.Dinov2WithRegistersConfig(**VIT)
            ),
            _clip_processor,
        ),
        _hidden,
        "tokens",
        5,
    ),
    Case(
        "dinov3",
        "dino",
        _maker(
            lambda: hf.dinov3_vit.DINOv3ViTModel(hf.dinov3_vit.DINOv3ViTConfig(**VIT, num_register_tokens=2)),
            _exact_processor("ViTImageProcessorPil"),
        ),
        _hidden,
        "cls",
        5,
    ),
    Case(
        "vit",
        "vit",
        _maker(lambda: hf.vit.ViTModel(hf.vit.ViTConfig(**VIT)), _exact_processor("ViTImageProcessorPil")),
        _hidden,
        "pooled",
        5,
    ),
    Case(
        "deit",
        "vit",
        _maker(lambda: hf.deit.DeiTModel(hf.deit.DeiTConfig(**VIT)), _clip_processor),
        _hidden,
        "cls",
        5,
    ),
    Case(
        "beit",
        "vit",
        _maker(
            lambda: hf.beit.BeitModel(hf.beit.BeitConfig(**VIT, use_relative_position_bias=True)),
            _exact_processor("BeitImageProcessorPil"),
        ),
        _hidden,
        "pooled",
        5,
    ),
    Case(
        "convnext",
        "convnext",
        _maker(
            lambda: hf.convnext.ConvNextModel(hf.convnext.ConvNextConfig(hidden_sizes=[8, 12, 16, 20], depths=[1] * 4)),
            lambda: transformers.ConvNextImageProcessorPil(size={"shortest_edge": SIDE}),
        ),
        _hidden,
        "pooled",
        9,
    ),
    Case(
        "convnextv2",
        "convnext",
        _maker(
            lambda: hf.convnextv2.ConvNextV2Model(
                hf.convnextv2.ConvNextV2Config(hidden_sizes=[8, 12, 16, 20], depths=[1] * 4)
            ),
            lambda: transformers.ConvNextImageProcessorPil(size={"shortest_edge": SIDE}),
        ),
        _hidden,
        "tokens",
        8,
    ),
    Case(
        "resnet",
        "resnet",
        _maker(
            lambda: hf.resnet.ResNetModel(
                hf.resnet.ResNetConfig(embedding_size=8, hidden_sizes=[8, 12, 16, 20], depths=[1] * 4)
            ),
            lambda: transformers.ConvNextImageProcessorPil(size={"shortest_edge": SIDE}),
        ),
        _hidden,
        "pooled",
        0,
    ),
    Case(
        "swin",
        "huggingface",
        _maker(
            lambda: hf.swin.SwinModel(
                hf.swin.SwinConfig(
                    image_size=SIDE, patch_size=4, embed_dim=8, depths=[1, 1], num_heads=[2, 2], window_size=4
                )
            ),
            _exact_processor("ViTImageProcessorPil"),
        ),
        _without_class_token,
        "pooled",
        7,
    ),
    Case(
        "siglip2",
        "siglip2-naflex",
        _maker(_siglip2, _siglip2_processor),
        _siglip2_expected,
        "pooled",
        6,
        size=(24, 32),
        pixels=_siglip2_pixels,
    ),
    Case("llava", "llava", _maker(_llava(), _clip_processor), _projected, "tokens", 3),
    Case(
        "llava-full-two-layers",
        "llava",
        _maker(_llava(vision_feature_layer=[-2, -1], vision_feature_select_strategy="full"), _clip_processor),
        _projected,
        "tokens",
        5,
    ),
    Case("llava-tower", "llava", _maker(_llava(), _clip_processor), _llava_tower, "tokens", 3, part="#tower"),
    Case(
        "llava-next",
        "llava",
        _maker(
            _llava_next,
            lambda: transformers.LlavaNextImageProcessorPil(
                size={"shortest_edge": SIDE},
                crop_size={"height": SIDE, "width": SIDE},
                image_grid_pinpoints=[[SIDE, 2 * SIDE], [2 * SIDE, SIDE]],
            ),
        ),
        _llava_next_expected,
        "tokens",
        3,
        pixels=_first_tile,
    ),
    Case(
        "qwen2-vl",
        "qwen-vl",
        _maker(_qwen2_vl, _qwen_processor),
        qwen_expected,
        "tokens",
        5,
        size=QWEN_SIZE,
        pixels=_qwen_pixels,
    ),
    Case(
        "qwen2.5-vl",
        "qwen-vl",
        _maker(_qwen2_5_vl, _qwen_processor),
        qwen_expected,
        "tokens",
        0,  # root mean square norms
        size=QWEN_SIZE,
        pixels=_qwen_pixels,
    ),
    Case(
        "internvl",
        "internvl",
        _maker(_internvl, _exact_processor("GotOcr2ImageProcessorPil")),
        _projected,
        "tokens",
        5,
    ),
    Case(
        "idefics3",
        "idefics",
        _maker(_idefics("Idefics3"), _idefics_processor("Idefics3")),
        _idefics_expected,
        "tokens",
        5,
        pixels=_idefics_pixels,
    ),
    Case(
        "smolvlm",
        "idefics",
        _maker(_idefics("SmolVLM"), _idefics_processor("SmolVLM")),
        _idefics_expected,
        "tokens",
        5,
        pixels=_idefics_pixels,
    ),
    Case(
        "open-clip",
        "open-clip",
        lambda folder: tiny_open_clip.write(folder, SIDE, PATCH, livened),
        tiny_open_clip.expected,
        "pooled",
        6,
        pixels=_open_clip_pixels,
    ),
    Case(
        "face",
        "onnx-cnn",
        lambda folder: tiny_face.write(folder, SIDE),
        tiny_face.expected,
        "pooled",
        0,
        part=f"/{tiny_face.FILE}",
    ),
)
