"""Several looks at one image, and the mean of what is seen: scaled, mirrored, in tiles."""
