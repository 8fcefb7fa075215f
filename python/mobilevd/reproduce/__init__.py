"""The small benchmark: every training of the paper's comparison on `mini`, and its table."""
