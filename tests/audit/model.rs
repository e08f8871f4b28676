//! Whatever two writers do in whatever order, the log is what each of them asked for, in its order.

use local_vault::audit::{Audit, Event};
use proptest::prelude::{Strategy, prop, prop_assert_eq, prop_oneof, proptest};

use super::log::Lines;
use super::support::{Place, verified};

/// What a writer does.
#[derive(Debug, Clone)]
enum Step {
    Record(usize),
    Note,
    Sign,
    Close,
}

fn steps() -> impl Strategy<Value = Vec<(usize, Step)>> {
    let step = prop_oneof![
        4 => (1_usize..4).prop_map(Step::Record),
        4 => prop::strategy::Just(Step::Note),
        1 => prop::strategy::Just(Step::Sign),
        1 => prop::strategy::Just(Step::Close),
    ];
    prop::collection::vec((0_usize..2, step), 1..24)
}

proptest! {
    #[test]
    fn a_log_is_what_each_writer_asked_for_in_its_order(steps in steps()) {
        let place = Place::new();
        let mut writers: [Option<Audit>; 2] = [None, None];
        let mut asked: [Vec<String>; 2] = [Vec::new(), Vec::new()];
        for (who, step) in steps {
            let log = writers[who].get_or_insert_with(|| place.open());
            let mut next = || {
                asked[who].push(format!("{who}.{}", asked[who].len()));
                Event::receipted(asked[who].last().unwrap(), None)
            };
            match step {
                Step::Record(count) => {
                    log.record_blocking((0..count).map(|_| next()).collect()).unwrap();
                    // All that this writer asked for is there now, also what it only noted.
                    prop_assert_eq!(&requests(&place, who), &asked[who]);
                }
                Step::Note => log.note(next()),
                Step::Sign => assert!(log.sign_head_blocking()),
                Step::Close => writers[who] = None,
            }
        }
        drop(writers);
        for (who, asked) in asked.iter().enumerate() {
            prop_assert_eq!(&requests(&place, who), asked);
        }
        let seen = verified(&place.log());
        // Whoever closes last signs for all, unless it had signed already.
        prop_assert_eq!(seen.last, Lines::read(&place.log()).count() as u64);
    }
}

/// The requests of a writer that are in the log.
fn requests(place: &Place, who: usize) -> Vec<String> {
    let prefix = format!("{who}.");
    let entries = whole(Lines::read(&place.log())).entries();
    let requests = entries.into_iter().filter_map(|entry| entry.object.get_str("request").map(str::to_owned));
    requests.filter(|request| request.starts_with(&prefix)).collect()
}

/// Without what the other writer is just writing.
fn whole(mut lines: Lines) -> Lines {
    for (_, lines) in &mut lines.0 {
        lines.retain(|line| line.ends_with(b"\n"));
    }
    lines
}
