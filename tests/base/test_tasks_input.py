"""Every way in which a user's file is known to be wrong: one sentence with the place and the mend."""

import json

import pytest

from adapterlab.errors import UserError
from adapterlab.tasks import load_task

GOOD = "".join(f"text {i},{'pos' if i % 2 else 'neg'}\n" for i in range(20))
HEAD = "text,label\n"
JSON = "".join(json.dumps({"text": f"t{i}", "label": i % 2}) + "\n" for i in range(20))


@pytest.mark.parametrize(
    ("file", "content", "options", "says"),
    [
        ("a.csv", "", {}, r"a.csv is empty"),
        ("a.csv", " \n\n", {}, r"a.csv is empty"),
        ("a.csv", HEAD, {}, r"a.csv has a header and no rows"),
        ("a.csv", "txt,label\n" + GOOD, {}, r'no column "text"; its columns are "txt", "label".*did you mean "txt"'),
        ("a.csv", "text,y\n" + GOOD, {},
         r'no column "label"; its columns are "text", "y"; name yours with label="..."'),
        ("a.csv", HEAD + GOOD, {"pair": "other"}, r'no column "other".*pair="..."'),
        ("a.csv", "text;label\n" + GOOD.replace(",", ";"), {}, r"separated by ';': separate them by commas"),
        ("a.csv", "text,label,text\n" + "a,b,c\n", {}, r'has the column "text" 2 times'),
        ("a.csv", HEAD + GOOD + "only text\n", {}, r"a.csv, line 22: 1 column instead of 2"),
        ("a.csv", HEAD + "well, yes,pos\n" + GOOD, {}, r"a.csv, line 2: 3 columns instead of 2.*double quotes"),
        ("a.csv", HEAD + GOOD + '"never closed,pos\n', {},
         r"a.csv, line 22: unexpected end of data.*double each quote"),
        ("a.csv", HEAD + GOOD + '"a "b" c",pos\n', {}, r"a.csv, line 22: .*double each quote"),
        ("a.csv", HEAD + '"two\nlines",pos\n' + GOOD + ",pos\n", {}, r'a.csv, line 24: "text" is empty'),
        ("a.csv", HEAD + GOOD + "text,\n", {}, r'a.csv, line 22: "label" is empty'),
        ("a.csv", HEAD + GOOD + "text,nan\n", {}, r'a.csv, line 22: the label is missing \("nan"\)'),
        ("a.csv", HEAD + GOOD + "text,<NA>\n", {}, r'a.csv, line 22: the label is missing \("<NA>"\)'),
        ("a.csv", HEAD + GOOD.replace("neg", "pos"), {}, r'every label is "pos"; classification needs two'),
        ("a.csv", HEAD + GOOD + "text,0.75\n", {}, r'line 22: label "0.75" is no class.*kind="regression"'),
        ("a.csv", HEAD + GOOD + "text,1\n", {}, r'label "neg" is not a number and others are \(1\)'),
        ("a.csv", HEAD + GOOD, {"labels": ("neg", "pso")}, r'line 3: label "pos" is not one of "neg", "pso".*"pso"'),
        ("a.csv", HEAD + GOOD, {"labels": ("neg", "pos", "so")}, r'class "so" is never seen in training'),
        ("a.csv", HEAD + "a,5\n" + GOOD.replace("pos", "1").replace("neg", "0"), {"labels": ("N", "Y")},
         r'line 2: label "5"'),
        ("a.csv", HEAD + GOOD, {"labels": "neg,pos"}, r'the labels are one text, "neg,pos"'),
        ("a.csv", HEAD + GOOD, {"labels": ("neg", "pos", "neg")}, r'the label "neg" is there more than once'),
        ("a.csv", HEAD + GOOD, {"kind": "regression"}, r'line 2: score "neg" is not a number'),
        ("a.csv", HEAD + GOOD, {"label": "text"}, r"20 different labels in 20 rows"),
        ("a.csv", HEAD + "a,x\nb,y\n", {}, r"2 training rows; at least 10"),
        ("a.csv", HEAD + "a,x\na,y\n" * 10, {}, r"nearly every text occurs more than once"),
        ("a.csv", HEAD + GOOD, {"metric": "acuracy"}, r'did you mean "accuracy"'),
        ("a.csv", HEAD + GOOD, {"metric": "pearson"}, r'metric "pearson" is none for classification'),
        ("a.csv", HEAD + GOOD + "t,mid\n", {"metric": "f1"}, r'"f1" is for two classes'),
        ("a.csv", HEAD + GOOD, {"kind": "ranking"}, r'unknown kind "ranking"'),
        ("a.csv", HEAD + GOOD, {"encoding": "utf-88"}, r'unknown encoding "utf-88"'),
        ("a.txt", HEAD + GOOD, {}, r"a.txt is no .csv, .tsv or .jsonl file"),
        ("a.jsonl", JSON + '{"text": "cut o', {}, r"a.jsonl, line 21: no JSON"),
        ("a.jsonl", JSON + "[1]\n", {}, r"a.jsonl, line 21: \[1\] is no object"),
        ("a.jsonl", JSON + '{"text": "x"}\n', {}, r'a.jsonl, line 21: "label" is empty'),
        ("a.jsonl", JSON + '{"text": 5, "label": 1}\n', {}, r'a.jsonl, line 21: "text" is 5'),
        ("a.jsonl", JSON + '{"text": "x", "label": [1]}\n', {}, r'a.jsonl, line 21: "label" is \[1\]'),
        ("a.jsonl", '{"a": "x", "label": 1}\n', {}, r'no column "text"; its columns are "a", "label"'),
        ("a.jsonl", JSON + '{"text": "x", "label": NaN}\n', {"kind": "regression"}, r"line 21.*not a finite number"),
    ],
)  # fmt: skip
def test_bad_files(tmp_path, file, content, options, says):
    (tmp_path / file).write_text(content)
    with pytest.raises(UserError, match=says) as error:
        load_task(tmp_path / file, **options)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("rows", "says"),
    [
        ("text,NA\n", r'a.csv, line 22: label "NA" may mean that there is none'),
        ("text,Pos\nmore,Pos\n", r'line 22, 23: label "Pos" looks like "pos", in 10 rows'),
        ('text, "neg"\n', r'line 22: label ""neg"" has quotes of its own'),
        (
            "text,caf\u00e9\nb,caf\u00e9\ntext,cafe\u0301\n",
            r'line 24: label "cafe\u0301" looks like "caf\u00e9", in 2 rows',
        ),
    ],
)
def test_a_label_that_looks_like_a_slip_is_kept_and_warned_of(tmp_path, rows, says, recwarn):
    (path := tmp_path / "a.csv").write_text(HEAD + GOOD + rows, encoding="utf-8")
    with pytest.warns(UserWarning, match=says):
        labels = load_task(path).labels
    assert {"neg", "pos"} < set(labels)
    recwarn.clear()
    assert load_task(path, labels=labels).labels == labels and len(recwarn) == 0


def test_other_bytes_are_named_with_their_line(tmp_path):
    path = tmp_path / "a.csv"
    path.write_bytes((HEAD + GOOD).encode("utf-16"))
    with pytest.raises(UserError, match='perhaps encoding="utf-16"'):
        load_task(path)
    assert load_task(path, encoding="utf-16").labels == ("neg", "pos")


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("rotten_tomato", r'did you mean "rotten_tomatoes"'),
        ("sst2", r'did you mean "glue/SST-2"'),
        ("nothing like it", r"unknown task"),
        ("none.csv", r"none.csv: there is no such file"),
        ("some/where", r"some/where: there is no such file or folder"),
        ("hub:cola", r'write "hub:owner/dataset"'),
    ],
)
def test_unknown_names(name, says):
    with pytest.raises(UserError, match=says):
        load_task(name)


@pytest.mark.parametrize(
    ("files", "says"),
    [
        ({}, r"has no train.csv, train.tsv or train.jsonl \(there is nothing\)"),
        ({"validation.csv": HEAD + GOOD}, r"no train.csv.*there is validation.csv"),
        ({"train.csv": HEAD + GOOD, "test.csv": HEAD + "fine,neg\nnew,mid\n"},
         r'test.csv, line 3: label "mid" is not one of "neg", "pos" that training has'),
        ({"train.csv": HEAD + GOOD, "test.csv": HEAD + "cut off in the mid"}, r"test.csv, line 2: 1 column instead of 2"),
        ({"test.csv": HEAD, "test.tsv": HEAD}, r"test.csv and test.tsv for test; keep one"),
    ],
)  # fmt: skip
def test_folders(tmp_path, files, says):
    for name, content in files.items():
        (tmp_path / name).write_text(content)
    with pytest.raises(UserError, match=says):
        load_task(tmp_path)
