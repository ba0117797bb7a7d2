//! What splitting promises: every entry and every block has one archive, nothing is changed on the way, and what was
//! split can be merged again.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::{
    ArchiveError, ArchiveReader, Entry, Event, Header, Home, Part, Portion, Publications, Splitter, Toc, encode_block,
    encode_entry, encode_header,
};

const A: Home = Home::Tenant(0);
const B: Home = Home::Tenant(1);

fn header() -> Header {
    Header { minor: 16, offset_size: 8, ..Header::default() }
}

/// An entry with an id, a kind, a tag, a schema and what it depends on.
fn entry(id: i32, kind: &str, tag: &str, schema: &str, needs: &[i32]) -> Entry {
    let has_data = matches!(kind, "TABLE DATA" | "BLOBS");
    let part = match kind {
        "TABLE DATA" | "BLOBS" => Part::Data,
        "CONSTRAINT" | "INDEX" | "INDEX ATTACH" | "FK CONSTRAINT" | "TRIGGER" => Part::PostData,
        _ => Part::PreData,
    };
    Entry {
        id,
        has_data,
        table_oid: Some(b"1259".to_vec()),
        oid: Some(b"16385".to_vec()),
        tag: Some(tag.as_bytes().to_vec()),
        kind: Some(kind.as_bytes().to_vec()),
        part,
        definition: Some(format!("-- {tag}").into_bytes()),
        drop: None,
        copy: has_data.then(|| b"COPY s.t (a) FROM stdin;\n".to_vec()),
        schema: (!schema.is_empty()).then(|| schema.as_bytes().to_vec()),
        tablespace: None,
        access_method: None,
        relation_kind: 0,
        owner: Some(b"app".to_vec()),
        with_oids: Some(b"false".to_vec()),
        dependencies: needs.iter().map(|id| id.to_string().into_bytes()).collect(),
        offset_flag: if has_data { 1 } else { 3 },
        offset: 0,
    }
}

fn archive(entries: &[Entry], blocks: &[(i32, Vec<Vec<u8>>)]) -> Vec<u8> {
    let header = Header { entries: u32::try_from(entries.len()).expect("few"), ..header() };
    let mut out = Vec::new();
    encode_header(&header, &mut out);
    entries.iter().for_each(|entry| encode_entry(&header, entry, &mut out));
    for (id, pieces) in blocks {
        let pieces: Vec<&[u8]> = pieces.iter().map(Vec::as_slice).collect();
        encode_block(*id, &pieces, &mut out);
    }
    out
}

fn split_as(
    bytes: &[u8],
    tenants: &[&str],
    cut: usize,
    publications: Publications,
) -> Result<BTreeMap<Home, Vec<u8>>, ArchiveError> {
    let mut splitter = Splitter::new(tenants.iter().map(|t| (*t).to_owned()).collect(), publications);
    let mut archives: BTreeMap<Home, Vec<u8>> = BTreeMap::new();
    let mut ended = BTreeSet::new();
    for piece in bytes.chunks(cut) {
        splitter.feed(piece, &mut |portion| {
            match portion {
                Portion::Bytes { home, bytes } => {
                    assert!(!ended.contains(&home), "{home:?} goes on behind its end");
                    archives.entry(home).or_default().extend_from_slice(&bytes);
                }
                Portion::End { home } => assert!(ended.insert(home), "{home:?} ends twice"),
                Portion::Begin(_) | Portion::Seen { .. } => {}
            }
            Ok::<(), ArchiveError>(())
        })?;
    }
    let homes = splitter.finish()?;
    assert_eq!(ended, homes.homes().collect());
    Ok(archives)
}

fn split(bytes: &[u8], tenants: &[&str]) -> BTreeMap<Home, Vec<u8>> {
    split_as(bytes, tenants, 7, Publications::WithTenant).expect("splits")
}

type Blocks = BTreeMap<i32, Vec<Vec<u8>>>;

/// Reads an archive back: its table of contents, and the pieces of each block.
fn read(bytes: &[u8]) -> (Toc, Blocks) {
    let mut reader = ArchiveReader::new();
    let (mut blocks, mut current) = (Blocks::new(), 0);
    reader
        .feed(bytes, &mut |event| {
            match event {
                Event::BlockBegin { id, .. } => {
                    current = id;
                    blocks.insert(id, Vec::new());
                }
                Event::Piece { .. } => blocks.get_mut(&current).expect("begun").push(Vec::new()),
                Event::Data(data) => {
                    blocks.get_mut(&current).and_then(|b| b.last_mut()).expect("begun").extend_from_slice(data);
                }
                _ => {}
            }
            Ok::<(), ArchiveError>(())
        })
        .expect("reads");
    ((*reader.finish().expect("is whole")).clone(), blocks)
}

fn ids(archives: &BTreeMap<Home, Vec<u8>>, home: Home) -> Vec<i32> {
    archives.get(&home).map(|bytes| read(bytes).0.entries.iter().map(|entry| entry.id).collect()).unwrap_or_default()
}

#[track_caller]
fn lives(entries: &[Entry], due: &[(i32, Home)]) {
    let blocks: Vec<_> = entries.iter().filter(|e| e.has_data).map(|e| (e.id, vec![b"1\n".to_vec()])).collect();
    let archives = split(&archive(entries, &blocks), &["a", "b"]);
    for (id, home) in due {
        let found: Vec<Home> = archives.keys().copied().filter(|home| ids(&archives, *home).contains(id)).collect();
        assert_eq!(found, [*home], "entry {id}");
    }
}

#[test]
fn an_entry_of_a_schema_goes_with_the_schema_by_its_exact_bytes() {
    let entries = [
        entry(1, "TABLE", "t", "a", &[]),
        entry(2, "TABLE DATA", "t", "a", &[1]),
        entry(3, "TABLE", "a", "public", &[]),
        entry(4, "TABLE", "t", "A", &[]),
        entry(5, "TABLE", "t", "\"a\"", &[]),
        entry(6, "TABLE", "t", "b", &[]),
        entry(7, "DEFAULT ACL", "DEFAULT PRIVILEGES FOR TABLES", "b", &[]),
        entry(8, "PUBLICATION TABLE", "p t", "b", &[]),
    ];
    let due = [(1, A), (2, A), (3, Home::Shared), (4, Home::Shared), (5, Home::Shared), (6, B), (7, B), (8, B)];
    lives(&entries, &due);
}

#[test]
fn a_schema_is_known_by_its_raw_tag_and_its_comment_by_what_it_depends_on() {
    let entries = [
        entry(1, "SCHEMA", "a", "", &[]),
        entry(2, "COMMENT", "SCHEMA b", "", &[1]),
        entry(3, "ACL", "SCHEMA \"a\"", "", &[1]),
        entry(4, "SCHEMA", "\"a\"", "", &[]),
    ];
    lives(&entries, &[(1, A), (2, A), (3, A), (4, Home::Shared)]);
}

#[test]
fn what_has_no_schema_goes_where_what_it_depends_on_is() {
    let entries = [
        entry(1, "TYPE", "t", "a", &[]),
        entry(2, "TYPE", "t", "b", &[]),
        entry(3, "TYPE", "t", "public", &[]),
        entry(4, "CAST", "CAST (a.t AS public.t)", "", &[1, 3]),
        entry(5, "CAST", "CAST (a.t AS b.t)", "", &[1, 2]),
        entry(6, "CAST", "CAST (public.t AS text)", "", &[3]),
        entry(7, "COMMENT", "CAST (a.t AS public.t)", "", &[4]),
        entry(8, "COMMENT", "CAST (a.t AS b.t)", "", &[5]),
        // In front of what it depends on, and in a circle.
        entry(9, "EXTENSION", "e", "", &[11]),
        entry(10, "EXTENSION", "v", "", &[10, 12]),
        entry(11, "SCHEMA", "b", "", &[]),
        entry(12, "COMMENT", "x", "", &[10]),
    ];
    let due = [(4, A), (5, Home::Bridge), (6, Home::Shared), (7, A), (8, Home::Bridge), (9, B), (10, Home::Shared)];
    lives(&entries, &due);
}

#[test]
fn what_is_global_by_nature_is_never_a_tenants() {
    let entries = [
        entry(1, "FUNCTION", "h", "a", &[]),
        entry(2, "FOREIGN DATA WRAPPER", "w", "", &[1]),
        entry(3, "DATABASE", "d", "", &[]),
        entry(4, "BLOBS", "BLOBS", "", &[]),
        entry(5, "PUBLICATION", "p", "", &[]),
        entry(6, "ACL", "DATABASE d", "", &[3]),
    ];
    let shared = [3, 4, 5, 6].map(|id| (id, Home::Shared));
    lives(&entries, &[&shared[..], &[(2, Home::Bridge)]].concat());
}

#[test]
fn what_stands_on_tenants_from_outside_is_bridged_over_any_number_of_steps() {
    let entries = [
        entry(1, "TABLE", "t", "a", &[]),
        entry(2, "VIEW", "v3", "public", &[3]),
        entry(3, "VIEW", "v2", "public", &[4]),
        entry(4, "VIEW", "v1", "public", &[1]),
        entry(5, "ACL", "TABLE v3", "public", &[2]),
        entry(6, "VIEW", "alone", "public", &[]),
        entry(7, "VIEW", "v", "b", &[1]),
    ];
    let due = [2, 3, 4, 5].map(|id| (id, Home::Bridge));
    lives(&entries, &[&due[..], &[(6, Home::Shared), (7, B)]].concat());
}

#[test]
fn a_partition_of_a_foreign_parent_is_attached_behind_its_own_indexes() {
    let entries = [
        entry(1, "ENCODING", "ENCODING", "", &[]),
        entry(2, "TABLE", "p", "public", &[]),
        entry(3, "TABLE", "c", "a", &[]),
        entry(4, "TABLE ATTACH", "c", "a", &[2, 3]),
        entry(5, "TABLE", "q", "a", &[]),
        entry(6, "TABLE", "d", "a", &[]),
        entry(7, "TABLE ATTACH", "d", "a", &[5, 6]),
        entry(8, "TABLE DATA", "c", "a", &[3]),
        entry(9, "CONSTRAINT", "c_pkey", "a", &[3]),
        entry(10, "CONSTRAINT", "d_pkey", "a", &[6]),
        entry(11, "INDEX ATTACH", "c_pkey", "a", &[3, 9, 2]),
        entry(12, "FK CONSTRAINT", "f", "a", &[3]),
    ];
    let archives = split(&archive(&entries, &[(8, vec![b"1\n".to_vec()])]), &["a"]);
    assert_eq!(ids(&archives, A), [1, 3, 5, 6, 7, 8, 9, 10, 4, 11, 12]);
    let (toc, _) = read(&archives[&A]);
    let moved = toc.entry(4).expect("is there");
    assert_eq!((moved.part, moved.needs().collect::<Vec<_>>()), (Part::PostData, vec![2, 3, 9]));
    // Its own partitions are as they were.
    assert_eq!(toc.entry(7).map(|entry| entry.part), Some(Part::PreData));
    assert_eq!(ids(&archives, Home::Shared), [1, 2]);
}

#[test]
fn a_partitioned_partition_of_a_foreign_parent_is_attached_when_its_own_partitions_indexes_are() {
    let entries = [
        entry(1, "ENCODING", "ENCODING", "", &[]),
        entry(2, "TABLE", "p", "public", &[]),
        entry(3, "TABLE", "c", "a", &[]),
        entry(4, "TABLE", "d", "a", &[]),
        entry(5, "TABLE ATTACH", "c", "a", &[3, 2]),
        entry(6, "TABLE ATTACH", "d", "a", &[4, 3]),
        entry(7, "CONSTRAINT", "p_pkey", "public", &[2]),
        entry(8, "CONSTRAINT", "c_pkey", "a", &[3, 7]),
        entry(9, "CONSTRAINT", "d_pkey", "a", &[4, 8]),
        entry(10, "INDEX ATTACH", "c_pkey", "a", &[3, 8, 7, 2]),
        // As pg_dump does, with the indexes of all ancestors.
        entry(11, "INDEX ATTACH", "d_pkey", "a", &[4, 9, 3, 8, 7]),
        entry(12, "FK CONSTRAINT", "f", "a", &[3]),
    ];
    let archives = split(&archive(&entries, &[]), &["a"]);
    assert_eq!(ids(&archives, A), [1, 3, 4, 6, 8, 9, 11, 5, 10, 12]);
    let (toc, _) = read(&archives[&A]);
    let needs = |id| toc.entry(id).expect("is there").needs().collect::<Vec<_>>();
    assert_eq!((needs(5), needs(10)), (vec![3, 2, 8, 9, 11], vec![3, 8, 7, 2, 5]));
    assert_eq!((needs(6), needs(11)), (vec![4, 3], vec![4, 9, 3, 8, 7]));
}

#[test]
fn what_would_change_the_making_of_tenants_comes_after_them() {
    let entries = [
        entry(1, "DEFAULT ACL", "DEFAULT PRIVILEGES FOR TABLES", "", &[]),
        entry(2, "DEFAULT ACL", "DEFAULT PRIVILEGES FOR TABLES", "public", &[]),
        entry(3, "DEFAULT ACL", "DEFAULT PRIVILEGES FOR TABLES", "a", &[]),
        entry(4, "FUNCTION", "f", "public", &[]),
        entry(5, "EVENT TRIGGER", "e", "", &[4]),
        entry(6, "COMMENT", "EVENT TRIGGER e", "", &[5]),
        entry(7, "FUNCTION", "f", "a", &[]),
        entry(8, "EVENT TRIGGER", "ea", "", &[7]),
        entry(9, "TABLE", "p", "public", &[]),
        entry(10, "TABLE", "c", "a", &[]),
        entry(11, "TABLE ATTACH", "c", "a", &[10, 9]),
        entry(12, "CHECK CONSTRAINT", "p not_proven", "public", &[9]),
        entry(13, "TABLE", "q", "public", &[]),
        entry(14, "CHECK CONSTRAINT", "q not_proven", "public", &[13]),
    ];
    let due = [1, 2, 5, 6, 12].map(|id| (id, Home::Bridge));
    lives(&entries, &[&due[..], &[(3, A), (4, Home::Shared), (7, A), (8, A), (11, A), (14, Home::Shared)]].concat());
}

#[test]
fn publications_can_be_kept_out_of_tenants() {
    let entries = [entry(1, "TABLE", "t", "a", &[]), entry(2, "PUBLICATION TABLE", "p t", "a", &[1])];
    let archives = split_as(&archive(&entries, &[]), &["a"], 9, Publications::InBridge).expect("splits");
    assert_eq!(ids(&archives, Home::Bridge), [2]);
}

#[test]
fn references_between_tenants_are_told() {
    let entries = [
        entry(1, "TABLE", "t", "a", &[]),
        entry(2, "TABLE", "t", "b", &[]),
        entry(3, "FK CONSTRAINT", "f", "a", &[1, 2]),
        entry(4, "FK CONSTRAINT", "f", "b", &[2, 1]),
    ];
    let mut splitter = Splitter::new(vec!["a".to_owned(), "b".to_owned()], Publications::default());
    splitter.feed(&archive(&entries, &[]), &mut |_| Ok::<(), ArchiveError>(())).expect("reads");
    let homes = splitter.finish().expect("is whole");
    assert_eq!(homes.references(), [(A, B), (B, A)].into());
}

#[test]
fn large_objects_pass_with_their_oids() {
    let entries = [entry(1, "BLOBS", "BLOBS", "", &[]), entry(2, "TABLE", "t", "a", &[])];
    let mut bytes = archive(&entries, &[]);
    let (yes, no) = ([0, 2, 0, 0, 0], [0; 5]);
    bytes.extend([&[3][..], &[0, 1, 0, 0, 0], &[0, 7, 0, 0, 0x80], &yes, b"ab", &no, &no].concat());
    let shared = &split(&bytes, &["a"])[&Home::Shared];
    assert!(
        shared.ends_with(&[&[3][..], &[0, 1, 0, 0, 0], &[1, 0xf9, 0xff, 0xff, 0x7f], &yes, b"ab", &no, &no].concat())
    );
    read(shared);
}

#[test]
fn compressed_streams_are_refused() {
    let mut bytes = Vec::new();
    encode_header(&Header { compression: 1, ..header() }, &mut bytes);
    let refused = split_as(&bytes, &[], 64, Publications::default());
    assert!(matches!(refused, Err(ArchiveError::Header(_))), "{refused:?}");
}

#[test]
fn names_with_line_ends_and_quotes_are_only_bytes() {
    let name = "a\n\"'\\; -- ü";
    let entries = [entry(1, "SCHEMA", name, "", &[]), entry(2, "TABLE", "t", name, &[1])];
    assert_eq!(ids(&split(&archive(&entries, &[]), &[name]), A), [1, 2]);
}

/// Each entry's blocks, in their order.
type Listed = Vec<(i32, Vec<Vec<u8>>)>;

/// Entries of two tenants, a shared schema and none, with any dependencies, and blocks in the order of entries.
fn world() -> impl Strategy<Value = (Vec<Entry>, Listed)> {
    let kind = prop::sample::select(vec!["TABLE", "VIEW", "TABLE DATA", "CAST", "INDEX", "TABLE ATTACH", "COMMENT"]);
    let schema = prop::sample::select(vec!["a", "b", "public", ""]);
    let needs = prop::collection::vec(1_i32..24, 0..4);
    let pieces = prop::collection::vec(prop::collection::vec(any::<u8>(), 1..40), 0..4);
    prop::collection::vec((kind, schema, needs, pieces), 1..20).prop_map(|parts| {
        let mut entries = vec![entry(100, "ENCODING", "ENCODING", "", &[])];
        let mut blocks = Vec::new();
        for (index, (kind, schema, needs, pieces)) in parts.into_iter().enumerate() {
            let id = i32::try_from(index).expect("few") + 1;
            let made = entry(id, kind, &format!("e{id}"), schema, &needs);
            if made.has_data {
                blocks.push((id, pieces));
            }
            entries.push(made);
        }
        (entries, blocks)
    })
}

proptest! {
    #[test]
    fn every_entry_and_every_block_comes_out_once_and_unchanged(
        (entries, blocks) in world(), cut in 1_usize..300,
    ) {
        let bytes = archive(&entries, &blocks);
        let archives = split_as(&bytes, &["a", "b"], cut, Publications::WithTenant).expect("splits");
        let (mut seen, mut data) = (BTreeMap::new(), Blocks::new());
        for bytes in archives.values() {
            let (toc, blocks) = read(bytes);
            prop_assert_eq!(toc.entries.first().map(|entry| entry.id), Some(100), "the preamble is first");
            for entry in toc.entries.iter().skip(1) {
                prop_assert!(seen.insert(entry.id, entry.clone()).is_none(), "entry {} is in two archives", entry.id);
            }
            data.extend(blocks);
        }
        prop_assert_eq!(data, blocks.into_iter().collect::<Blocks>());
        for due in &entries[1..] {
            let found = &seen[&due.id];
            let moved = due.kind() == "TABLE ATTACH" && found.part == Part::PostData;
            if moved || due.kind() == "INDEX ATTACH" {
                // What it needed it still needs.
                prop_assert!(found.dependencies.starts_with(&due.dependencies));
                prop_assert_eq!(&found.definition, &due.definition);
            } else {
                prop_assert_eq!(found, due);
            }
        }
    }

    #[test]
    fn nothing_shared_depends_on_a_tenant((entries, blocks) in world()) {
        let archives = split(&archive(&entries, &blocks), &["a", "b"]);
        if let Some(shared) = archives.get(&Home::Shared) {
            let (toc, _) = read(shared);
            let others: BTreeSet<i32> = [A, B, Home::Bridge].iter().flat_map(|home| ids(&archives, *home)).collect();
            for entry in toc.entries.iter().filter(|entry| entry.id != 100) {
                prop_assert!(entry.needs().all(|id| id == 100 || !others.contains(&id)), "entry {}", entry.id);
            }
        }
    }

    #[test]
    fn no_cut_stream_is_whole((entries, blocks) in world(), at: prop::sample::Index) {
        let bytes = archive(&entries, &blocks);
        let cut = at.index(bytes.len());
        prop_assert!(split_as(&bytes[..cut], &["a", "b"], 64, Publications::WithTenant).is_err());
    }

    #[test]
    fn a_piece_of_any_length_is_never_held(length in 1_usize..3_000_000) {
        let entries = [entry(1, "TABLE", "t", "a", &[]), entry(2, "TABLE DATA", "t", "a", &[1])];
        let bytes = archive(&entries, &[(2, vec![vec![b'x'; length]])]);
        let mut splitter = Splitter::new(vec!["a".to_owned()], Publications::default());
        let (mut largest, mut total) = (0, 0);
        for piece in bytes.chunks(10_000) {
            splitter.feed(piece, &mut |portion| {
                if let Portion::Bytes { bytes, .. } = portion {
                    largest = largest.max(bytes.len());
                    total += bytes.len();
                }
                Ok::<(), ArchiveError>(())
            }).expect("splits");
        }
        splitter.finish().expect("is whole");
        prop_assert!(largest < super::GATHERED + 10_100, "{largest}");
        prop_assert_eq!(total, bytes.len());
    }
}
