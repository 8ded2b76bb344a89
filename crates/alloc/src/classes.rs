//! The size classes of small blocks: steps of 16 bytes up to 128, then eight classes for each doubling.
//!
//! So at most a ninth of a block beyond 128 bytes is rounding. Four classes for each doubling needed 3 to 12 % more memory on
//! recorded programs.

/// No small block is larger.
pub const SMALL_MAX: usize = 1024;
/// How many classes there are.
pub const CLASSES: usize = 32;
/// Bytes of a span, which has blocks of one class.
pub const SPAN: usize = 16 << 10;

const GRANULE: usize = 16;

/// Bytes of the blocks of each class.
pub const SIZES: [usize; CLASSES] = {
    let mut sizes = [0; CLASSES];
    let mut class = 0;
    while class < CLASSES {
        sizes[class] = match class {
            0..8 => (class + 1) * GRANULE,
            _ => (8 + class % 8 + 1) << (class / 8 + 3),
        };
        class += 1;
    }
    sizes
};

/// The class by the size in granules.
const CLASS_OF: [u8; SMALL_MAX / GRANULE + 1] = {
    let mut classes = [0; SMALL_MAX / GRANULE + 1];
    let mut granules = 1;
    let mut class = 0;
    while granules < classes.len() {
        if granules * GRANULE > SIZES[class as usize] {
            class += 1;
        }
        classes[granules] = class;
        granules += 1;
    }
    classes
};

/// The class of blocks of `size` bytes, at most [`SMALL_MAX`].
#[inline(always)]
pub fn class_of(size: usize) -> usize {
    CLASS_OF[size.div_ceil(GRANULE)] as usize
}

/// The class of blocks of `size` bytes at a multiple of `align`, if they are small.
#[inline(always)]
pub fn class_for(size: usize, align: usize) -> Option<usize> {
    if align <= GRANULE {
        return (size <= SMALL_MAX).then(|| class_of(size));
    }
    // Spans begin at multiples of their size and have no room left when a block is a power of two, so that these lie
    // at multiples of it.
    let size = size.max(align).checked_next_power_of_two()?;
    (size <= SMALL_MAX).then(|| class_of(size))
}

#[test]
fn classes_are_dense() {
    assert_eq!(SIZES[..10], [16, 32, 48, 64, 80, 96, 112, 128, 144, 160]);
    assert_eq!(SIZES[23..], [512, 576, 640, 704, 768, 832, 896, 960, 1024]);
    for size in 0..=SMALL_MAX {
        let class = class_of(size);
        assert!(SIZES[class] >= size && (class == 0 || SIZES[class - 1] < size), "{size}");
    }
    assert_eq!(class_for(1025, 16), None);
    assert_eq!(class_for(1, 2048), None);
    assert_eq!(class_for(100, 64).map(|it| SIZES[it]), Some(128));
    assert_eq!(class_for(600, 32).map(|it| SIZES[it]), Some(1024));
    assert_eq!(class_for(usize::MAX, 32), None);
}
