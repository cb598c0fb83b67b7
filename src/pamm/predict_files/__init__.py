"""Predictions from image files and videos to files."""

from pamm.predict_files.outputs import DEFAULT_SAVE, Save, SaveOptions
from pamm.predict_files.run import predict_files

__all__ = ["DEFAULT_SAVE", "Save", "SaveOptions", "predict_files"]
