//! `recovery_plans`: how to come back, and how that is proven. Pure.

use crate::domain::{
    Approval, ApprovalStatus, BackupType, IncidentSeverity, Name, Period, PlanScope, PlanStep, PlanType,
    RecoveryPlanSpec, RestoreFrom, RestoreInto, RestoreStep,
};
use crate::policy::codes;
use crate::policy::decode::{Context, Decode};
use crate::policy::record::{record, words};
use crate::policy::text::{Kind, Node, Places};
use crate::policy::values::{DateOrInstant, Text, texts};

use super::Suspend;
use super::database::refuse_zero;
use super::drill::{Checks, Drill};
record! {
    /// How to come back from a loss, and how that is proven.
    RecoveryPlan, "a recovery plan" {
        /// What it is for.
        description: Text;
        /// What kind of recovery it is.
        r#type: PlanType, required;
        /// What it covers.
        scope: PlanScope, required;
        /// How bad the incident is that it answers: `sev1` is worst.
        severity: IncidentSeverity;
        /// Which databases. Needed but for a plan that restores files alone.
        #[schemars(length(min = 1))]
        databases: Vec<Name>;
        /// Recovery time objective: how long it may take.
        rto: Period;
        /// Recovery point objective: how much of the past may be lost.
        rpo: Period;
        /// Kinds of backups that must exist for it.
        requires: Vec<BackupType>;
        /// How far back a restore must be able to go.
        minimum_backup_age: Period;
        /// What is done, in order.
        #[schemars(length(min = 1))]
        steps: Vec<Step>, required;
        /// Who said yes. Plans in `pending_approval` and `approved` are drilled.
        approval: Approved;
        /// Whom to call.
        contacts: Contacts;
        /// How the plan is proven. Without it, it is not.
        drill: Drill;
        /// Pauses it until a date: nothing is made of it and nothing of it is deleted.
        suspend: Suspend;
        /// Whether nothing of it is ever deleted. To delete, take this away in an apply of its own first.
        #[schemars(extend("default" = false))]
        protect: bool;
    }
}

words!(PlanType, "PlanType", "a type of plan" {
    /// Everything comes back.
    "full_recovery" => PlanType::FullRecovery,
    /// A part comes back.
    "partial_recovery" => PlanType::PartialRecovery,
    /// One tenant, or some, come back.
    "tenant_recovery" => PlanType::TenantRecovery,
});

words!(PlanScope, "PlanScope", "a scope of plans" {
    /// All systems.
    "all_systems" => PlanScope::AllSystems,
    /// Some services.
    "specific_services" => PlanScope::SpecificServices,
    /// Data of tenants.
    "tenant_data" => PlanScope::TenantData,
});

words!(IncidentSeverity, "Severity", "a severity" {
    /// Everything is down or data is lost.
    "sev1" => IncidentSeverity::Sev1,
    /// A main part is down.
    "sev2" => IncidentSeverity::Sev2,
    /// A part is degraded.
    "sev3" => IncidentSeverity::Sev3,
    /// Nobody outside notices.
    "sev4" => IncidentSeverity::Sev4,
});

words!(ApprovalStatus, "ApprovalStatus", "a state of approval" {
    /// Being written: not drilled, recovered with `--force` only.
    "draft" => ApprovalStatus::Draft,
    /// Waits for a yes: drilled, recovered with `--force` only.
    "pending_approval" => ApprovalStatus::PendingApproval,
    /// Drilled, and recovered. Needs `by`.
    "approved" => ApprovalStatus::Approved,
    /// Kept for the record: not drilled.
    "archived" => ApprovalStatus::Archived,
});

record! {
    /// Who said yes.
    #[schemars(rename = "Approval")]
    Approved, "an approval" {
        /// How far it got.
        #[schemars(extend("default" = "draft"))]
        status: ApprovalStatus;
        /// Who approved it. Needed where it is approved.
        by: Text;
        /// When.
        at: DateOrInstant;
    }
}

record! {
    /// Whom to call.
    Contacts, "contacts" {
        /// Who is called first.
        primary: Text;
        /// Who is called after that, in order.
        escalation: Vec<Text>;
    }
}

record! {
    /// One step: exactly one of `manual`, `run`, `restore` and `check`.
    Step, "a step" {
        /// A person does it: what, in words.
        manual: Text;
        /// A program does it: its arguments, without a shell, relative to this file.
        #[schemars(length(min = 1))]
        run: Vec<Text>;
        /// When a program is given up; only with `run`.
        timeout: Period;
        /// bkup restores.
        restore: Restore;
        /// bkup checks what was restored before.
        #[schemars(extend("default" = "tables"))]
        check: Checks;
    }
}

record! {
    /// What is restored, and where to.
    Restore, "a restore" {
        /// Which kind of backup. Without it: the one an earlier step restored.
        backup: BackupType;
        /// Of which schedule. Without it: any.
        schedule: Name;
        /// From which store. Without it: the schedule's.
        store: Name;
        /// Which one: `latest`, `ask`, or `{ at: 2026-01-15T09:30:00Z }`.
        #[schemars(extend("default" = "latest"))]
        from: From;
        /// Which tenants: `ask`, `all`, or globs over slugs. A drill takes its sample.
        tenants: AskOrGlobs;
        /// Which tables: globs over `schema.table`. Without it: all.
        #[schemars(length(min = 1))]
        tables: Vec<Text>;
        /// Where to: `scratch` (a throw-away server), `{ new: NAME }` (a new database), `{ folder: DIR }` (an empty
        /// data folder, for a whole cluster), or `live`.
        into: Into, required;
    }
}

/// Which backup a step restores.
#[derive(Debug, Clone, Copy)]
pub(in crate::policy) struct From(RestoreFrom);

words!(WordOfFrom, "FromWord", "a choice of backup" {
    /// The newest one.
    "latest" => WordOfFrom(RestoreFrom::Latest),
    /// Asked when the plan runs.
    "ask" => WordOfFrom(RestoreFrom::Ask),
});

/// The words of `from`.
struct WordOfFrom(RestoreFrom);

record! {
    /// The newest backup that is not after an instant.
    #[schemars(rename = "FromInstant")]
    At, "from" {
        /// The instant.
        at: DateOrInstant, required;
    }
}

impl Decode for From {
    fn decode(node: &Node, cx: &mut Context<'_>) -> Option<Self> {
        match &node.kind {
            Kind::Map(_) => At::decode(node, cx)?.at.map(|at| Self(RestoreFrom::At(at.instant))),
            _ => WordOfFrom::decode(node, cx).map(|word| Self(word.0)),
        }
    }
}

impl schemars::JsonSchema for From {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "From".into()
    }
    fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
        let (word, at) = (generator.subschema_for::<WordOfFrom>(), generator.subschema_for::<At>());
        schemars::json_schema!({ "anyOf": [word, at] })
    }
}

/// `ask`, `all`, or globs over slugs.
#[derive(Debug, Clone)]
pub(in crate::policy) enum AskOrGlobs {
    /// Asked when the plan runs.
    Ask,
    /// Every tenant.
    All,
    /// These.
    Globs(Vec<Text>),
}

/// The words of `tenants`.
enum WordOfTenants {
    Ask,
    All,
}

words!(WordOfTenants, "TenantsWord", "a choice of tenants" {
    /// Asked when the plan runs.
    "ask" => WordOfTenants::Ask,
    /// Every tenant.
    "all" => WordOfTenants::All,
});

impl Decode for AskOrGlobs {
    fn decode(node: &Node, cx: &mut Context<'_>) -> Option<Self> {
        match &node.kind {
            Kind::List(_) => Vec::decode(node, cx).map(Self::Globs),
            _ => WordOfTenants::decode(node, cx).map(|word| match word {
                WordOfTenants::Ask => Self::Ask,
                WordOfTenants::All => Self::All,
            }),
        }
    }
}

impl schemars::JsonSchema for AskOrGlobs {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "AskOrGlobs".into()
    }
    fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
        let (word, globs) = (generator.subschema_for::<WordOfTenants>(), generator.subschema_for::<Vec<Text>>());
        schemars::json_schema!({ "anyOf": [word, globs] })
    }
}

/// Where a restore goes.
#[derive(Debug, Clone)]
pub(in crate::policy) struct Into(RestoreInto);

words!(WordOfInto, "IntoWord", "a place to restore to" {
    /// A throw-away server that bkup starts itself.
    "scratch" => WordOfInto(RestoreInto::Scratch),
    /// The protected server itself. Only after a restore was proven.
    "live" => WordOfInto(RestoreInto::Live),
});

/// The words of `into`.
struct WordOfInto(RestoreInto);

record! {
    /// A new database on the same server, or an empty data folder: one of the two.
    #[schemars(rename = "IntoPlace", extend("minProperties" = 1, "maxProperties" = 1))]
    NewOrFolder, "into" {
        /// The name of the new database.
        new: Text;
        /// An absolute path to an empty folder, for a whole cluster.
        folder: Text;
    }
}

impl Decode for Into {
    fn decode(node: &Node, cx: &mut Context<'_>) -> Option<Self> {
        match &node.kind {
            Kind::Map(entries) => {
                let read = NewOrFolder::decode(node, cx)?;
                let has = |key: &str| entries.iter().any(|entry| entry.key == key);
                if has("new") == has("folder") {
                    let message = "`into` takes one of `new` and `folder`";
                    let help = "write `{ new: app_restored }` or `{ folder: \"/empty/data/dir\" }`";
                    cx.error(codes::CONFLICT, node.place, message, "exactly one of the two", help);
                    return None;
                }
                match (read.new, read.folder) {
                    (Some(name), _) => Some(Self(RestoreInto::New(name.0))),
                    (None, Some(folder)) if folder.0.starts_with('/') => Some(Self(RestoreInto::Folder(folder.0))),
                    (None, Some(_)) => {
                        let help = "write an absolute path, as in \"/empty/data/dir\"";
                        cx.bad_value(node.place, "`folder` is a path that begins with `/`", help);
                        None
                    }
                    (None, None) => None,
                }
            }
            _ => WordOfInto::decode(node, cx).map(|word| Self(word.0)),
        }
    }
}

impl schemars::JsonSchema for Into {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Into".into()
    }
    fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
        let (word, new) = (generator.subschema_for::<WordOfInto>(), generator.subschema_for::<NewOrFolder>());
        schemars::json_schema!({ "anyOf": [word, new] })
    }
}

impl Step {
    fn spec(&self, path: &str, places: &Places, cx: &mut Context<'_>) -> Option<PlanStep> {
        let kinds = ["manual", "run", "restore", "check"];
        let written: Vec<&str> = kinds.into_iter().filter(|key| places.has(&format!("{path}.{key}"))).collect();
        let [kind] = written.as_slice() else {
            let message = match written.as_slice() {
                [first, second, ..] => format!("one step has both `{first}` and `{second}`"),
                _ => "a step does nothing".to_owned(),
            };
            let help = "each step is one of `manual`, `run`, `restore` and `check`, on a line that begins with `- `";
            cx.error(codes::CONFLICT, places.get(path), message, "this step", help);
            return None;
        };
        if *kind != "run" && places.has(&format!("{path}.timeout")) {
            let at = places.get(&format!("{path}.timeout"));
            cx.error(
                codes::CONFLICT,
                at,
                format!("`timeout` belongs to `run`, and this step is `{kind}`"),
                "says nothing here",
                "remove it",
            );
        }
        if let Some(words) = &self.manual {
            return Some(PlanStep::Manual(words.0.clone()));
        }
        if let Some(command) = &self.run {
            if command.is_empty() {
                cx.error(
                    codes::EMPTY_LIST,
                    places.get(&format!("{path}.run")),
                    "`run` names no program",
                    "empty",
                    "write [\"./runbooks/stop-app.sh\"]",
                );
                return None;
            }
            let command = command.iter().map(|text| text.0.clone()).collect();
            return Some(PlanStep::Run { command, timeout: self.timeout });
        }
        if let Some(restore) = &self.restore {
            return restore.spec().map(PlanStep::Restore);
        }
        self.check.as_ref().map(|checks| PlanStep::Check(checks.0.clone()))
    }
}

impl Restore {
    fn spec(&self) -> Option<RestoreStep> {
        let tenants = match &self.tenants {
            Some(AskOrGlobs::Globs(globs)) => globs.iter().map(|glob| glob.0.clone()).collect(),
            Some(AskOrGlobs::All) => vec!["*".to_owned()],
            Some(AskOrGlobs::Ask) | None => Vec::new(),
        };
        Some(RestoreStep {
            backup: self.backup,
            schedule: self.schedule.clone(),
            store: self.store.clone(),
            from: self.from.map_or(RestoreFrom::Latest, |from| from.0),
            tenants,
            tables: texts(self.tables.as_ref()),
            into: self.into.clone()?.0,
        })
    }
}

/// Returns whether what a plan restores belongs to no database.
fn restores_files_alone(steps: &[PlanStep]) -> bool {
    let mut restores = steps.iter().filter_map(|step| match step {
        PlanStep::Restore(restore) => Some(restore.backup == Some(BackupType::Files)),
        _ => None,
    });
    restores.next() == Some(true) && restores.all(|files| files)
}

impl RecoveryPlan {
    /// Fills in the defaults; `None` where something needed is missing.
    pub fn spec(&self, places: &Places, cx: &mut Context<'_>) -> Option<RecoveryPlanSpec> {
        refuse_zero("rpo", "rpo", self.rpo, places, cx);
        refuse_zero("rto", "rto", self.rto, places, cx);
        let drill = self.drill.as_ref().map(|drill| drill.spec(places, cx));
        let raw_steps = self.steps.as_ref();
        if raw_steps.is_some_and(Vec::is_empty) {
            cx.error(
                codes::EMPTY_LIST,
                places.get("steps"),
                "a plan without steps does nothing",
                "empty",
                "add the steps that bring the system back",
            );
        }
        let mut steps = Vec::new();
        for (index, step) in raw_steps.into_iter().flatten().enumerate() {
            steps.push(step.spec(&format!("steps[{index}]"), places, cx));
        }
        let approval = match &self.approval {
            None => Approval::default(),
            Some(approved) => Approval {
                status: approved.status.unwrap_or_default(),
                by: approved.by.as_ref().map(|text| text.0.clone()),
                at: approved.at.as_ref().map(|at| at.written.clone()),
            },
        };
        if approval.status == ApprovalStatus::Approved && !places.has("approval.by") {
            let place = places.get("approval.status");
            cx.error(
                codes::APPROVED_BY_NOBODY,
                place,
                "the plan is approved, and nobody is named who approved it",
                "approved by whom?",
                "add `by: name@example.com`, or write `status: pending_approval`",
            );
        }
        let escalation = self.contacts.as_ref().and_then(|contacts| contacts.escalation.clone()).unwrap_or_default();
        raw_steps?;
        let steps = steps.into_iter().collect::<Option<Vec<_>>>();
        let databases = match (&self.databases, &steps) {
            (Some(databases), _) => databases.clone(),
            (None, Some(steps)) if restores_files_alone(steps) => Vec::new(),
            (None, _) => {
                cx.missing(places.get(""), "databases", "a recovery plan");
                return None;
            }
        };
        Some(RecoveryPlanSpec {
            description: self.description.as_ref().map(|text| text.0.clone()),
            plan_type: self.r#type?,
            scope: self.scope?,
            severity: self.severity,
            databases,
            rto: self.rto,
            rpo: self.rpo,
            requires: self.requires.clone().unwrap_or_default(),
            minimum_backup_age: self.minimum_backup_age,
            steps: steps?,
            approval,
            primary_contact: self
                .contacts
                .as_ref()
                .and_then(|contacts| contacts.primary.as_ref())
                .map(|text| text.0.clone()),
            escalation_contacts: escalation.into_iter().map(|text| text.0).collect(),
            drill: match drill {
                Some(None) => return None,
                read => read.flatten(),
            },
        })
    }
}
