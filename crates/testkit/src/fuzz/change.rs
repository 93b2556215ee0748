//! Changes to inputs.

/// Numbers at which programs go wrong.
const NUMBERS: [&str; 12] = [
    "0",
    "-1",
    "1",
    "255",
    "256",
    "65536",
    "2147483648",
    "4294967296",
    "9223372036854775808",
    "-0",
    "1e999",
    "00000000001",
];

/// Makes new inputs out of old ones.
pub(super) struct Changes<'a> {
    state: u64,
    words: &'a [&'a str],
    longest: usize,
}

impl<'a> Changes<'a> {
    pub(super) fn new(seed: u64, words: &'a [&'a str], longest: usize) -> Self {
        Self { state: seed, words, longest }
    }

    /// A number below `n`.
    fn below(&mut self, n: usize) -> usize {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) % n.max(1) as u64) as usize
    }

    /// One of the inputs, changed once or a few times.
    pub(super) fn next(&mut self, inputs: &[Vec<u8>]) -> Vec<u8> {
        let mut input = inputs[self.below(inputs.len())].clone();
        for _ in 0..=self.below(5) {
            self.change(&mut input, inputs);
        }
        input.truncate(self.longest);
        input
    }

    /// A piece of `length` bytes, mostly short.
    fn piece(&mut self, length: usize) -> std::ops::Range<usize> {
        let from = self.below(length + 1);
        let most = if self.below(4) == 0 { length - from } else { (length - from).min(16) };
        from..from + self.below(most + 1)
    }

    fn change(&mut self, input: &mut Vec<u8>, inputs: &[Vec<u8>]) {
        let at = self.below(input.len() + 1);
        match self.below(11) {
            0 if at < input.len() => input[at] ^= 1 << self.below(8),
            1 if at < input.len() => input[at] = self.below(256) as u8,
            2 => input.insert(at, self.below(256) as u8),
            3 => {
                let piece = self.piece(input.len());
                input.drain(piece);
            }
            4 => {
                // A piece once more, elsewhere, or very often at its place: what nests gets deep.
                let piece = self.piece(input.len());
                let mut copy = input[piece].to_vec();
                if self.below(6) == 0 && !copy.is_empty() {
                    copy = copy.repeat((1 + self.below(400)).min(1 + self.longest / copy.len()));
                }
                input.splice(at..at, copy);
            }
            5 => {
                let other = &inputs[self.below(inputs.len())];
                let piece = self.piece(other.len());
                input.splice(at..at, other[piece].iter().copied());
            }
            6 | 7 if !self.words.is_empty() => {
                let word = self.words[self.below(self.words.len())];
                let end = at + if self.below(2) == 0 { 0 } else { self.below((input.len() - at).min(8) + 1) };
                input.splice(at..end, word.bytes());
            }
            8 => {
                let number = NUMBERS[self.below(NUMBERS.len())];
                input.splice(at..at, number.bytes());
            }
            9 => {
                // The beginning of this one and the end of another.
                let other = &inputs[self.below(inputs.len())];
                let from = self.below(other.len() + 1);
                input.truncate(at);
                input.extend_from_slice(&other[from..]);
            }
            _ => {
                let mut lines: Vec<&[u8]> = input.split_inclusive(|byte| *byte == b'\n').collect();
                if lines.len() > 1 {
                    let (a, b) = (self.below(lines.len()), self.below(lines.len()));
                    lines.swap(a, b);
                    *input = lines.concat();
                }
            }
        }
    }
}
