//! A run of samples as bytes: times as differences of differences, values as differences of their bits, both as
//! variable-length numbers. Regular times cost one byte, unchanged values one more.

/// Packs samples (milliseconds, value), oldest first.
pub(crate) fn pack(samples: &[(i64, f64)]) -> Vec<u8> {
    let mut out = Vec::with_capacity(samples.len() * 4);
    number(&mut out, samples.len() as u64);
    let (mut time, mut step, mut bits) = (0i64, 0i64, 0u64);
    for (at, value) in samples {
        let next = at.wrapping_sub(time);
        number(&mut out, zigzag(next.wrapping_sub(step)));
        (time, step) = (*at, next);
        // Doubles that are near share their high bits; what differs is moved to the low end.
        let change = value.to_bits() ^ bits;
        number(&mut out, change.swap_bytes());
        bits = value.to_bits();
    }
    out
}

/// Unpacks; `None` if the bytes are no chunk.
pub(crate) fn unpack(mut bytes: &[u8]) -> Option<Vec<(i64, f64)>> {
    let count = take(&mut bytes)?;
    let mut samples = Vec::with_capacity(usize::try_from(count).ok()?.min(bytes.len()));
    let (mut time, mut step, mut bits) = (0i64, 0i64, 0u64);
    for _ in 0..count {
        step = step.wrapping_add(unzigzag(take(&mut bytes)?));
        time = time.wrapping_add(step);
        bits ^= take(&mut bytes)?.swap_bytes();
        samples.push((time, f64::from_bits(bits)));
    }
    Some(samples)
}

fn zigzag(n: i64) -> u64 {
    ((n << 1) ^ (n >> 63)) as u64
}

fn unzigzag(n: u64) -> i64 {
    (n >> 1) as i64 ^ -((n & 1) as i64)
}

fn number(out: &mut Vec<u8>, mut n: u64) {
    while n >= 0x80 {
        out.push(n as u8 | 0x80);
        n >>= 7;
    }
    out.push(n as u8);
}

fn take(bytes: &mut &[u8]) -> Option<u64> {
    let mut n = 0u64;
    for shift in (0..64).step_by(7) {
        let (first, rest) = bytes.split_first()?;
        *bytes = rest;
        n |= u64::from(first & 0x7f) << shift;
        if first & 0x80 == 0 {
            return Some(n);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_is_packed_comes_back(samples in prop::collection::vec((any::<i64>(), any::<u64>()), 0..200)) {
            let samples: Vec<(i64, f64)> = samples.into_iter().map(|(t, b)| (t, f64::from_bits(b))).collect();
            let back = unpack(&pack(&samples)).unwrap();
            prop_assert_eq!(back.len(), samples.len());
            for (a, b) in back.iter().zip(&samples) {
                prop_assert_eq!((a.0, a.1.to_bits()), (b.0, b.1.to_bits()));
            }
        }

        #[test]
        fn any_bytes_are_survived(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let _ = unpack(&bytes);
        }
    }

    #[test]
    fn regular_samples_cost_little() {
        let samples: Vec<(i64, f64)> = (0..120).map(|i| (1_700_000_000_000 + i * 5000, 42.0)).collect();
        assert!(pack(&samples).len() < 280, "{}", pack(&samples).len());
    }
}
