"""Child processes, each watched, signalled and reaped through a pidfd.

A pidfd is a descriptor of one process, not a number that the kernel gives to the next process once
this one has been waited for: what is sent through it never hits a stranger. It becomes readable
when the process ends, so a child costs neither a thread nor a signal handler, in any thread.

Starting a process stays `subprocess.Popen`'s, and the transport is asyncio's but for what is here.
"""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
from asyncio.log import logger
from typing import TYPE_CHECKING, Any

from rondel import cpython

if TYPE_CHECKING:
    from rondel.loop import Loop

__all__ = ["Popen", "SubprocessTransport", "can_be_watched", "start"]

REAPED_ELSEWHERE = 255
"""asyncio's return code of a child whose exit status somebody else has read."""


def can_be_watched() -> bool:
    """Whether this module can do it here; else children are CPython's to watch.

    They are if the kernel or a sandbox denies pidfds, if somebody has set a child watcher (a
    deprecated part of asyncio before Python 3.14), and if `subprocess.Popen` has been replaced.
    """
    return (
        subprocess.Popen is Popen.__base__
        and not cpython.child_watcher_is_chosen()
        and _kernel_has_pidfds()
    )


def _kernel_has_pidfds() -> bool:
    # Asked each time: a sandbox may be entered at any time, and it costs little beside a fork.
    try:
        pidfd = os.pidfd_open(os.getpid())
    except (AttributeError, OSError):
        return False
    try:
        signal.pidfd_send_signal(pidfd, 0)
        os.waitid(os.P_PIDFD, pidfd, os.WEXITED | os.WNOHANG)
    except ChildProcessError:
        return True  # understood: no process is its own child
    except OSError:
        return False
    finally:
        os.close(pidfd)
    return False


class Popen(subprocess.Popen[bytes]):
    """A child process that is known by its pidfd; takes what `subprocess.Popen` takes.

    Raises what it raises, and OSError if no descriptor can be had for the pidfd.
    """

    _parent = -1
    pidfd = -1
    """Readable when the process has ended; -1 before it started and after `close_pidfd`."""

    def __init__(self, *args: Any, **options: Any) -> None:
        self._parent = os.getpid()
        super().__init__(*args, **options)
        try:
            self.pidfd = os.pidfd_open(self.pid)
        except ProcessLookupError:
            self._was_reaped_elsewhere()
        except BaseException:
            self.give_up()
            raise
        else:
            # If somebody waits for all children and has taken this one already, the pidfd may be
            # a stranger's: it is not our child then, and is not touched again.
            self.poll()

    def __del__(self) -> None:
        super().__del__()
        self.close_pidfd()

    def poll(self) -> int | None:
        """Return the exit code, or minus the signal that ended it; None while it runs."""
        if self.pidfd < 0:
            return super().poll()
        lock: Any = self._waitpid_lock  # type: ignore[attr-defined]
        if self.returncode is None and lock.acquire(blocking=False):
            try:
                self._reap()
            finally:
                lock.release()
        return self.returncode

    def send_signal(self, sig: int) -> None:
        """Send a signal, unless the process has ended.

        Raises OSError if there is no such signal, or if it may not be sent.
        """
        if self.pidfd < 0:
            super().send_signal(sig)
        elif self.returncode is None and self._parent == os.getpid():
            try:
                signal.pidfd_send_signal(self.pidfd, sig)
            except ProcessLookupError:
                pass  # reaped, and nobody has told us yet

    def close_pidfd(self) -> None:
        """Let go of the pidfd."""
        pidfd, self.pidfd = self.pidfd, -1
        if pidfd >= 0:
            os.close(pidfd)

    def give_up(self) -> None:
        """Kill and reap a process that nobody will get to know of."""
        for stream in (self.stdin, self.stdout, self.stderr):
            if stream is not None:
                stream.close()
        try:
            self.kill()
        except PermissionError:
            return  # it runs as somebody else
        self.wait()

    def _reap(self) -> None:
        try:
            ended = os.waitid(os.P_PIDFD, self.pidfd, os.WEXITED | os.WNOHANG)
        except ChildProcessError:
            self._was_reaped_elsewhere()
            return
        if ended is not None:
            by_itself = ended.si_code == os.CLD_EXITED
            self.returncode = ended.si_status if by_itself else -ended.si_status

    def _was_reaped_elsewhere(self) -> None:
        self.returncode = REAPED_ELSEWHERE
        if self._parent != os.getpid():
            return  # a forked child's copy: this process is its sibling, and not its to wait for
        logger.warning(cpython.REAPED_ELSEWHERE_MESSAGE, self.pid)


class SubprocessTransport(cpython.UnixSubprocessTransport):
    """A child process and the transports of its pipes; see asyncio's "Subprocess Transports"."""

    def _start(
        self,
        args: Any,
        shell: bool,
        stdin: Any,
        stdout: Any,
        stderr: Any,
        bufsize: int,
        **options: Any,
    ) -> None:
        # PIPE is a pipe: a socket, which some Pythons give the child, cannot be opened again by
        # its name in /dev/stdin.
        process = Popen(
            args,
            shell=shell,
            stdin=stdin,
            stdout=stdout,
            stderr=stderr,
            universal_newlines=False,
            bufsize=bufsize,
            **options,
        )
        self._proc = process
        if process.returncode is not None:
            self._loop.call_soon(self._end_watch)
            return
        try:
            self._loop._add_reader(process.pidfd, self._child_has_ended)
        except BaseException:
            process.give_up()
            process.close_pidfd()
            raise

    def _child_has_ended(self) -> None:
        # None if another thread is about to read the status: the pidfd stays readable.
        if self._proc.poll() is not None:
            self._loop._remove_reader(self._proc.pidfd)
            self._end_watch()

    def _end_watch(self) -> None:
        self._proc.close_pidfd()
        self._process_exited(self._proc.returncode)

    def _connect_pipes(self, waiter: asyncio.Future[None] | None) -> Any:
        # CPython makes a task of what this returns, and forgets it. Whatever comes of the task,
        # and of the one that waits for it, every pipe must get an owner: else its descriptor is
        # left open, and who waits for the end of the process waits in vain.
        connecting = self._loop.create_task(super()._connect_pipes(waiter))
        connecting.add_done_callback(lambda _: self._pipes_are_connected(waiter))
        return _nothing()

    def _pipes_are_connected(self, waiter: asyncio.Future[None] | None) -> None:
        if self._pending_calls is not None:
            self._forsake_protocol()
            if waiter is not None and not waiter.done():
                waiter.cancel()
        if self._closed:
            for pipe in self._pipes.values():
                pipe.pipe.close()

    def _forsake_protocol(self) -> None:
        """End a process whose pipes were not all connected, unknown to its protocol."""
        process = self._proc
        for fd, stream in enumerate((process.stdin, process.stdout, process.stderr)):
            if fd in self._pipes and self._pipes[fd] is None:
                stream.close()
                del self._pipes[fd]
        self._protocol = asyncio.SubprocessProtocol()
        self._pending_calls = None
        self.close()
        self._try_finish()

    def close(self) -> None:
        """Close the pipes, and kill the process if it runs."""
        if self._loop is not None and self._loop.is_closed():
            # Left to the collector: they can only be closed in turns of the loop.
            self._pipes.clear()
        super().close()

    def send_signal(self, signal: int) -> None:
        """Send a signal to the process.

        Raises ProcessLookupError if the loop has seen its end, OSError as `Popen.send_signal`.
        """
        self._check_proc()
        self._proc.send_signal(signal)

    def terminate(self) -> None:
        """Send SIGTERM; raises as `send_signal` does."""
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """Send SIGKILL; raises as `send_signal` does."""
        self.send_signal(signal.SIGKILL)


async def _nothing() -> None:
    """What CPython makes a task of."""


async def start(loop: Loop, protocol: Any, *args: Any, **options: Any) -> SubprocessTransport:
    """Start a process and connect its pipes; takes what `SubprocessTransport` takes.

    Raises what `Popen` raises. If it is cancelled, the process is killed and reaped first.
    """
    waiter = loop.create_future()
    transport = SubprocessTransport(loop, protocol, *args, waiter=waiter, **options)
    try:
        await waiter
    except (SystemExit, KeyboardInterrupt):
        raise
    except BaseException:
        transport.close()
        await transport._wait()
        raise
    return transport
