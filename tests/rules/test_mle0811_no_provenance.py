import pytest

WHERE = ".github/workflows/cd.yml"
HEAD = "on: push\njobs:\n  a:\n    steps:\n"


def test_a_pushed_image_without_provenance(check, place):
    (finding,) = check("MLE0811", {WHERE: HEAD + "      - run: docker push x/y:1\n"})
    assert place(finding) == (WHERE, 5)


@pytest.mark.parametrize(
    "steps",
    [
        "      - run: docker push x/y:1\n      - run: cosign sign x/y:1\n",
        "      - uses: docker/build-push-action@v6\n        with: {push: true}\n",
        "      - uses: pypa/gh-action-pypi-publish@release/v1\n",
        "      - run: pytest\n",
    ],
)
def test_signed_attested_or_unpublished(check, steps):
    assert check("MLE0811", {WHERE: HEAD + steps}) == []
