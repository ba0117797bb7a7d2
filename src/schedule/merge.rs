//! Several schedules of one scope as one: the newest backup that counts, and each moment at which a newer one does.
//! Pure.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::stream::{Ruled, Stream};

/// A rule and how long after its slot a backup of it is surely complete, in seconds.
#[derive(Debug, Clone, Copy)]
pub(super) struct Late<'a> {
    /// The rule on its clocks.
    pub(super) ruled: Ruled<'a>,
    /// The lateness.
    pub(super) lateness: i64,
}

/// A time during which one slot counts, whole: from the slot to the moment at which a later one counts instead.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stretch {
    /// The slot that counts.
    pub(super) begin: i64,
    /// Whose it is, by number.
    pub(super) begin_line: usize,
    /// The slot that ends it.
    pub(super) end: i64,
    /// Whose that is.
    pub(super) end_line: usize,
    /// When that one counts.
    pub(super) deadline: i64,
}

impl Stretch {
    /// Returns what is lost just before its end.
    pub(super) const fn length(&self) -> i64 {
        self.deadline - self.begin
    }
}

/// The stretches of several rules in order.
#[derive(Debug)]
pub(super) struct Merge<'a> {
    lines: &'a [Late<'a>],
    streams: Vec<Stream<'a>>,
    /// When each line's next slot counts; of equal moments the latest slot comes first, and the others are no news.
    due: BinaryHeap<Reverse<(i64, Reverse<i64>, usize)>>,
    counts: (i64, usize),
}

impl<'a> Merge<'a> {
    /// Begins with the slot that counts at a second; `None` where none does.
    pub(super) fn at(lines: &'a [Late<'a>], second: i64) -> Option<Self> {
        let mut streams = Vec::with_capacity(lines.len());
        let mut due = BinaryHeap::with_capacity(lines.len());
        let mut counts: Option<(i64, usize)> = None;
        for (index, line) in lines.iter().enumerate() {
            let ripe = second - line.lateness;
            if let Some(slot) = line.ruled.last_at_or_before(ripe)
                && counts.is_none_or(|(best, _)| slot > best)
            {
                counts = Some((slot, index));
            }
            let mut stream = line.ruled.after(ripe);
            due.extend(stream.next().map(|slot| Reverse((slot + line.lateness, Reverse(slot), index))));
            streams.push(stream);
        }
        Some(Self { lines, streams, due, counts: counts? })
    }
}

impl Iterator for Merge<'_> {
    type Item = Stretch;

    fn next(&mut self) -> Option<Stretch> {
        loop {
            let Reverse((deadline, Reverse(end), line)) = self.due.pop()?;
            let lateness = self.lines[line].lateness;
            self.due.extend(self.streams[line].next().map(|slot| Reverse((slot + lateness, Reverse(slot), line))));
            let (begin, begin_line) = self.counts;
            if end > begin {
                self.counts = (end, line);
                return Some(Stretch { begin, begin_line, end, end_line: line, deadline });
            }
        }
    }
}
