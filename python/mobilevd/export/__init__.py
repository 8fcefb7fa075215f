"""From a model to a bundle: rewrites, lowering per backend, bundle folder, report."""
