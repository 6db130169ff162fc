#!/usr/bin/env python3
"""Builds stub libraries for CUDA that load the real libraries at the first call.

    late_libraries.py FOLDER

candle links libcuda, libcublas and others by name, so that a program built with it does not start on a machine without
them. This writes static libraries of the same names into FOLDER: every function jumps through a slot of a table, and an
empty slot is first filled by dlopen and dlsym. For x86-64 Linux.
"""

import json
import os
import pathlib
import re
import subprocess
import sys

# Major CUDA version of the bindings, from the same variable that cargo builds them with.
MAJOR = int(os.environ.get("CUDARC_CUDA_VERSION", "13000")) // 1000

# Library: (module of the bindings, file name for dlopen).
LIBRARIES = {
    "cuda": ("driver", "libcuda.so.1"),
    "cublas": ("cublas", f"libcublas.so.{MAJOR}"),
    "cublasLt": ("cublaslt", f"libcublasLt.so.{MAJOR}"),
    "curand": ("curand", "libcurand.so.10"),
    "nvrtc": ("nvrtc", f"libnvrtc.so.{MAJOR}"),
}

# The arguments of a call are in registers, which are saved while the slot is filled.
ASSEMBLY = """
    .text
    .macro late name, index
    .globl \\name
    .type \\name, @function
\\name:
    movq {lib}_slots+8*\\index(%rip), %rax
    testq %rax, %rax
    je 9f
    jmp *%rax
9:  movl $\\index, %eax
    jmp {lib}_fill
    .endm

    .type {lib}_fill, @function
{lib}_fill:
    pushq %rbp
    movq %rsp, %rbp
    andq $-16, %rsp
    subq $192, %rsp
    movq %rdi, 0(%rsp)
    movq %rsi, 8(%rsp)
    movq %rdx, 16(%rsp)
    movq %rcx, 24(%rsp)
    movq %r8, 32(%rsp)
    movq %r9, 40(%rsp)
    movups %xmm0, 64(%rsp)
    movups %xmm1, 80(%rsp)
    movups %xmm2, 96(%rsp)
    movups %xmm3, 112(%rsp)
    movups %xmm4, 128(%rsp)
    movups %xmm5, 144(%rsp)
    movups %xmm6, 160(%rsp)
    movups %xmm7, 176(%rsp)
    movl %eax, %edi
    call {lib}_find
    movq 0(%rsp), %rdi
    movq 8(%rsp), %rsi
    movq 16(%rsp), %rdx
    movq 24(%rsp), %rcx
    movq 32(%rsp), %r8
    movq 40(%rsp), %r9
    movups 64(%rsp), %xmm0
    movups 80(%rsp), %xmm1
    movups 96(%rsp), %xmm2
    movups 112(%rsp), %xmm3
    movups 128(%rsp), %xmm4
    movups 144(%rsp), %xmm5
    movups 160(%rsp), %xmm6
    movups 176(%rsp), %xmm7
    leave
    jmp *%rax

{functions}
    .section .note.GNU-stack,"",@progbits
"""

LOADER = """
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>

#define HIDDEN __attribute__((visibility("hidden")))

HIDDEN void *{lib}_slots[{n}];
static const char *const names[{n}] = {{{names}}};

HIDDEN void *{lib}_find(unsigned index) {{
    void *library = dlopen("{file}", RTLD_NOW | RTLD_GLOBAL);
    void *function = library ? dlsym(library, names[index]) : NULL;
    if (!function) {{
        fprintf(stderr, "error: %s is required and cannot be loaded: %s\\n", names[index], dlerror());
        exit(1);
    }}
    return {lib}_slots[index] = function;
}}
"""


def bindings() -> pathlib.Path:
    """Folder of the sources of the bindings, as unpacked by cargo."""
    metadata = ["cargo", "metadata", "--format-version", "1", "--features", "cuda"]
    packages = json.loads(subprocess.check_output(metadata))["packages"]
    manifest = next(p["manifest_path"] for p in packages if p["name"] == "cudarc")
    return pathlib.Path(manifest).parent / "src"


def main() -> None:
    folder = pathlib.Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    sources = bindings()
    for lib, (module, file) in LIBRARIES.items():
        text = (sources / module / "sys" / "mod.rs").read_text()
        names = sorted(set(re.findall(r'extern "C" \{\s*fn (\w+)\(', text)))
        assert names, f"no functions of {lib} in the bindings"
        functions = "\n".join(f"    late {name}, {index}" for index, name in enumerate(names))
        parts = {
            "jumps.S": ASSEMBLY.format(lib=lib, functions=functions),
            "loader.c": LOADER.format(
                lib=lib, n=len(names), file=file, names=", ".join(f'"{name}"' for name in names)
            ),
        }
        objects = []
        for name, source in parts.items():
            path = folder / f"{lib}-{name}"
            path.write_text(source)
            objects.append(path.with_suffix(".o"))
            subprocess.check_call(["cc", "-O2", "-fPIC", "-c", path, "-o", objects[-1]])
        archive = folder / f"lib{lib}.a"
        archive.unlink(missing_ok=True)
        subprocess.check_call(["ar", "rcs", archive, *objects])


if __name__ == "__main__":
    main()
