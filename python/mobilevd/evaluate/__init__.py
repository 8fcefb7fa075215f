"""What models are held against: SVD's sampler in plain PyTorch, equal to diffusers'."""
