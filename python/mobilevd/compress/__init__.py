"""Steps that make a model smaller: each a function model -> model (MobileVD section 3)."""
