//! Objects summed up, whatever their order: how a million of them are compared with what was recorded in the memory of
//! a few numbers for each backup.

use std::hash::{DefaultHasher, Hash, Hasher};

/// How many objects there are, how large they are together, and which ones they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Tally {
    /// How many.
    pub objects: u64,
    /// Their bytes.
    pub bytes: u64,
    /// The sum of a hash of each key with its size. Good within one process; it is kept nowhere.
    pub mix: u64,
}

impl Tally {
    /// Adds an object.
    pub fn add(&mut self, key: &str, size: u64) {
        let mut hasher = DefaultHasher::new();
        (key, size).hash(&mut hasher);
        self.objects += 1;
        self.bytes = self.bytes.saturating_add(size);
        self.mix = self.mix.wrapping_add(hasher.finish());
    }
}

#[cfg(test)]
mod tests {
    use super::Tally;

    fn of(objects: &[(&str, u64)]) -> Tally {
        let mut tally = Tally::default();
        objects.iter().for_each(|(key, size)| tally.add(key, *size));
        tally
    }

    #[test]
    fn the_order_does_not_matter_and_every_change_does() {
        let tally = of(&[("a", 1), ("b", 2)]);
        assert_eq!(tally, of(&[("b", 2), ("a", 1)]));
        for other in [of(&[("a", 2), ("b", 1)]), of(&[("a", 1), ("c", 2)]), of(&[("a", 1)]), of(&[("a", 3)])] {
            assert_ne!(tally, other);
        }
    }
}
