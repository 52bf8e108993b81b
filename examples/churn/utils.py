import pickle

import matplotlib.pyplot as plt
import seaborn as sns


def save_pickle(obj, path):
    with open(path, "wb") as f:
        pickle.dump(obj, f)


def load_pickle(path):
    with open(path, "rb") as f:
        return pickle.load(f)


def plot_importance(model, names):
    order = model.feature_importances_.argsort()[::-1]
    sns.barplot(x=model.feature_importances_[order], y=[names[i] for i in order])
    plt.tight_layout()
    plt.savefig("importance.png")
