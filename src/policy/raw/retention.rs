//! `retention` and `guards`: how long backups are kept, and the limits of a single apply. Pure.

use crate::domain::{self, Move, Percent, Period, Pick, RetentionRule, ZoneName};
use crate::policy::codes;
use crate::policy::decode::Context;
use crate::policy::record::{record, words};
use crate::policy::text::Places;
use crate::policy::values::{DateOrInstant, Text};

use super::{StorageClass, Suspend};

record! {
    /// How long backups are kept. Each part keeps what it keeps, and a backup that any part keeps stays.
    Retention, "a retention rule" {
        /// The newest so many.
        last: u32;
        /// One of each of so many hours that have a backup.
        hourly: u32;
        /// One of each of so many days that have a backup.
        daily: u32;
        /// One of each of so many ISO weeks that have a backup.
        weekly: u32;
        /// One of each of so many months that have a backup.
        monthly: u32;
        /// One of each of so many quarters that have a backup.
        quarterly: u32;
        /// One of each of so many years that have a backup.
        yearly: u32;
        /// Everything younger than this.
        within: Period;
        /// Nothing older than this, whatever the other parts say.
        max_age: Period;
        /// Everything, always.
        #[schemars(extend("default" = false))]
        forever: bool;
        /// Which backup of an hour, day or week stands for it.
        #[schemars(extend("default" = "first"))]
        pick: Pick;
        /// The zone on whose calendar hours, days and weeks lie.
        #[schemars(extend("default" = "UTC"))]
        timezone: ZoneName;
        /// Moves to colder storage classes, by age.
        r#move: Vec<Moving>;
        /// Pauses it until a date: nothing is made of it and nothing of it is deleted.
        suspend: Suspend;
        /// Whether nothing of it is ever deleted. To delete, take this away in an apply of its own first.
        #[schemars(extend("default" = false))]
        protect: bool;
    }
}

record! {
    /// One move to a colder storage class.
    #[schemars(rename = "Move")]
    Moving, "a move" {
        /// At which age.
        #[schemars(example = "30d")]
        after: Period, required;
        /// To which storage class.
        to: StorageClass, required;
    }
}

words!(Pick, "Pick", "a choice" {
    /// The oldest of each.
    "first" => Pick::First,
    /// The newest of each.
    "last" => Pick::Last,
});

record! {
    /// The limits of a single apply.
    Guards, "guards" {
        /// How large a share of a scope's or a store's backups or bytes a change may delete.
        #[schemars(extend("default" = "10%"))]
        max_delete: Percent;
        /// How many restorable backups every scope keeps, whatever retention says.
        #[schemars(range(min = 1), extend("default" = 2))]
        min_keep: u32;
        /// How long a backup that was pruned can be brought back.
        #[schemars(extend("default" = "7d"))]
        grace: Period;
        /// Why the limits differ from the defaults.
        reason: Text;
        /// Until when they do.
        until: DateOrInstant;
    }
}

impl Retention {
    /// Returns the rule; `path` is where it stands in its thing, empty or with a dot at its end.
    pub fn spec(&self, path: &str, places: &Places, cx: &mut Context<'_>) -> RetentionRule {
        let rule = RetentionRule {
            last: self.last,
            hourly: self.hourly,
            daily: self.daily,
            weekly: self.weekly,
            monthly: self.monthly,
            quarterly: self.quarterly,
            yearly: self.yearly,
            within: self.within,
            max_age: self.max_age,
            forever: self.forever.unwrap_or_default(),
            pick: self.pick.unwrap_or_default(),
            timezone: self.timezone.clone().unwrap_or_default(),
            moves: self.moves(),
        };
        let place = |key: &str| places.get(&format!("{path}{key}"));
        if rule.max_age.is_some_and(|age| age.as_seconds() == 0) {
            let message = "`max_age: 0` deletes every backup as soon as it is made";
            cx.error(
                codes::KEEPS_NOTHING,
                place("max_age"),
                message,
                "nothing is younger",
                "write the age after which backups must be gone, as in 400d",
            );
        } else if rule.keeps_nothing() && !self.has_unread(path, places) {
            let message = "this retention rule keeps nothing: every backup would be deleted as soon as it is made";
            cx.error(
                codes::KEEPS_NOTHING,
                places.get(path.trim_end_matches('.')),
                message,
                "no part of it keeps anything",
                "add a part that keeps, as in `daily: 7` or `within: 30d`",
            );
        }
        rule
    }

    fn moves(&self) -> Vec<Move> {
        let moving = self.r#move.iter().flatten();
        moving.filter_map(|m| Some(Move { after: m.after?, to: m.to?.0.to_owned() })).collect()
    }

    /// Returns whether a part is written and could not be read: what it keeps is not known then.
    fn has_unread(&self, path: &str, places: &Places) -> bool {
        let parts = [
            ("last", self.last.is_none()),
            ("hourly", self.hourly.is_none()),
            ("daily", self.daily.is_none()),
            ("weekly", self.weekly.is_none()),
            ("monthly", self.monthly.is_none()),
            ("quarterly", self.quarterly.is_none()),
            ("yearly", self.yearly.is_none()),
            ("within", self.within.is_none()),
            ("forever", self.forever.is_none()),
        ];
        parts.into_iter().any(|(key, absent)| absent && places.has(&format!("{path}{key}")))
    }
}

impl Guards {
    /// Fills in the defaults.
    pub fn spec(&self, places: &Places, cx: &mut Context<'_>) -> domain::Guards {
        let default = domain::Guards::default();
        if self.min_keep == Some(0) {
            let message = "`min_keep: 0` would let the last restorable backup of a scope be deleted";
            cx.error(
                codes::MIN_KEEP_ZERO,
                places.get("min_keep"),
                message,
                "nothing would be kept",
                "write 1 or more; the default is 2",
            );
        }
        domain::Guards {
            max_delete: self.max_delete.unwrap_or(default.max_delete),
            min_keep: self.min_keep.unwrap_or(default.min_keep).max(1),
            grace: self.grace.unwrap_or(default.grace),
            reason: self.reason.as_ref().map(|text| text.0.clone()),
            until: self.until.as_ref().map(|until| until.instant),
        }
    }
}
