"""What was compared, and what came of it."""

from collections import Counter

from differences import DIFFERENCES


class Ledger:
    def __init__(self) -> None:
        self.same = Counter()
        self.differs = Counter()
        self.wrong = Counter()
        self.seen = set()

    def compare(self, section: str, case: str, published, ours) -> None:
        """Both must be the same, or differ exactly as the table of differences says."""
        name = f"{section}: {case}"
        known = DIFFERENCES.get(name)
        self.seen.add(name)
        if known is not None:
            if (published, ours) == (known.published, known.ours):
                self.differs[section] += 1
            else:
                self._fail(section, f"{name}\n  is not the difference in the table", published, ours)
        elif published == ours:
            self.same[section] += 1
        else:
            self._fail(section, name, published, ours)

    def check(self, section: str, what: str, holds: bool, detail: object = "") -> None:
        """Something that must hold, where there is no twin to compare with."""
        if holds:
            self.same[section] += 1
        else:
            self._fail(section, what, "to hold", detail)

    def _fail(self, section: str, name: str, published, ours) -> None:
        self.wrong[section] += 1
        print(f"DIFFERS  {name}\n  published: {short(published)}\n  ours:      {short(ours)}", flush=True)

    def close(self, *, complete: bool) -> int:
        """Prints the summary. A difference in the table that no case met is an error too: the table is the truth."""
        for name in sorted(DIFFERENCES.keys() - self.seen) if complete else ():
            self._fail("differences", f"{name}\n  is in the table and was not met", None, None)
        print(f"{'SECTION':<32}{'SAME':>6}{'AS IN THE TABLE':>18}{'WRONG':>7}")
        for section in sorted(self.same | self.differs | self.wrong):
            print(f"{section:<32}{self.same[section]:>6}{self.differs[section]:>18}{self.wrong[section]:>7}")
        total = self.same.total() + self.differs.total() + self.wrong.total()
        if self.wrong.total():
            print(f"interop: FAILED, {self.wrong.total()} of {total} comparisons")
            return 1
        print(f"interop: OK, {total} comparisons")
        return 0


def short(what: object) -> str:
    text = repr(what)
    return text if len(text) <= 1000 else f"{text[:500]} … {text[-500:]}"
