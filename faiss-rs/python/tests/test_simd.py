"""Instruction sets: their names and numbers are faiss-cpu's, setting one really changes what runs, and results do not depend on it."""

import os
import subprocess
import sys

import faiss
import numpy as np
import pytest

SIMD = faiss.SIMDConfig

PROGRAM = """
import faiss
import numpy as np

simd = faiss.SIMDConfig
simd.set_level(simd.auto_detect_simd_level())
found = [simd.get_level(), simd.get_dispatched_level(), simd.auto_detect_simd_level(), simd().level, simd().supported_simd_levels]
found += [simd.has_dynamic_dispatch(), simd().avx512_split, faiss.compiled_simd_levels()]
found += [simd.is_simd_level_available(level) for level in range(-1, 10)]
names = [simd.get_level_name()] + [faiss.to_string(level) for level in range(8)]
found += [faiss.to_simd_level(name) for name in names]
simd.set_level(faiss.SIMDLevel_NONE)
found += [simd.get_level(), simd.get_dispatched_level()]
names += [simd.get_level_name()]
simd.set_level(simd.auto_detect_simd_level())
errors = []
for call in ("simd.set_level(8)", "simd.set_level(-1)", "simd.set_level('AVX2')", "simd.set_level(1.5)", "simd.set_level(4)",
             "faiss.to_simd_level('avx2')", "faiss.to_simd_level(1)", "simd.is_simd_level_available('AVX2')", "simd('AVX2')",
             "simd.set_level()"):
    try:
        eval(call)
        errors.append("none")
    except Exception as e:
        errors.append(type(e).__name__)
"""


def test_as_in_faiss(oracle):
    wanted = oracle(
        PROGRAM + "result.update(found=np.array(found, int), names=np.array(names), errors=np.array(errors))\n"
    )
    ours: dict = {}
    exec(PROGRAM, ours)
    np.testing.assert_array_equal(np.array(ours["found"], int), wanted["found"])
    assert ours["names"] == wanted["names"].tolist()
    assert ours["errors"] == wanted["errors"].tolist()


def test_a_level_that_is_not_here_changes_nothing():
    before = SIMD.get_level()
    missing = [level for level in range(8) if not SIMD.is_simd_level_available(level)]
    assert missing, "no processor has all of x86 and ARM"
    for level in missing:
        with pytest.raises(RuntimeError, match="is not available"):
            SIMD.set_level(level)
        assert SIMD.get_level() == before


def test_every_level_finds_the_same(rng):
    x, q = rng.random((500, 37), dtype="float32"), rng.random((30, 37), dtype="float32")
    index = faiss.IndexFlatL2(37)
    index.add(x)
    wanted = ((q[:, None].astype("f8") - x[None]) ** 2).sum(2)
    best = SIMD.get_level()
    try:
        for level in (level for level in range(8) if SIMD.is_simd_level_available(level)):
            SIMD.set_level(level)
            assert SIMD.get_dispatched_level() == SIMD.get_level() == level
            for n in (1, 30):
                distances, labels = index.search(q[:n], 5)
                np.testing.assert_allclose(distances, np.sort(wanted[:n], 1)[:, :5], rtol=1e-5)
                np.testing.assert_allclose(np.take_along_axis(wanted[:n], labels, 1), distances, rtol=1e-5)
    finally:
        SIMD.set_level(best)


@pytest.mark.parametrize(("name", "told"), [("NONE", False), ("junk", True), ("ARM_SVE", True)])
def test_the_environment_chooses(name, told):
    code = "import faiss; print(faiss.SIMDConfig.get_level_name(), faiss.SIMDConfig.get_dispatched_level())"
    env = {**os.environ, "FAISS_SIMD_LEVEL": name}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=env, check=True)
    best = f"{faiss.to_string(SIMD.auto_detect_simd_level())} {SIMD.auto_detect_simd_level()}"
    assert done.stdout.strip() == (best if told else "NONE 0")
    assert ("FAISS_SIMD_LEVEL" in done.stderr) == told
