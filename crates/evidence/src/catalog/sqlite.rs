//! The rows of one table of an SQLite database that lies in memory (database file format, sections 1 and 2). Only what a
//! list of packages asks for: no index, no journal. Whatever the file says, reading it ends and takes no more than it has.

/// A value of a row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Cell<'a> {
    Null,
    Integer(i64),
    Bytes(std::borrow::Cow<'a, [u8]>),
}

/// A database.
struct Database<'a> {
    bytes: &'a [u8],
    page: usize,
    /// What of a page may be used: some of its end can be set aside.
    usable: usize,
}

/// A row's number and its values.
type Row<'a> = Vec<Cell<'a>>;

const MAGIC: &[u8] = b"SQLite format 3\0";
/// The most columns of a row.
const COLUMNS: usize = 64;

/// Shows the rows of a table; why they cannot be read, otherwise.
pub(super) fn rows<'a>(
    bytes: &'a [u8],
    table: &str,
    visit: &mut dyn FnMut(Row<'a>),
) -> Result<(), &'static str> {
    let database = Database::open(bytes).ok_or("it is no SQLite database")?;
    let mut root = None;
    // The table of tables begins on the first page: kind, name, name of the table, first page, text.
    database.walk(1, &mut |row| {
        if let [Cell::Bytes(kind), Cell::Bytes(name), _, Cell::Integer(page), ..] = row.as_slice()
            && kind.as_ref() == b"table"
            && name.as_ref() == table.as_bytes()
        {
            root = usize::try_from(*page).ok();
        }
    })?;
    database.walk(root.ok_or("it has no table of packages")?, visit)
}

impl<'a> Database<'a> {
    fn open(bytes: &'a [u8]) -> Option<Self> {
        if !bytes.starts_with(MAGIC) {
            return None;
        }
        let page = match usize::from(u16::from_be_bytes([*bytes.get(16)?, *bytes.get(17)?])) {
            1 => 65_536,
            size => size,
        };
        let usable = page.checked_sub(usize::from(*bytes.get(20)?))?;
        // Nothing smaller is valid (section 1.3.4).
        (page.is_power_of_two() && page >= 512 && usable >= 480).then_some(Self { bytes, page, usable })
    }

    fn page(&self, number: usize) -> Option<&'a [u8]> {
        let from = number.checked_sub(1)?.checked_mul(self.page)?;
        self.bytes.get(from..from.checked_add(self.page)?)
    }

    fn walk(&self, root: usize, visit: &mut dyn FnMut(Row<'a>)) -> Result<(), &'static str> {
        const BROKEN: &str = "its pages contradict each other";
        let mut left = self.bytes.len() / self.page;
        // Rows do not share their bytes: many that do would make much out of little.
        let mut unread = self.bytes.len();
        let mut next = vec![root];
        while let Some(number) = next.pop() {
            // A page that is reached twice would make this go on for ever.
            left = left.checked_sub(1).ok_or(BROKEN)?;
            let page = self.page(number).ok_or(BROKEN)?;
            let head = if number == 1 { 100 } else { 0 };
            let count = usize::from(u16::from_be_bytes([page[head + 3], page[head + 4]]));
            let inner = match page[head] {
                5 => true,
                13 => false,
                _ => return Err(BROKEN),
            };
            let cells = head + if inner { 12 } else { 8 };
            let mut below = Vec::new();
            for index in 0..count {
                let at = page.get(cells + 2 * index..cells + 2 * index + 2).ok_or(BROKEN)?;
                let cell = page.get(usize::from(u16::from_be_bytes([at[0], at[1]]))..).ok_or(BROKEN)?;
                if inner {
                    below.push(number_at(cell, 0).ok_or(BROKEN)?);
                } else {
                    visit(self.leaf(cell, &mut unread).ok_or(BROKEN)?);
                }
            }
            if inner {
                below.push(number_at(page, head + 8).ok_or(BROKEN)?);
                if below.len() + next.len() > left {
                    return Err(BROKEN);
                }
                next.extend(below.into_iter().rev());
            }
        }
        Ok(())
    }

    /// A row of a leaf: its length, its number, what it holds; the rest on pages of its own (section 1.6). Length and
    /// number take two bytes at least.
    fn leaf(&self, cell: &'a [u8], unread: &mut usize) -> Option<Row<'a>> {
        let (length, rest) = varint(cell)?;
        let (_, rest) = varint(rest)?;
        let length = usize::try_from(length).ok()?;
        *unread = unread.checked_sub(length.checked_add(2)?)?;
        let most = self.usable - 35;
        if length <= most {
            return record(rest.get(..length)?);
        }
        let least = (self.usable - 12) * 32 / 255 - 23;
        let wanted = least + (length - least) % (self.usable - 4);
        let local = if wanted <= most { wanted } else { least };
        let mut whole = rest.get(..local)?.to_vec();
        let mut page = number_at(rest, local)?;
        while whole.len() < length {
            let bytes = self.page(page)?;
            let part = (length - whole.len()).min(self.usable - 4);
            whole.extend_from_slice(bytes.get(4..4 + part)?);
            page = number_at(bytes, 0)?;
        }
        let owned = record(&whole)?.into_iter().map(|cell| match cell {
            Cell::Bytes(bytes) => Cell::Bytes(bytes.into_owned().into()),
            Cell::Integer(number) => Cell::Integer(number),
            Cell::Null => Cell::Null,
        });
        Some(owned.collect())
    }
}

/// A row's values (section 2.1).
fn record(bytes: &[u8]) -> Option<Row<'_>> {
    let (head, rest) = varint(bytes)?;
    let head = usize::try_from(head).ok()?;
    let mut kinds = bytes.get(bytes.len() - rest.len()..head)?;
    let mut body = bytes.get(head..)?;
    let mut row = Vec::new();
    while !kinds.is_empty() {
        let (kind, after) = varint(kinds)?;
        kinds = after;
        let size = match kind {
            0 | 8 | 9 => 0,
            1..=4 => kind as usize,
            5 => 6,
            6 | 7 => 8,
            10 | 11 => return None,
            long => usize::try_from((long - 12) / 2).ok()?,
        };
        let (value, after) = body.split_at_checked(size)?;
        body = after;
        row.push(match kind {
            0 => Cell::Null,
            1..=6 => {
                let negative = value[0] & 0x80 != 0;
                let start = if negative { -1 } else { 0 };
                Cell::Integer(value.iter().fold(start, |sum: i64, b| sum << 8 | i64::from(*b)))
            }
            8 | 9 => Cell::Integer(i64::from(kind == 9)),
            _ => Cell::Bytes(value.into()),
        });
        if row.len() > COLUMNS {
            return None;
        }
    }
    Some(row)
}

fn number_at(bytes: &[u8], at: usize) -> Option<usize> {
    let four = bytes.get(at..at.checked_add(4)?)?;
    Some(u32::from_be_bytes(four.try_into().ok()?) as usize)
}

/// A number of one to nine bytes, and what is behind it.
fn varint(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let mut value = 0u64;
    for (index, byte) in bytes.iter().enumerate().take(9) {
        if index == 8 {
            return Some((value << 8 | u64::from(*byte), &bytes[9..]));
        }
        value = value << 7 | u64::from(byte & 0x7f);
        if byte & 0x80 == 0 {
            return Some((value, &bytes[index + 1..]));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_of_one_to_nine_bytes() {
        assert_eq!(varint(&[0x7f, 1]), Some((127, &[1][..])));
        assert_eq!(varint(&[0x81, 0]), Some((128, &[][..])));
        assert_eq!(varint(&[0xff; 9]), Some((u64::MAX, &[][..])));
        assert_eq!(varint(&[0x80]), None);
    }

    #[test]
    fn rows_have_their_values() {
        let bytes = [5, 0, 1, 9, 19, 0xfe, b'a', b'b', b'c'];
        let expected =
            [Cell::Null, Cell::Integer(-2), Cell::Integer(1), Cell::Bytes(b"abc".as_slice().into())];
        assert_eq!(record(&bytes).unwrap(), expected);
        for cut in 0..bytes.len() {
            assert_eq!(record(&bytes[..cut]), None);
        }
    }

    /// A database whose second page, the table's, has these cells.
    fn with_cells(places: &[u16], cell: &[u8], pages: usize) -> Vec<u8> {
        let mut row = vec![6u8, 23, 29, 29, 1, 12];
        row.extend(b"tablePackagesPackages");
        row.push(2);
        let mut bytes = vec![0; 4096 * pages];
        bytes[..16].copy_from_slice(MAGIC);
        bytes[16..18].copy_from_slice(&4096u16.to_be_bytes());
        bytes[100] = 13;
        bytes[103..105].copy_from_slice(&1u16.to_be_bytes());
        bytes[108..110].copy_from_slice(&200u16.to_be_bytes());
        bytes[200] = row.len() as u8;
        bytes[202..202 + row.len()].copy_from_slice(&row);
        let table = &mut bytes[4096..8192];
        table[0] = 13;
        table[3..5].copy_from_slice(&(places.len() as u16).to_be_bytes());
        for (index, place) in places.iter().enumerate() {
            table[8 + 2 * index..10 + 2 * index].copy_from_slice(&place.to_be_bytes());
        }
        table[4000..4000 + cell.len()].copy_from_slice(cell);
        bytes
    }

    #[test]
    fn rows_that_share_their_bytes_are_no_table() {
        // Four bytes of a record: one column, a blob of two bytes.
        let cell = [4, 1, 2, 16, b'a', b'b'];
        let count = |places: &[u16]| {
            let mut seen = 0;
            let bytes = with_cells(places, &cell, 2);
            rows(&bytes, "Packages", &mut |_| seen += 1).map(|()| seen)
        };
        assert_eq!(count(&[4000]), Ok(1));
        assert!(count(&[4000; 1900]).is_err(), "much is made of little");
        // A row that goes on in a ring of pages: each may be read once, for one row.
        let length = 16_000u32;
        let ring = [0x80 | (length >> 7) as u8, (length & 0x7f) as u8, 1];
        let mut bytes = with_cells(&[100; 1900], &[], 4);
        bytes[4096 + 100..4096 + 103].copy_from_slice(&ring);
        let mut seen = 0;
        assert!(rows(&bytes, "Packages", &mut |_| seen += 1).is_err());
        assert!(seen <= 1, "{seen}");
    }

    #[test]
    fn no_text_is_a_database() {
        for bytes in [&b""[..], b"SQLite format 3\0", &[0; 4096]] {
            assert!(rows(bytes, "Packages", &mut |_| ()).is_err());
        }
    }
}
