"""Make the toy tasks in this folder: python data/mini_glue/make.py [FOLDER]

Eight tasks in the file layout of GLUE's download, from templates, so that the notebook on GLUE runs without any
download. They are toys, written for this workbook (Apache-2.0): no sentence comes from GLUE, and a score on them says
nothing about GLUE. The same files come out on every machine.
"""

import random
import sys
from pathlib import Path

TRAIN, DEV = 200, 80
PEOPLE = "cook teacher farmer singer driver painter doctor sailor baker writer nurse guard".split()
THINGS = "plate letter garden song wagon wall book boat cake story window door".split()
DO = {
    "wash": "washed",
    "carry": "carried",
    "paint": "painted",
    "repair": "repaired",
    "sell": "sold",
    "watch": "watched",
    "forget": "forgot",
    "describe": "described",
}
SAME = {
    "washed": "cleaned",
    "carried": "transported",
    "repaired": "fixed",
    "watched": "observed",
    "described": "portrayed",
}
OTHER = {"washed": "broke", "carried": "dropped", "repaired": "damaged", "watched": "ignored", "described": "burned"}
WHEN = "yesterday,last night,on Monday,before lunch,after the storm,this morning,in the spring,at noon".split(",")
COLOURS = "red blue green old heavy small new broken".split()
PLACES = "kitchen school market harbour station museum valley tower".split()
GOOD = "a warm and funny film,a joy from start to end,an honest and moving story,a clever and lively tale".split(",")
BAD = "a dull and empty film,a chore from start to end,a false and tiring story,a clumsy and lifeless tale".split(",")


class Dice:
    """Choices from `random.random` alone: the one function whose numbers Python promises to keep."""

    def __init__(self, seed):
        self.draw = random.Random(seed).random

    def pick(self, options):
        return options[int(self.draw() * len(options))]

    def event(self):
        """who, did, colour, what, when"""
        return [self.pick(o) for o in (PEOPLE, list(SAME), COLOURS, THINGS, WHEN)]


def cola(d):
    """Acceptable in seven of ten; else a word order or an agreement that English does not have."""
    who, what, when = d.pick(PEOPLE), d.pick(THINGS), d.pick(WHEN)
    verb, colour = d.pick(list(DO)), d.pick(COLOURS)
    good = [
        f"The {who} {DO[verb]} the {colour} {what} {when}.",
        f"Did the {who} {verb} the {colour} {what} {when}?",
        f"The {colour} {what} was {DO[verb] if verb != 'forget' else 'forgotten'} by the {who} {when}.",
        f"The {who} wants to {verb} the {colour} {what}.",
    ]
    bad = [
        f"The {who} the {colour} {what} {DO[verb]} {when}.",
        f"Did the {who} {DO[verb]} the {what} {colour} {when}?",
        f"The {who} wants {verb} to the {what} {colour}.",
        f"{DO[verb].capitalize()} {when} {who} the the {colour} {what}.",
    ]
    label = int(d.draw() < 0.7)
    return ["mini", label, "" if label else "*", d.pick(good if label else bad)]


def sst(d):
    label = int(d.draw() < 0.55)
    said = d.pick(GOOD if label else BAD)
    return [f"{said} about a {d.pick(PEOPLE)} and a {d.pick(COLOURS)} {d.pick(THINGS)}", label]


def paraphrase(d, share):
    who, did, colour, what, when = d.event()
    label = int(d.draw() < share)
    first = f"The {who} {did} the {colour} {what} {when}."
    passive = f"{when.capitalize()}, the {colour} {what} was {SAME[did]} by the {who}."
    active = f"{when.capitalize()} the {who} {SAME[did]} the {colour} {what}."
    other = [
        f"{when.capitalize()} the {who} {OTHER[did]} the {colour} {what}.",
        f"{when.capitalize()} the {d.pick(PEOPLE)} asked the {who} about the {what}.",
        f"The {who} {SAME[did]} nothing {when}, and the {colour} {what} stayed away.",
    ]
    return first, d.pick([passive, active]) if label else d.pick(other), label


def mrpc(d):
    first, second, label = paraphrase(d, 0.65)
    return [label, f"1{int(d.draw() * 1e5):05d}", f"2{int(d.draw() * 1e5):05d}", first, second]


def stsb(d):
    """One point of the score for each of five parts that the two sentences share."""
    one, two = d.event(), d.event()
    keep = [d.draw() < 0.55 for _ in one]
    two = [a if k else b for a, b, k in zip(one, two, keep, strict=True)]
    score = sum(a == b for a, b in zip(one, two, strict=True))
    first, second = (f"The {w} {v} the {c} {t} {x}." for w, v, c, t, x in (one, two))
    return ["mini", "mini", "mini", "mini", "mini", "mini", "mini", first, second, f"{score:.3f}"]


def qqp(d):
    who, did, colour, what, when = d.event()
    label = int(d.draw() < 0.37)
    first = f"Why was the {colour} {what} {did} by the {who} {when}?"
    same = f"What made the {who} have the {colour} {what} {SAME[did]} {when}?"
    other = [
        f"Where was the {colour} {what} {SAME[did]} {when}?",
        f"Why was the {colour} {d.pick(THINGS)} of the {d.pick(PEOPLE)} {OTHER[did]}?",
        f"How long does it take the {who} to sell a {colour} {what}?",
    ]
    return ["0", "0", "0", first, same if label else d.pick(other), label]


def entailment(d, classes):
    who, did, colour, what, when = d.event()
    place = d.pick(PLACES)
    first = f"In the {place}, the {who} {did} the {colour} {what} {when}."
    told = {
        "entailment": [f"The {what} was {colour}.", f"A {who} was in the {place}.", f"Someone {did} the {what}."],
        "neutral": [f"The {who} owned the {place}.", f"The {what} cost a lot of money.", f"A friend helped the {who}."],
        "contradiction": [
            f"Nobody was in the {place} {when}.",
            f"The {who} never saw a {what}.",
            f"There was no {what} in the {place}.",
        ],
    }
    name = d.pick(classes)
    kind = d.pick(["neutral", "contradiction"]) if name == "not_entailment" else name
    return first, d.pick(told[kind]), name


def mnli(d):
    first, second, name = entailment(d, ["entailment", "neutral", "contradiction"])
    return ["0", "mini", first, second, name]


def rte(d):
    first, second, name = entailment(d, ["entailment", "not_entailment"])
    return ["0", first, second, name]


def qnli(d):
    who, did, colour, what, when = d.event()
    place = d.pick(PLACES)
    question = f"What did the {who} of the {place} do {when}?"
    yes = d.draw() < 0.5
    second = (
        f"{when.capitalize()}, the {who} of the {place} {did} the {colour} {what}."
        if yes
        else f"The {place} has a {colour} {what}, and the {d.pick(PEOPLE)} likes it."
    )
    return ["0", question, second, "entailment" if yes else "not_entailment"]


TASKS = {
    "CoLA": (None, cola),
    "SST-2": ("sentence label", sst),
    "MRPC": ("Quality,#1 ID,#2 ID,#1 String,#2 String", mrpc),
    "STS-B": ("index genre filename year old_index source1 source2 sentence1 sentence2 score", stsb),
    "QQP": ("id qid1 qid2 question1 question2 is_duplicate", qqp),
    "MNLI": ("index genre sentence1 sentence2 gold_label", mnli),
    "QNLI": ("index question sentence label", qnli),
    "RTE": ("index sentence1 sentence2 label", rte),
}


def make(folder: Path) -> None:
    """Write every task's train.tsv and dev.tsv; no row occurs twice."""
    for task, (header, row) in TASKS.items():
        dice, seen, rows = Dice(f"mini_glue {task}"), set(), []
        dev = ["dev_matched", "dev_mismatched"] if task == "MNLI" else ["dev"]
        while len(rows) < TRAIN + DEV * len(dev):
            new = [str(cell) for cell in row(dice)]
            if (text := tuple(cell for cell in new if " " in cell)) not in seen:
                seen.add(text)
                rows.append("\t".join(new))
        first = [] if header is None else ["\t".join(header.split("," if "," in header else None))]
        cuts = {"train": rows[:TRAIN]}
        cuts |= {name: rows[TRAIN + DEV * i : TRAIN + DEV * (i + 1)] for i, name in enumerate(dev)}
        (folder / task).mkdir(parents=True, exist_ok=True)
        for name, part in cuts.items():
            text = "\n".join([*first, *part]) + "\n"
            (folder / task / f"{name}.tsv").write_text(text, encoding="utf-8", newline="\n")


if __name__ == "__main__":
    make(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent)
