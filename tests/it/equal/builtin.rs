//! The built-in types with values of theirs that are hard to write and to read again.

/// A type, as a column has it.
#[derive(Debug)]
pub struct Builtin {
    /// Its name in SQL.
    pub name: &'static str,
    /// The kinds of index that take it without further words.
    pub indexes: &'static [&'static str],
    /// Some values as text.
    pub values: &'static [&'static str],
}

const fn b(name: &'static str, indexes: &'static [&'static str], values: &'static [&'static str]) -> Builtin {
    Builtin { name, indexes, values }
}

const ORDERED: &[&str] = &["btree", "hash", "brin"];
const RANGE: &[&str] = &["btree", "hash", "gist", "spgist"];
const SHAPE: &[&str] = &["gist"];
const NONE: &[&str] = &[];

pub const BUILTIN: &[Builtin] = &[
    b("bool", &["btree", "hash"], &["t", "f"]),
    b("\"char\"", &["btree", "hash"], &["a", "\\", ""]),
    b("name", &["btree", "hash"], &["a", "O'Brien \\"]),
    b("int2", ORDERED, &["-32768", "0", "32767"]),
    b("int4", ORDERED, &["-2147483648", "7"]),
    b("int8", ORDERED, &["-9223372036854775808", "9223372036854775807"]),
    b("float4", ORDERED, &["0.1", "NaN", "-Infinity", "1e-45", "-0"]),
    b("float8", ORDERED, &["0.1", "2.2250738585072014e-308", "NaN", "Infinity", "-0"]),
    b("numeric", ORDERED, &["123456789012345678901234567890.123456789", "NaN", "-Infinity", "0.00"]),
    b("numeric(12,2)", ORDERED, &["1.5", "-9999999999.99"]),
    b("numeric(3,-2)", ORDERED, &["12345", "-99900"]),
    b("money", &["btree"], &["1234.56", "-0.01"]),
    b(
        "text",
        &["btree", "hash", "brin", "spgist"],
        &["", "a\nb\tc\\d\r", "\\.", "\\N", "日本語 🐘", "\u{b}\u{c}\u{8}"],
    ),
    b("varchar", ORDERED, &["", " x "]),
    b("varchar(9)", ORDERED, &["ü", "123456789"]),
    b("char(5)", ORDERED, &["ab", ""]),
    b("bytea", ORDERED, &["\\x00ff5c0a", "\\x"]),
    b("date", ORDERED, &["2028-02-29", "infinity", "0044-03-15 BC", "294276-01-01"]),
    b("time", ORDERED, &["12:34:56.789", "24:00"]),
    b("time(0)", ORDERED, &["23:59:59.4"]),
    b("timetz", ORDERED, &["12:00+05:30", "00:00-12:34:56"]),
    b("timestamp", ORDERED, &["2026-01-01 00:00:00.000001", "-infinity"]),
    b("timestamp(3)", ORDERED, &["2026-01-01 00:00:00.1239"]),
    b("timestamptz", ORDERED, &["2026-03-29 01:30+01", "infinity", "4713-01-01 00:00+00 BC"]),
    b("interval", ORDERED, &["1 year 2 mons -3 days 04:05:06.7", "-1 day +1 hour"]),
    b("interval hour to minute", ORDERED, &["25:30"]),
    b("uuid", ORDERED, &["a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"]),
    b("json", NONE, &["{\"a\" :  1, \"a\": 2}", "null"]),
    b("jsonb", &["btree", "hash", "gin"], &["{\"a\": [1, null, \"\\u00fc\\n\"]}", "\"\""]),
    b("jsonpath", NONE, &["$.\"a\"[*] ? (@ > 1)", "strict $"]),
    b("xml", NONE, &["<a b=\"c\">ü &amp; </a>", "text"]),
    b("inet", &["btree", "hash", "brin", "spgist"], &["10.0.0.1/8", "::1"]),
    b("cidr", &["btree", "hash", "spgist"], &["10.0.0.0/8", "::/0"]),
    b("macaddr", ORDERED, &["08:00:2b:01:02:03"]),
    b("macaddr8", ORDERED, &["08:00:2b:01:02:03:04:05"]),
    b("bit(4)", &["btree", "brin"], &["1010"]),
    b("bit varying", &["btree", "brin"], &["", "101"]),
    b("point", &["gist", "spgist"], &["(1.5,-2)", "(NaN,Infinity)"]),
    b("line", NONE, &["{1,-1,0}"]),
    b("lseg", NONE, &["[(0,0),(1,1)]"]),
    b("box", &["gist", "spgist", "brin"], &["(2,2),(0,0)"]),
    b("path", NONE, &["((0,0),(1,1),(2,0))", "[(0,0),(1,1)]"]),
    b("polygon", &["gist", "spgist"], &["((0,0),(1,1),(2,0))"]),
    b("circle", SHAPE, &["<(0,0),1.25>"]),
    b("int4range", RANGE, &["[1,5)", "empty", "(,)"]),
    b("int8range", RANGE, &["[1,)"]),
    b("numrange", RANGE, &["(0.1,0.2]"]),
    b("daterange", RANGE, &["[2026-01-01,2026-02-01)"]),
    b("tsrange", RANGE, &["[2026-01-01 00:00,2026-01-01 00:00:01]"]),
    b("tstzrange", RANGE, &["[2026-01-01 00:00+09,infinity)"]),
    b("int4multirange", &["btree", "hash", "gist"], &["{[1,2),[5,9)}", "{}"]),
    b("tstzmultirange", &["btree", "hash", "gist"], &["{[2026-01-01 00:00+09,infinity)}"]),
    b("tsvector", &["gin", "gist"], &["a:1A b:2,3 'c d'", ""]),
    b("tsquery", &["btree", "gist"], &["a & !b <-> 'c d':*A"]),
    b("oid", ORDERED, &["0", "4294967295"]),
    b("regclass", &["btree", "hash"], &["pg_catalog.pg_class"]),
    b("regtype", &["btree", "hash"], &["timestamp with time zone", "text[]"]),
    b("regproc", &["btree", "hash"], &["pg_catalog.now"]),
    b("regprocedure", &["btree", "hash"], &["abs(integer)"]),
    b("regoper", &["btree", "hash"], &["||/"]),
    b("regoperator", &["btree", "hash"], &["+(integer,integer)"]),
    b("regrole", &["btree", "hash"], &["postgres"]),
    b("regnamespace", &["btree", "hash"], &["pg_catalog"]),
    b("regconfig", &["btree", "hash"], &["english"]),
    b("regdictionary", &["btree", "hash"], &["simple"]),
    b("regcollation", &["btree", "hash"], &["\"C\""]),
    b("xid", &["hash"], &["4294967295"]),
    b("xid8", &["btree", "hash"], &["18446744073709551615"]),
    b("cid", &["hash"], &["1"]),
    b("tid", &["btree", "hash"], &["(1,2)"]),
    b("pg_lsn", ORDERED, &["16/B374D848"]),
    b("pg_snapshot", NONE, &["10:20:10,14,15"]),
    b("txid_snapshot", NONE, &["10:20:10,14,15"]),
    b("int2vector", NONE, &["1 2 3", ""]),
    b("oidvector", &["btree", "hash"], &["1 2"]),
    b("aclitem", &["hash"], &["postgres=arw/postgres"]),
    b("refcursor", NONE, &["cursor"]),
];
