"""15: its two critics' sentences, what is measured of them, and the numbers of its view and figures."""

import math

import pandas as pd
import pytest
import torch
from lesson_views import WRITTEN

from adapterlab.errors import UserError
from adapterlab.lab import Lab
from adapterlab.lessons.nb15_decoder import critics
from adapterlab.lessons.nb15_decoder import figures as plots
from adapterlab.lessons.nb15_decoder.exercises import pad_left
from adapterlab.lessons.nb15_decoder.views import mood_view
from adapterlab.models import load_base
from adapterlab.tasks import Rows, encode_text
from adapterlab.train import next_token_loss, perplexity


@pytest.fixture(scope="module")
def tiny():
    return load_base("tiny-decoder", head="causal", device="cpu")


def test_losses_of_texts_are_those_of_the_texts_alone(tiny):
    """In the data's order, though batches come by length; and all tokens alike make the package's perplexity."""
    model, tokenizer = tiny
    texts = [" a quiet film", " bad", " a long , long , long story about nothing at all"]
    data = encode_text(texts, tokenizer, prompts=["so :"] * 3)
    rows = critics.text_losses(model, data, next_token_loss, batch_size=2)
    for row, text in zip(rows, texts, strict=True):
        alone = encode_text([text], tokenizer, prompts=["so :"])
        assert row[0].item() == pytest.approx(math.log(perplexity(model, alone)), abs=1e-4)
        assert row[1].item() == alone.learned
    assert critics.perplexity(rows) == pytest.approx(perplexity(model, data), rel=1e-4)


def test_a_difference_is_paired_text_by_text():
    one, other = torch.tensor([[1.0, 5], [3, 5], [5, 5]]), torch.tensor([[1.5, 5], [3.5, 5], [6.5, 5]])
    gap, half = critics.more_surprised(one, other)
    assert gap == pytest.approx(2.5 / 3) and half == pytest.approx(1.96 * (1 / 3) ** 0.5 / 3**0.5)


def test_sentences_are_short_of_one_mood_and_drawn_by_the_seed():
    rows = Rows(tuple(f"it is number {i} of them" for i in range(40)) + ("too short",), None, (0, 1) * 20 + (1,))
    drawn = critics.sentences(rows, 1, 9, seed=1)
    assert len(set(drawn)) == 9 and all(int(text.split()[3]) % 2 and text[0] == " " for text in drawn)
    assert drawn == critics.sentences(rows, 1, 9, seed=1) != critics.sentences(rows, 1, 9, seed=2)
    assert len(critics.sentences(rows, 1, 99)) == 20


def test_plain_text_counts_no_end(tiny):
    data = critics.plain(12, tiny[1])
    assert len(data) == 12 and not (data.labels == tiny[1].eos_token_id).any()
    assert data.learned == sum(data.lengths) - 2 * 12  # neither the first token nor the end


def test_samples_come_in_the_prompts_order_whatever_their_length(tiny):
    model, tokenizer = tiny
    prompts, seen = ["one", "a longer prompt , for the padding", "two words"], []

    def pad(rows, fill):
        seen.extend(rows)
        return pad_left.reference(rows, fill)

    said = critics.sample(model, tokenizer, prompts, pad, new=4, batch_size=2)
    assert len(said) == 3 and said == critics.sample(model, tokenizer, prompts, pad, new=4, batch_size=2)
    assert seen[:3] == [tokenizer(prompt).input_ids for prompt in prompts]


def test_smoke_fetches_nothing_and_says_so(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("ADAPTERLAB_CACHE", str(tmp_path))
    model, _ = critics.decoder("smollm2", Lab("smoke", 0, torch.device("cpu")))
    assert model.config.hidden_size == 64 and "smoke fetches nothing" in capsys.readouterr().out
    with pytest.raises(UserError, match="unknown model"):
        critics.decoder("smollm3", Lab("smoke", 0, torch.device("cpu")))


def test_the_view_tells_what_the_judge_said():
    view = mood_view(WRITTEN)
    assert view.weight.value == 1 and view.summary == 'weight 1, " a": 1 of 1 judged pleased'
    assert list(view.figure.data[0].y) == [0, 50] and list(view.figure.data[1].y) == [50]
    view.weight.value = 0.0
    assert "&lt;b&gt; dull" in view.note and "10% pleased" in view.note and list(view.figure.data[1].y) == [0]


def test_figures_say_their_numbers():
    frame = pd.DataFrame([("base", "plain", 100.0), ("base", "own", 10.0)], columns=["critic", "text", "perplexity"])
    (cells,) = plots.perplexities(frame).data
    assert cells.z.tolist() == [[2, 1]] and cells.text.tolist() == [["100", "10"]] and list(cells.x) == ["plain", "own"]
    figure = plots.moods(pd.DataFrame({"weight": [0.0, 0.5], "share": [50.0, 90.0]}), rows=96, guess=40)
    assert figure.data[0].error_y.array[0] == pytest.approx(10, abs=0.01)  # 1.96 * sqrt(0.25 / 96)
    assert (figure.data[-1].x, figure.data[-1].y) == ((0.5,), (40,))
