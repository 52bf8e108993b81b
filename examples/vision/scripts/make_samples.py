"""Draw fake castings, to try the code without the plant's pictures: python scripts/make_samples.py data/castings"""
import os
import sys

import numpy as np
from PIL import Image, ImageDraw

out = sys.argv[1]
os.makedirs(out, exist_ok=True)
rng = np.random.default_rng(3)
labels = {}
for i in range(240):
    kind = ["ok", "crack", "void"][i % 3]
    img = Image.fromarray(rng.normal(120, 12, (64, 64)).clip(0, 255).astype("uint8"))
    draw = ImageDraw.Draw(img)
    x, y = rng.integers(10, 50, 2).tolist()
    if kind == "crack":
        draw.line((x, y, x + 12, y + 9), fill=30, width=2)
    if kind == "void":
        draw.ellipse((x, y, x + 9, y + 9), fill=40)
    name = f"{i:04d}.png"
    img.save(os.path.join(out, name))
    labels[name] = kind
np.save(os.path.join(out, "labels.npy"), labels)
