"""Discriminators on latents: a teacher UNet's frozen encoder and small heads that are trained."""

from .encoder import FrozenEncoder
from .heads import DiscriminatorHeads
from .on_teacher import TeacherDiscriminator

__all__ = ["DiscriminatorHeads", "FrozenEncoder", "TeacherDiscriminator"]
