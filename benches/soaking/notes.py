"""What clients saw: answers, failures that a killed origin explains, and everything that must never be."""

import collections
import threading
import time

SHADOW = 3.0  # seconds for which a killed origin explains a broken request: it was with it, or went to it


class Notes:
    def __init__(self):
        self.lock = threading.Lock()
        self.answers, self.injected = collections.Counter(), collections.Counter()
        self.failures, self.broken = [], collections.defaultdict(list)
        self.kills, self.accepted, self.version = [], set(), 0

    def answered(self, kind):
        with self.lock:
            self.answers[kind] += 1

    def failed(self, kind, what, repeatable=True):
        """A request that failed. One that may not be repeated fails rightly when its origin is killed."""
        with self.lock:
            now = time.monotonic()
            if not repeatable and any(now - SHADOW < kill for kill in self.kills[-2:]):
                self.injected[kind] += 1
            else:
                self.failures.append(f"{kind}: {what}")

    def breaks(self, invariant, what):
        with self.lock:
            self.broken[invariant].append(what)

    def killed(self):
        with self.lock:
            self.kills.append(time.monotonic())

    def accept(self, number):
        """A POST that was answered with success."""
        with self.lock:
            self.accepted.add(number)


class Line:
    """One connection, on which configurations only become newer."""

    def __init__(self, notes, kind):
        self.notes, self.kind, self.newest = notes, kind, 0

    def heard(self, version):
        if version is None:
            return self.notes.breaks("I7", f"{self.kind}: an answer without a configuration")
        number = int(version)
        if number < self.newest:
            self.notes.breaks("I7", f"{self.kind}: configuration {number} after {self.newest}")
        self.newest = max(self.newest, number)
        self.notes.version = max(self.notes.version, number)
