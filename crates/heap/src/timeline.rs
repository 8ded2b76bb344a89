//! The timeline: at most [`TICKS_MAX`] ticks however long the program runs.
//!
//! A tick shows what was live at a multiple of the interval. When the ticks are full the interval doubles and
//! one tick per new interval is kept. A silence longer than an interval is shown by two ticks, at its first and
//! its last multiple, so that a line through the ticks stays flat where nothing happened.
//!
//! Cost: nothing per event but one comparison; constant amortized time per tick.

use heapwise_model::Tick;

/// Ticks of a finished timeline.
pub(crate) const TICKS_MAX: usize = 1024;
/// First interval, nanoseconds: about 65 microseconds.
const FIRST_INTERVAL: u64 = 1 << 16;

#[derive(Clone, Debug)]
pub(crate) struct Ticks {
    ticks: Vec<Tick>,
    interval: u64,
}

impl Ticks {
    pub fn new() -> Ticks {
        Ticks { ticks: Vec::new(), interval: FIRST_INTERVAL }
    }

    /// Time from which on the next tick is due.
    pub fn due(&self) -> u64 {
        let last = self.ticks.last().map_or(0, |tick| tick.at_ns);
        (last / self.interval).saturating_add(1).saturating_mul(self.interval)
    }

    /// Records `state`, which has held since the last event, for the multiples of the interval up to `now`.
    pub fn push(&mut self, state: Tick, now: u64) {
        let first = self.due();
        if now < first {
            return;
        }
        let last = now / self.interval * self.interval;
        self.ticks.push(Tick { at_ns: first, ..state });
        if last > first {
            self.ticks.push(Tick { at_ns: last, ..state });
        }
        // One place is kept for the tick of the end.
        while self.ticks.len() + 3 > TICKS_MAX {
            self.halve();
        }
    }

    /// All ticks, and `end` as the last one.
    pub fn finished(&self, end: Tick) -> Vec<Tick> {
        let mut ticks = self.ticks.clone();
        ticks.retain(|tick| tick.at_ns < end.at_ns);
        ticks.push(end);
        ticks
    }

    fn halve(&mut self) {
        self.interval = self.interval.saturating_mul(2);
        let interval = self.interval;
        let mut kept: Vec<Tick> = Vec::with_capacity(TICKS_MAX);
        for tick in self.ticks.drain(..) {
            match kept.last_mut() {
                Some(last) if last.at_ns.div_ceil(interval) == tick.at_ns.div_ceil(interval) => *last = tick,
                _ => kept.push(tick),
            }
        }
        self.ticks = kept;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn live(bytes: u64) -> Tick {
        Tick { live_bytes: bytes, ..Tick::default() }
    }

    #[test]
    fn bounded_ascending_and_true() {
        let mut ticks = Ticks::new();
        // Live bytes are the time in microseconds; pauses of all lengths.
        let mut now = 0u64;
        for i in 0..200_000u64 {
            let before = now / 1000;
            now += (i % 97) * 1000 + if i % 5000 == 0 { 1 << 34 } else { 0 };
            if now >= ticks.due() {
                ticks.push(live(before), now);
            }
        }
        let all = ticks.finished(Tick { at_ns: now, ..live(now / 1000) });
        assert!(all.len() <= TICKS_MAX && all.len() > TICKS_MAX / 8, "{}", all.len());
        assert!(
            all.windows(2)
                .all(|pair| pair[0].at_ns < pair[1].at_ns && pair[0].live_bytes <= pair[1].live_bytes)
        );
        assert!(all.iter().all(|tick| tick.live_bytes <= tick.at_ns / 1000));
    }

    #[test]
    fn the_end_of_time() {
        let mut ticks = Ticks::new();
        for i in 0..5000 {
            ticks.push(live(i), i << 52);
            ticks.push(live(i), u64::MAX - i);
        }
        assert!(ticks.finished(live(1)).len() <= TICKS_MAX);
    }
}
