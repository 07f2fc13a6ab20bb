"""Where a hook on a module's output is not enough: what goes into a module, added positions, a whole pass, its rows.

`SPECIAL[site.form](owner, site, modules)` hangs what such a site needs on the owner's model. What hangs there asks
`owner.evaluate(setup, site, x, y)` for y' whenever a setup is active, as `hooks.Hook` does.
"""

import copy
import inspect
import sys
from typing import TYPE_CHECKING, Any

import torch
from torch import nn
from torch.nn import functional as F

from . import compose
from .errors import UserError
from .methods.head import Reading
from .sites import Site

if TYPE_CHECKING:
    from .adapters import Adapters

INTERFACE = "adapterlab"  # our name in transformers' registry of attention functions
MASKED = ("eager", "sdpa")  # attention functions whose mask can be made longer
CHECKPOINT = "_gradient_checkpointing_func"  # where transformers keeps the function that runs a layer


def given(module: nn.Module, args: tuple, kwargs: dict) -> dict:
    """What a module is called with, by the names in its signature."""
    names = list(inspect.signature(type(module).forward).parameters)[1:] if args else ()
    return {**dict(zip(names, args, strict=False)), **kwargs}


def first(args: tuple, kwargs: dict) -> torch.Tensor:
    """x, whichever way the model hands it over: self_attn(x, ...) or self_attn(hidden_states=x, ...)."""
    return args[0] if args else kwargs.get("hidden_states", next(iter(kwargs.values()), None))


class Answer:
    """A head: y is the logits; x, where there are states to pool, a `Reading` of them and of the last map's input.

    It comes after a prompt's hooks, so that it sees the text's own positions.
    """

    def __init__(self, owner: "Adapters", site: Site, modules: dict[str, nn.Module]):
        self.owner, self.site = owner, site
        self.handles = [modules[site.module].register_forward_hook(self.leave, with_kwargs=True)]
        if site.states is not None:
            base = owner.model.base_model
            self.handles.append(base.register_forward_pre_hook(self.enter, with_kwargs=True, prepend=True))
            self.handles.append(base.register_forward_hook(self.keep))

    def enter(self, base, args, kwargs):
        if self.owner.active is not None:
            self.owner.here.inputs["mask"] = given(base, args, kwargs).get("attention_mask")

    def keep(self, base, args, output):
        if self.owner.active is not None:
            self.owner.here.inputs["states"] = output[0]  # (rows, tokens, width), of a ModelOutput or a tuple

    def leave(self, module, args, kwargs, output):
        states, mask = self.owner.here.inputs.pop("states", None), self.owner.here.inputs.pop("mask", None)
        if self.owner.active is None:
            return None
        x = first(args, kwargs) if states is None else Reading(first(args, kwargs), states, mask)
        return self.owner.evaluate(self.owner.active, self.site.name, x, output)


class Incoming:
    """x and y are both what goes into the module, which gets y' in its place."""

    def __init__(self, owner: "Adapters", site: Site, modules: dict[str, nn.Module]):
        self.owner, self.site = owner, site
        self.handles = [modules[site.module].register_forward_pre_hook(self.enter, with_kwargs=True)]

    def enter(self, module, args, kwargs):
        setup = self.owner.active
        if setup is None:
            return None
        y = first(args, kwargs)
        new = self.owner.evaluate(setup, self.site.name, y, y)
        if args:
            return (new, *args[1:]), kwargs
        key = "hidden_states" if "hidden_states" in kwargs else next(iter(kwargs))
        return args, {**kwargs, key: new}


class Memory:
    """A handle. x is what enters the attention; y its keys and values in one, (batch, 2, heads, tokens, head_width).

    transformers looks up an attention function by the name in the module's config: while this hook is installed the
    module has a copy of its config with our name in it, and our function hands on to the one that was there.
    """

    def __init__(self, owner: "Adapters", site: Site, modules: dict[str, nn.Module]):
        module = modules[site.module]
        self.owner, self.site, self.module, self.config = owner, site, module, module.config
        self.handles = [self]
        self.name = module.config._attn_implementation
        if self.name not in MASKED:
            raise UserError(
                f'keys and values cannot be added to "{self.name}" attention; '
                f'load the model with attn_implementation="sdpa" or "eager"'
            )
        register()
        module.config = copy.copy(module.config)
        module.config._attn_implementation_internal = INTERFACE
        module._adapterlab_memory = self
        self.entering = module.register_forward_pre_hook(self.enter, with_kwargs=True)

    def __setstate__(self, state):
        self.__dict__.update(state)
        register()  # a pickled model may come to a process that has not

    def remove(self):
        self.entering.remove()
        self.module.config = self.config
        del self.module._adapterlab_memory

    def enter(self, module, args, kwargs):
        if self.owner.active is not None:
            self.owner.here.inputs[self.site.name] = first(args, kwargs)

    def frozen(self):
        """The attention function that the model would have used."""
        from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

        eager = getattr(sys.modules[type(self.module).__module__], "eager_attention_forward", None)
        return ALL_ATTENTION_FUNCTIONS.get_interface(self.name, eager)


def register() -> None:
    """Make `attend` an attention function that transformers knows by name."""
    from transformers import AttentionInterface

    AttentionInterface.register(INTERFACE, attend)


def attend(module, query, key, value, attention_mask, **kwargs):
    """Attention with the keys and values that the active setup makes of the frozen ones, the new ones in front."""
    hook = module._adapterlab_memory
    setup, function = hook.owner.active, hook.frozen()
    x = hook.owner.here.inputs.pop(hook.site.name, None)
    if setup is None:
        return function(module, query, key, value, attention_mask, **kwargs)
    y = torch.stack([key, value], dim=1)
    new = hook.owner.evaluate(setup, hook.site.name, x, y)
    more = new.shape[3] - y.shape[3]
    if more:
        if attention_mask is None and hook.name == "sdpa" and causal(module, kwargs) and query.shape[2] > 1:
            attention_mask = query.new_ones(query.shape[2], key.shape[2], dtype=torch.bool).tril()[None, None]
        if attention_mask is not None:
            attention_mask = F.pad(attention_mask, (more, 0), value=attention_mask.dtype == torch.bool)
        if kwargs.get("position_bias") is not None:
            kwargs["position_bias"] = F.pad(kwargs["position_bias"], (more, 0))
    return function(module, query, *new.unbind(1), attention_mask, **kwargs)


def causal(module, kwargs) -> bool:
    """Whether this call of attention looks back only."""
    asked = kwargs.get("is_causal")
    return getattr(module, "is_causal", True) if asked is None else asked


class Tokens:
    """x and y are both the embedded text, on its way into the stack that reads it; y' may be longer.

    The attention mask grows along; the positions at the front are cut off `last_hidden_state` again, so that it has the
    text's own; a decoder that looks back at a longer text sees all of it.
    """

    def __init__(self, owner: "Adapters", site: Site, modules: dict[str, nn.Module]):
        self.owner, self.site, stack = owner, site, modules[site.module]
        decoder = modules.get(site.module.removesuffix("encoder") + "decoder")
        self.handles = [stack.register_forward_pre_hook(self.enter, with_kwargs=True)]
        if site.module.endswith("encoder") and decoder is not None:
            self.handles.append(decoder.register_forward_pre_hook(self.look_back, with_kwargs=True))
        else:
            self.handles.append(stack.register_forward_hook(self.leave))

    def enter(self, stack, args, kwargs):
        setup = self.owner.active
        if not any(self.site.name in self.owner[name].at for name in compose.names(setup)):
            return None  # what the model is told of its positions stays
        kwargs = given(stack, args, kwargs)
        ids, y, mask = kwargs.pop("input_ids", None), kwargs.get("inputs_embeds"), kwargs.get("attention_mask")
        past = kwargs.get("past_key_values")
        seen = 0 if past is None else past.get_seq_length()
        if y is None:
            y = stack.get_input_embeddings()(ids)
        new = y if seen else self.owner.evaluate(setup, self.site.name, y, y)
        more = max(0, seen + y.shape[1] - mask.shape[1] if seen and mask is not None else new.shape[1] - y.shape[1])
        limit = getattr(stack.config, "max_position_embeddings", None)
        if not seen and more and limit and new.shape[1] > limit:
            raise UserError(
                f"a prompt of {more} and a text of {y.shape[1]} tokens are more than this model's {limit} positions; "
                f"cut the text to {limit - more}"
            )
        self.owner.here.inputs[self.site.name] = 0 if seen else more
        kwargs["inputs_embeds"] = new
        if mask is not None:
            kwargs["attention_mask"] = F.pad(mask, (more, 0), value=1)
        if kwargs.get("token_type_ids") is not None:
            kwargs["token_type_ids"] = F.pad(kwargs["token_type_ids"], (new.shape[1] - y.shape[1], 0))
        positions = kwargs.pop("position_ids", None)
        if positions is not None and more:
            front = torch.arange(new.shape[1] - y.shape[1], device=positions.device).expand(len(positions), -1)
            kwargs["position_ids"] = torch.cat([front, positions + more], dim=1)
        first = getattr(getattr(stack, "embeddings", None), "padding_idx", None)
        if positions is None and more and mask is not None and first is not None:  # RoBERTa's kin count tokens
            kwargs["position_ids"] = kwargs["attention_mask"].cumsum(1) * kwargs["attention_mask"] + first
        return (), kwargs

    def leave(self, stack, args, output):
        more = self.owner.here.inputs.pop(self.site.name, 0)
        if not more:
            return None
        if isinstance(output, tuple):
            return (output[0][:, more:], *output[1:])
        output["last_hidden_state"] = output["last_hidden_state"][:, more:]
        return output

    def look_back(self, decoder, args, kwargs):
        states, mask = kwargs.get("encoder_hidden_states"), kwargs.get("encoder_attention_mask")
        if states is None or mask is None or states.shape[1] == mask.shape[1]:
            return None
        return args, {**kwargs, "encoder_attention_mask": F.pad(mask, (states.shape[1] - mask.shape[1], 0), value=1)}


class Pass:
    """What a pass is to know of itself, noted on the way in: one a model, on the whole and on its base.

    rows: of the batch; for `Parallel` the input is repeated. context: mask, (batch, tokens), 1 for a token and 0 for
    padding, or None; decoder_mask, likewise; past: how many tokens a cache holds already, when a text is being
    generated; of: the module that noted them, an encoder where `generate` calls it alone. A layer that is checkpointed
    is recomputed in backward as it ran here, see `Held`.
    """

    def __init__(self, owner: "Adapters"):
        self.owner, whole = owner, owner.model
        base = getattr(whole, "base_model", whole)
        self.layers = [module for module in whole.modules() if hasattr(module, "gradient_checkpointing")]
        self.handles = [
            self,
            whole.register_forward_pre_hook(self.divide, with_kwargs=True, prepend=True),
            whole.register_forward_hook(self.end, always_call=True),
        ]
        both = getattr(getattr(whole, "config", None), "is_encoder_decoder", False) and hasattr(base, "encoder")
        for stack in (base, base.encoder) if both else (base,):
            self.handles.append(stack.register_forward_pre_hook(self.enter, with_kwargs=True))
            self.handles.append(stack.register_forward_hook(self.leave, always_call=True))

    def remove(self):
        for layer in self.layers:
            if isinstance(function := vars(layer).get(CHECKPOINT), Held):
                setattr(layer, CHECKPOINT, function.function)

    def enter(self, base, args, kwargs):
        if self.owner.here.context:  # an encoder within its model
            return None
        for layer in self.layers:
            if CHECKPOINT in vars(layer) and not isinstance(function := vars(layer)[CHECKPOINT], Held):
                setattr(layer, CHECKPOINT, Held(self.owner, function))
        call = given(base, args, kwargs)
        past = call.get("past_key_values")
        length = past.get_seq_length() if past is not None and hasattr(past, "get_seq_length") else 0
        masks = {"mask": call.get("attention_mask"), "decoder_mask": call.get("decoder_attention_mask")}
        self.owner.here.context = {**masks, "past": length, "of": base}
        if any(isinstance(block, compose.Split) for block in compose.blocks(self.owner.active)):
            countable(length, *masks.values())
        recipes = [self.owner[name].info.recipe for name in compose.names(self.owner.active)]
        more = sum(getattr(c, "length", 0) for recipe in recipes for c in recipe if getattr(c, "counted", False))
        return ((), {**call, "position_ids": positions(base, call, length, more)}) if more else None

    def leave(self, base, args, output):
        if self.owner.here.context.get("of") is base:
            self.owner.here.context = {}

    def divide(self, model, args, kwargs):
        tensors = [v for v in (*args, *kwargs.values()) if isinstance(v, torch.Tensor) and v.ndim]
        rows, copies = len(tensors[0]) if tensors else None, compose.copies(self.owner.active)
        self.owner.here.rows = rows and rows * copies
        if copies == 1:
            return None
        if kwargs.get("past_key_values") is not None:
            raise UserError("Parallel cannot generate; repeat the rows yourself and use BatchSplit")

        def repeat(v):
            same = isinstance(v, torch.Tensor) and v.ndim and len(v) == rows
            return v.repeat(copies, *[1] * (v.ndim - 1)) if same else v

        return tuple(map(repeat, args)), {key: repeat(v) for key, v in kwargs.items()}

    def end(self, model, args, output):
        self.owner.here.rows = None


def positions(base: Any, call: dict, past: int, more: int) -> torch.Tensor:
    """(rows, tokens): the positions of a text as the model would count them, and `more`."""
    if call.get("position_ids") is not None:
        return call["position_ids"] + more
    ids = call["inputs_embeds"][..., 0] if call.get("input_ids") is None else call["input_ids"]
    limit = getattr(base.config, "max_position_embeddings", None)
    if limit and past + ids.shape[1] + more > limit:
        raise UserError(
            f"prefixes of {more} positions and a text of {past + ids.shape[1]} tokens are more than this model's "
            f"{limit} positions; cut the text to {limit - more}"
        )
    rule = next((m for m in base.modules() if hasattr(m, "create_position_ids_from_input_ids")), None)
    if rule is not None and call.get("input_ids") is not None:  # RoBERTa's kin, who count tokens and not padding
        return rule.create_position_ids_from_input_ids(ids, rule.padding_idx, past + more)
    return (torch.arange(ids.shape[1], device=ids.device) + past + more).expand(len(ids), -1)


def countable(past: int, *masks: torch.Tensor | None) -> None:
    """UserError where a text's first position is not its first token, from which Split counts."""
    if past:
        raise UserError("Split counts from the text's start, which a cache hides: generate with use_cache=False")
    if any(mask is not None and mask.ndim == 2 and (mask[:, 0] == 0).any() for mask in masks):
        raise UserError('Split counts from the text\'s start: pad on the right, tokenizer.padding_side = "right"')


class Held:
    """A layer's checkpointing function: what it recomputes runs with what the pass had, in whatever thread.

    torch's reentrant way would lose the gradient of what passes from layer to layer besides their arguments, as
    K-Adapter's state does; so the other one is taken.
    """

    def __init__(self, owner: "Adapters", function):
        self.owner, self.function = owner, function

    def __call__(self, layer, *args, **kwargs):
        if "use_reentrant" in getattr(self.function, "keywords", ()):
            kwargs["use_reentrant"] = False
        return self.function(self.owner.hold(layer), *args, **kwargs)


def text_mask(context: dict, site: Site, y: torch.Tensor, prompted: bool) -> torch.Tensor:
    """(rows, positions so far), 1 for a token and 0 for padding, of the texts of which y has the last positions.

    prompted: a prompt may stand in front. Ones where nothing is known of padding, or what is known is of other
    positions, as of a sound's samples.
    """
    mask, past = context.get("mask"), context.get("past", 0)
    stack = site.name.split(".")[0]
    if stack == "decoder":
        mask = context.get("decoder_mask")
    elif stack == "encoder":
        past = 0
    total = past + y.shape[1]
    ones = torch.ones(len(y), total, dtype=torch.long, device=y.device)
    if mask is None or mask.ndim != 2 or len(mask) != len(y):
        return ones
    more = total - mask.shape[1]
    return ones if more < 0 or (more and not prompted) else F.pad(mask.long(), (more, 0), value=1)


def by_rows(setup: compose.Block, rows: int | None, x, y):
    """x and y with the batch's rows first; where a model flattened rows and tokens (OPT), also their length."""
    if rows is None and compose.copies(setup) > 1:
        raise UserError(f"{setup} repeats the input of the whole model; call the model, not a part of it")
    if rows and y.ndim == 2 and len(y) != rows and len(y) % rows == 0:
        x = x if x is None or len(x) != len(y) else x.view(rows, -1, x.shape[-1])
        return x, y.view(rows, -1, y.shape[-1]), len(y)
    return x, y, None


# site.form -> what hangs there: (owner, site, the model's modules by name), with `handles` that can be removed
SPECIAL: dict[str, Any] = {"head": Answer, "hidden": Incoming, "stream": Incoming, "memory": Memory, "prompt": Tokens}
