"""CLIP's vision transformer with projection: one picture -> one token [B, 1, D].

The same function as transformers' ``CLIPVisionModelWithProjection`` (SVD uses ViT-H/14), at any
size; ``mini`` has a small one of its own. Parameter names are transformers' without the prefix
``vision_model.``.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional as F


@dataclass(frozen=True)
class ClipVisionConfig:
    image_size: int = 224
    patch_size: int = 14
    hidden_size: int = 1280
    num_hidden_layers: int = 32
    num_attention_heads: int = 16
    intermediate_size: int = 5120
    projection_dim: int = 1024
    layer_norm_eps: float = 1e-5
    mean: tuple[float, float, float] = (0.48145466, 0.4578275, 0.40821073)
    std: tuple[float, float, float] = (0.26862954, 0.26130258, 0.27577711)


class Embeddings(nn.Module):
    def __init__(self, config: ClipVisionConfig) -> None:
        super().__init__()
        width, patch = config.hidden_size, config.patch_size
        self.class_embedding = nn.Parameter(torch.randn(width) * width**-0.5)
        self.patch_embedding = nn.Conv2d(3, width, patch, stride=patch, bias=False)
        self.position_embedding = nn.Embedding((config.image_size // patch) ** 2 + 1, width)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        patches = self.patch_embedding(image).flatten(2).transpose(1, 2)
        first = self.class_embedding.view(1, 1, -1)
        if image.shape[0] > 1:
            first = first.expand(image.shape[0], 1, -1)
        return torch.cat([first, patches], dim=1) + self.position_embedding.weight


class SelfAttention(nn.Module):
    def __init__(self, width: int, num_heads: int) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.q_proj = nn.Linear(width, width)
        self.k_proj = nn.Linear(width, width)
        self.v_proj = nn.Linear(width, width)
        self.out_proj = nn.Linear(width, width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        n, length, width = x.shape
        heads, d = self.num_heads, width // self.num_heads

        def split(y: torch.Tensor) -> torch.Tensor:  # [B, S, C] -> [B * heads, S, d]
            return y.view(n, length, heads, d).transpose(1, 2).reshape(n * heads, length, d)

        # Written out with bmm: SDPA and 4-D matmul lower with copies around them.
        scores = torch.bmm(split(self.q_proj(x)) * d**-0.5, split(self.k_proj(x)).transpose(1, 2))
        out = torch.bmm(scores.softmax(-1), split(self.v_proj(x)))
        out = out.view(n, heads, length, d).transpose(1, 2).reshape(n, length, width)
        return self.out_proj(out)


class MLP(nn.Module):
    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(width, hidden)
        self.fc2 = nn.Linear(hidden, width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.fc2(F.gelu(self.fc1(x)))


class Layer(nn.Module):
    def __init__(self, config: ClipVisionConfig) -> None:
        super().__init__()
        width, eps = config.hidden_size, config.layer_norm_eps
        self.layer_norm1 = nn.LayerNorm(width, eps=eps)
        self.self_attn = SelfAttention(width, config.num_attention_heads)
        self.layer_norm2 = nn.LayerNorm(width, eps=eps)
        self.mlp = MLP(width, config.intermediate_size)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = x + self.self_attn(self.layer_norm1(x))
        return x + self.mlp(self.layer_norm2(x))


class Encoder(nn.Module):
    def __init__(self, config: ClipVisionConfig) -> None:
        super().__init__()
        self.layers = nn.ModuleList(Layer(config) for _ in range(config.num_hidden_layers))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for layer in self.layers:
            x = layer(x)
        return x


class ClipVision(nn.Module):
    """``forward(image [B, 3, s, s])``, normalised with config.mean and std -> [B, 1, D]."""

    def __init__(self, config: ClipVisionConfig) -> None:
        super().__init__()
        width, eps = config.hidden_size, config.layer_norm_eps
        self.config = config
        self.embeddings = Embeddings(config)
        self.pre_layrnorm = nn.LayerNorm(width, eps=eps)  # transformers' spelling
        self.encoder = Encoder(config)
        self.post_layernorm = nn.LayerNorm(width, eps=eps)
        self.visual_projection = nn.Linear(width, config.projection_dim, bias=False)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        x = self.encoder(self.pre_layrnorm(self.embeddings(image)))
        return self.visual_projection(self.post_layernorm(x[:, :1]))

    def normalise(self, image: torch.Tensor) -> torch.Tensor:
        """[B, 3, H, W] in [-1, 1] -> resized (antialiased) and normalised encoder input."""
        size = self.config.image_size
        if image.shape[-2:] != (size, size):
            image = F.interpolate(image, (size, size), mode="bicubic", antialias=True)
        mean = image.new_tensor(self.config.mean)[:, None, None]
        std = image.new_tensor(self.config.std)[:, None, None]
        return ((image + 1) / 2 - mean) / std


def transformers_key(key: str) -> str | None:
    """transformers' name -> ours; ``position_ids`` is a constant that old files carry."""
    return None if key.endswith("position_ids") else key.removeprefix("vision_model.")


def transformers_keys(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """A transformers state dict under our names."""
    return {name: v for k, v in state.items() if (name := transformers_key(k)) is not None}
