"""Resolves clients.toml into a lock for each environment: pinned packages, with the sha256 of every wheel that may be installed here.

    python lock.py [NAME...]     # needs `uv` on the PATH

The locks hold for every CPython from 3.11 on (some clients end below), on Linux x86_64.
"""

import subprocess
import sys
import tempfile
from pathlib import Path

if sys.version_info < (3, 11):
    sys.exit("lock.py needs CPython 3.11 or newer, for tomllib")
import tomllib

HERE = Path(__file__).parent
# In the place of what packages demand: no faiss-cpu, and a `fire` that comes as a wheel (autofaiss's command line, which no test uses).
INSTEAD = ["faiss-cpu ; python_version < '3'", "fire==0.7.1"]

FLOOR = "python_full_version >= '3.11'"


def lock(name: str, asked: list[str]) -> str:
    """The text of NAME.lock."""
    with tempfile.TemporaryDirectory() as folder:
        wanted, instead, out = (Path(folder, file) for file in ("wanted.txt", "instead.txt", "pylock.toml"))
        wanted.write_text("\n".join([*asked, "pytest==9.2.0"]))
        instead.write_text("\n".join(INSTEAD))
        command = ["uv", "pip", "compile", "-q", "--universal", "--python-version", "3.11", "--only-binary", ":all:"]
        subprocess.run(
            [*command, "--override", instead, "--format", "pylock.toml", "-o", out, wanted], check=True, cwd=folder
        )
        packages = tomllib.loads(out.read_text())["packages"]
    lines = [f"# {name}: written by lock.py from clients.toml; never by hand."]
    for package in packages:
        marker = f" ; {package['marker']}" if package.get("marker", FLOOR) != FLOOR else ""
        files = [
            (file.get("name") or file["url"].rsplit("/", 1)[1], file["hashes"]["sha256"]) for file in package["wheels"]
        ]
        hashes = [f"--hash=sha256:{sha256}" for file, sha256 in files if fits(file)]
        if not hashes:
            if "win32" in marker or "Windows" in marker:
                continue
            sys.exit(f"{name}: {package['name']} {package['version']} has no wheel for Linux x86_64")
        lines.append(" \\\n    ".join([f"{package['name']}=={package['version']}{marker}", *hashes]))
    return "\n".join(lines) + "\n"


def fits(file: str) -> bool:
    """Whether this wheel is for a CPython of ours, on Linux x86_64 with glibc."""
    python, abi, platform = file.removesuffix(".whl").split("-")[-3:]
    system = platform == "any" or ("x86_64" in platform and "linux" in platform and "musllinux" not in platform)
    later = {"cp311", "cp312", "cp313", "cp314"}
    return system and (
        "py3" in python or abi == "abi3" or bool(later & set(python.split(".")) and not abi.endswith("t"))
    )


def main() -> None:
    environments = tomllib.loads((HERE / "clients.toml").read_text())["environments"]
    for name in sys.argv[1:] or environments:
        (HERE / f"{name}.lock").write_text(lock(name, environments[name]))
        print(name)


if __name__ == "__main__":
    main()
