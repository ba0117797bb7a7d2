//! Suite: github_action. The composite action: its steps' shell, run as GitHub runs it, against a GitHub in this process;
//! and what stands in `action.yml` itself.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::world::github::{Answer, BOT, Comment, GitHub, REPOSITORY, TOKEN};

const MARKER: &str = "<!-- bkup:plan:default -->";

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// A step's place on a runner.
struct Runner {
    dir: tempfile::TempDir,
    env: Vec<(String, String)>,
}

struct Ended {
    code: i32,
    said: String,
}

impl Runner {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let runner = Self { dir, env: Vec::new() };
        runner.file("event.json", &json!({ "pull_request": { "number": 7, "title": "a change" } }).to_string());
        runner
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn file(&self, name: &str, text: &str) -> String {
        std::fs::write(self.path(name), text).unwrap();
        self.path(name).display().to_string()
    }

    fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.path(name)).unwrap_or_default()
    }

    fn env(mut self, name: &str, value: &str) -> Self {
        self.env.push((name.to_owned(), value.to_owned()));
        self
    }

    #[expect(clippy::disallowed_methods, reason = "a step's shell, which is what is tested")]
    fn run(&self, script: &str) -> Ended {
        let mut command = std::process::Command::new("bash");
        command.args(["--noprofile", "--norc", "-e", "-o", "pipefail"]).arg(root().join("scripts/github").join(script));
        command.env_clear().current_dir(self.dir.path()).stdin(std::process::Stdio::null());
        command.env("PATH", "/usr/local/bin:/usr/bin:/bin").env("HOME", self.dir.path()).env("TMPDIR", self.dir.path());
        command.envs(self.env.iter().cloned());
        let output = command.output().expect("bash");
        let said = [output.stdout, output.stderr].concat();
        Ended { code: output.status.code().unwrap_or(-1), said: String::from_utf8_lossy(&said).into_owned() }
    }
}

/// Runs the step that comments, with a text.
fn comment_with(github: &GitHub, text: &str, more: &[(&str, &str)]) -> Ended {
    let mut runner = Runner::new();
    let event = runner.path("event.json").display().to_string();
    let md = runner.file("plan.md", text);
    for (name, value) in [
        ("BKUP_MD", md.as_str()),
        ("BKUP_COMMENT", "always"),
        ("BKUP_TOKEN", TOKEN),
        ("BKUP_RETRY_SECONDS", "0"),
        ("GITHUB_API_URL", &github.url()),
        ("GITHUB_REPOSITORY", REPOSITORY),
        ("GITHUB_EVENT_PATH", &event),
    ] {
        runner = runner.env(name, value);
    }
    for (name, value) in more {
        runner = runner.env(name, value);
    }
    let ended = runner.run("comment.sh");
    assert!(!ended.said.contains(TOKEN), "the token is in the log:\n{}", ended.said);
    let left: Vec<_> = std::fs::read_dir(runner.dir.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left.len(), 2, "the step left files behind: {left:?}");
    ended
}

#[track_caller]
fn comment(github: &GitHub, text: &str) -> String {
    let ended = comment_with(github, text, &[]);
    assert_eq!(ended.code, 0, "{}", ended.said);
    ended.said
}

fn text(words: &str) -> String {
    format!("{MARKER}\n### {words}\n")
}

fn ours(github: &GitHub) -> Vec<Comment> {
    github.comments().into_iter().filter(|comment| comment.author == BOT).collect()
}

#[test]
fn the_first_run_makes_a_comment_and_the_second_one_updates_it() {
    let github = GitHub::start();
    comment(&github, &text("first"));
    let [made] = ours(&github).try_into().unwrap();
    assert_eq!(made.body, text("first"));
    comment(&github, &text("second"));
    assert_eq!(ours(&github), [Comment { body: text("second"), ..made }]);
}

#[test]
fn a_comment_is_found_behind_more_than_a_hundred_others() {
    let github = GitHub::start();
    for n in 0..130 {
        github.comment("somebody", &format!("{n}"));
    }
    let id = github.comment(BOT, &text("old"));
    for n in 0..100 {
        github.comment("somebody", &format!("{n}"));
    }
    comment(&github, &text("new"));
    assert_eq!(ours(&github), [Comment { id, author: BOT.to_owned(), body: text("new") }]);
    assert!(github.requests().iter().any(|request| request.ends_with("page=3")), "{:?}", github.requests());
}

#[test]
fn nobody_else_s_comment_is_touched_whatever_it_says() {
    let github = GitHub::start();
    github.comment("mallory", &text("a plan that deletes nothing"));
    github.comment(BOT, &format!("not at the begin {MARKER}"));
    github.comment(BOT, "<!-- bkup:plan:default2 -->\nof another policy set");
    github.comment(BOT, "<!-- bkup:report:default -->\na report");
    let before = github.comments();
    comment(&github, &text("real"));
    assert_eq!(github.comments()[..4], before);
    assert_eq!(github.comments()[4].body, text("real"));
}

#[test]
fn several_policy_sets_have_a_comment_each() {
    let github = GitHub::start();
    for _ in 0..2 {
        comment(&github, "<!-- bkup:plan:eu.prod_1 -->\n### a\n");
        comment(&github, "<!-- bkup:plan:eu -->\n### b\n");
    }
    assert_eq!(ours(&github).len(), 2);
}

#[test]
fn a_token_that_may_not_write_does_not_fail_the_job() {
    for (method, status) in [("POST", 403), ("POST", 404), ("GET", 403), ("GET", 401)] {
        let github = GitHub::start();
        github.answer(method, &[Answer::Refuse(status)]);
        let said = comment(&github, &text("plan"));
        assert!(said.contains(&format!("may not write comments here ({status})")), "{said}");
        assert!(said.starts_with("::notice title=bkup::no comment: "), "{said}");
        assert!(!said.contains("not accessible by integration"), "an answer's words are not for the log: {said}");
        assert_eq!(github.requests().len(), if method == "GET" { 1 } else { 2 }, "a refusal is not repeated");
    }
    let github = GitHub::start();
    github.comment(BOT, &text("old"));
    github.answer("PATCH", &[Answer::Refuse(403)]);
    assert!(comment(&github, &text("new")).contains("may not write"));
    let ended = comment_with(&github, &text("new"), &[("BKUP_TOKEN", "")]);
    assert_eq!((ended.code, ended.said.contains("there is no token")), (0, true), "{}", ended.said);
}

#[test]
fn a_server_that_fails_is_asked_again() {
    let github = GitHub::start();
    github.answer("GET", &[Answer::Refuse(500), Answer::Refuse(502), Answer::Refuse(429)]);
    github.answer("POST", &[Answer::Refuse(500)]);
    comment(&github, &text("plan"));
    assert_eq!(ours(&github).len(), 1);
    github.answer("PATCH", &[Answer::Refuse(503), Answer::DoneBut(500)]);
    comment(&github, &text("again"));
    assert_eq!(ours(&github)[0].body, text("again"));
}

#[test]
fn a_comment_whose_answer_was_lost_is_not_made_twice() {
    let github = GitHub::start();
    github.answer("POST", &[Answer::DoneBut(500)]);
    comment(&github, &text("plan"));
    assert_eq!(ours(&github).len(), 1);
    assert_eq!(github.requests().iter().filter(|request| request.starts_with("POST")).count(), 1);
}

#[test]
fn a_server_that_keeps_failing_does_not_fail_the_job() {
    let github = GitHub::start();
    github.answer("POST", &[Answer::Refuse(500); 9]);
    assert!(comment(&github, &text("plan")).contains("GitHub answered 500"));
    let ended = comment_with(&github, &text("plan"), &[("GITHUB_API_URL", "http://127.0.0.1:1")]);
    assert_eq!((ended.code, ended.said.contains("GitHub did not answer")), (0, true), "{}", ended.said);
}

#[test]
fn what_a_pull_request_is_called_is_never_run() {
    let github = GitHub::start();
    let runner = Runner::new();
    let evil = "$(touch pwned)`touch pwned`\"; touch pwned; '\n::set-output name=a::b";
    let event = json!({ "pull_request": { "number": 7, "title": evil, "head": { "ref": evil, "label": evil } } });
    let event = runner.file("event.json", &event.to_string());
    let body = format!("{MARKER}\n### {evil}\n$(touch pwned) `touch pwned` \\n %s \"quoted\" \\\\ \u{1f4be}\n");
    let ended = comment_with(&github, &body, &[("GITHUB_EVENT_PATH", &event)]);
    assert_eq!(ended.code, 0, "{}", ended.said);
    assert_eq!(ours(&github)[0].body, body, "every byte arrives");
    assert!(!ended.said.lines().any(|line| line.starts_with("::set-output")), "{}", ended.said);
}

#[test]
fn an_event_without_a_pull_request_has_no_comment() {
    let github = GitHub::start();
    for event in ["{}", "[]", "", "{\"pull_request\":{\"number\":\"7; touch pwned\"}}", "{\"pull_request\":null}"] {
        let runner = Runner::new();
        let path = runner.file("event.json", event);
        let ended = comment_with(&github, &text("plan"), &[("GITHUB_EVENT_PATH", &path)]);
        assert_eq!(ended.code, 0, "{event}: {}", ended.said);
    }
    assert!(github.requests().is_empty(), "{:?}", github.requests());
}

#[test]
fn a_text_that_is_too_long_for_one_comment_is_split_and_nothing_is_lost() {
    let github = GitHub::start();
    let lines: Vec<String> =
        (0..3_000).map(|n| format!("- **purge** `app tenant={n}`, 1 backup: `id-{n:08}` ü")).collect();
    comment(&github, &format!("{}{}\n", text("deletes 3000 backups"), lines.join("\n")));
    let parts = ours(&github);
    assert!(parts.len() > 1, "{}", parts.len());
    let all: String = parts.iter().map(|comment| comment.body.as_str()).collect();
    for line in &lines {
        assert_eq!(all.matches(&format!("{line}\n")).count(), 1, "{line}");
    }
    assert!(parts[1].body.starts_with("<!-- bkup:plan:default:part-2 -->\n*part 2 of the plan"), "{}", parts[1].body);
    assert!(parts.iter().all(|comment| comment.body.len() <= 65_000));
    // The same text again updates each part in its place.
    comment(&github, &format!("{}{}\n", text("deletes 3000 backups, again"), lines.join("\n")));
    assert_eq!(ours(&github).iter().map(|c| c.id).collect::<Vec<_>>(), parts.iter().map(|c| c.id).collect::<Vec<_>>());
    // A shorter one takes the others away: they would be read as parts of it.
    comment(&github, &text("deletes nothing"));
    assert_eq!(ours(&github).len(), 1);
}

#[test]
fn what_no_thread_can_hold_says_how_much_is_missing_and_where_it_is() {
    let github = GitHub::start();
    let lines: String = (0..40_000).map(|n| format!("- **purge** `app tenant={n}`: `id-{n:08}`\n")).collect();
    comment(&github, &format!("{}{lines}", text("deletes 40000 backups")));
    let parts = ours(&github);
    assert_eq!(parts.len(), 10);
    let all: String = parts.iter().map(|comment| comment.body.as_str()).collect();
    let shown = all.matches("- **purge**").count();
    let tail = parts[9].body.lines().last().unwrap().to_owned();
    assert_eq!(
        tail,
        format!(
            "**{} lines are missing here.** All of them are in the artifact of this run; read them before you approve.",
            40_000 - shown
        )
    );
}

#[test]
fn a_plan_that_could_not_be_made_takes_the_place_of_the_old_one() {
    let github = GitHub::start();
    comment(&github, &text("of an earlier commit"));
    let failed = [("BKUP_MD", "/nowhere/plan.md"), ("BKUP_REASON", "invalid_policies"), ("BKUP_COMMENT", "on-change")];
    let ended = comment_with(&github, "", &failed);
    assert_eq!(ended.code, 0, "{}", ended.said);
    let [made] = ours(&github).try_into().unwrap();
    assert!(
        made.body.starts_with(&format!("{MARKER}\n### ✗ No plan: bkup ended with `invalid_policies`\n")),
        "{}",
        made.body
    );
    for reason in ["", "$(id)", "x\n## y"] {
        let github = GitHub::start();
        let ended = comment_with(&github, "", &[("BKUP_MD", "/nowhere"), ("BKUP_REASON", reason)]);
        assert!(ended.said.contains("there is no plan") && github.requests().is_empty(), "{}", ended.said);
    }
}

#[test]
fn what_an_earlier_step_left_is_not_taken_for_this_one_s() {
    let runner = with_stand_in(Runner::new()).env("BKUP_COMMAND", "plan");
    std::fs::create_dir(runner.path("out")).unwrap();
    for name in ["out/plan.md", "out/plan.json", "out/other.txt"] {
        runner.file(name, "old");
    }
    assert_eq!(runner.run("run.sh").code, 0);
    let left: Vec<_> = std::fs::read_dir(runner.path("out")).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left, ["other.txt"]);
}

#[test]
fn on_change_is_silent_only_while_nothing_changes_and_nothing_was_said() {
    let quiet =
        [("BKUP_COMMENT", "on-change"), ("BKUP_CHANGES", "false"), ("BKUP_DELETES", "0"), ("BKUP_REASON", "success")];
    let github = GitHub::start();
    assert!(comment_with(&github, &text("quiet"), &quiet).said.contains("nothing changes"));
    assert!(ours(&github).is_empty());
    for loud in [("BKUP_CHANGES", "true"), ("BKUP_DELETES", "3"), ("BKUP_REASON", "refused")] {
        let github = GitHub::start();
        let more: Vec<_> = quiet.iter().copied().chain([loud]).collect();
        let _ = comment_with(&github, &text("loud"), &more);
        assert_eq!(ours(&github).len(), 1, "{loud:?}");
        // What was said once is corrected, also to nothing.
        let _ = comment_with(&github, &text("quiet"), &quiet);
        assert_eq!(ours(&github)[0].body, text("quiet"));
    }
    let github = GitHub::start();
    let _ = comment_with(&github, &text("plan"), &[("BKUP_COMMENT", "never")]);
    assert!(github.requests().is_empty());
}

/// Puts a stand-in for bkup on the PATH that says its arguments, one a line.
fn with_stand_in(runner: Runner) -> Runner {
    use std::os::unix::fs::PermissionsExt;
    let bin = runner.path("bin");
    std::fs::create_dir(&bin).unwrap();
    let script = "#!/bin/sh\n[ \"$1\" != --version ] || { echo 'bkup 0.9.1 (abc)'; exit 0; }\nprintf '<%s>\\n' \"$@\"\nexit ${STAND_IN_EXIT:-0}\n";
    std::fs::write(bin.join("bkup"), script).unwrap();
    std::fs::set_permissions(bin.join("bkup"), std::fs::Permissions::from_mode(0o755)).unwrap();
    let path = format!("{}:/usr/bin:/bin", bin.display());
    let out = runner.path("out").display().to_string();
    runner.env("PATH", &path).env("BKUP_OUT", &out).env("BKUP_KEY", "default")
}

fn ran(command: &str, args: &str, more: &[(&str, &str)]) -> Ended {
    let mut runner = with_stand_in(Runner::new()).env("BKUP_COMMAND", command).env("BKUP_ARGS", args);
    for (name, value) in more {
        runner = runner.env(name, value);
    }
    let ended = runner.run("run.sh");
    Ended { said: ended.said.replace(&runner.dir.path().display().to_string(), "@"), ..ended }
}

#[test]
fn each_line_of_args_is_one_argument_and_none_is_expanded() {
    let ended = ran("plan", "--target\nschedule.* $(touch x)\n\n--detailed-exitcode\r\n", &[]);
    assert_eq!(
        ended.said,
        "<plan>\n<--md-key>\n<default>\n<--out>\n<@/out/plan.json>\n<--md-out>\n<@/out/plan.md>\n<--target>\n\
         <schedule.* $(touch x)>\n<--detailed-exitcode>\n"
    );
    let own = ran("plan", "--out=mine.json", &[]).said;
    assert!(!own.contains("<--out>") && own.contains("<--out=mine.json>"), "the caller's own counts: {own}");
}

#[test]
fn apply_needs_no_plan_and_takes_only_the_one_that_was_meant() {
    assert!(ran("apply", "", &[]).said.contains("<--auto-approve>\n"));
    let again = ran("apply", "", &[("BKUP_CHANGES", "abc")]).said;
    assert!(again.starts_with("<apply>\n<--expect-digest>\n<abc>\n") && !again.contains("auto-approve"), "{again}");
    let runner = Runner::new();
    let plan = runner.file("plan.json", "{\"digest\":\"abc\"}");
    let ended = ran("apply", "", &[("BKUP_PLAN", &plan), ("BKUP_DIGEST", "abc")]);
    assert!(ended.said.starts_with(&format!("<apply>\n<{plan}>\n")), "{}", ended.said);
    assert!(!ended.said.contains("auto-approve"), "a saved plan is its own approval");
    for (more, words) in [
        (vec![("BKUP_PLAN", plan.as_str()), ("BKUP_DIGEST", "abd")], "not the one that was reviewed"),
        (vec![("BKUP_PLAN", "/nowhere/plan.json")], "there is no such file"),
        (vec![("BKUP_DIGEST", "abc")], "it is for a saved plan"),
        (vec![("BKUP_PLAN", plan.as_str()), ("BKUP_CHANGES", "abc")], "a saved plan has the input digest"),
    ] {
        let ended = ran("apply", "", &more);
        assert_eq!((ended.code, ended.said.contains(words)), (64, true), "{}", ended.said);
    }
}

#[test]
fn the_step_ends_as_bkup_does() {
    assert_eq!(ran("plan", "", &[("STAND_IN_EXIT", "4")]).code, 4);
    for command in ["", "--help", "plan; touch x", "plan\nx"] {
        assert_eq!(ran(command, "", &[]).code, 64, "{command:?}");
    }
}

#[test]
fn what_is_on_the_path_is_used_where_it_is_the_version_that_was_asked_for() {
    for (version, code, words) in [
        ("", 0, "using bkup 0.9.1, which is on the PATH"),
        ("0.9.1", 0, "using bkup 0.9.1"),
        ("0.9.2", 1, "bkup 0.9.1 is on the PATH, and the input version asks for 0.9.2"),
        ("$(id)", 1, "write a version as 0.1.0"),
    ] {
        let runner = with_stand_in(Runner::new()).env("BKUP_VERSION", version);
        let ended = runner.run("install.sh");
        assert_eq!((ended.code, ended.said.contains(words)), (code, true), "{version}: {}", ended.said);
    }
}

#[test]
fn the_source_of_the_action_is_compiled_where_there_is_no_bkup() {
    use std::os::unix::fs::PermissionsExt;
    let runner = Runner::new();
    let bin = runner.path("bin");
    std::fs::create_dir(&bin).unwrap();
    // A stand-in for cargo that says what it was asked and makes what it would.
    let script = "#!/bin/sh\nprintf '<%s>\\n' \"$@\"\nmkdir -p \"$BKUP_CACHE/bin\"\nprintf '#!/bin/sh\\necho bkup 0.1.0\\n' >\"$BKUP_CACHE/bin/bkup\"\nchmod +x \"$BKUP_CACHE/bin/bkup\"\n";
    std::fs::write(bin.join("cargo"), script).unwrap();
    std::fs::set_permissions(bin.join("cargo"), std::fs::Permissions::from_mode(0o755)).unwrap();
    let paths = format!("{}:/usr/bin:/bin", bin.display());
    let (cache, to) = (runner.path("cache").display().to_string(), runner.path("path").display().to_string());
    let runner =
        runner.env("PATH", &paths).env("BKUP_CACHE", &cache).env("BKUP_SOURCE", "/src").env("GITHUB_PATH", &to);
    let ended = runner.run("install.sh");
    assert_eq!(ended.code, 0, "{}", ended.said);
    assert!(ended.said.starts_with("<install>\n<--locked>\n<--quiet>\n<--path>\n</src>\n<--root>\n"), "{}", ended.said);
    assert_eq!(runner.read("path"), format!("{cache}/bin\n"));
    assert!(!runner.run("install.sh").said.contains("<install>"), "it is compiled once");
}

fn yaml(path: &Path) -> Value {
    let text = std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    serde_saphyr::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

#[test]
fn no_expression_stands_in_the_text_of_a_script() {
    let action = yaml(&root().join("action.yml"));
    let steps = action["runs"]["steps"].as_array().unwrap();
    let scripts: Vec<&str> = steps.iter().filter_map(|step| step["run"].as_str()).collect();
    assert_eq!(scripts.len(), 3);
    for script in scripts {
        assert!(!script.contains("${{"), "{script}");
        let (_, file) = script.split_once('/').unwrap();
        assert!(root().join(file.trim_end_matches('"')).is_file(), "{script}");
    }
    for step in steps.iter().filter(|step| step["uses"].is_string()) {
        let (_, commit) = step["uses"].as_str().unwrap().split_once('@').unwrap();
        assert!(commit.len() == 40 && commit.bytes().all(|b| b.is_ascii_hexdigit()), "{commit} is no commit");
    }
}

#[test]
fn every_input_reaches_a_step_and_every_output_comes_from_one() {
    let text = std::fs::read_to_string(root().join("action.yml")).unwrap();
    let action = yaml(&root().join("action.yml"));
    for name in action["inputs"].as_object().unwrap().keys() {
        assert!(text.contains(&format!("inputs.{name} ")), "{name} is used nowhere");
    }
    let outputs: Vec<&String> = action["outputs"].as_object().unwrap().keys().collect();
    assert_eq!(
        outputs,
        ["change_digest", "changes", "deletes", "digest", "drift", "due", "exit_reason", "has_changes"]
    );
    for name in outputs {
        let value = action["outputs"][name]["value"].as_str().unwrap();
        assert_eq!(value, format!("${{{{ steps.run.outputs.{name} }}}}"));
    }
    // What a script reads is what its step sets.
    for (script, step) in [("install.sh", 0), ("run.sh", 1), ("comment.sh", 2)] {
        let script = std::fs::read_to_string(root().join("scripts/github").join(script)).unwrap();
        for name in action["runs"]["steps"][step]["env"].as_object().unwrap().keys() {
            let program = ["BKUP_ACTION", "BKUP_POLICIES"].contains(&name.as_str());
            assert!(program || script.contains(name.as_str()), "{name} is not read");
        }
    }
}
