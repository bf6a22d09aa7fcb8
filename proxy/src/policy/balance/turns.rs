//! Turns of instances that do not count alike: who has the greater weight has more of them, spread as evenly as they can
//! be (smooth weighted round robin). Made once for a list of instances, so that a turn is one look.

/// The most turns after which they begin anew; weights in finer steps are rounded.
const MOST: u64 = 1024;

/// Whose turn is when, by their places in the list of instances; `None` where all count alike.
pub(super) fn turns(weights: &[u16]) -> Option<Box<[usize]>> {
    if weights.windows(2).all(|two| two[0] == two[1]) {
        return None;
    }
    let weights = rounded(weights);
    let sum: i64 = weights.iter().sum();
    let mut credits = vec![0; weights.len()];
    let turns = (0..sum).map(|_| {
        credits.iter_mut().zip(&weights).for_each(|(credit, weight)| *credit += weight);
        // The first of those that have waited most.
        let next = (0..credits.len()).rev().max_by_key(|at| credits[*at]).unwrap_or(0);
        credits[next] -= sum;
        next
    });
    Some(turns.collect())
}

/// The same shares in numbers whose sum is small. Nobody is left out.
fn rounded(weights: &[u16]) -> Vec<i64> {
    // Among weights of 1 and more, 0 is "very little" (RFC 2782).
    let weights = weights.iter().map(|weight| u64::from(*weight).max(1));
    let divisor = weights.clone().fold(0, greatest_common);
    let sum: u64 = weights.clone().map(|weight| weight / divisor).sum();
    let share = |weight: u64| match sum {
        ..=MOST => weight / divisor,
        _ => (weight / divisor * MOST / sum).max(1),
    };
    weights.map(|weight| i64::try_from(share(weight)).unwrap_or(1)).collect()
}

fn greatest_common(a: u64, b: u64) -> u64 {
    if a == 0 { b } else { greatest_common(b % a, a) }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn shown(weights: &[u16]) -> String {
        turns(weights).unwrap().iter().map(|at| char::from(b'a' + u8::try_from(*at).unwrap())).collect()
    }

    #[test]
    fn turns_are_spread_by_weight() {
        assert_eq!(shown(&[5, 1, 1]), "aabacaa");
        assert_eq!(shown(&[20, 10]), "aba");
        assert_eq!(shown(&[0, 3]), "babb");
        for alike in [&[][..], &[7], &[0, 0, 0], &[9, 9]] {
            assert_eq!(turns(alike), None, "{alike:?}");
        }
    }

    #[test]
    fn fine_weights_are_rounded_and_nobody_is_left_out() {
        let many: Vec<u16> = (0..256).map(|at| if at == 0 { u16::MAX } else { at }).collect();
        for weights in [&[u16::MAX, 1, 0][..], &[65_521, 32_749, 3], &many] {
            let turns = turns(weights).unwrap();
            assert!(turns.len() <= 1024 + weights.len(), "{}", turns.len());
            assert!((0..weights.len()).all(|at| turns.contains(&at)), "{weights:?}");
            let first = turns.iter().filter(|at| **at == 0).count();
            assert!(2 * first > turns.len(), "the first has more than half: {first} of {}", turns.len());
        }
    }
}
