"""A process that gives up, for good, what it may do to files and the network: Landlock.

Linux alone has it (5.13 and later; see landlock(7)). What a kernel does not offer yet is left out:
truncation needs ABI 3, TCP ABI 4, device commands ABI 5, signals and abstract sockets ABI 6.
"""

import ctypes
import errno
import os
import stat
import struct
import sys
import sysconfig
from collections.abc import Iterable
from pathlib import Path

# System calls have these numbers on all architectures
_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF, _OPENAT2 = 444, 445, 446, 437
_VERSION = 1 << 0  # flag of _CREATE_RULESET: only say the ABI
_PATH_BENEATH = 1
_NO_SYMLINKS = 0x04  # openat2: no link anywhere in the path
_NO_NEW_PRIVILEGES = 38  # prctl
_EXECUTE, _WRITE_FILE, _READ_FILE, _READ_DIR = (1 << bit for bit in range(4))
_TRUNCATE, _DEVICE_COMMANDS = 1 << 14, 1 << 15
_FILE_RIGHTS = _EXECUTE | _WRITE_FILE | _READ_FILE | _TRUNCATE | _DEVICE_COMMANDS
_FILE_BITS = {1: 13, 2: 14, 3: 15, 4: 15}  # ABI -> how many rights over files there are
_NEWEST_FILE_BITS = 16
_TCP = 0b11  # bind, connect
_SCOPES = 0b11  # abstract sockets, signals
_TCP_ABI, _SCOPE_ABI = 4, 6


def available() -> bool:
    """Whether this kernel can jail a process."""
    return abi() >= 1


def restrict(read: Iterable[Path], write: Iterable[Path] = ()) -> None:
    """From now on this process, and what it starts, can open these files and folders alone.

    `read` may be read, and executed; in `write` anything may be done. Neither path may lead through
    a symbolic link. Files that are open stay so. The process can gain no privileges, and where the
    kernel knows how, neither use TCP nor reach processes outside by signals or abstract sockets.
    A second call can only take more away.

    Raises:
        OSError: no such path, it leads through a link, or the kernel cannot do it; the process
            is not jailed then.
        RuntimeError: the process has several threads: the others would stay free.
    """
    version = abi()
    if version < 1:
        raise OSError(errno.ENOSYS, "this system has no Landlock")
    if _threads() > 1:
        raise RuntimeError("a process is jailed before it starts threads")
    rights = (1 << _FILE_BITS.get(version, _NEWEST_FILE_BITS)) - 1
    ruleset = _ruleset(version, rights)
    try:
        for path in read:
            _allow(ruleset, path, rights & (_EXECUTE | _READ_FILE | _READ_DIR))
        for path in write:
            _allow(ruleset, path, rights)
        _checked(ctypes.CDLL(None, use_errno=True).prctl(_NO_NEW_PRIVILEGES, 1, 0, 0, 0))
        _call(_RESTRICT_SELF, ruleset, 0)
    finally:
        os.close(ruleset)


def program() -> tuple[Path, ...]:
    """The folders of Python's own modules and of installed packages, without links."""
    names = ("stdlib", "platstdlib", "purelib", "platlib")
    found = {Path(sysconfig.get_path(name)).resolve() for name in names}
    return tuple(sorted(path for path in found if path.is_dir()))


def _threads() -> int:
    return os.stat("/proc/self/task").st_nlink - 2  # noqa: PTH116  (a jail lets no one list it)


def abi() -> int:
    """The kernel's Landlock ABI; 0 where there is none, or where it is switched off."""
    if sys.platform != "linux":
        return 0
    try:
        return _call(_CREATE_RULESET, None, ctypes.c_size_t(0), _VERSION)
    except OSError:
        return 0


def _ruleset(version: int, rights: int) -> int:
    handled = struct.pack("Q", rights)
    if version >= _TCP_ABI:
        handled += struct.pack("Q", _TCP)
    if version >= _SCOPE_ABI:
        handled += struct.pack("Q", _SCOPES)
    return _call(_CREATE_RULESET, handled, ctypes.c_size_t(len(handled)), 0)


def _allow(ruleset: int, path: Path, rights: int) -> None:
    how = struct.pack("QQQ", os.O_PATH | os.O_CLOEXEC, 0, _NO_SYMLINKS)
    here = -100  # AT_FDCWD: relative to the current folder
    try:
        opened = _call(_OPENAT2, here, os.fsencode(path), how, ctypes.c_size_t(len(how)))
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from None
    try:
        if not stat.S_ISDIR(os.fstat(opened).st_mode):
            rights &= _FILE_RIGHTS
        _call(_ADD_RULE, ruleset, _PATH_BENEATH, struct.pack("=Qi", rights, opened), 0)
    finally:
        os.close(opened)


def _call(number: int, *arguments: object) -> int:
    return _checked(ctypes.CDLL(None, use_errno=True).syscall(number, *arguments))


def _checked(result: int) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return result
