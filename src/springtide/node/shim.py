"""Becomes a container: the few lines between `fork` and the user's program, run as `python -I -S shim.py FD`.

`process.py` starts this file as a child with a launch description (marshal) on descriptor FD. It joins the
container's cgroups, gives it private mounts (hosts file, volumes) and a host name where the machine permits,
asks the kernel to be killed when the platform dies, and executes the program in its own place, so that its
process id is the container's. What goes wrong is written as text to the report descriptor, which closes by
itself on success. Imports nothing of Springtide: it must start in milliseconds.
"""
# Importing pathlib would be most of the start time.
# ruff: noqa: PTH101, PTH102, PTH103, PTH110, PTH112, PTH113, PTH114, PTH115, PTH116, PTH118, PTH120, PTH123, PTH208, PTH211

from __future__ import annotations

import ctypes
import marshal
import os
import sys

TYPE_CHECKING = False  # importing `typing` would cost more than the rest of this file
if TYPE_CHECKING:
    from typing import Any

CLONE_NEWNS, CLONE_NEWUTS, CLONE_NEWUSER = 0x00020000, 0x04000000, 0x10000000
MS_RDONLY, MS_REMOUNT, MS_BIND, MS_REC, MS_PRIVATE, MS_RELATIME = 1, 32, 4096, 16384, 1 << 18, 1 << 21
MNT_DETACH = 2
PR_SET_PDEATHSIG = 1
SIGKILL, SIGPIPE, SIGXFSZ = 9, 13, 25
PIVOT_ROOT = {"x86_64": 155, "aarch64": 41}


class Failure(Exception):
    """A step before exec failed; the text names the step and what to do."""


def main() -> None:
    with os.fdopen(int(sys.argv[1]), "rb") as file:
        launch = marshal.load(file)
    os.set_inheritable(launch["report"], False)  # it was passed to us, and must not be to the program
    try:
        become(launch)
    except (Failure, OSError) as error:
        text = str(error) if isinstance(error, Failure) else f"{launch['step']}: {error}"
        os.write(launch["report"], text.encode(errors="replace"))
    os._exit(128)


def become(launch: dict[str, Any]) -> None:
    """All steps in order; `launch['step']` names the one under way for error messages."""
    launch["step"] = "join cgroup"
    for path in launch["cgroups"]:
        with open(path, "w") as file:
            file.write(str(os.getpid()))
    launch["step"] = "private mounts"
    if launch["join"]:
        join_namespaces(launch["join"])
    elif launch["namespaces"]:
        enter_namespaces(launch["namespaces"])
        make_mounts(launch["mounts"], launch["keep"], launch["staging"])
    if launch["namespaces"] and launch["hostname"] and not launch["join"]:
        launch["step"] = "set host name"
        name = launch["hostname"].encode()
        check(libc().sethostname(name, len(name)), "sethostname")
    if launch["tty"]:
        launch["step"] = "terminal"
        own_terminal(launch["user"])
    launch["step"] = "set user"
    set_user(launch["user"], launch["group"], launch["groups"])
    die_with(launch["parent"])
    for number in (SIGPIPE, SIGXFSZ):
        libc().signal(number, None)  # Python ignores them; a program expects the default
    enter_directory(launch["cwd"])
    execute(launch["argv"], launch["env"])


def execute(argv: list[str], env: dict[str, str]) -> None:
    program = find(argv[0], env.get("PATH", os.defpath))
    try:
        os.execve(program, argv, env)
    except FileNotFoundError:
        # the file is there or not: if it is, its `#!` line names an interpreter that is not
        why = "its interpreter was not found" if os.path.exists(program) else "executable file not found"
        raise Failure(f'exec: "{program}": {why}') from None
    except PermissionError:
        raise Failure(f'exec: "{program}": permission denied: is the file executable (chmod +x)?') from None
    except OSError as error:
        raise Failure(f'exec: "{program}": {error.strerror}') from None


def find(program: str, path: str) -> str:
    """The file to execute: as given when it has a slash, else the first executable in PATH."""
    if "/" in program:
        return program
    for folder in path.split(os.pathsep):
        candidate = os.path.join(folder or ".", program)
        if os.path.isfile(candidate) and os.access(candidate, os.X_OK):
            return candidate
    raise Failure(f'exec: "{program}": executable file not found in PATH ({path})')


def enter_directory(path: str) -> None:
    try:
        os.chdir(path)
    except OSError as error:
        raise Failure(f'workingDir "{path}": {error.strerror} on this machine') from None


def own_terminal(user: int) -> None:
    """Make the terminal on our standard streams the session's, so that Ctrl-C and hang-ups reach it."""
    import fcntl  # only these containers pay for it
    import termios

    fcntl.ioctl(0, termios.TIOCSCTTY, 0)
    if user >= 0:
        os.fchown(0, user, -1)


def set_user(user: int, group: int, groups: list[int]) -> None:
    if groups or (user > 0 and os.geteuid() == 0):  # another user does not keep the groups of ours
        try:
            os.setgroups(groups)
        except PermissionError:  # within a user namespace there are none to give up
            if groups:
                raise
    if group >= 0:
        os.setgid(group)
    if user >= 0:
        os.setuid(user)


def die_with(parent: int) -> None:
    """SIGKILL for this process when the platform's thread that started it dies (Linux; elsewhere a no-op)."""
    if not sys.platform.startswith("linux"):
        return
    libc().prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0)
    if os.getppid() != parent:  # it died before the line above
        os._exit(137)


def libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def check(result: int, what: str) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")


def enter_namespaces(how: str) -> None:
    """New mount and host name namespaces; `user` adds a user namespace that maps this user to itself."""
    user, group = os.geteuid(), os.getegid()
    flags = CLONE_NEWNS | CLONE_NEWUTS | (CLONE_NEWUSER if how == "user" else 0)
    check(libc().unshare(flags), "unshare")
    if how == "user":
        for name, text in (
            ("setgroups", "deny"),
            ("uid_map", f"{user} {user} 1"),
            ("gid_map", f"{group} {group} 1"),
        ):
            with open(f"/proc/self/{name}", "w") as file:
                file.write(text)
    mount("none", "/", "", MS_REC | MS_PRIVATE)


def join_namespaces(pid: int) -> None:
    """Enter the namespaces of the container's process: an exec probe sees what the program sees."""
    for kind in ("user", "mnt", "uts"):
        path = f"/proc/{pid}/ns/{kind}"
        if os.readlink(path) == os.readlink(f"/proc/self/ns/{kind}"):
            continue
        target = os.open(path, os.O_RDONLY)
        check(libc().setns(target, 0), f"setns {kind}")
        os.close(target)


def mount(source: str, target: str, kind: str, flags: int) -> None:
    result = libc().mount(source.encode(), target.encode(), kind.encode() or None, flags, None)
    check(result, f"mount {source} on {target}")


def make_mounts(mounts: list[tuple[str, str, bool]], keep: list[str], staging: str) -> None:
    """Bind [source, target, read_only], outermost target first; missing mount points are made privately."""
    mounts = sorted(mounts, key=lambda one: one[1].count("/"))
    sources = [os.open(source, os.O_PATH) for source, _, _ in mounts]  # they may be hidden by what follows
    private_root = any(nearest(target) == "/" and not os.path.lexists(target) for _, target, _ in mounts)
    if private_root:
        new_root(staging)
    for fd, (source, target, read_only) in zip(sources, mounts, strict=True):
        make_mount_point(target, os.path.isdir(source) or os.path.isdir(f"/proc/self/fd/{fd}"), keep)
        mount(f"/proc/self/fd/{fd}", target, "", MS_BIND | MS_REC)
        os.close(fd)
        if read_only:
            mount("none", target, "", MS_BIND | MS_REMOUNT | MS_RDONLY | locked_flags(target))
    if private_root:
        check(libc().umount2(b".", MNT_DETACH), "unmount old root")
        os.chdir("/")


def locked_flags(target: str) -> int:
    """Flags of the mount below that a remount in a user namespace must repeat."""
    flags = os.statvfs(target).f_flag
    return (flags & 0b1110) | (flags & (1024 | 2048)) | (MS_RELATIME if flags & 4096 else 0)


def nearest(path: str) -> str:
    while not os.path.isdir(path):
        path = os.path.dirname(path)
    return path


def make_mount_point(target: str, is_directory: bool, keep: list[str]) -> None:
    """Make `target` exist: for real below the `keep` folders (the user's), else in a copy of its parent."""
    if os.path.exists(target):
        return
    parent = nearest(target)
    kept = any(parent == folder or parent.startswith(folder + "/") for folder in keep)
    if not kept and os.stat(parent).st_dev not in private_devices:
        mirror(parent, parent)
    os.makedirs(target if is_directory else os.path.dirname(target), exist_ok=True)
    if not is_directory:
        os.close(os.open(target, os.O_CREAT | os.O_WRONLY, 0o644))


private_devices: set[int] = set()


def mirror(source: str, target: str) -> None:
    """Mount a small tmpfs on `target` with every entry of `source` bound in it, so new names are private."""
    fd = os.open(source, os.O_PATH | os.O_DIRECTORY)
    mode = os.stat(source).st_mode & 0o7777
    mount("tmpfs", target, "tmpfs", 0)
    private_devices.add(os.stat(target).st_dev)
    os.chmod(target, mode)
    for name in os.listdir(f"/proc/self/fd/{fd}"):
        old, new = f"/proc/self/fd/{fd}/{name}", os.path.join(target, name)
        if os.path.islink(old):
            os.symlink(os.readlink(old), new)
            continue
        if os.path.isdir(old):
            os.mkdir(new)
        else:
            os.close(os.open(new, os.O_CREAT | os.O_WRONLY))
        mount(old, new, "", MS_BIND | MS_REC)
    os.close(fd)


def new_root(staging: str) -> None:
    """A private root with everything the old one has: `/data` can then exist for this pod alone.

    The old root stays mounted over the new one, where only `.` finds it: sources of binds are still there.
    """
    number = PIVOT_ROOT.get(os.uname().machine)
    if number is None:
        raise Failure(
            f"mountPath below / is not supported on {os.uname().machine}: choose one in an existing folder"
        )
    mirror("/", staging)
    os.chdir(staging)
    check(libc().syscall(number, b".", b"."), "pivot_root")
    os.chdir("/")


if __name__ == "__main__":
    main()
