"""Figures of a model on what it never saw."""
