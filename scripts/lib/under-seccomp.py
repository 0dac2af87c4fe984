"""Runs a command under a seccomp profile as container runtimes read it: under-seccomp.py PROFILE COMMAND...

Takes profiles of one default action ERRNO and lists of names that are allowed, and no conditions on arguments. The filter
is a program for the kernel (linux/filter.h): one comparison and one answer for each system call.
"""
import ctypes
import glob
import json
import os
import platform
import re
import struct
import sys

PR_SET_SECCOMP, SECCOMP_MODE_FILTER, PR_SET_NO_NEW_PRIVS = 22, 2, 38
RET_ALLOW, RET_ERRNO, RET_KILL = 0x7FFF0000, 0x00050000, 0x80000000
LOAD_WORD, JUMP_IF_EQUAL, RETURN = 0x20, 0x15, 0x06
NUMBER_OFFSET, ARCHITECTURE_OFFSET = 0, 4
AUDIT_ARCH = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
HEADERS = {"x86_64": "/usr/include/*/asm/unistd_64.h", "aarch64": "/usr/include/asm-generic/unistd.h"}


def instruction(code, jump_true, jump_false, value):
    return struct.pack("HBBI", code, jump_true, jump_false, value)


def numbers():
    """Name of a system call -> its number on this machine."""
    paths = glob.glob(HEADERS[platform.machine()])
    if not paths:
        sys.exit("under-seccomp: the kernel's headers are missing; apt-get install linux-libc-dev")
    with open(paths[0], encoding="ascii") as header:
        return {name: int(number) for name, number in re.findall(r"#define __NR(?:3264)?_(\w+) (\d+)", header.read())}


def program(profile, known):
    if profile["defaultAction"] != "SCMP_ACT_ERRNO":
        sys.exit("under-seccomp: only SCMP_ACT_ERRNO is known as the default action")
    code = [
        instruction(LOAD_WORD, 0, 0, ARCHITECTURE_OFFSET),
        instruction(JUMP_IF_EQUAL, 1, 0, AUDIT_ARCH[platform.machine()]),
        instruction(RETURN, 0, 0, RET_KILL),
        instruction(LOAD_WORD, 0, 0, NUMBER_OFFSET),
    ]
    for rule in profile["syscalls"]:
        if rule["action"] != "SCMP_ACT_ALLOW" or rule.get("args"):
            sys.exit("under-seccomp: only rules that allow names are known")
        for name in rule["names"]:
            if name in known:
                code += [instruction(JUMP_IF_EQUAL, 0, 1, known[name]), instruction(RETURN, 0, 0, RET_ALLOW)]
    return b"".join(code + [instruction(RETURN, 0, 0, RET_ERRNO | profile.get("defaultErrnoRet", 1))])


def main():
    with open(sys.argv[1], encoding="utf-8") as file:
        code = program(json.load(file), numbers())
    libc = ctypes.CDLL(None, use_errno=True)
    buffer = ctypes.create_string_buffer(code, len(code))
    # struct sock_fprog: unsigned short length, pointer to the instructions.
    fprog = ctypes.create_string_buffer(struct.pack("HxxxxxxP", len(code) // 8, ctypes.addressof(buffer)))
    for arguments in ((PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), (PR_SET_SECCOMP, SECCOMP_MODE_FILTER, ctypes.byref(fprog), 0, 0)):
        if libc.prctl(*arguments) != 0:
            sys.exit(f"under-seccomp: the kernel refuses: {os.strerror(ctypes.get_errno())}")
    os.execvp(sys.argv[2], sys.argv[2:])


main()
