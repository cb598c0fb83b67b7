"""Write images for the demo to predict on: rooms that were held out, and two photographs."""

import sys
from pathlib import Path

from skimage import data

from pamm.data import Synthetic
from pamm.pictures.images import write_png

out = Path(sys.argv[1])
rooms = Synthetic("val", size=(240, 320), count=4)  # larger than in training: any size will do
for i in range(len(rooms)):
    write_png(out / f"room_{i}.png", rooms[i]["image"].permute(1, 2, 0).numpy())
write_png(out / "photograph_garage.png", data.stereo_motorcycle()[0])
write_png(out / "photograph_astronaut.png", data.astronaut())
