//! An archive whose headers are bounded: a long name and extended attributes are entries of their own, which are read
//! into memory whole before the entry that they are about is seen. A few compressed bytes could be gigabytes of them.

use std::cell::Cell;
use std::io::{self, Read};
use std::rc::Rc;

use tar::{Entry, EntryType};

/// How many bytes the headers of one entry may have in all.
const LARGEST_HEADERS: u64 = 4 << 20;

/// Bytes on their way into a reader of archives, as many as it may take.
pub(crate) struct Bounded<R> {
    from: R,
    left: Allowance,
}

/// How many bytes may still be taken.
#[derive(Clone, Debug, Default)]
pub(crate) struct Allowance(Rc<Cell<u64>>);

impl<R: Read> Bounded<R> {
    pub(crate) fn new(from: R) -> (Self, Allowance) {
        let left = Allowance::default();
        left.0.set(LARGEST_HEADERS);
        (Self { from, left: left.clone() }, left)
    }

    /// What is read from.
    pub(crate) fn into_inner(self) -> R {
        self.from
    }
}

impl<R: Read> Read for Bounded<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.from.read(buffer)?;
        let left = self.left.0.get().checked_sub(read as u64);
        self.left.0.set(left.ok_or_else(|| {
            io::Error::other(format!(
                "an entry has more than {LARGEST_HEADERS} bytes of names and attributes"
            ))
        })?);
        Ok(read)
    }
}

impl Allowance {
    /// Lets an entry be looked at; afterwards, what it left and the headers of the next may be read.
    pub(crate) fn during<R: Read, T>(
        &self,
        entry: &mut Entry<'_, R>,
        look: impl FnOnce(&mut Entry<'_, R>) -> T,
    ) -> T {
        let header = entry.header();
        // Of one with holes, it is not its size that lies in the archive.
        let stored = match header.entry_type() {
            EntryType::GNUSparse => header.entry_size().unwrap_or_default(),
            _ => entry.size(),
        };
        self.0.set(u64::MAX);
        let done = look(entry);
        let used = u64::MAX - self.0.get();
        self.0.set(stored.saturating_sub(used).saturating_add(LARGEST_HEADERS));
        done
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An archive of a file behind a name of that many bytes.
    fn named(length: usize) -> Vec<u8> {
        let mut tar = tar::Builder::new(Vec::new());
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(EntryType::Regular);
        header.set_size(3_000);
        header.set_cksum();
        for name in ["first".to_owned(), "n".repeat(length), "last".to_owned()] {
            tar.append_data(&mut header, &name, &[7; 3_000][..]).unwrap();
        }
        tar.into_inner().unwrap()
    }

    fn sizes(bytes: &[u8]) -> io::Result<Vec<u64>> {
        let (bounded, allowance) = Bounded::new(bytes);
        let mut archive = tar::Archive::new(bounded);
        let mut sizes = Vec::new();
        for (place, entry) in archive.entries()?.enumerate() {
            // Some of them are read, others are passed over.
            let read = |entry: &mut Entry<'_, _>| match place % 2 {
                0 => io::copy(entry, &mut io::sink()),
                _ => Ok(entry.size()),
            };
            sizes.push(allowance.during(&mut entry?, read)?);
        }
        Ok(sizes)
    }

    #[test]
    fn names_are_bounded_and_contents_are_not() {
        assert_eq!(sizes(&named(1_000_000)).unwrap(), [3_000; 3]);
        let refused = sizes(&named(5 << 20)).unwrap_err();
        assert!(refused.to_string().contains("names and attributes"), "{refused}");
        let mut large = tar::Builder::new(Vec::new());
        let mut header = tar::Header::new_gnu();
        header.set_size(9 << 20);
        header.set_cksum();
        for name in ["a", "b", "c"] {
            large.append_data(&mut header, name, vec![1; 9 << 20].as_slice()).unwrap();
        }
        assert_eq!(sizes(&large.into_inner().unwrap()).unwrap(), [9 << 20; 3]);
    }
}
