"""Exercises of 12: every common wrong answer has its own message, and the right one passes."""

import pytest
import torch

from adapterlab import check
from adapterlab.compose import Average, Fuse, evaluate
from adapterlab.methods.fusion import Fusion


def answer(arguments, body):
    space = {"torch": torch}
    lines = "\n    ".join(body.split("; "))
    exec(f"def answer({arguments}):\n    {lines}", space)
    return space["answer"]


WEIGHTED = "total = sum(w * y for w, y in zip(weights, outputs))"


@pytest.mark.parametrize(
    "body, message",
    [
        ("return total / sum(weights) / len(outputs)", "divides twice"),
        ("return total / len(outputs)", "divide by the sum"),
        ("return total", "made to sum to 1"),
        ("return sum(outputs) / len(outputs)", "not used"),
        ("return sum(w * y for w, y in zip(torch.tensor(weights).softmax(0), outputs))", "softmax"),
        ("outputs[0] *= 0; return total / sum(weights)", "in place"),
        ("return total / max(weights)", "expected"),
        ("return total.T @ total", "shape"),
        ("pass", "`return` missing"),
        ("return ...", "not attempted"),
        ("return total / sum(weights)", "correct"),
        ("return torch.einsum('n,n...->...', torch.tensor(weights) / sum(weights), torch.stack(outputs))", "correct"),
    ],
)  # fmt: skip
def test_average_outputs(body, message):
    assert message in check.average_outputs.verdict(answer("outputs, weights", f"{WEIGHTED}; {body}"))


SCORES = "s = torch.einsum('nd,tnd->tn', h @ Q.T, z @ K.T)"


@pytest.mark.parametrize(
    "body, message",
    [
        ("return (s.softmax(1)[..., None] * (z @ V.T)).sum(0)", "over the tokens"),
        ("return (s[..., None] * (z @ V.T)).sum(0)", "softmax is missing"),
        ("return ((s / 3 ** 0.5).softmax(0)[..., None] * (z @ V.T)).sum(0)", "AdapterFusion does not"),
        ("return (s.softmax(0)[..., None] * z).sum(0)", "value matrix V"),
        ("s = (h * (z @ K.T)).sum(-1); return (s.softmax(0)[..., None] * (z @ V.T)).sum(0)", "query matrix Q"),
        ("s = (h @ Q.T * z).sum(-1); return (s.softmax(0)[..., None] * (z @ V.T)).sum(0)", "key matrix K"),
        ("s = (h @ Q * (z @ K)).sum(-1); return (s.softmax(0)[..., None] * (z @ V)).sum(0)", "not transposed"),
        ("return (z @ V.T).mean(0)", "weigh the same"),
        ("return (s.softmax(0)[..., None] * (z @ V.T)).sum(1)", "shape"),
        ("return h + (s.softmax(0)[..., None] * (z @ V.T)).sum(0)", "expected"),
        ("return (s.softmax(0)[..., None] * (z @ V.T)).sum(0)", "correct"),
        ("return torch.einsum('tn,tnd->nd', s.softmax(0), z) @ V.T", "correct"),
    ],
)
def test_fuse_outputs(body, message):
    assert message in check.fuse_outputs.verdict(answer("h, z, Q, K, V", f"{SCORES}; {body}"))


@pytest.mark.parametrize(
    "body, message",
    [
        ("return sum(s * B for s, B, A in parts), sum(A for s, B, A in parts)", "cross terms"),
        ("return sum(B for s, B, A in parts), sum(s * A for s, B, A in parts)", "cross terms"),
        ("return torch.cat([B for s, B, A in parts], 1), torch.cat([A for s, B, A in parts])", "scales are missing"),
        ("return torch.cat([s * B for s, B, A in parts], 1), torch.cat([s * A for s, B, A in parts])", "counts twice"),
        ("return torch.cat([s * B for s, B, A in parts], 1) / 2, torch.cat([A for s, B, A in parts])", "averages"),
        ("return parts[0][1], parts[0][2]", "off by"),
        ("return torch.cat([s * B for s, B, A in parts]), torch.cat([A for s, B, A in parts], 1)", "join B's columns"),
        ("return torch.cat([B for s, B, A in parts])", "two matrices"),
        ("return ...", "not attempted"),
        ("return torch.cat([s * B for s, B, A in parts], 1), torch.cat([A for s, B, A in parts])", "correct"),
        ("return torch.cat([B for s, B, A in parts], 1), torch.cat([s * A for s, B, A in parts])", "correct"),
    ],
)
def test_concatenate(body, message):
    assert message in check.concatenate.verdict(answer("parts", body))


def test_an_untouched_stub_gets_the_reference(capsys):
    def stub(*arguments): ...

    for checker in (check.average_outputs, check.fuse_outputs, check.concatenate):
        assert checker(stub) is checker.reference
        assert capsys.readouterr().out.strip().endswith("not attempted, using the reference")


def test_the_references_are_what_the_package_computes():
    torch.manual_seed(0)
    x, y, added = torch.randn(2, 3, 4), torch.randn(2, 3, 4), torch.randn(2, 2, 3, 4)
    methods = {name: (lambda x, y, z=z: y + z,) for name, z in zip("ab", added, strict=True)}
    outputs = [evaluate(name, methods, x, y) for name in "ab"]
    torch.testing.assert_close(
        check.average_outputs.reference(outputs, [3, 1]), evaluate(Average("a", "b", weights=(3, 1)), methods, x, y)
    )  # fmt: skip
    fusion = Fusion(4).requires_grad_(False)
    for p in fusion.parameters():
        p.normal_() if p.ndim == 2 else p.zero_()
    QKV = [m.weight for m in (fusion.query, fusion.key, fusion.value)]
    whole = evaluate(Fuse("a", "b", name="f"), methods | {"f": (fusion,)}, x, y)
    for row in range(2):
        mine = check.fuse_outputs.reference(y[row], added[:, row], *QKV)
        torch.testing.assert_close(y[row] + mine, whole[row])
