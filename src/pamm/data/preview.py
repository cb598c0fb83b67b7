"""A labelled contact sheet of a data set: each image beside its labels for every task."""


def preview(): ...
