//! What every collector promises, on generated programs beside a naive twin that never frees.

mod twin;

use heapwise_gc::{Cycles, Generations, Increments};
use proptest::prelude::*;
use twin::{Action, generational, mark_sweep, reference_counting, regions, run, stop_the_world};

fn action() -> impl Strategy<Value = Action> {
    use Action::*;
    prop_oneof![
        12 => (0u8..6, 0u16..300).prop_map(|(references, bytes)| Allocate { references, bytes }),
        1 => (0u8..250, 0u16..9000).prop_map(|(references, bytes)| Allocate { references, bytes }),
        16 => any::<(u16, u8, u16)>().prop_map(|(object, field, value)| Set { object, field, value }),
        4 => any::<(u16, u8)>().prop_map(|(object, field)| Clear { object, field }),
        5 => any::<u16>().prop_map(|object| Push { object }),
        5 => Just(Pop),
        2 => any::<u16>().prop_map(|object| Root { object }),
        2 => any::<u16>().prop_map(|at| Unroot { at }),
        2 => any::<u16>().prop_map(|object| Weak { object }),
        2 => any::<u16>().prop_map(|at| Upgrade { at }),
        1 => any::<u16>().prop_map(|object| Watch { object }),
        2 => any::<bool>().prop_map(|keep| Finalize { keep }),
        3 => any::<u8>().prop_map(|objects| Step { objects }),
        1 => Just(Collect),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: if cfg!(miri) { 1 } else { 150 },
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn reference_counting_is_sound_and_complete(actions in proptest::collection::vec(action(), 1..250)) {
        run(reference_counting(Cycles::Suspects { bytes: 500 }), &actions);
        let generations = Generations { thresholds: [7, 2, 2], long_lived_ratio: 0.25 };
        run(reference_counting(Cycles::Generations(generations)), &actions);
        run(reference_counting(Cycles::Increments(Increments { threshold: 7, scale: 2 })), &actions);
    }

    #[test]
    fn mark_sweep_is_sound_and_complete(actions in proptest::collection::vec(action(), 1..250)) {
        run(mark_sweep(), &actions);
        run(stop_the_world(), &actions);
    }

    #[test]
    fn generational_is_sound_and_complete(actions in proptest::collection::vec(action(), 1..250)) {
        run(generational(1), &actions);
        run(generational(2), &actions);
        run(generational(4), &actions);
    }

    #[test]
    fn regions_are_sound_and_complete(actions in proptest::collection::vec(action(), 1..250)) {
        run(regions(), &actions);
    }
}
