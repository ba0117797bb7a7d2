//! `recovery_plans`: how to come back, and how that is proven. Pure.

use crate::domain::{
    Approval, ApprovalStatus, BackupType, IncidentSeverity, Name, Period, PlanScope, PlanStep, PlanType,
    RecoveryPlanSpec, RestoreFrom, RestoreInto, RestoreStep,
};
use crate::policy::codes;
use crate::policy::decode::{Context, Decode};
use crate::policy::record::{record, words};
use crate::policy::text::{Kind, Node, Places};
use crate::policy::values::{DateOrInstant, Text};

use super::database::refuse_zero;
use super::drill::{Checks, Drill};
use super::not_yet;

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
        /// Which databases.
        #[schemars(length(min = 1))]
        databases: Vec<Name>, required;
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
    }
    not_yet: not_yet![]
}

words!(PlanType, "PlanType", "a type of plan" {
    "full_recovery" => PlanType::FullRecovery,
    "partial_recovery" => PlanType::PartialRecovery,
    "tenant_recovery" => PlanType::TenantRecovery,
} not_yet: &[]);

words!(PlanScope, "PlanScope", "a scope of plans" {
    "all_systems" => PlanScope::AllSystems,
    "specific_services" => PlanScope::SpecificServices,
    "tenant_data" => PlanScope::TenantData,
} not_yet: &[]);

words!(IncidentSeverity, "Severity", "a severity" {
    "sev1" => IncidentSeverity::Sev1,
    "sev2" => IncidentSeverity::Sev2,
    "sev3" => IncidentSeverity::Sev3,
    "sev4" => IncidentSeverity::Sev4,
} not_yet: &[]);

words!(ApprovalStatus, "ApprovalStatus", "a state of approval" {
    "draft" => ApprovalStatus::Draft,
    "pending_approval" => ApprovalStatus::PendingApproval,
    "approved" => ApprovalStatus::Approved,
    "archived" => ApprovalStatus::Archived,
} not_yet: &[]);

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
    not_yet: &[]
}

record! {
    /// Whom to call.
    Contacts, "contacts" {
        /// First.
        primary: Text;
        /// Next, in order.
        escalation: Vec<Text>;
    }
    not_yet: &[]
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
        check: Checks;
    }
    not_yet: &[]
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
        /// Which tenants: `ask`, or globs over slugs. A drill takes its sample.
        tenants: AskOrGlobs;
        /// Where to: `scratch` (a throw-away server), `{ new: NAME }` (a new database), or `live`.
        into: Into, required;
    }
    not_yet: &["tables"]
}

/// Which backup a step restores.
#[derive(Debug, Clone, Copy)]
pub(in crate::policy) struct From(RestoreFrom);

words!(WordOfFrom, "FromWord", "a choice of backup" {
    "latest" => WordOfFrom(RestoreFrom::Latest),
    "ask" => WordOfFrom(RestoreFrom::Ask),
} not_yet: &[]);

/// The words of `from`.
struct WordOfFrom(RestoreFrom);

record! {
    /// The newest backup that is not after an instant.
    #[schemars(rename = "FromInstant")]
    At, "from" {
        /// The instant.
        at: DateOrInstant, required;
    }
    not_yet: &[]
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

/// `ask`, or globs over slugs.
#[derive(Debug, Clone, schemars::JsonSchema)]
#[schemars(untagged, inline)]
pub(in crate::policy) enum AskOrGlobs {
    /// Asked when the plan runs.
    Ask(Ask),
    /// These.
    Globs(Vec<Text>),
}

/// The word `ask`.
#[derive(Debug, Clone, Copy)]
pub(in crate::policy) struct Ask;

words!(Ask, "Ask", "the word for asking" { "ask" => Ask, } not_yet: &["all"]);

impl Decode for AskOrGlobs {
    fn decode(node: &Node, cx: &mut Context<'_>) -> Option<Self> {
        match &node.kind {
            Kind::List(_) => Vec::decode(node, cx).map(Self::Globs),
            _ => Ask::decode(node, cx).map(Self::Ask),
        }
    }
}

/// Where a restore goes.
#[derive(Debug, Clone)]
pub(in crate::policy) struct Into(RestoreInto);

words!(WordOfInto, "IntoWord", "a place to restore to" {
    "scratch" => WordOfInto(RestoreInto::Scratch),
    "live" => WordOfInto(RestoreInto::Live),
} not_yet: &[]);

/// The words of `into`.
struct WordOfInto(RestoreInto);

record! {
    /// A new database on the same server.
    #[schemars(rename = "IntoNew")]
    New, "into" {
        /// The name of the new database.
        new: Text, required;
    }
    not_yet: &["folder"]
}

impl Decode for Into {
    fn decode(node: &Node, cx: &mut Context<'_>) -> Option<Self> {
        match &node.kind {
            Kind::Map(entries) if entries.iter().any(|entry| entry.key == "folder") => {
                cx.not_yet(node.place, "restoring a whole cluster into a folder");
                None
            }
            Kind::Map(_) => New::decode(node, cx)?.new.map(|name| Self(RestoreInto::New(name.0))),
            _ => WordOfInto::decode(node, cx).map(|word| Self(word.0)),
        }
    }
}

impl schemars::JsonSchema for Into {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Into".into()
    }
    fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
        let (word, new) = (generator.subschema_for::<WordOfInto>(), generator.subschema_for::<New>());
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
            Some(AskOrGlobs::Ask(_)) | None => Vec::new(),
        };
        Some(RestoreStep {
            backup: self.backup,
            schedule: self.schedule.clone(),
            store: self.store.clone(),
            from: self.from.map_or(RestoreFrom::Latest, |from| from.0),
            tenants,
            into: self.into.clone()?.0,
        })
    }
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
        Some(RecoveryPlanSpec {
            description: self.description.as_ref().map(|text| text.0.clone()),
            plan_type: self.r#type?,
            scope: self.scope?,
            severity: self.severity,
            databases: self.databases.clone()?,
            rto: self.rto,
            rpo: self.rpo,
            requires: self.requires.clone().unwrap_or_default(),
            minimum_backup_age: self.minimum_backup_age,
            steps: steps.into_iter().collect::<Option<Vec<_>>>()?,
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
