"""Breaker and rate limiter against simple models: every sample and every grant is kept and counted afresh."""

from __future__ import annotations

from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule

from runtime.control.breaker import BreakerRule, Sample
from runtime.control.ratelimit import RateRule
from tests.runtime.state.control.twin import TwinMachine, case_of

RULE = BreakerRule(
    window_s=5.0, buckets=10, failure_rate=0.5, min_calls=3, cooldown_s=4.0, jitter=0.0, probe_ttl_s=3.0
)
samples = st.sampled_from(["ok", "failed", "failed", "neutral"])


class BreakerMachine(TwinMachine):
    """Time moves in half seconds and a bucket holds half a second, so the window is exact."""

    def __init__(self) -> None:
        super().__init__()
        self.phase = "closed"
        self.era = 0
        self.seen: list[tuple[float, Sample]] = []
        self.retry_at = 0.0
        self.probe: str | None = None
        self.probe_until = 0.0
        self.running: list[tuple[str, int, int]] = []
        self.count = 0

    @rule()
    def start(self) -> None:
        self.count += 1
        token = f"call{self.count}"

        verdict = self.both(lambda s: s.ask_breaker("b", RULE, now=self.now, token=token))

        cooled = self.phase == "open" and self.now >= self.retry_at
        free = self.phase == "half_open" and (self.probe is None or self.now >= self.probe_until)
        assert verdict.probe == (cooled or free)
        assert verdict.allowed == (self.phase == "closed" or cooled or free)
        if verdict.probe:
            self.phase, self.probe, self.probe_until = "half_open", token, self.now + RULE.probe_ttl_s
        if verdict.allowed:
            self.running.append((token, verdict.generation, self.era))

    @precondition(lambda self: bool(self.running))
    @rule(pick=st.integers(0, 20), sample=samples)
    def finish(self, pick: int, sample: Sample) -> None:
        token, generation, era = self.running.pop(pick % len(self.running))

        phase = self.both(
            lambda s: s.report_breaker(
                "b", RULE, now=self.now, generation=generation, sample=sample, token=token
            )
        )

        if era == self.era and self.phase == "closed" and sample != "neutral":
            self.seen.append((self.now, sample))
            recent = [s for at, s in self.seen if at > self.now - RULE.window_s]
            failed = recent.count("failed")
            if failed and len(recent) >= RULE.min_calls and 2 * failed >= len(recent):
                self._trip()
        elif self.phase == "half_open" and token == self.probe:
            match sample:
                case "ok":
                    self.phase, self.era, self.seen, self.probe = "closed", self.era + 1, [], None
                case "failed":
                    self._trip()
                case "neutral":
                    self.probe = None
        assert phase == self.phase

    @rule(sample=samples)
    def call(self, sample: Sample) -> None:
        before = len(self.running)
        self.start()
        if len(self.running) > before:
            self.finish(before, sample)

    def _trip(self) -> None:
        self.phase, self.era, self.seen, self.probe = "open", self.era + 1, [], None
        self.retry_at = self.now + RULE.cooldown_s


class RateMachine(TwinMachine):
    """Times are half seconds in a window of 8, so every grant is an entry of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.granted: list[tuple[float, int]] = []

    @rule(cost=st.integers(1, 3))
    def take(self, cost: int) -> None:
        recent = sum(c for at, c in self.granted if at > self.now - 8.0)

        answer = self.both(lambda s: s.take_rate("r", RateRule(5, 8.0), now=self.now, cost=cost))

        assert answer.granted == (recent + cost <= 5)
        if answer.granted:
            self.granted.append((self.now, cost))
        assert answer.left == 5 - recent - (cost if answer.granted else 0)

    @rule(cost=st.integers(1, 3))
    def wait_as_stated(self, cost: int) -> None:
        answer = self.both(lambda s: s.take_rate("r", RateRule(5, 8.0), now=self.now, cost=cost))
        if answer.granted:
            self.granted.append((self.now, cost))
            return
        assert answer.after_s is not None
        self.now += answer.after_s
        self.take(cost)
        assert self.granted[-1] == (self.now, cost)


TestBreaker = case_of(BreakerMachine)
TestRate = case_of(RateMachine)
