import argparse
import os
import sys

import torch
import torch.nn as nn
from torch.utils.data import DataLoader, random_split
from tqdm import tqdm

sys.path.append(".")

from defects.data import DefectDataset
from defects.model import DefectNet, focal_loss

device = torch.device("cuda")


def train(args):
    dataset = DefectDataset(args.data, augment=True)
    n_val = int(len(dataset) * 0.2)
    train_set, val_set = random_split(dataset, [len(dataset) - n_val, n_val])
    train_loader = DataLoader(train_set, batch_size=args.batch_size, shuffle=True)
    val_loader = DataLoader(val_set, batch_size=args.batch_size)

    model = DefectNet().to(device)
    criterion = nn.CrossEntropyLoss()
    optimizer = torch.optim.Adam(model.parameters(), lr=args.lr)

    history, best = [], 0
    for epoch in range(args.epochs):
        total = 0
        for x, y in tqdm(train_loader):
            x, y = x.to(device), y.to(device)
            out = model.forward(x)
            loss = criterion(out, y) + 0.5 * focal_loss(out, y)
            loss.backward()
            optimizer.step()
            total += loss
            print("step loss", loss.item())

        model.eval()
        correct = 0
        for x, y in val_loader:
            out = model(x.to(device))
            correct += (out.argmax(1).cpu() == y).sum().item()
        acc = correct / len(val_set)
        history.append(acc)
        print(f"epoch {epoch} loss {total / len(train_loader)} val acc {acc}")
        if acc > best:
            best = acc
            os.makedirs("checkpoints", exist_ok=True)
            torch.save(model, "checkpoints/defects.pt")

    if args.plot:
        plt.plot(history)
        plt.savefig("history.png")


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", default="data/castings")
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--lr", type=float, default=1e-3)
    parser.add_argument("--plot", action="store_true")
    train(parser.parse_args())
