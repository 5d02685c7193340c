//! TCP data that segmentation offload cuts differently at both ends: compared byte by byte.

use std::collections::HashMap;

use ahash::RandomState;

use super::Sighting;

/// Bytes that one side sent more often than the other saw: from, to, how many times more.
type Excess = (i64, i64, i64);

/// Removes segments from both lists whose bytes the other side has too, only cut differently. Returns the
/// direction of each of the first list's. The lists are sorted by time.
pub(super) fn without_what_arrived(
    first: &mut Vec<Sighting>,
    other: &mut Vec<Sighting>,
) -> Vec<u32> {
    let mut ways: HashMap<u32, [Vec<(u32, u32)>; 2], RandomState> = HashMap::default();
    for (side, list) in [(0, &*first), (1, &*other)] {
        for one in list {
            if let Some(data) = one.data {
                ways.entry(one.way).or_default()[side].push(data);
            }
        }
    }
    ways.retain(|_, [first, other]| !first.is_empty() && !other.is_empty());
    let mut arrived = Vec::new();
    if ways.is_empty() {
        return arrived;
    }
    let mut excesses: HashMap<u32, (u32, [Vec<Excess>; 2]), RandomState> = HashMap::default();
    for (way, [first, other]) in &ways {
        let base = first[0].0;
        let excess = [excess(base, first, other), excess(base, other, first)];
        excesses.insert(*way, (base, excess));
    }
    first.retain(|one| {
        is_missing(one, 0, &mut excesses) || {
            arrived.push(one.way);
            false
        }
    });
    other.retain(|one| is_missing(one, 1, &mut excesses));
    arrived
}

/// Sequence numbers wrap: they are counted relative to one in the middle of the compared data.
fn range(base: u32, (sequence, length): (u32, u32)) -> (i64, i64) {
    let from = i64::from(sequence.wrapping_sub(base).cast_signed());
    (from, from + i64::from(length))
}

fn excess(base: u32, sent: &[(u32, u32)], seen: &[(u32, u32)]) -> Vec<Excess> {
    let mut steps = Vec::new();
    for (list, step) in [(sent, 1), (seen, -1)] {
        for data in list {
            let (from, to) = range(base, *data);
            steps.push((from, step));
            steps.push((to, -step));
        }
    }
    steps.sort_unstable();
    let mut excess = Vec::new();
    let (mut balance, mut begun) = (0, 0);
    for (at, step) in steps {
        if balance > 0 && at > begun {
            excess.push((begun, at, balance));
        }
        balance += step;
        begun = at;
    }
    excess
}

/// Whether a segment has surplus bytes; if so, they are accounted for.
fn is_missing(
    one: &Sighting,
    side: usize,
    excesses: &mut HashMap<u32, (u32, [Vec<Excess>; 2]), RandomState>,
) -> bool {
    let (Some(data), Some((base, excess))) = (one.data, excesses.get_mut(&one.way)) else {
        return true;
    };
    let (from, to) = range(*base, data);
    let list = &mut excess[side];
    let begin = list.partition_point(|(_, end, _)| *end <= from);
    let mut missing = false;
    for (start, _, times) in &mut list[begin..] {
        if *start >= to {
            break;
        }
        if *times > 0 {
            *times -= 1;
            missing = true;
        }
    }
    missing
}

#[cfg(test)]
mod tests {
    use super::{Sighting, without_what_arrived};
    use crate::report::FrameReference;

    fn segments(list: &[(u32, u32)]) -> Vec<Sighting> {
        let sighting = |(number, data): (usize, &(u32, u32))| Sighting {
            time: number as u64,
            frame: FrameReference {
                file: 0,
                frame: number as u64 + 1,
            },
            way: 0,
            data: Some(*data),
        };
        list.iter().enumerate().map(sighting).collect()
    }

    fn left(first: &[(u32, u32)], other: &[(u32, u32)]) -> (Vec<u64>, Vec<u64>) {
        let (mut first, mut other) = (segments(first), segments(other));
        without_what_arrived(&mut first, &mut other);
        let frames = |list: Vec<Sighting>| list.iter().map(|one| one.frame.frame).collect();
        (frames(first), frames(other))
    }

    #[test]
    fn the_same_bytes_cut_differently_are_the_same_also_where_numbers_wrap() {
        let start = u32::MAX - 1_000;
        let at = |offset: u32| start.wrapping_add(offset);
        let large = [(start, 3_000)];
        let small = [(at(0), 1_000), (at(1_000), 1_000), (at(2_000), 1_000)];
        assert_eq!(left(&large, &small), (vec![], vec![]));
        assert_eq!(left(&small, &large), (vec![], vec![]));
    }

    #[test]
    fn a_piece_that_is_missing_is_found_once_and_its_retransmission_is_not() {
        // Sent as one segment of 3,000 bytes; the second third was lost and sent again.
        let sent = [(0, 3_000), (1_000, 1_000)];
        let seen = [(0, 1_000), (2_000, 1_000), (1_000, 1_000)];
        assert_eq!(left(&sent, &seen), (vec![1], vec![]));
        // All in small pieces at the sender: it is the first capture.
        let sent = [(0, 1_000), (1_000, 1_000), (2_000, 1_000), (1_000, 1_000)];
        let seen = [(0, 2_000), (2_000, 1_000)];
        assert_eq!(left(&sent, &seen), (vec![2], vec![]));
    }
}
