"""onnxruntime-web: what runs a model in a browser; from a user's file, the cache, or npm."""

import re
import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from vesica.errors import DataError
from vesica.files import replacing

PACKAGE = "onnxruntime-web@1.30.0"
SCRIPT, WASM = "ort.wasm.bundle.min.mjs", "ort-wasm-simd-threaded.wasm"
MAX_BYTES = 2**27
"""Of each file; they have 0.1 and 14 MB."""

NPM_S = 300
ADVICE = f"fetch it with `npm pack {PACKAGE}` and pass --runtime with the file"


@dataclass(frozen=True)
class Runtime:
    """What a page needs of it.

    Attributes:
        script: A module in JavaScript.
        wasm: What it computes with.
        version: As it says itself, with its licence.
    """

    script: str
    wasm: bytes
    version: str


def find_runtime(path: Path | None, cache: Path) -> Runtime:
    """Read a tarball or folder of onnxruntime-web; without one, npm fetches it into the cache once.

    Raises:
        DataError: If it cannot be had, or is something else.
    """
    path = _fetch(cache) if path is None else path
    if path.is_dir():
        return _make(path, _read_folder(path))
    if not path.is_file():
        raise DataError(f"--runtime {path}: no such file or folder; {ADVICE}")
    try:
        with tarfile.open(path) as tar:
            return _make(path, lambda name: _read_member(tar, name))
    except (tarfile.TarError, OSError, EOFError) as error:
        raise DataError(f"--runtime {path}: no tarball of npm ({error}); {ADVICE}") from None


def _make(path: Path, read: Callable[[str], bytes | None]) -> Runtime:
    script, wasm = read(SCRIPT), read(WASM)
    if script is None or wasm is None:
        missing = SCRIPT if script is None else WASM
        raise DataError(f"--runtime {path}: has no dist/{missing}; {ADVICE}")
    text = script.decode("utf-8", "replace")
    version = re.search(r"ONNX Runtime Web v([\w.-]+)", text[:1000])
    if version is None or wasm[:4] != b"\0asm":
        raise DataError(f"--runtime {path}: {SCRIPT} is not onnxruntime-web's; {ADVICE}")
    # It would ask for a map that is not there.
    text = re.sub(r"\n//# sourceMappingURL=.*", "", text)
    return Runtime(text, wasm, f"ONNX Runtime Web {version[1]}, MIT, Microsoft Corporation")


def _read_folder(folder: Path) -> Callable[[str], bytes | None]:
    def read(name: str) -> bytes | None:
        for place in (folder, folder / "dist", folder / "package" / "dist"):
            file = place / name
            if file.is_file() and file.stat().st_size <= MAX_BYTES:
                return file.read_bytes()
        return None

    return read


def _read_member(tar: tarfile.TarFile, name: str) -> bytes | None:
    """Nothing is unpacked: its names could lead anywhere."""
    try:
        member = tar.getmember(f"package/dist/{name}")
    except KeyError:
        return None
    if not member.isfile() or member.size > MAX_BYTES:
        return None
    file = tar.extractfile(member)
    return file.read() if file else None


def _fetch(cache: Path) -> Path:
    target = cache / "runtime" / f"{PACKAGE.replace('@', '-')}.tgz"
    if target.is_file():
        return target
    npm = shutil.which("npm")
    if npm is None:
        raise DataError(f"--format page needs {PACKAGE}, and there is no npm here; {ADVICE}")
    with tempfile.TemporaryDirectory() as folder:
        command = [npm, "pack", PACKAGE, "--silent", "--pack-destination", folder]
        try:
            done = subprocess.run(
                command, capture_output=True, text=True, timeout=NPM_S, check=False, cwd=folder
            )
        except subprocess.TimeoutExpired:
            raise DataError(f"npm gave no {PACKAGE} in {NPM_S} s; {ADVICE} elsewhere") from None
        packed = list(Path(folder).glob("*.tgz"))
        if done.returncode or not packed:
            reason = " ".join(done.stderr.split())[:200]
            raise DataError(f"npm cannot fetch {PACKAGE} ({reason}); {ADVICE} from elsewhere")
        with replacing(target, has_sum=False) as path:
            shutil.copyfile(packed[0], path)
    return target
