//! Which sites keep growing: a few dozen samples of each site's live bytes, however long the program runs.
//!
//! Samples are taken at common times, at most [`SAMPLES_MAX`]; when they are full every second one is dropped and
//! the interval doubles. A sample visits only the sites that changed since the one before, and a site that is
//! small is not followed at all, so the cost is bounded by the events in between. A site's series holds the
//! samples at which it had changed; in between it stood still.

use heapwise_model::StackId;
use rustc_hash::FxHashMap;

const SAMPLES_MAX: usize = 64;
/// First interval, nanoseconds: about a millisecond.
const FIRST_INTERVAL: u64 = 1 << 20;
/// A site is followed from the first sample on at which it holds as much.
const FOLLOWED_BYTES: u64 = 1024;
/// Sites followed at once.
const FOLLOWED_SITES: usize = 1 << 16;
/// Samples in the second half below which nothing is said.
const TICKS_MIN: usize = 8;

/// A site whose live bytes never shrank, and mostly grew, over the second half of the run.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Growth {
    /// The allocation site.
    pub stack: StackId,
    /// Least-squares slope over the second half.
    pub bytes_per_second: f64,
    /// Live bytes at the end.
    pub bytes: u64,
    /// Live blocks at the end; 0 where they are gone.
    pub blocks: u64,
    /// Live bytes gained over the second half.
    pub grown_bytes: u64,
    /// Share of the second half's ticks at which the site had grown, 0 to 1.
    pub share_of_ticks_growing: f64,
}

/// Shared sample times and the followed sites' series.
#[derive(Clone, Debug)]
pub(crate) struct GrowthLog {
    times: Vec<u64>,
    interval: u64,
    due: u64,
    /// Per followed stack: (index into `times`, live bytes), ascending.
    series: FxHashMap<u32, Vec<(u32, u64)>>,
}

impl GrowthLog {
    pub fn new() -> GrowthLog {
        GrowthLog {
            times: Vec::new(),
            interval: FIRST_INTERVAL,
            due: FIRST_INTERVAL,
            series: FxHashMap::default(),
        }
    }

    /// Whether a sample is due at `now`.
    pub fn is_due(&self, now: u64) -> bool {
        // At the end of time the next sample would be due at once, and again with every event.
        now >= self.due && self.due < u64::MAX
    }

    /// Takes a sample: `changed` are the stacks that changed since the last one, with their live bytes.
    pub fn sample(&mut self, now: u64, changed: impl Iterator<Item = (u32, u64)>) {
        if self.times.len() >= SAMPLES_MAX {
            self.halve();
        }
        let tick = self.times.len() as u32;
        self.times.push(now);
        self.due = (now / self.interval).saturating_add(1).saturating_mul(self.interval);
        for (stack, live) in changed {
            if let Some(series) = self.series.get_mut(&stack) {
                series.push((tick, live));
            } else if live >= FOLLOWED_BYTES && self.series.len() < FOLLOWED_SITES {
                self.series.insert(stack, vec![(tick, live)]);
            }
        }
    }

    /// The growing sites at `end`; `live` tells a stack's live bytes and blocks then. Ascending by stack.
    pub fn growing(&self, end: u64, live: impl Fn(u32) -> (u64, u64)) -> Vec<Growth> {
        self.judge(end, live, |points| points.windows(2).all(|pair| pair[0].1 <= pair[1].1))
    }

    /// As [`GrowthLog::growing`], up to the last sample, with those that were freed shortly before it, all at once: as
    /// happens to what a function holds that runs as long as the program. A site may hold more for a moment, as where a
    /// text is made anew before the old one is freed.
    pub fn filling(&self, live: impl Fn(u32) -> (u64, u64)) -> Vec<Growth> {
        let end = self.times.last().copied().unwrap_or(0);
        self.judge(end, live, |points| {
            // A runtime may still have been starting.
            let begin = points.iter().position(|it| it.1 > 0).unwrap_or(0);
            points.drain(..begin.saturating_sub(1));
            let most = points.iter().map(|it| it.1).max().unwrap_or(0);
            let until = points.iter().rposition(|it| it.1 >= most / 2).unwrap_or(0);
            let is_late = points[until].0 >= end / 10 * 9;
            let is_gone = points.last().is_some_and(|it| it.1 <= most / 4);
            if until + 1 < points.len() && !(is_late && is_gone) {
                return false;
            }
            points.truncate(until + 1);
            let mut least = u64::MAX;
            let mut moments = 0;
            for point in points.iter_mut().rev() {
                least = least.min(point.1);
                moments += usize::from(point.1 > least + least / 4);
                point.1 = least;
            }
            moments * 4 <= points.len()
        })
    }

    /// `is_steady` judges a series over the second half, which it may mend.
    fn judge(
        &self,
        end: u64,
        live: impl Fn(u32) -> (u64, u64),
        is_steady: impl Fn(&mut Vec<(u64, u64)>) -> bool,
    ) -> Vec<Growth> {
        let first = self.times.partition_point(|&time| time < end / 2);
        let judge = |(&stack, series): (&u32, &Vec<(u32, u64)>)| {
            let live = live(stack);
            let mut points = self.points(series, first, end, live.0);
            is_steady(&mut points).then(|| growth(stack, &points, live))?
        };
        let mut growing: Vec<Growth> = self.series.iter().filter_map(judge).collect();
        growing.sort_unstable_by_key(|growth| growth.stack);
        growing
    }

    /// A site's live bytes over the second half: at each sample from `first` on, and at the end.
    fn points(&self, series: &[(u32, u64)], first: usize, end: u64, bytes: u64) -> Vec<(u64, u64)> {
        let mut points = Vec::with_capacity(SAMPLES_MAX + 1);
        let mut at = series.partition_point(|&(tick, _)| (tick as usize) < first);
        let mut value = at.checked_sub(1).map_or(0, |before| series[before].1);
        for (tick, &time) in self.times.iter().enumerate().skip(first) {
            if let Some(&(changed, live)) = series.get(at)
                && changed as usize == tick
            {
                value = live;
                at += 1;
            }
            points.push((time, value));
        }
        if points.last().is_none_or(|&(time, _)| time < end) {
            points.push((end, bytes));
        }
        points
    }

    fn halve(&mut self) {
        self.interval = self.interval.saturating_mul(2);
        // Odd samples stay: the last one of each pair. A kept series value is the pair's last.
        let mut index = 0;
        self.times.retain(|_| {
            index += 1;
            index % 2 == 0
        });
        for series in self.series.values_mut() {
            for point in series.iter_mut() {
                point.0 /= 2;
            }
            let mut kept: Vec<(u32, u64)> = Vec::with_capacity(series.len());
            for &point in series.iter() {
                match kept.last_mut() {
                    Some(last) if last.0 == point.0 => *last = point,
                    _ => kept.push(point),
                }
            }
            *series = kept;
        }
        // Sites that are empty at the last sample make room.
        self.series.retain(|_, series| series.last().is_some_and(|&(_, live)| live > 0));
    }
}

/// `live`: bytes and blocks at the end, which may come after the last of `points`.
fn growth(stack: u32, points: &[(u64, u64)], live: (u64, u64)) -> Option<Growth> {
    let steps = points.len().saturating_sub(1);
    if steps < TICKS_MIN {
        return None;
    }
    let growing = points.windows(2).filter(|pair| pair[1].1 > pair[0].1).count();
    let bytes = points.last()?.1;
    (growing * 2 > steps).then(|| Growth {
        stack: StackId(stack),
        bytes_per_second: slope(points) * 1e9,
        bytes,
        blocks: if bytes == live.0 { live.1 } else { 0 },
        grown_bytes: bytes - points[0].1.min(bytes),
        share_of_ticks_growing: growing as f64 / steps as f64,
    })
}

/// Least-squares slope of value over time.
fn slope(points: &[(u64, u64)]) -> f64 {
    let count = points.len() as f64;
    let mean_x = points.iter().map(|&(x, _)| x as f64).sum::<f64>() / count;
    let mean_y = points.iter().map(|&(_, y)| y as f64).sum::<f64>() / count;
    let (mut over, mut under) = (0.0, 0.0);
    for &(x, y) in points {
        over += (x as f64 - mean_x) * (y as f64 - mean_y);
        under += (x as f64 - mean_x) * (x as f64 - mean_x);
    }
    if under > 0.0 { over / under } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(seconds: u64, live: impl Fn(u64) -> u64) -> Vec<Growth> {
        let mut log = GrowthLog::new();
        let end = seconds * 1_000_000_000;
        let mut now = 0;
        while now < end {
            if log.is_due(now) {
                log.sample(now, [(7, live(now))].into_iter());
            }
            now += 500_000;
        }
        assert!(log.times.len() <= SAMPLES_MAX);
        log.growing(end, |_| (live(end), 1))
    }

    #[test]
    fn a_line_grows() {
        let found = run(10, |now| 5000 + now / 1_000_000);
        assert_eq!(found.len(), 1);
        assert!((found[0].bytes_per_second - 1000.0).abs() < 1.0, "{found:?}");
        assert!(found[0].share_of_ticks_growing > 0.99);
    }

    #[test]
    fn the_end_of_time() {
        let mut log = GrowthLog::new();
        let mut samples = 0;
        for _ in 0..1000 {
            if log.is_due(u64::MAX) {
                log.sample(u64::MAX, [(7, 5000)].into_iter());
                samples += 1;
            }
        }
        assert_eq!(samples, 1);
    }

    #[test]
    fn plateaus_and_waves_do_not() {
        assert!(run(10, |now| (now / 1000).min(3_000_000)).is_empty(), "full before the second half");
        assert!(run(10, |now| 5000 + now % 700_000_000).is_empty(), "a wave");
        assert!(run(10, |now| if now == 10_000_000_000 { 0 } else { now }).is_empty(), "freed at the end");
    }

    #[test]
    fn what_is_freed_at_the_end_has_filled() {
        let filling = |until: u64| {
            let mut log = GrowthLog::new();
            let (end, live) = (10_000_000_000, |now| if now < until { now / 1000 } else { 0 });
            for now in (0..end).step_by(500_000) {
                if log.is_due(now) {
                    log.sample(now, [(7, live(now))].into_iter());
                }
            }
            log.filling(|_| (live(end), 0)).len()
        };
        assert_eq!((filling(9_900_000_000), filling(8_000_000_000), filling(u64::MAX)), (1, 0, 1));
    }

    #[test]
    fn moments_are_left_out_and_waves_are_not() {
        let filling = |live: &dyn Fn(u64) -> u64| {
            let mut log = GrowthLog::new();
            for (count, now) in (0..2_000_000_000u64).step_by(500_000).enumerate() {
                if log.is_due(now) {
                    // A moment in which the old text is still there.
                    let more = if count % 31 == 0 { 2 } else { 1 };
                    log.sample(now, [(7, live(now) * more)].into_iter());
                }
            }
            log.filling(|_| (0, 0)).len()
        };
        assert_eq!(filling(&|now| 5000 + now / 1000), 1);
        assert_eq!(filling(&|now| 5000 + now % 100_000_000 / 1000), 0);
        assert_eq!(filling(&|_| 5000), 0);
        assert_eq!(filling(&|now| now.saturating_sub(1_600_000_000)), 1, "begun late");
    }
}
