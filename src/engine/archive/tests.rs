//! The parser's promises: any cutting gives the same events, no input makes it panic, nothing short is whole.

use proptest::prelude::*;

use super::{
    ArchiveError, ArchiveReader, Entry, Event, Header, Packing, Part, encode_block, encode_entry, encode_header,
};

fn header() -> impl Strategy<Value = Header> {
    (14_u8..=16, any::<[i16; 7]>(), proptest::option::of("[a-z]{0,9}")).prop_map(|(minor, created, database)| Header {
        minor,
        revision: 0,
        offset_size: 8,
        compression: 0,
        created: created.map(i32::from),
        database: database.map(String::into_bytes),
        server_version: Some(b"17.11".to_vec()),
        dump_version: None,
        entries: 0,
    })
}

fn text() -> impl Strategy<Value = Option<Vec<u8>>> {
    proptest::option::of(proptest::collection::vec(any::<u8>(), 0..40))
}

fn entry() -> impl Strategy<Value = Entry> {
    let part = prop_oneof![Just(Part::None), Just(Part::PreData), Just(Part::Data), Just(Part::PostData)];
    let names = (text(), text(), text(), text(), text());
    let bodies = (text(), text(), text(), text());
    let dependencies = proptest::collection::vec("[0-9]{1,4}".prop_map(String::into_bytes), 0..4);
    (any::<bool>(), part, names, bodies, dependencies, any::<u64>()).prop_map(
        |(has_data, part, names, bodies, dependencies, offset)| Entry {
            id: 0,
            has_data,
            table_oid: Some(b"1259".to_vec()),
            oid: Some(b"16385".to_vec()),
            tag: names.0,
            kind: names.1,
            part,
            definition: bodies.0,
            drop: bodies.1,
            copy: bodies.2,
            schema: names.2,
            tablespace: names.3,
            access_method: bodies.3,
            relation_kind: 0,
            owner: names.4,
            with_oids: Some(b"false".to_vec()),
            dependencies,
            offset_flag: 1,
            offset,
        },
    )
}

/// An archive's bytes, with the events that are due.
fn archive() -> impl Strategy<Value = (Vec<u8>, Vec<String>)> {
    let data = proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..50), 0..4);
    (header(), proptest::collection::vec((entry(), data, any::<bool>()), 0..8)).prop_map(|(mut header, parts)| {
        header.entries = u32::try_from(parts.len()).expect("few");
        let mut bytes = Vec::new();
        encode_header(&header, &mut bytes);
        let mut due = Vec::new();
        let mut blocks = Vec::new();
        let mut data = Vec::new();
        for (index, (mut entry, pieces, objects)) in parts.into_iter().enumerate() {
            entry.id = i32::try_from(index).expect("few") * 3 + 1;
            encode_entry(&header, &entry, &mut bytes);
            due.push(format!("{entry:?}"));
            if !entry.has_data {
                continue;
            }
            let content = pieces.concat();
            let pieces: Vec<&[u8]> = pieces.iter().map(Vec::as_slice).collect();
            let mut block = Vec::new();
            encode_block(entry.id, &pieces, &mut block);
            blocks.push(format!("begin {} {objects}", entry.id));
            if objects {
                // The same list of pieces as one large object: type 3, an oid before it, the oid 0 after it.
                block[0] = 3;
                block.splice(6..6, [0, 7, 0, 0, 0x80]);
                block.extend_from_slice(&[0; 5]);
                blocks.push(format!("object {}", 0x8000_0007_u32.cast_signed()));
            }
            if !content.is_empty() {
                blocks.push(format!("data {content:?}"));
            }
            if objects {
                blocks.push("object end".to_owned());
            }
            blocks.push(format!("end {}", entry.id));
            data.extend_from_slice(&block);
        }
        bytes.extend_from_slice(&data);
        due.extend(blocks);
        (bytes, due)
    })
}

fn read(bytes: &[u8], cuts: &[usize]) -> Result<Vec<String>, ArchiveError> {
    let mut reader = ArchiveReader::new();
    let mut events: Vec<String> = Vec::new();
    let mut data: Vec<u8> = Vec::new();
    let mut left = bytes;
    for cut in cuts.iter().cycle() {
        if left.is_empty() {
            break;
        }
        let (piece, next) = left.split_at((*cut).min(left.len()));
        left = next;
        reader.feed(piece, &mut |event| {
            if let Event::Data(bytes) = event {
                data.extend_from_slice(bytes);
                return Ok(());
            }
            if let Event::Piece { .. } = event {
                return Ok(());
            }
            if !data.is_empty() {
                events.push(format!("data {:?}", std::mem::take(&mut data)));
            }
            match event {
                Event::Toc(toc) => events.extend(toc.entries.iter().map(|entry| format!("{entry:?}"))),
                Event::BlockBegin { id, large_objects } => events.push(format!("begin {id} {large_objects}")),
                Event::ObjectBegin { oid } => events.push(format!("object {oid}")),
                Event::ObjectEnd => events.push("object end".to_owned()),
                Event::BlockEnd { id } => events.push(format!("end {id}")),
                Event::Data(_) | Event::Piece { .. } => {}
            }
            Ok::<(), ArchiveError>(())
        })?;
    }
    reader.finish().map(|_| events)
}

proptest! {
    #[test]
    fn any_cutting_gives_the_same_events(
        (bytes, due) in archive(), cuts in proptest::collection::vec(1_usize..200, 1..6),
    ) {
        prop_assert_eq!(read(&bytes, &cuts).expect("cut"), due.clone());
        prop_assert_eq!(read(&bytes, &[1]).expect("single bytes"), due.clone());
        prop_assert_eq!(read(&bytes, &[usize::MAX]).expect("whole"), due);
    }

    #[test]
    fn nothing_short_is_whole((bytes, due) in archive(), at: prop::sample::Index) {
        let promised = due.iter().filter(|event| event.starts_with("begin")).count();
        let cut = at.index(bytes.len());
        let outcome = read(&bytes[..cut], &[64]);
        prop_assert!(outcome.is_err(), "{cut} of {} bytes, {promised} blocks: {outcome:?}", bytes.len());
    }

    #[test]
    fn no_damage_makes_it_panic(
        (mut bytes, _) in archive(), hits in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..9),
        cut in 1_usize..300,
    ) {
        for (at, value) in hits {
            let at = at.index(bytes.len());
            bytes[at] = value;
        }
        let _any_outcome = read(&bytes, &[cut]);
    }

    #[test]
    fn no_noise_makes_it_panic(noise in proptest::collection::vec(any::<u8>(), 0..400), minor in 13_u8..18) {
        let mut bytes = vec![b'P', b'G', b'D', b'M', b'P', 1, minor, 0, 4, 8, 1, 0];
        bytes.extend_from_slice(&noise);
        prop_assert!(read(&noise, &[7]).is_err());
        let _any_outcome = read(&bytes, &[7]);
    }
}

#[test]
fn other_versions_and_forms_are_refused() {
    let start = |bytes: &[u8]| read(bytes, &[3]);
    assert_eq!(start(b"PGDMP\x01\x0d\x00"), Err(ArchiveError::Version(1, 13)));
    assert_eq!(start(b"PGDMP\x01\x11\x00"), Err(ArchiveError::Version(1, 17)));
    assert_eq!(start(b"--\n-- PostgreSQL"), Err(ArchiveError::Magic));
    assert!(matches!(start(b"PGDMP\x01\x10\x00\x04\x08\x05"), Err(ArchiveError::Header(_))));
    assert!(matches!(start(b""), Err(ArchiveError::Truncated(_))));
}

#[test]
fn a_block_that_comes_twice_is_refused() {
    let header = Header {
        minor: 16,
        revision: 0,
        offset_size: 8,
        compression: 0,
        created: [0; 7],
        database: None,
        server_version: None,
        dump_version: None,
        entries: 0,
    };
    assert_eq!(header.packing(), Packing::None);
    let mut bytes = Vec::new();
    encode_header(&header, &mut bytes);
    encode_block(1, &[b"x"], &mut bytes);
    assert!(matches!(read(&bytes, &[64]), Err(ArchiveError::Damaged { .. })));
}
