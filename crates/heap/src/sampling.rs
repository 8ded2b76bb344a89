//! What a block stands for where not all are told.
//!
//! With a mean of `m` bytes from one to the next, a block of `s` bytes is told with the probability `p = 1 - exp(-s / m)`
//! (a Poisson process over bytes). Each that is told stands for `1 / p` blocks, `s / p` bytes: then sums are right on
//! average, whatever the sizes. The weight depends on the size alone, so that what is freed takes off what it added.

use heapwise_model::Total;

/// The weight of blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Sampling {
    /// Mean bytes from one block that is told to the next; 0: all are.
    pub mean: u64,
}

/// What one block stands for at most: whatever a recording says, sums of single events cannot overflow.
const BYTES_MAX: f64 = (1u64 << 40) as f64;

impl Sampling {
    /// Whether every block is told.
    pub fn is_exact(self) -> bool {
        self.mean == 0
    }

    /// What a block of `size` bytes stands for. Those of no bytes are told where all are only.
    #[inline]
    pub fn weight(self, size: u64) -> Total {
        if self.mean == 0 { Total { bytes: size, blocks: 1 } } else { self.estimate(size) }
    }

    #[cold]
    fn estimate(self, size: u64) -> Total {
        let size = size.max(1) as f64;
        let chance = -(-size / self.mean as f64).exp_m1();
        let blocks = (1.0 / chance).min(BYTES_MAX);
        // A block that is larger than what others stand for stands for itself.
        let bytes = (size / chance).min(size.max(BYTES_MAX));
        Total { bytes: bytes.round() as u64, blocks: blocks.round() as u64 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_are_right_on_average() {
        let sampling = Sampling { mean: 1000 };
        // Each byte of many blocks is drawn by itself.
        let mut seed = 5u64;
        let mut random = || {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (seed >> 33) as f64 / (1u64 << 31) as f64
        };
        for size in [1u64, 16, 300, 5000, 100_000] {
            let (count, chance) = (400_000 / size.min(1000), -(-(size as f64) / 1000.0).exp_m1());
            let told = (0..count).filter(|_| random() < chance).count() as u64;
            let weight = sampling.weight(size);
            let (bytes, blocks) = (told * weight.bytes, told * weight.blocks);
            let near = |it: u64, of: u64| (it as f64 / of as f64 - 1.0).abs() < 0.12;
            assert!(near(bytes, count * size) && near(blocks, count), "{size}: {bytes} in {blocks}, {count}");
        }
    }

    #[test]
    fn weights_have_bounds() {
        for mean in [1, 7, 1 << 16, u64::MAX] {
            for size in [0, 1, 1 << 20, u64::MAX] {
                let weight = Sampling { mean }.weight(size);
                assert!(weight.blocks >= 1 && weight.bytes >= size.min(1 << 40), "{mean} {size}: {weight:?}");
            }
        }
        assert_eq!(Sampling::default().weight(7), Total { bytes: 7, blocks: 1 });
    }
}
