//! Ids of orders, eight bytes each: a million of them fit a guest's memory.

/// An order's id. Ids of one [`Ids`] are equal where their texts are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Id(u64);

/// Ids that are no plain number have this bit, and the rest says where they are kept.
const KEPT: u64 = 1 << 63;
/// Digits of a number that is kept in an [`Id`] itself.
const DIGITS_MAX: usize = 18;
/// Kept texts lie in pieces, so that growing never copies them all.
const PIECE_BYTES: usize = 256 * 1024;

/// The texts of ids that are no plain numbers.
#[derive(Debug, Default)]
pub struct Ids {
    pieces: Vec<Vec<u8>>,
    /// Piece, start and length of each text.
    places: Vec<(u32, u32, u32)>,
    /// Open addressing, at most half full: 1 + index of a place, 0 where nothing is.
    table: Vec<u32>,
}

impl Ids {
    /// The id of a text.
    pub fn id(&mut self, text: &[u8]) -> Id {
        plain(text).map_or_else(|| self.keep(text), Id)
    }

    /// Appends the text of an id.
    pub fn write(&self, id: Id, out: &mut Vec<u8>) {
        if id.0 & KEPT != 0 {
            out.extend_from_slice(self.text(id.0 & !KEPT));
            return;
        }
        let mut digits = [0_u8; DIGITS_MAX + 2];
        let mut at = digits.len();
        let mut rest = id.0;
        loop {
            at -= 1;
            digits[at] = b'0' + u8::try_from(rest % 10).unwrap_or(0);
            rest /= 10;
            if rest == 0 {
                break;
            }
        }
        out.extend_from_slice(&digits[at..]);
    }

    /// The text of an id, for people.
    pub fn shown(&self, id: Id) -> String {
        let mut text = Vec::new();
        self.write(id, &mut text);
        String::from_utf8_lossy(&text).into_owned()
    }

    fn text(&self, index: u64) -> &[u8] {
        let place = usize::try_from(index).ok().and_then(|it| self.places.get(it));
        place.map_or(&[], |(piece, start, length)| {
            &self.pieces[*piece as usize][*start as usize..(*start + *length) as usize]
        })
    }

    fn keep(&mut self, text: &[u8]) -> Id {
        if self.places.len() * 2 >= self.table.len() {
            self.grow();
        }
        let slot = self.slot(text);
        if self.table[slot] == 0 {
            if self.pieces.last().is_none_or(|it| it.len() + text.len() > it.capacity()) {
                self.pieces.push(Vec::with_capacity(PIECE_BYTES.max(text.len())));
            }
            let number = self.pieces.len() - 1;
            let piece = &mut self.pieces[number];
            self.places.push((small(number), small(piece.len()), small(text.len())));
            piece.extend_from_slice(text);
            self.table[slot] = small(self.places.len());
        }
        Id(KEPT | u64::from(self.table[slot] - 1))
    }

    /// Where a text is in the table, or would be.
    fn slot(&self, text: &[u8]) -> usize {
        let mask = self.table.len() - 1;
        let hash = fnv(text);
        // The high half is the better one.
        let hash = (hash ^ (hash >> 32)) & u64::from(u32::MAX);
        let mut slot = usize::try_from(hash).unwrap_or(0) & mask;
        while self.table[slot] != 0 && self.text(u64::from(self.table[slot] - 1)) != text {
            slot = (slot + 1) & mask;
        }
        slot
    }

    fn grow(&mut self) {
        let size = (self.table.len() * 2).max(1024);
        self.table = vec![0; size];
        for index in 0..self.places.len() {
            let slot = self.slot(self.text(index as u64));
            self.table[slot] = small(index + 1);
        }
    }
}

/// A number that is spelled as it is written again.
fn plain(text: &[u8]) -> Option<u64> {
    if text.is_empty() || text.len() > DIGITS_MAX || (text[0] == b'0' && text.len() > 1) {
        return None;
    }
    text.iter().try_fold(0_u64, |sum, byte| {
        byte.is_ascii_digit().then(|| sum * 10 + u64::from(byte - b'0'))
    })
}

/// Everything here is counted in a guest's memory, which ends before 32 bits do.
fn small(number: usize) -> u32 {
    u32::try_from(number).expect("a guest's memory has less than 4 GiB")
}

/// What FNV-1a of 64 bits begins with.
pub const FNV_BASIS: u64 = 0xcbf2_9ce4_8422_2325;
const FNV_PRIME: u64 = 0x0100_0000_01b3;

/// FNV-1a, 64 bits.
pub fn fnv(text: &[u8]) -> u64 {
    fnv_on(FNV_BASIS, text)
}

/// The same, going on from what came before.
pub fn fnv_on(hash: u64, text: &[u8]) -> u64 {
    text.iter().fold(hash, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(FNV_PRIME))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_equal_where_their_texts_are_and_give_them_back() {
        let mut ids = Ids::default();
        let texts: Vec<String> = ["0", "7", "007", "-1", "1e3", "", "999999999999999999", "ä\n"]
            .into_iter()
            .map(str::to_owned)
            .chain((0..5000).map(|it| format!("{it:08x}-9f31-11ee-8c90-0242ac120002")))
            .chain(["1".repeat(19), "x".repeat(300 * 1024)])
            .collect();
        let all: Vec<Id> = texts.iter().map(|it| ids.id(it.as_bytes())).collect();
        for (id, text) in all.iter().zip(&texts) {
            assert_eq!(ids.id(text.as_bytes()), *id, "{text:.40}");
            assert_eq!(&ids.shown(*id), text);
        }
        let mut different = all.clone();
        different.sort_unstable();
        different.dedup();
        assert_eq!(different.len(), texts.len());
    }
}
