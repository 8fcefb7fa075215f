"""``python -m mobilevd``."""

from .cli import main

main()
