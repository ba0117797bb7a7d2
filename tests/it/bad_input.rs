//! Suite: bad input. What nobody writes and somebody's program does: bombs, depths, sizes, encodings, circles of links.
//! Each is a finding with its place or a bounded run, never a panic or a hang. Files go through the real binary, whose
//! peak memory is measured; a debug build takes about ten times the time of a release.

use std::os::unix::fs::{PermissionsExt, symlink};
use std::time::Duration;

use bkup::diag::Diagnostic;
use bkup::policy::{self, SourceFile};

use crate::world::run::{Cli, cli};

/// What a run may take at its peak, in KiB.
const MOST_MEMORY: u64 = 200 << 10;
/// What a run may take of a processor, in seconds, in a build without optimization on a busy machine.
const MOST_SECONDS: f64 = 20.0;

fn judged(bytes: impl AsRef<[u8]>) -> Vec<Diagnostic> {
    let files = [SourceFile { name: "bkup.yaml".to_owned(), bytes: bytes.as_ref().to_vec() }];
    policy::read(&files).1
}

/// Asserts that a text has a finding of this code, with a place, and that no finding is a page long.
#[track_caller]
fn refused(code: &str, bytes: impl AsRef<[u8]>) {
    let found = judged(bytes);
    assert!(
        found.iter().any(|finding| finding.code.0 == code && finding.span.is_some()),
        "{code}: {:?}",
        found.first()
    );
    for finding in &found {
        assert!(finding.message.len() < 1200, "{} has a message of {} bytes", finding.code, finding.message.len());
        assert!(finding.help.as_ref().is_none_or(|help| help.len() < 1200), "{} has a help of a page", finding.code);
    }
}

fn version(rest: &str) -> String {
    format!("version: 1\n{rest}")
}

fn lines(count: usize, line: impl Fn(usize) -> String) -> String {
    (0..count).map(line).collect()
}

#[test]
fn nesting_has_a_limit_however_it_is_written_and_whether_it_ends() {
    let deep = 100_000;
    for text in [
        format!("x: {}", "[".repeat(deep)),
        format!("x: {}{}", "[".repeat(deep), "]".repeat(deep)),
        format!("x: {}", "{a: ".repeat(deep)),
        format!("x: {}{}", "{".repeat(deep), "}".repeat(deep)),
        format!("x:\n  {}a\n", "- ".repeat(deep)),
        format!("x:\n  {}a\n", "? ".repeat(deep)),
        lines(500, |depth| format!("{}a:\n", " ".repeat(depth))),
    ] {
        refused("BK109", version(&text));
    }
    refused("BK101", version(&format!("x:\n  {}\n", "a: ".repeat(deep))));
    refused("BK101", version(&format!("x: {}", "&a ".repeat(deep))));
}

#[test]
fn aliases_and_merge_keys_cannot_blow_a_file_up() {
    let ten = |name: usize| vec![format!("*a{name}"); 10].join(",");
    refused(
        "BK109",
        version(&format!("x0: &a0 [x,x]\n{}", lines(30, |i| format!("x{}: &a{} [{}]\n", i + 1, i + 1, ten(i))))),
    );
    let chain = lines(20_000, |i| format!("a{}: &a{} {{<<: *a{i}, k{}: 1}}\n", i + 1, i + 1, i + 1));
    refused("BK109", version(&format!("a0: &a0 {{k0: 1}}\n{chain}")));
    refused("BK109", version(&format!("a0: &a0 {{k: 1}}\na: {{<<: [{}]}}\n", vec!["*a0"; 100_000].join(","))));
    refused("BK109", version(&format!("x:\n{}", lines(210_000, |i| format!("- &a{i} 1\n")))));
    refused("BK108", version("stores: &a {x: *a}\n"));
    refused("BK101", version("stores: &a *a\n"));
}

#[test]
fn what_is_not_text_is_refused_where_it_begins() {
    refused("BK100", b"version: 1\nstores: \xff\xfe\n");
    refused("BK100", b"version: 1\nstores: \xed\xa0\x80\n");
    let wide = |text: &str| text.encode_utf16().flat_map(u16::to_le_bytes).collect::<Vec<u8>>();
    refused("BK100", [b"\xff\xfe".to_vec(), wide("version: 1\n")].concat());
    refused("BK101", wide("version: 1\n"));
    refused("BK100", b"\xff\xfe\0\0v\0\0\0");
    refused("BK101", version("stores:\0\n"));
    refused("BK101", version("stores: {a: {url: \"\\ud800\"}}\n"));
    refused("BK101", version("stores: {a: {url: \"\\UFFFFFFFF\"}}\n"));
    refused("BK101", version("\u{feff}stores: {}\n"));
    refused("BK105", "\u{feff}");
    refused("BK104", "---\n".repeat(100_000));
    assert!(judged("version: 1\r").is_empty() && judged("\u{feff}version: 1\r\n").is_empty());
}

#[test]
fn numbers_beyond_every_limit_are_findings() {
    refused("BK114", version(&format!("guards: {{ min_keep: {} }}\n", "9".repeat(1_000_000))));
    refused("BK115", version("retention: { a: { within: 99999999999999999999y } }\n"));
    refused("BK115", version("retention: { a: { within: 9223372036854775807y } }\n"));
    refused("BK115", version("retention: { a: { within: 9223372036854775807s 1s } }\n"));
    refused("BK115", version("guards: { max_delete: 99999999999999999999% }\n"));
    refused("BK115", version(&format!("retention: {{ a: {{ within: {} }} }}\n", "9".repeat(1_000_000))));
    let every = |rule: &str| {
        version(&format!(
            "schedules:\n  n: {{ databases: [d], when: {rule}, backup: database, retention: {{ daily: 1 }}, store: s }}\n"
        ))
    };
    refused("BK305", every("{ every: 9223372036854775807s }"));
    refused("BK301", every(&format!("{{ cron: \"{}\" }}", "* ".repeat(200_000))));
    refused("BK301", every(&format!("{{ cron: \"0-{} * * * *\" }}", "9".repeat(200_000))));
    let giant = judged(every(&format!("{{ cron: \"{} * * * *\" }}", vec!["0-59"; 100_000].join(","))));
    assert!(giant.iter().all(|finding| finding.code.0 == "BK201"), "a long list is no error: {:?}", giant.first());
}

#[test]
fn patterns_cannot_make_matching_slow() {
    let class = |name: &str, pattern: &str| {
        format!("  {name}: {{ tenants: [\"{pattern}\"], priority: 1, rpo: 1h, rto: 1h }}\n")
    };
    let two = |a: &str, b: &str| judged(version(&format!("classes:\n{}{}", class("a", a), class("b", b))));
    assert!(two(&"*a".repeat(30_000), &"*b".repeat(30_000)).is_empty(), "left to the live tenants");
    assert_eq!(two(&format!("{}*", "*a".repeat(127)), &format!("{}*", "*b".repeat(127))).len(), 1);
    let _ = two(&"{a,b}".repeat(20_000), &"[a-z]".repeat(50_000));
    let _ = two(&format!("{}{}", "{a,".repeat(2_000), "}".repeat(2_000)), "*");
    let many = lines(300, |i| class(&format!("c{i}"), &format!("*{}", char::from(b'a' + (i % 26) as u8)).repeat(120)));
    refused("BK206", version(&format!("classes:\n{many}")));
    let all = |first: char| (0..30_000).map(|i| format!("\"{first}{i}*\"")).collect::<Vec<_>>().join(", ");
    let lists = format!(
        "classes:\n  a: {{ tenants: [{}], priority: 1, rpo: 1h, rto: 1h }}\n  b: {{ tenants: [{}], priority: 1, rpo: 1h, rto: 1h }}\n",
        all('a'),
        all('b')
    );
    refused("BK109", version(&lists));
}

#[test]
fn a_store_at_the_root_of_the_machine_is_refused_however_many_slashes_it_has() {
    for url in ["file:///", "file:////", "file:////////"] {
        refused("BK115", version(&format!("stores: {{ s: {{ url: \"{url}\" }} }}\n")));
    }
}

#[test]
fn masking_takes_no_longer_for_a_page_of_urls() {
    for text in ["://a:".repeat(500_000) + "@", "PASSWORD=a".repeat(300_000), "PASSWORD='".repeat(300_000)] {
        assert_eq!(policy::masked(&text).len(), text.len());
    }
    assert_eq!(policy::masked("PASSWORD=aPASSWORD='ge heim'"), "PASSWORD=**********'*******'");
    assert_eq!(policy::masked("http://h?u=http://a:geheim@c x"), "http://h?u=http:**********@c x");
}

/// Runs `validate` through the real binary and asserts that it ends as bad policies do, within its bounds; returns what
/// it wrote. The peak is that of a child of a small Python: a test's own would be counted into its children's.
#[track_caller]
fn bounded(place: &Cli, exits: &[i32]) -> String {
    const MEASURE: &str = "import resource, subprocess, sys\n\
        ran = subprocess.run(sys.argv[1:], stdin=subprocess.DEVNULL, stderr=subprocess.STDOUT)\n\
        used = resource.getrusage(resource.RUSAGE_CHILDREN)\n\
        print(ran.returncode, used.ru_maxrss, used.ru_utime + used.ru_stime, file=sys.stderr)\n";
    let plain = place.command(&["validate"]);
    let mut command = assert_cmd::Command::new("python3");
    command.args(["-c", MEASURE]).arg(plain.get_program()).args(plain.get_args()).current_dir(place.work()).env_clear();
    command.envs(plain.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let output = command.timeout(Duration::from_secs(240)).output().expect("python3 runs");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let measured = String::from_utf8_lossy(&output.stderr).into_owned();
    let numbers: Vec<f64> = measured.split_whitespace().filter_map(|number| number.parse().ok()).collect();
    let [code, memory, seconds] = numbers[..] else { panic!("it did not end in time: {measured}") };
    let begin: String = said.chars().take(400).collect();
    assert!(exits.contains(&(code as i32)) && !said.contains("panicked"), "exit {code}: {begin}");
    assert!(memory <= MOST_MEMORY as f64, "{memory} KiB: {begin}");
    assert!(seconds <= MOST_SECONDS, "{seconds} s: {begin}");
    said
}

#[test]
fn large_files_are_judged_within_bounds() {
    let stores = lines(40_000, |i| format!("  s{i}: {{url: \"file:///s/{i}\"}}\n"));
    let long_keys = format!("x:\n{}", lines(36, |depth| format!("{}{}:\n", " ".repeat(depth + 1), "k".repeat(1000))));
    let paths =
        format!("stores:\n  s:\n{}", lines(34, |depth| format!("{}{}:\n", " ".repeat(depth + 4), "k".repeat(1000))));
    let paths = format!("{paths}{}[{}]\n", " ".repeat(60), "1,".repeat(150_000));
    let names = lines(100_000, |i| format!("d{i}, "));
    let texts = [
        format!("stores:\n{stores}"),
        lines(100_000, |i| format!("k{i}: 1\n")),
        format!("{{{}}}", lines(100_000, |i| format!("k{i}: 1, "))),
        lines(4_000, |i| format!("k{i}: {}\n", "x".repeat(900))),
        format!("x: {}\n", "a".repeat(1 << 20)),
        format!("x:\n{}", "  a\n".repeat(1_000_000)),
        format!("x: [{}]\n", "- &a 1\n".repeat(10)),
        format!("databases: {{d: {{url: \"${{D}}\"}}}}\nrecovery_plans: {{p: {{databases: [{names}]}}}}\n"),
        format!("# {}\n{{\n", "://a:".repeat(500_000)),
        long_keys,
        paths,
    ];
    for text in texts {
        let said = bounded(&cli().file("bkup.yaml", version(&text)), &[0, 3]);
        assert!(said.len() < 8 << 20, "{} bytes were written", said.len());
    }
}

#[test]
fn a_file_of_50_mb_is_refused_without_reading_it() {
    let place = cli().file("policies/a.yaml", vec![b'#'; 50 << 20]);
    assert!(bounded(&place, &[3]).contains("more than 4 MiB"));
}

#[test]
fn a_set_has_a_largest_size_and_takes_no_more_memory_below_it() {
    let full = |text: &dyn Fn(usize) -> String| {
        (0..4).fold(cli(), |place, file| place.file(&format!("policies/{file}.yaml"), version(&text(file))))
    };
    // Just below 4 MiB each, and 16 MiB together.
    let long = "x".repeat(900);
    let comments = full(&|file| lines(4500, |i| format!("# {file} {i} {long}\n")));
    assert!(bounded(&comments, &[0]).contains("4 files, no findings"));
    let more = comments.file("policies/more.yaml", format!("# {}\n", "x".repeat(1 << 20)));
    assert!(bounded(&more, &[3]).contains("together more than 16 MiB"));

    let rules = full(&|file| format!("retention:\n{}", lines(24_000, |i| format!("  r{file}-{i}: {{last: 1}}\n"))));
    bounded(&rules, &[0]);
}

#[test]
fn a_set_has_a_largest_number_of_nodes() {
    let file = |file| {
        let rules = lines(66_000, |i| format!("  r{file}-{i}: {{last: 1}}\n"));
        SourceFile { name: format!("{file}.yaml"), bytes: version(&format!("retention:\n{rules}")).into_bytes() }
    };
    let files: Vec<SourceFile> = (0..4).map(file).collect();
    assert!(policy::read(&files[..3]).1.is_empty());
    let found = policy::read(&files).1;
    let told: Vec<&str> = found.iter().map(|finding| finding.message.as_str()).collect();
    assert!(matches!(told[..], [one] if one.contains("too large together")), "{told:?}");
}

#[test]
fn ten_thousand_files_are_read_and_one_more_is_refused() {
    let mut place = cli();
    for index in 0..10_000 {
        place = place.file(&format!("policies/{index}.yaml"), "version: 1\n");
    }
    assert!(bounded(&place, &[0]).contains("10000 files, no findings"));
    let place = place.file("policies/more.yml", "version: 1\n");
    assert!(bounded(&place, &[3]).contains("more than 10000 files"));
}

#[test]
fn a_folder_may_hold_anything() {
    use std::os::unix::ffi::OsStrExt as _;
    let place = cli().file("policies/a.yaml", "version: 1\n").file("policies/b.txt", b"\xff");
    let inside = |name: &str| place.path("policies").join(name);
    symlink(".", inside("circle")).expect("a link");
    symlink("missing", inside("dangling")).expect("a link");
    std::fs::write(inside("x").with_file_name(std::ffi::OsStr::from_bytes(b"\xff\xfe.yaml")), "version: 2\n")
        .expect("a file");
    assert!(bounded(&place, &[3]).contains("BK107"), "a name that is not UTF-8 is read like any other");
    symlink("loop.yaml", inside("loop.yaml")).expect("a link");
    assert!(bounded(&place, &[3]).contains("cannot read policies"));
    std::fs::remove_file(inside("loop.yaml")).expect("removed");
    std::os::unix::net::UnixListener::bind(inside("socket.yaml")).expect("a socket");
    assert!(bounded(&place, &[3]).contains("no regular file"));
    std::fs::remove_file(inside("socket.yaml")).expect("removed");
    symlink("/dev/zero", inside("zero.yaml")).expect("a link");
    assert!(bounded(&place, &[3]).contains("no regular file"));
    std::fs::remove_file(inside("zero.yaml")).expect("removed");
    std::fs::set_permissions(inside("a.yaml"), std::fs::Permissions::from_mode(0o000)).expect("a mode");
    let _ = bounded(&place, &[3]);
}
