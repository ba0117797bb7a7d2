//! Archives written again: header, entries and blocks as `pg_dump` writes them, byte for byte.

use super::{Entry, Header};

/// Returns a number as archives write it.
pub(super) const fn number(value: i32) -> [u8; 5] {
    let [a, b, c, d] = value.unsigned_abs().to_le_bytes();
    [(value < 0) as u8, a, b, c, d]
}

fn int(out: &mut Vec<u8>, value: i32) {
    out.extend_from_slice(&number(value));
}

fn text(out: &mut Vec<u8>, value: Option<&[u8]>) {
    match value {
        None => int(out, -1),
        Some(bytes) => {
            int(out, i32::try_from(bytes.len()).unwrap_or(i32::MAX));
            out.extend_from_slice(bytes);
        }
    }
}

/// Writes a header; its count of entries must be that of the entries that follow.
pub fn encode_header(header: &Header, out: &mut Vec<u8>) {
    out.extend_from_slice(b"PGDMP");
    out.extend_from_slice(&[1, header.minor, header.revision, 4, header.offset_size, 1]);
    if header.minor >= 15 {
        out.push(u8::try_from(header.compression).unwrap_or(0));
    } else {
        int(out, header.compression);
    }
    header.created.iter().for_each(|field| int(out, *field));
    for value in [&header.database, &header.server_version, &header.dump_version] {
        text(out, value.as_deref());
    }
    int(out, header.entries.cast_signed());
}

/// Writes an entry of a header's version.
pub fn encode_entry(header: &Header, entry: &Entry, out: &mut Vec<u8>) {
    int(out, entry.id);
    int(out, i32::from(entry.has_data));
    for value in [&entry.table_oid, &entry.oid, &entry.tag, &entry.kind] {
        text(out, value.as_deref());
    }
    int(out, entry.part as i32);
    for value in [&entry.definition, &entry.drop, &entry.copy, &entry.schema, &entry.tablespace, &entry.access_method] {
        text(out, value.as_deref());
    }
    if header.minor >= 16 {
        int(out, entry.relation_kind);
    }
    text(out, entry.owner.as_deref());
    text(out, entry.with_oids.as_deref());
    entry.dependencies.iter().for_each(|dependency| text(out, Some(dependency)));
    text(out, None);
    out.push(entry.offset_flag);
    out.extend_from_slice(&entry.offset.to_le_bytes()[..usize::from(header.offset_size.min(8))]);
}

/// Writes a block of rows in the given pieces; empty pieces are left out, since they would end the block.
pub fn encode_block(id: i32, pieces: &[&[u8]], out: &mut Vec<u8>) {
    out.push(1);
    int(out, id);
    for piece in pieces.iter().filter(|piece| !piece.is_empty()) {
        text(out, Some(piece));
    }
    int(out, 0);
}
