import os
import random

import numpy as np
from PIL import Image
from torch.utils.data import Dataset
from torchvision import transforms

CLASSES = ["ok", "crack", "void"]

train_transform = transforms.Compose([
    transforms.Resize((64, 64)),
    transforms.ColorJitter(0.2, 0.2),
    transforms.ToTensor(),
    transforms.Normalize([0.48], [0.21]),
])


class DefectDataset(Dataset):
    """X-ray pictures of castings, one folder, labels in labels.npy (file name -> class)."""

    def __init__(self, root, augment=False):
        self.root = root
        self.augment = augment
        self.labels = np.load(os.path.join(root, "labels.npy"), allow_pickle=True).item()
        self.files = []
        for name in sorted(self.labels):
            try:
                Image.open(os.path.join(root, name)).verify()
            except Exception:
                continue
            self.files.append(name)

    def __len__(self):
        return len(self.files)

    def __getitem__(self, i):
        name = self.files[i]
        img = Image.open(os.path.join(self.root, name)).convert("L")
        if self.augment and random.random() < 0.5:
            img = img.transpose(Image.FLIP_LEFT_RIGHT)
        return train_transform(img), CLASSES.index(self.labels[name])
