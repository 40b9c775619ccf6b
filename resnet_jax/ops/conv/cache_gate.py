"""Keep programs with oneDNN calls out of JAX's persistent compilation cache.

XLA takes such a call for one of another kind when it writes a program to disk, and fails at best.
JAX has no mark for a program that it must not write, but it writes none that took less time to
compile than `jax_persistent_cache_min_compile_time_secs`. From the first call on, that option is
infinite except while a program without calls is compiled right after its lowering. So programs
without calls are written as before.

References:
    https://docs.jax.dev/en/latest/persistent_compilation_cache.html
    https://github.com/openxla/xla/blob/main/xla/backends/cpu/runtime/onednn/onednn_op_thunk.cc
    (a call poses as a custom call, which the writer then casts it to)
"""

from __future__ import annotations

import math
import threading
from collections import Counter

import jax

LEAST_SECONDS = "jax_persistent_cache_min_compile_time_secs"
LOWERED = "/jax/core/compile/jaxpr_to_mlir_module_duration"
COMPILED = "/jax/core/compile/backend_compile_duration"


class CacheGate:
    """A gate before JAX's persistent cache, open or closed for writing; reading goes on.

    If JAX renames its events, the gate stays closed after the first call.
    """

    def __init__(self) -> None:
        """Leave the gate open."""
        self._lock = threading.Lock()
        self._lowering = threading.local()
        self._lowered: Counter[str] = Counter()
        self._least_seconds = math.inf
        self._listens = False

    def note_call(self) -> None:
        """Close the gate for the program that this thread is lowering, which contains a call."""
        self._lowering.has_call = True
        with self._lock:
            if not self._listens:
                jax.monitoring.register_event_duration_secs_listener(self._hear)
                self._listens = True
            self._close()

    def _hear(self, event: str, duration_secs: float, **details: str | int) -> None:
        """Act on the end of a lowering or of a compilation, in the thread that did it."""
        del duration_secs
        if event not in (LOWERED, COMPILED):
            return
        program = str(details.get("fun_name"))
        with self._lock:
            if event == COMPILED:
                # What is compiled next may have been lowered long ago.
                self._lowered -= Counter([program])
                self._close()
            elif getattr(self._lowering, "has_call", False):
                self._lowering.has_call = False
                self._lowered[program] += 1
                self._close()
            elif not self._lowered:
                self._open()

    def _close(self) -> None:
        least_seconds = jax.config.values[LEAST_SECONDS]
        if least_seconds != math.inf:
            self._least_seconds = least_seconds
            jax.config.update(LEAST_SECONDS, math.inf)

    def _open(self) -> None:
        # An option that the user has set since is left alone.
        if jax.config.values[LEAST_SECONDS] == math.inf:
            jax.config.update(LEAST_SECONDS, self._least_seconds)


gate = CacheGate()
