"""MobileVD: one picture in, a short clip out, on a phone (arXiv 2412.07583)."""

__version__ = "0.1.0"
