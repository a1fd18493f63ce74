"""The PyTorch side of `benchmarks.teacher`: transformers' LLaMA in eager mode with LoRA. Started by it, not by hand.

Runs under an interpreter with torch and transformers, without this project's packages; nothing imports it.
"""

import torch
from torch.nn import functional as F
from transformers import LlamaConfig, LlamaForCausalLM

from benchmarks.serve import read_task, serve

NAMES = {"attn_norm": "input_layernorm", "ffn_norm": "post_attention_layernorm"}
BLOCK = {name: f"self_attn.{name}_proj" for name in "qkvo"} | {
    name: f"mlp.{name}_proj" for name in ("gate", "up", "down")
}


class LoraLinear(torch.nn.Module):
    """y = x W + scale (x A) B around a frozen `nn.Linear`."""

    def __init__(self, linear: torch.nn.Linear, a: torch.Tensor, b: torch.Tensor, scale: float):
        super().__init__()
        self.linear, self.scale = linear, scale
        self.a, self.b = torch.nn.Parameter(a), torch.nn.Parameter(b)

    def forward(self, x):
        return self.linear(x) + (x @ self.a) @ (self.scale * self.b)


def build(task: dict, arrays: dict) -> LlamaForCausalLM:
    sizes = task["sizes"]
    config = LlamaConfig(
        vocab_size=sizes["vocab"],
        hidden_size=sizes["width"],
        intermediate_size=sizes["ffn_width"],
        num_hidden_layers=sizes["layers"],
        num_attention_heads=sizes["heads"],
        num_key_value_heads=sizes["kv_heads"],
        rms_norm_eps=sizes["rms_eps"],
        rope_parameters={"rope_type": "default", "rope_theta": sizes["rope_theta"]},
        tie_word_embeddings=sizes["tied"],
        attn_implementation="eager",
        use_cache=False,
    )
    model = LlamaForCausalLM(config).requires_grad_(False)
    given = {"model.embed_tokens.weight": arrays["llm/embed/table"], "model.norm.weight": arrays["llm/norm/scale"]}
    given["lm_head.weight"] = arrays["llm/embed/table" if sizes["tied"] else "llm/head/table"]
    for i in range(sizes["layers"]):
        root = f"model.layers.{i}"
        for name, module in BLOCK.items():
            given[f"{root}.{module}.weight"] = arrays[f"llm/layers/{name}/kernel"][i].T
        for name, module in NAMES.items():
            given[f"{root}.{module}.weight"] = arrays[f"llm/layers/{name}/scale"][i]
    model.load_state_dict({key: torch.tensor(value) for key, value in given.items()})
    for i, layer in enumerate(model.model.layers):
        for name, path in BLOCK.items():
            block, _, attribute = path.partition(".")
            a, b = (torch.tensor(arrays[f"lora/{name}/{which}"][i]) for which in "ab")
            module = getattr(layer, block)
            linear = getattr(module, attribute)
            setattr(module, attribute, LoraLinear(linear, a, b, task["alpha"] / task["rank"]))
    return model


def main() -> None:
    task, arrays = read_task()
    torch.set_num_threads(task["threads"])
    model, tokens = build(task, arrays), torch.tensor(arrays["tokens"], dtype=torch.long)
    arrays.clear()
    if task["part"] == "forward":
        forward = torch.inference_mode()(lambda: model(tokens).logits)
        serve(forward, lambda y: y[-1, -1, :32].tolist())
        return
    trained = [weight for weight in model.parameters() if weight.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=1e-3, weight_decay=0.01, fused=True)

    def call():
        logits = model(tokens).logits[:, :-1]
        loss = F.cross_entropy(logits.flatten(0, 1), tokens[:, 1:].flatten())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss.detach()

    serve(call, lambda loss: [float(loss)])


if __name__ == "__main__":
    main()
