import torch
import torch.nn as nn
import torch.nn.functional as F


class DefectNet(nn.Module):
    def __init__(self, n_classes=3):
        super().__init__()
        self.conv1 = nn.Conv2d(1, 16, 3, padding=1)
        self.bn1 = nn.BatchNorm2d(16)
        self.conv2 = nn.Conv2d(16, 32, 3, padding=1)
        self.bn2 = nn.BatchNorm2d(32)
        self.drop = nn.Dropout(0.4)
        self.fc = nn.Linear(32 * 16 * 16, n_classes)

    def forward(self, x):
        x = F.max_pool2d(F.relu(self.bn1(self.conv1(x))), 2)
        x = F.max_pool2d(F.relu(self.bn2(self.conv2(x))), 2)
        x = self.drop(x.flatten(1))
        return F.softmax(self.fc(x), dim=1)


def focal_loss(prob, target):
    p = prob.gather(1, target.unsqueeze(1)).squeeze(1)
    return (-((1 - p) ** 2) * torch.log(p)).mean()
