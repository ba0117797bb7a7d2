//! Rows that people put into the catalog's tables by hand: nothing executes them, and `import` turns them into policy.

/// Everything put in by hand.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ByHand {
    /// Rows of `bkup.schedules`.
    pub schedules: Vec<HandSchedule>,
    /// Rows of `bkup.recovery_plans`.
    pub plans: Vec<HandPlan>,
}

/// A schedule put in by hand, in the table's own words.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HandSchedule {
    /// Its name, any text.
    pub name: String,
    /// `FULL_SYSTEM`, `DATABASE`, ...
    pub backup_type: String,
    /// `ALL_TENANTS`, `SPECIFIC_TENANTS`, `SYSTEM_ONLY`.
    pub target_scope: String,
    /// Databases, any text.
    pub databases: Vec<String>,
    /// How many tenants it names by id.
    pub tenant_ids: usize,
    /// Slugs of those among them that the catalog knows, and those it names itself.
    pub slugs: Vec<String>,
    /// `DAILY`, `WEEKLY`, ...
    pub frequency: String,
    /// `HH:MM`.
    pub time: Option<String>,
    /// 1 to 7, from Monday, or 1 to 31.
    pub days: Vec<i32>,
    /// A zone, any text.
    pub timezone: String,
    /// The rule in words, for `CRON` and `EVERY`.
    pub rule: Option<String>,
    /// `COMPRESSED`, `UNCOMPRESSED`, `ENCRYPTED`.
    pub format: String,
    /// How long backups are kept, in days.
    pub retention_days: Option<i32>,
    /// How many programs run at once.
    pub parallel: i32,
    /// Whom it tells of failures: how many addresses.
    pub emails: usize,
    /// Where to, any text.
    pub store: Option<String>,
    /// Whether it is switched on.
    pub enabled: bool,
}

/// A recovery plan put in by hand, in the table's own words.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HandPlan {
    /// Its name, any text.
    pub name: String,
    /// `FULL_RECOVERY`, ...
    pub plan_type: String,
    /// What it is for.
    pub description: Option<String>,
    /// `ALL_SYSTEMS`, ...
    pub scope: String,
    /// Recovery time objective, in minutes.
    pub rto_minutes: Option<i32>,
    /// Recovery point objective, in minutes.
    pub rpo_minutes: Option<i32>,
    /// The steps in words, in order.
    pub steps: Vec<String>,
    /// `FULL_SYSTEM`, ...
    pub required: Vec<String>,
    /// How many hours back a restore must be able to go.
    pub minimum_age_hours: Option<i32>,
    /// How often it is tested.
    pub test_days: Option<i32>,
    /// Whom to call.
    pub primary_contact: Option<String>,
    /// Whom to call next.
    pub escalation: Vec<String>,
    /// `DRAFT`, `APPROVED`, ...
    pub status: String,
    /// Who approved it.
    pub approved_by: Option<String>,
    /// When, as a date.
    pub approved_on: Option<String>,
    /// Databases, any text.
    pub databases: Vec<String>,
    /// `sev1` to `sev4`.
    pub severity: Option<String>,
}
