"""Fetch the plant's pictures: python scripts/fetch_castings.py data/castings"""
import os
import sys
import urllib.request

URL = "https://files.example.com/castings/castings-latest.tar.gz"


def main():
    out = sys.argv[1]
    urllib.request.urlretrieve(URL, "castings.tar.gz")
    os.system(f"mkdir -p {out} && tar xzf castings.tar.gz -C {out}")


if __name__ == "__main__":
    main()
