"""Scores: of models on data sets, of constants, and of anybody's boundary maps."""
