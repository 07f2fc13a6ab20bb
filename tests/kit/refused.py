"""What every refusal owes: one sentence, and nothing has changed."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import torch
from tiny_bert import hooks, same_state, snapshot

from adapterlab.errors import UserError


@contextmanager
def refused(adapters, match: str) -> Iterator[None]:
    """Within the block a UserError of one line comes; model, adapters, hooks and random numbers are what they were."""
    model, rng = adapters.model, torch.get_rng_state()
    state, kept = snapshot(model), (list(adapters), adapters.active, adapters.merged, hooks(model))
    with pytest.raises(UserError, match=match) as caught:
        yield
    assert "\n" not in str(caught.value)
    assert (list(adapters), adapters.active, adapters.merged, hooks(model)) == kept
    assert same_state(model.state_dict(), state) and torch.equal(torch.get_rng_state(), rng)
