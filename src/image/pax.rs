//! PAX records: the extended attributes and fine times of a tar entry.

use rustix::fs::Timespec;

const BLOCK: usize = 512;
const TYPE_AT: usize = 156;
const PAX_LOCAL: u8 = b'x';
const EXTENSIONS: [u8; 4] = [PAX_LOCAL, b'g', b'L', b'K'];
const XATTR_PREFIX: &[u8] = b"SCHILY.xattr.";

/// What PAX records add to an entry, of what a layer keeps.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct PaxRecords {
    /// Extended attributes: name and value.
    pub(crate) xattrs: Vec<(Vec<u8>, Vec<u8>)>,
    /// The time of the last change, finer than the header's seconds.
    pub(crate) mtime: Option<(i64, i64)>,
}

impl PaxRecords {
    /// Reads the records that stand before an entry, of the raw header blocks `bytes` that start at `start` in the tar.
    /// Records are found by their length, so that a value may hold any byte. Nonsense ends the reading.
    pub(crate) fn read(start: u64, bytes: &[u8]) -> Self {
        let mut records = Self::default();
        // The reader may have begun with the padding after the previous entry.
        let lead = start.next_multiple_of(BLOCK as u64) - start;
        let mut rest = usize::try_from(lead).ok().and_then(|lead| bytes.get(lead..)).unwrap_or_default();
        while let Some((block, after)) = rest.split_first_chunk::<BLOCK>() {
            let kind = block[TYPE_AT];
            if !EXTENSIONS.contains(&kind) {
                break;
            }
            let size = tar::Header::from_byte_slice(block).entry_size().unwrap_or(u64::MAX);
            let Some(data) = usize::try_from(size).ok().and_then(|size| after.get(..size)) else { break };
            if kind == PAX_LOCAL {
                records.add(data);
            }
            rest = after.get(data.len().next_multiple_of(BLOCK)..).unwrap_or_default();
        }
        records
    }

    fn add(&mut self, mut data: &[u8]) {
        while let Some((key, value, rest)) = next_record(data) {
            data = rest;
            if let Some(name) = key.strip_prefix(XATTR_PREFIX) {
                self.xattrs.push((name.to_vec(), value.to_vec()));
            } else if key == b"mtime" {
                self.mtime = time(value);
            }
        }
    }

    /// Returns the time of the last change, or `seconds` where the records have none.
    pub(crate) fn mtime_or(&self, seconds: u64) -> Timespec {
        let (tv_sec, tv_nsec) = self.mtime.unwrap_or_else(|| (i64::try_from(seconds).unwrap_or_default(), 0));
        Timespec { tv_sec, tv_nsec }
    }
}

/// Splits off one record, `LENGTH KEY=VALUE\n`, of which the length counts everything.
fn next_record(data: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let space = data.iter().position(|b| *b == b' ')?;
    let length = std::str::from_utf8(&data[..space]).ok()?.parse::<usize>().ok()?;
    let record = data.get(space + 1..length)?.strip_suffix(b"\n")?;
    let equals = record.iter().position(|b| *b == b'=')?;
    Some((&record[..equals], &record[equals + 1..], &data[length..]))
}

/// Reads decimal seconds with a fraction.
fn time(text: &[u8]) -> Option<(i64, i64)> {
    let text = std::str::from_utf8(text).ok()?;
    let (seconds, fraction) = text.split_once('.').unwrap_or((text, ""));
    let whole = seconds.parse::<i64>().ok()?;
    let mut digits = fraction.chars().chain(std::iter::repeat('0'));
    let nanos = (0..9).try_fold(0, |sum, _| Some(sum * 10 + i64::from(digits.next()?.to_digit(10)?)))?;
    Some(match seconds.starts_with('-') && nanos > 0 {
        true => (whole - 1, 1_000_000_000 - nanos),
        false => (whole, nanos),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_to_the_nanosecond() {
        for (text, expected) in [
            ("12", Some((12, 0))),
            ("12.5", Some((12, 500_000_000))),
            ("12.0000000019", Some((12, 1))),
            ("-1.25", Some((-2, 750_000_000))),
            ("x", None),
            ("1.x", None),
            ("", None),
        ] {
            assert_eq!(time(text.as_bytes()), expected, "{text}");
        }
    }

    #[test]
    fn a_value_may_hold_line_ends() {
        let mut records = PaxRecords::default();
        records.add(b"27 SCHILY.xattr.user.a=\n\n=\n12 mtime=34\n");
        assert_eq!(records.xattrs, [(b"user.a".to_vec(), b"\n\n=".to_vec())]);
        assert_eq!(records.mtime, Some((34, 0)));
    }

    #[test]
    fn a_record_that_lies_about_its_length_ends_the_reading() {
        for wrong in ["9999 mtime=1\n", "5 mtime=1\n", "x mtime=1\n", "12 mtime=34", "0 \n", ""] {
            let mut records = PaxRecords::default();
            records.add(wrong.as_bytes());
            assert_eq!(records, PaxRecords::default(), "{wrong:?}");
        }
    }
}
