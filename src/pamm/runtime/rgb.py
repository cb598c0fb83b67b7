"""Colours of images, as R, G and B in 0..1."""

Colour = tuple[float, float, float]

IMAGENET_MEAN: Colour = (0.485, 0.456, 0.406)
"""The mean of the images of ImageNet."""
IMAGENET_STD: Colour = (0.229, 0.224, 0.225)
"""Their standard deviation."""
