"""The joint step compiled ahead of time for a mesh: what it holds, computes and sends, and what of it is trained."""

import json
import math
from pathlib import Path

import jax
import pytest

from dima_jax import optimizer, weights
from dima_jax.configs import base
from dima_jax.errors import UserError
from dima_jax.plan_run import parts, plan, report, roofline
from dima_jax.sharded_model import ShardedModel
from tests.mini import mini_config

DEVICES = 8


@pytest.fixture(scope="module")
def config():
    config = mini_config()
    config.mesh.fsdp = 2
    config.teacher.edit_share = 1.0  # as configs/base.py
    plan.fit_mesh(config, DEVICES, windows_per_device=1)
    return config


@pytest.fixture(scope="module")
def result(config):
    return plan.make_plan(config, jax.devices()[:DEVICES], "cpu")


def test_the_mesh_is_stretched_and_the_batch_fits(config):
    assert dict(config.mesh, rules=None) == dict(data=4, fsdp=2, model=1, rules=None)
    assert config.data.batch_size == DEVICES
    with pytest.raises(UserError, match="fsdp=3 model=1 does not divide 8"):
        other = mini_config()
        other.mesh.fsdp = 3
        plan.fit_mesh(other, DEVICES, 1)


def test_every_device_works_on_its_own_windows(result):
    assert result.cost.flops / result.needed_flops < 1.02


def test_every_part_of_the_model_is_found_by_its_scope(result):
    """Nearly all products have a part, forward and backward, and the BEV encoder has gathers."""
    found = roofline.by_part(result.cost, None)
    assert list(found) == list(parts.ORDER)
    flops = {name: sum(part.flops.values()) for name, part in found.items()}
    assert flops["other"] + flops["optimizer"] < 0.05 * result.cost.flops
    assert min(flops[name] for name in ("image backbone", "BEV encoder", "heads", "LLM")) > 0.01 * result.cost.flops
    assert found["BEV encoder"].gathered > 0.0


def test_only_gradients_and_the_sharded_base_are_sent(result):
    """The sum of the gradients crosses the ring once; the LLM base's matrices are gathered forward and backward."""
    ring = (DEVICES - 1) / DEVICES
    sent = result.cost.sent
    assert sent["all-reduce"] <= 1.15 * 2 * ring * result.weights
    assert sum(sent.values()) - sent["all-reduce"] <= 16 * result.frozen


def test_devices_do_not_wait_for_each_other_in_loops_that_end_with_the_data(result):
    assert result.cost.unbounded_loops > 0
    assert result.cost.waiting_loops == 0


def test_memory_is_what_is_held_and_what_is_computed(config, result):
    trained, frozen = optimizer.split_frozen(
        ShardedModel(config, jax.devices()[:DEVICES]).abstract, config.optim.groups
    )
    assert result.weights == 4 * weights.count(trained)
    whole = 4 * weights.count(frozen)
    assert 0.5 * whole <= result.frozen < 0.8 * whole  # the base's matrices are sharded over fsdp=2
    held = result.weights + result.frozen + result.optimizer + result.batch
    assert result.peak >= held and result.temporary > 0


def test_what_is_trained_at_full_size(capsys):
    """LLaMA-7B, its LoRA, the Q-formers and heads by hand; the student by the tensors of the released VAD-Base."""
    e, d, f, vocab, layers, rank = 4096, 256, 11008, 32000, 32, 16
    llm = 2 * vocab * e + layers * (4 * e * e + 3 * e * f + 2 * e) + e
    lora = layers * rank * (4 * (e + e) + 3 * (e + f))

    def linear(a, b):
        return a * b + b

    norm, attention, position = 2 * d, 4 * linear(d, d), linear(32, d)
    former_layer = 3 * norm + 2 * attention + linear(d, 4 * d) + linear(4 * d, d)
    former = position + norm + 2 * former_layer + norm + linear(d, e)
    adapter = 4 * former + (256 + 64 + 64 + 8) * d + d  # queries, and the token of a masked cell
    ego_head = linear(e, 2 * d) + 2 * linear(2 * d, 2 * d) + linear(2 * d, 3 * 6 * 2)
    agent_head = linear(e, d) + 3 * norm + position + attention + linear(d, 2 * d) + linear(2 * d, 6 * 2)
    bev_head = linear(e, d) + 2 * linear(d, d)
    added_token = linear(10 + 10 + 6 * 2, d)
    between = adapter + 2 * ego_head + agent_head + 3 * bev_head + added_token

    names = json.loads((Path(__file__).parents[1] / "convert" / "vad_names.json").read_text())["base"]
    no_weights = ("code_weights", "num_batches_tracked")
    student = sum(math.prod(shape) for key, shape in names.items() if not key.endswith(no_weights))
    first = 7 * 7 * 3 * 64 + (73_728 + 2 * 69_632)  # convolutions of ResNet-50's stem and first three bottlenecks
    fixed = first + 4 * 26_560  # and gain, bias, mean, variance of all its norms

    shares = plan.trained_share(base.get_config(), jax.devices()[:DEVICES])
    assert llm == 6_738_415_616 and lora == 39_976_960
    assert shares == {
        "weights, all devices": (lora + between + student - fixed, llm + lora + between + student),
        "student": (student - fixed, student),
        "adapter and heads": (between, between),
        "LLM base": (0, llm),
        "LoRA": (lora, lora),
    }
    report.print_trained(shares)
    text = capsys.readouterr().out
    assert "trained 121,128,224 of 6,859,872,480 (1.77%)" in text and "trained 0 of 6,738,415,616 (0.00%)" in text


def test_a_compiler_that_runs_out_of_memory_is_a_user_error():
    message = "RESOURCE_EXHAUSTED: Ran out of memory in memory space hbm. Used 22.79G of 15.75G hbm. Exceeded by 7.04G."
    with pytest.raises(UserError, match=r"needs 22\.79 GiB and has 15\.75"):
        raise plan.out_of_memory(message)
    assert plan.out_of_memory("INTERNAL: something else") is None
