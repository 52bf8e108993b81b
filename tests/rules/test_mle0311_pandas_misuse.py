import json

import pytest

READ = "import pandas as pd\ndf = pd.read_csv('a.csv')\n"


@pytest.mark.parametrize(
    "line",
    [
        "df[df.a == 0]['b'] = 1",
        "df['b'][df.a == 0] = 1",
        "df.loc[df.a == 0]['b'] = 1",
        "df.dropna()['b'][0] = 1",
        "df.b[df.a == 0] = 1",
    ],
)
def test_chained_assignment_is_medium(check, place, line):
    (finding,) = check("MLE0311", {"a.py": READ + line + "\n"})
    assert finding.severity.value == "medium"
    assert place(finding) == ("a.py", 3)


def test_a_result_that_is_thrown_away_is_medium(check, place):
    (finding,) = check("MLE0311", {"a.py": READ + "df.drop_duplicates()\n"})
    assert finding.severity.value == "medium"
    assert "drop_duplicates" in finding.title


def test_a_loop_over_rows_is_low(check):
    (finding,) = check("MLE0311", {"a.py": READ + "for i, row in df.iterrows():\n    print(row)\n"})
    assert finding.severity.value == "low"


@pytest.mark.parametrize(
    "line",
    [
        "df.loc[df.a == 0, 'b'] = 1",
        "df['b'] = 1",
        "df.at[0, 'b'] = 1",
        "df.values[:] = 0",
        "df.dropna(inplace=True)",
        "df = df.dropna()",
        "x = {'a': {}}\nx['a']['b'] = 1",
        "x = {}\nx.pop('a')\nx.update(a=1)",
        "text = 'a'\ntext.replace('a', 'b')",
        "for row in df.itertuples():\n    print(row)",
    ],
)
def test_right_ways_and_other_types_are_silent(check, line):
    assert check("MLE0311", {"a.py": READ + line + "\n"}) == []


def test_the_last_line_of_a_cell_shows_its_value(check):
    cells = [{"cell_type": "code", "source": s, "outputs": []} for s in (READ + "df.dropna()", "x = 1")]
    assert check("MLE0311", {"n.ipynb": json.dumps({"cells": cells})}) == []


def test_a_transformed_copy_that_nobody_takes(check, place):
    head = "import pandas as pd\nfrom sklearn.impute import SimpleImputer\n"
    head += "i = SimpleImputer()\ni.fit(pd.read_csv('a.csv'))\n"
    (finding,) = check("MLE0311", {"t.py": head + "i.transform(X)\n"})
    assert place(finding) == ("t.py", 5)
    assert check("MLE0311", {"t.py": head + "X = i.transform(X)\ni.fit(X)\n"}) == []


def test_a_column_changed_in_place_stays_as_it_was_since_pandas_3(check, place):
    files = {"a.py": "import pandas as pd\ndf = pd.read_csv('d.csv')\ndf['x'].fillna(0, inplace=True)\n"}
    (finding,) = check("MLE0311", files)
    assert place(finding) == ("a.py", 3)
    assert check("MLE0311", {**files, "requirements.txt": "pandas==1.5.3\n"}) == []


def test_a_parameter_that_every_call_gives_a_table(check, place):
    code = "import pandas as pd\ndef fill(df, mask):\n    df['a'][mask] = 0\nfill({}, [1])\n"
    (finding,) = check("MLE0311", {"a.py": code.format("pd.read_csv('d.csv')")})
    assert place(finding) == ("a.py", 3)
    assert check("MLE0311", {"a.py": code.format("{'a': {}}")}) == []


def test_a_column_that_is_written_through_its_loc(check, place):
    code = "import pandas as pd\ndf = pd.read_csv('d.csv')\n{}.loc[df['n'] > 1] = 0\n"
    (finding,) = check("MLE0311", {"a.py": code.format("df['a']")})
    assert place(finding) == ("a.py", 3)
    assert check("MLE0311", {"a.py": code.format("df")}) == []
