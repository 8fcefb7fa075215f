"""What a Vulkan device must offer, and what the programs lowered here ask of it."""

from __future__ import annotations

# Vulkan's minimum of maxStorageBufferRange: the largest tensor that may lie in one buffer.
BUFFER_BYTES = 1 << 27
# A float32 tensor of that size; the rewrites are the same for fp16, which needs half.
BUFFER_ELEMENTS = BUFFER_BYTES // 4
# Layers of a 3-D texture: ExecuTorch allows no more on any device class.
TEXTURE_LAYERS = 2048
# Device classes: widest and highest 3-D texture (maxImageDimension3D). Desktop drivers, Mesa's
# software one and the smaller phones have 2048.
TEXTURE_LIMITS = (2048, 4096, 16384)
# What may lie in memory at one time beside the weights (in fp16, 3 GB at full size), on phones that
# give an app about half of their 8 GB.
ARENA_BYTES = 1 << 30


def texture_layers(channels: int, batch: int = 1) -> int:
    """Layers of a 3-D texture that holds [batch, channels, H, W], four channels to a texel."""
    return batch * ((channels + 3) // 4)


def even_part(total: int, most: int) -> int:
    """The size of as few even parts of at most ``most`` as there can be."""
    return -(-total // -(-total // most))
