"""Measurements: the scan beside what it replaces, and whole models with each of its backends.

`scan` and `model` are the two commands; processes of their own measure memory (`peak`), so that
what they import is kept small: nothing is imported here.
"""
