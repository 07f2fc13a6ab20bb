"""Questions: the file format, the windows, the decoding and the two scores, against hand-worked cases."""

import collections
import itertools
import json
import re
import string

import pytest
import torch
from here import SHARED, TESTS
from transformers import BertConfig, BertForQuestionAnswering

from adapterlab.adapters import Adapters
from adapterlab.errors import UserError
from adapterlab.methods import houlsby
from adapterlab.models import load_base
from adapterlab.tasks.answers import (
    HEAD,
    answer,
    ask,
    best_spans,
    decode,
    encode_questions,
    span_judge,
    span_logits,
    span_loss,
)
from adapterlab.tasks.questions import (
    Question,
    Questions,
    best_over,
    exact_match,
    f1,
    load_questions,
    normalise,
    parse_squad,
    score_answers,
)
from adapterlab.train import fit

REAL = SHARED / "squad" / "xquad.en.json"


@pytest.fixture(scope="module")
def mini():
    return load_questions()


@pytest.fixture(scope="module")
def tokenizer():
    return load_base(head="span", device="cpu")[1]


def make(context="The cat sat on the red mat.", text="red mat", start=19, **more):
    entry = {"id": "q1", "question": "Where?", "answers": [{"text": text, "answer_start": start}], **more}
    return {"data": [{"title": "Cats", "paragraphs": [{"context": context, "qas": [entry]}]}]}


# ---- the bundled file


def test_mini_squad_is_sound(mini):
    """Read with nothing but json: every offset fits, ids are unique, passages are short, no article is twice."""
    data = json.loads((TESTS.parent / "data" / "mini_squad.json").read_text())["data"]
    assert len(data) == 28 == len({a["title"] for a in data})
    questions = [(p["context"], q) for a in data for p in a["paragraphs"] for q in p["qas"]]
    assert len(questions) == 168 == len({q["id"] for _, q in questions}) == len(mini)
    for context, q in questions:
        assert 60 <= len(context.split()) <= 130 and q["question"].endswith("?") and q["answers"]
        for a in q["answers"]:
            start, end = a["answer_start"], a["answer_start"] + len(a["text"])
            assert context[start:end] == a["text"] and a["text"].strip() == a["text"]
            assert not (context[start - 1 : start] + context[end : end + 1]).isalnum(), a["text"]


def test_split_by_article(mini):
    train, test = mini.split(8)
    assert len(test.titles) == 8 and len(train.titles) == 20 and len(train) + len(test) == 168
    assert not {q.context for q in train} & {q.context for q in test}
    assert mini.split(8)[1].titles == test.titles != mini.split(8, seed=1)[1].titles
    with pytest.raises(UserError, match="28 articles of 28"):
        mini.split(28)


@pytest.mark.skipif(not REAL.exists(), reason="the development data is not here")
def test_a_real_file():
    questions = load_questions(REAL)
    assert (len(questions), len(questions.titles)) == (1190, 48)


# ---- the scores


def official(prediction, gold):
    """Exact match and F1 as the SQuAD v1.1 paper and its script define them, written again word by word."""

    def clean(s):
        s = "".join(ch for ch in s.lower() if ch not in set(string.punctuation))
        return " ".join(re.sub(r"\b(a|an|the)\b", " ", s).split())

    p, g = clean(prediction).split(), clean(gold).split()
    common = collections.Counter(p) & collections.Counter(g)
    same = sum(common.values())
    if same == 0:
        return float(clean(prediction) == clean(gold)), 0
    precision, recall = same / len(p), same / len(g)
    return float(clean(prediction) == clean(gold)), 2 * precision * recall / (precision + recall)


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        ("The  Cat!", "cat"),
        ("an apple a day", "apple day"),
        ("another theatre", "another theatre"),
        ("U.S.A.", "usa"),
        ("1,280 metres", "1280 metres"),
        ("the", ""),
        ("A-the", "athe"),
        ("“quoted”", "“quoted”"),
    ],
)
def test_normalise(text, clean):
    assert normalise(text) == clean


@pytest.mark.parametrize(
    ("said", "gold", "exact", "score"),
    [
        ("the red mat", "red mat", 1, 1),
        ("on the red mat", "red mat", 0, 0.8),  # 2 of 3 words right, 2 of 2 found: 2 * (2/3) / (5/3)
        ("mat", "red mat", 0, 2 / 3),
        ("blue", "red mat", 0, 0),
        ("red red mat", "red mat mat", 0, 2 / 3),  # shared with repeats: red, mat
        ("", "red mat", 0, 0),
        ("The", "the", 1, 0),  # both empty once normalised: v1.1's F1 is 0
    ],
)
def test_scores_by_hand(said, gold, exact, score):
    assert exact_match(said, gold) == exact and f1(said, gold) == pytest.approx(score)


def test_scores_are_the_official_ones():
    words = ["the", "Red", "red,", "mat", "a", "Mat.", "12-3", "is", "an", "(the)"]
    texts = [" ".join(w) for n in (1, 2, 3) for w in itertools.product(words, repeat=n)][::7]
    for said, gold in itertools.product(texts[::3], texts[::5]):
        exact, score = official(said, gold)
        assert exact_match(said, gold) == exact and f1(said, gold) == pytest.approx(score)


def test_the_best_of_several_answers_counts():
    q = Question("1", "t", "in the city of Paris", "?", ("Paris", "city of Paris"), (15, 7))
    assert best_over(f1, "city of Paris", q.answers) == 1
    assert score_answers(["city of Paris", "London"], (q, q)) == {"exact": 0.5, "f1": 0.5}
    with pytest.raises(UserError, match="1 answers for 2"):
        score_answers(["x"], (q, q))


# ---- the windows


def test_labels_point_at_the_answer(mini, tokenizer):
    """Whatever the window's length: the labelled tokens spell the answer, and windows without it point to [CLS]."""
    for length, stride in ((192, 32), (64, 20)):
        windows = encode_questions(mini, tokenizer, length, stride)
        assert max(windows.lengths) <= length and windows.labels.shape == (len(windows), 2)
        held = [set() for _ in mini]
        for row, (s, e) in enumerate(windows.labels.tolist()):
            q, spans = mini[windows.owner[row]], windows.offsets[row]
            begin, end = q.starts[0], q.starts[0] + len(q.answers[0])
            inside = [o for o in spans if o]
            covered = inside[0][0] <= begin and end <= inside[-1][1]
            held[windows.owner[row]].add(covered)
            assert (s, e) != (0, 0) if covered else (s, e) == (0, 0)
            if covered:
                assert q.context[spans[s][0] : spans[e][1]] == q.answers[0]
                pieces = tokenizer.decode(windows.ids[row][s : e + 1])
                assert normalise(pieces).replace(" ", "") == normalise(q.answers[0]).replace(" ", "")
        assert all(True in h for h in held)


def test_windows_cover_the_passage_and_overlap_by_the_stride(tokenizer):
    context = " ".join(f"w{i}" for i in range(300))
    q = Question("1", "t", context, "What is w7?", ("w7",), (context.index("w7"),))
    windows = encode_questions([q], tokenizer, 50, 10)
    parts = [[o for o in spans if o] for spans in windows.offsets]
    assert len(parts) > 5 and windows.truncated == len(windows) - 1
    assert all(a[-10:] == b[:10] for a, b in itertools.pairwise(parts))
    assert {o for part in parts for o in part} == set(
        tokenizer(context, return_offsets_mapping=True, add_special_tokens=False, verbose=False)["offset_mapping"]
    )


def test_an_answer_on_the_edge_belongs_to_neither_half(tokenizer):
    """An answer cut by a window's end is labelled only where it is whole."""
    context = " ".join(["red"] * 40 + ["blue", "green"] + ["red"] * 40)
    q = Question("1", "t", context, "which?", ("blue green",), (context.index("blue"),))
    room = 41  # the first window ends between the two words of the answer
    windows = encode_questions([q], tokenizer, room + 3 + 2, 5)
    assert windows.labels[0].tolist() == [0, 0] and windows.holds_answer()[1]


# ---- decoding


def brute(start, end, allowed, longest):
    pairs = [
        (float(start[s] + end[e]), s, e)
        for s in range(len(start))
        for e in range(s, min(len(start), s + longest))
        if allowed[s] and allowed[e]
    ]
    return sorted(pairs, reverse=True)


@pytest.mark.parametrize("longest", [1, 3, 50])
def test_best_spans_against_the_loop(longest):
    torch.manual_seed(0)
    for _ in range(20):
        start, end, allowed = torch.randn(17), torch.randn(17), torch.rand(17) > 0.4
        want = brute(start, end, allowed, longest)
        got = best_spans(start, end, allowed, 10, longest)
        assert [g[1:] for g in got] == [w[1:] for w in want[:10]]
        assert [g[0] for g in got] == pytest.approx([w[0] for w in want[:10]], abs=1e-5)


def test_the_best_window_wins_and_the_question_never_answers(tokenizer):
    context = " ".join(f"w{i}" for i in range(60))
    qs = Questions((Question("1", "t", context, "w3 ?", ("w9",), (context.index("w9"),)),), "test")
    windows = encode_questions(qs, tokenizer, 40, 12)
    logits = [torch.zeros(2, n) for n in windows.lengths]
    for row in logits:
        row[:, :4] = 99  # [CLS] and the question
    logits[1][0, 20], logits[1][1, 21] = 5.0, 5.0
    logits[1][1, 19] = 50.0  # an end before the start
    best = decode(logits, windows, qs, max_answer=2)[0]
    place = windows.offsets[1][19]
    assert best[0].score == 50 and (best[0].begin, best[0].end) in ((windows.offsets[1][18][0], place[1]), place)
    logits[1][1, 19] = 0
    best = decode(logits, windows, qs)[0]
    assert best[0].window == 1 and best[0].score == 10
    assert (best[0].begin, best[0].end) == (windows.offsets[1][20][0], windows.offsets[1][21][1])
    assert len({(s.begin, s.end) for s in best}) == len(best)


def test_right_logits_give_right_answers(mini, tokenizer):
    """A head that knows the labels scores 100, through windows and all."""
    few = mini.first(30)
    windows = encode_questions(few, tokenizer, 64, 30)
    logits = []
    for spans, (s, e) in zip(windows.offsets, windows.labels.tolist(), strict=True):
        row = torch.zeros(2, len(spans))
        row[0, s] = row[1, e] = 9.0
        logits.append(row)
    said = [spans[0].text for spans in decode(logits, windows, few)]
    assert score_answers(said, few) == {"exact": 1.0, "f1": 1.0}


# ---- a model


def tiny(tokenizer):
    torch.manual_seed(0)
    sizes = dict(hidden_size=48, num_hidden_layers=2, num_attention_heads=2, intermediate_size=96)
    config = BertConfig(vocab_size=len(tokenizer), max_position_embeddings=160, hidden_dropout_prob=0.0, **sizes)
    return BertForQuestionAnswering(config).eval()


def test_loss_is_the_models_own(mini, tokenizer):
    model, windows = tiny(tokenizer), encode_questions(mini.first(4), tokenizer, 128, 32)
    ids = torch.tensor([row[:60] for row in windows.ids])
    labels = torch.tensor([[5, 9], [0, 0], [1, 59], [30, 30]])
    own = model(ids, start_positions=labels[:, 0], end_positions=labels[:, 1])
    assert span_loss(own, labels).item() == pytest.approx(own.loss.item(), abs=1e-6)


def test_an_adapter_with_a_span_head_learns_by_fit(mini, tokenizer):
    few = mini.first(6)
    windows = encode_questions(few, tokenizer, 128, 32)
    model = tiny(tokenizer)
    adapters = Adapters(model)
    adapters.add("qa", houlsby(8), head=HEAD, seed=0)
    adapters.train("qa")
    judge = span_judge(windows, few)
    before = judge(model)
    run = fit(model, windows, loss=span_loss, judge=judge, metric="f1", epochs=80, lr=2e-2, batch_size=6, show=False)
    assert before + 0.3 < run.best == pytest.approx(judge(model))
    with adapters.use(None):
        assert judge(model) == pytest.approx(tiny_score(tokenizer, windows, few))


def tiny_score(tokenizer, windows, few):
    return score_answers(answer(tiny(tokenizer), windows, few), few)["f1"]


def test_logits_do_not_depend_on_the_batch(mini, tokenizer):
    windows = encode_questions(mini.first(7), tokenizer, 128, 32)
    model = tiny(tokenizer)
    one, many = span_logits(model, windows, 1), span_logits(model, windows, 4)
    assert [r.shape[1] for r in many] == windows.lengths
    assert all(torch.allclose(a, b, atol=1e-5) for a, b in zip(one, many, strict=True))


def test_ask_finds_stretches_of_the_passage(tokenizer):
    passage = " ".join(f"Word{i}" for i in range(200)) + "."
    spans, windows, logits = ask(tiny(tokenizer), tokenizer, passage, "Which word?", 64, 16)
    assert len(windows) == len(logits) > 3 and len(spans) == 5
    assert all(passage[s.begin : s.end] == s.text for s in spans)
    assert [s.score for s in spans] == sorted((s.score for s in spans), reverse=True)


# ---- bad input


def refused(call, *words):
    with pytest.raises(UserError) as error:
        call()
    assert all(word in str(error.value) for word in words), str(error.value)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("", ["line 1", "answer_start"]),
        ("{", ["line 1", "no JSON"]),
        ("[1, 2]", ['"data" is missing', "SQuAD v1.1"]),
        ('{"data": []}', ["no question"]),
        ('{"data": [{"title": "Cats"}]}', ["article 1", '"paragraphs" is missing']),
        ('{"data": [{"paragraphs": [{"qas": []}]}]}', ["article 1", "paragraph 1", '"context" is missing']),
    ],
)
def test_files_that_are_not_squad(tmp_path, content, words):
    path = tmp_path / "x.json"
    path.write_text(content)
    refused(lambda: load_questions(path), "x.json", *words)
    refused(lambda: load_questions(tmp_path / "no.json"), "no such file")
    refused(lambda: load_questions(tmp_path), "is a folder")


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (make(start=20), ["q1", '"red mat"', "answer_start 20", '"ed mat."', "it stands at 19"]),
        (make(text="blue mat"), ["q1", '"blue mat"', "correct the file"]),
        (make(start=-8), ["answer_start -8"]),
        (make(text="", start=0), ['answer ""']),
        (make(answers=[]), ["q1", "SQuAD v2", "v1.1 is meant"]),
        (make(is_impossible=True), ["SQuAD v2"]),
        (make(answers=[{"text": "red"}]), ["q1", '"answer_start" is missing']),
        (make(answers=[{"text": "red", "answer_start": "19"}]), ["q1", "whole number", "'19'"]),
        (make(question=None), ["q1", '"question" has to be a text']),
    ],
)
def test_bad_questions_are_named(data, words):
    refused(lambda: parse_squad(data, "file.json"), "file.json", *words)


def test_an_id_is_one_questions_own():
    refused(lambda: parse_squad({"data": 2 * make()["data"]}, "file.json"), 'id "q1"')


def test_windows_that_cannot_be(mini, tokenizer):
    def encoded(question, context="A short passage.", *window):
        return lambda: encode_questions([Question("q7", "t", context, question)], tokenizer, *window)

    refused(encoded("why " * 70, "A passage.", 64, 8), "q7", "70 tokens", "window of 64")
    refused(encoded("  "), "q7 is empty")
    refused(encoded("why?", " "), "empty passage")
    for window, words in (((64, 60), "less than the"), ((64, -1), "stride=-1"), ((513, 8), "at most 512")):
        refused(lambda window=window: encode_questions(mini, tokenizer, *window), words)
    refused(lambda: encode_questions(mini, object()), "fast tokenizer")


def test_the_hub_offline_says_so_at_once(monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    refused(lambda: load_questions("hub:rajpurkar/squad"), "HF_HUB_OFFLINE", "mini_squad")
