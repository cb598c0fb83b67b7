"""PAMM: the parts of the paper's figures 2 to 4, in the order of the data path."""
