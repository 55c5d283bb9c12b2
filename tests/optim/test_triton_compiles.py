"""The kernels compile for a GPU where there is none, and read four numbers at a time."""

import os
import subprocess
import sys

import pytest

pytest.importorskip("triton")

COMPILE = """
import re
import triton.language as tl
from triton import compile
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

import ire.optim.mask.triton_kernels as mask
import ire.optim.steps.triton_kernels as step

def ptx(kernel, options, **arguments):
    signature = arguments | dict.fromkeys(options, "constexpr")
    source = ASTSource(kernel, {name: signature[name] for name in kernel.arg_names}, constexprs=options)
    return compile(source, target=GPUTarget("cuda", 90, 32), options={"num_warps": 8}).asm["ptx"]

tiles = {"table": "*i64", "lengths": "*i64", "owners": "*i32", "starts": "*i32"}
for p in (tl.float32,):
    kinds = {"P": p, "G": p, "B": p, "ALIGNED": True, "BLOCK": step.BLOCK}
    for kernel, form in (step.adam_kernel, {}), (step.sgd_kernel, {"MOMENTUM": True, "NESTEROV": False}):
        text = ptx(kernel, kinds | form, **tiles, numbers="*fp32")
        assert len(re.findall("ld.global.v4", text)) >= 4 and len(re.findall("st.global.v4", text)) >= 2
    for kernel, more in (step.copy_kernel, {}), (step.go_on_kernel, {"numbers": "*fp32"}):
        text = ptx(kernel, {"P": p, "ALIGNED": True, "BLOCK": step.BLOCK}, **tiles, **more)
        assert "ld.global.v4" in text and "st.global.v4" in text
    common = {"KIND": p, "ALIGNED": True, "BLOCK": mask.BLOCK}
    cells, few = {"found": "*i64"}, {"few": "*i32"}
    ptx(mask.sample_kernel, common | {"STRIDE": 509}, **tiles, sample="*i32")
    survey = ptx(mask.bracket_kernel, common, **tiles, blocks="i32", sample="*i32", **cells, **few)
    assert "ld.global.v4" in survey
    ptx(mask.settle_kernel, {}, **few, **cells, number="i32", place="i32")
    digits = common | {"SHIFT": 24, "WIDTH": 7, "BINS": 128}
    text = ptx(mask.digit_kernel, digits, **tiles, blocks="i32", **cells, counts="*i64")
    assert "ld.global.v4" in text
    ptx(mask.pick_kernel, {"WIDTH": 7, "BINS": 128}, **cells, counts="*i64")
    ptx(mask.tie_kernel, common, **tiles, **cells, ties="*i64")
    ptx(mask.fill_kernel, common, **tiles, **cells, ties="*i64", before="*i64")
print("compiled")
"""


@pytest.mark.slow
def test_every_kernel_compiles_for_an_h100_with_wide_loads():
    plain = {name: value for name, value in os.environ.items() if name != "TRITON_INTERPRET"}
    done = subprocess.run(
        [sys.executable, "-c", COMPILE], capture_output=True, text=True, check=False, env=plain
    )
    assert done.stdout.strip() == "compiled", done.stderr[-2000:]
