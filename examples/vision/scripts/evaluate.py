import argparse
import sys

import numpy as np
import torch
from torch.utils.data import DataLoader
from torchmetrics.classification import MulticlassF1Score

sys.path.append(".")

from defects.data import CLASSES, DefectDataset

parser = argparse.ArgumentParser()
parser.add_argument("--data", default="data/castings")
parser.add_argument("--weights", default="/home/jonas/castings/checkpoints/defects.pt")
args = parser.parse_args()

model = torch.load(args.weights)
model.eval()

loader = DataLoader(DefectDataset(args.data), batch_size=64)
preds = torch.empty(0, dtype=torch.long)
targets = torch.empty(0, dtype=torch.long)
with torch.no_grad():
    for x, y in loader:
        preds = torch.cat([preds, model(x.cuda()).argmax(1).cpu()])
        targets = torch.cat([targets, y])

matrix = np.zeros((len(CLASSES), len(CLASSES)), dtype=np.float)
for p, t in zip(preds.tolist(), targets.tolist()):
    matrix[t, p] += 1
print(matrix)
print("F1", MulticlassF1Score(num_classes=len(CLASSES))(preds, targets))
