DATA = """
from PIL import Image
from torch.utils.data import Dataset, DataLoader, TensorDataset
import torchvision

class Pictures(Dataset):
    def __getitem__(self, i):
        return self.read(self.paths[i])
    def read(self, path):
        return Image.open(path)

class Numbers(Dataset):
    def __getitem__(self, i):
        return self.x[i]
"""


def test_a_data_set_that_opens_a_file_for_each_item(check, place):
    (finding,) = check("MLE0601", {"data.py": DATA + "ds = Pictures()\nloader = DataLoader(ds, batch_size=8)\n"})
    assert place(finding) == ("data.py", 16)


def test_an_image_folder_with_zero_workers(check):
    text = DATA + "loader = DataLoader(torchvision.datasets.ImageFolder('d'), num_workers=0)\n"
    assert len(check("MLE0601", {"data.py": text})) == 1


def test_workers_memory_options_and_other_loaders_are_fine(check):
    text = DATA + (
        "a = DataLoader(Pictures(), num_workers=4)\n"
        "b = DataLoader(Numbers())\n"
        "c = DataLoader(TensorDataset(x))\n"
        "d = DataLoader(Pictures(), **options)\n"
        "e = DataLoader(Pictures(), num_workers=args.workers)\n"
    )
    own = "class DataLoader:\n    pass\nloader = DataLoader(Pictures())\n"
    assert check("MLE0601", {"data.py": text, "own.py": own}) == []
