//! The codes of policy findings, each with its meaning in one line. A code is never given another meaning. Pure.
//!
//! BK301 to BK305 are the words of `schedule`, which judges rules; they are listed here because reading a policy is
//! where people meet them.

use crate::diag::Code;

macro_rules! codes {
    ($($($name:ident =)? $code:literal: $meaning:literal;)*) => {
        $($(#[doc = $meaning] pub(crate) const $name: Code = Code($code);)?)*
        /// Every code with its meaning, sorted by code.
        pub(crate) const ALL: &[(Code, &str)] = &[$((Code($code), $meaning)),*];
    };
}

codes! {
    NOT_UTF8 = "BK100": "a policy file is not UTF-8 text";
    NOT_YAML = "BK101": "a policy file is not valid YAML";
    TAB = "BK102": "a tab stands where YAML wants spaces";
    DUPLICATE_KEY = "BK103": "one mapping has the same key twice";
    SECOND_DOCUMENT = "BK104": "a policy file holds more than one YAML document";
    NO_MAPPING = "BK105": "a policy file is empty, or is no mapping of sections";
    NO_VERSION = "BK106": "a policy file does not say `version: 1`";
    OTHER_VERSION = "BK107": "a policy file is of a version that this bkup does not read";
    BAD_ALIAS = "BK108": "an alias has no anchor or contains itself, or a merge key merges no mapping";
    TOO_LARGE = "BK109": "a policy file is too large, too deeply nested, or grows too much through aliases";
    UNKNOWN_KEY = "BK110": "a key is not known at its place";
    MISSING_KEY = "BK111": "a needed key is missing";
    WRONG_KIND = "BK112": "a mapping, a list or a text stands where another of them is wanted";
    QUOTE_IT = "BK113": "a number or a true/false stands where a text is wanted: it needs quotes";
    NOT_A_NUMBER = "BK114": "a whole number, or true or false, is wanted and is not written as one";
    BAD_VALUE = "BK115": "a value is not one that its key can have";
    NO_VALUE = "BK116": "a key stands without a value";
    NO_VARIABLE_HERE = "BK117": "`${NAME}` stands in a field that is not read from the environment";
    QUOTE_VARIABLE = "BK118": "`${NAME}` is not in quotes";
    BARE_BRACES = "BK119": "braces without quotes are a mapping to YAML, not a text";
    BAD_NAME = "BK120": "a name is not of the form that names have";
    PARTIAL_VARIABLE = "BK121": "`${NAME}` is only a part of its field, or is not well formed";
    NO_TAGS = "BK122": "a YAML tag, or a key that is no text, stands where the language has none";
    CONFLICT = "BK123": "keys that exclude each other stand together, or one of several is needed and none is there";
    IGNORE_WITHOUT_REASON = "BK124": "a comment ignores findings and does not say which, or why";
    IGNORE_OF_UNKNOWN = "BK125": "a comment ignores a code that no finding has";
    IGNORE_OF_NOTHING = "BK126": "a comment ignores a finding that is not there";
    IGNORE_OF_ERROR = "BK127": "a comment ignores a finding that cannot be ignored";
    UNKNOWN_REFERENCE = "BK201": "something is referred to that no policy file defines";
    DEFINED_TWICE = "BK202": "a name, or a section that stands once, is defined twice";
    BAD_GLOB = "BK203": "a pattern is not a valid glob";
    NOT_ONE_STAR = "BK204": "the pattern of tenant schemas does not have exactly one `*`";
    NO_TENANTS = "BK205": "tenants are spoken of, and the database has no `tenants`";
    CLASSES_OVERLAP = "BK206": "two classes of equal priority can match the same tenant";
    NO_PRIORITY = "BK207": "there are several classes, and one of them has no priority";
    EMPTY_LIST = "BK208": "a list that needs an entry is empty";
    LISTED_TWICE = "BK209": "a list names the same thing twice";
    STORES_OVERLAP = "BK210": "two stores lie at the same place, or one inside the other";
    TENANT_WITHOUT_CLASS = "BK211": "a live tenant matches no class";
    TENANT_WITHOUT_SCHEDULE = "BK212": "a live tenant is covered by no schedule";
    PATTERN_WITHOUT_TENANT = "BK213": "a pattern matches no live tenant";
    SLUG_TWICE = "BK214": "two live tenants of one database have the same slug";
    BAD_BASE = "BK215": "an incremental backup builds on a schedule that makes no base of the same databases";
    REPLICA_CIRCLE = "BK216": "a store is its own replica, by itself or through others";
    MOVED_CIRCLE = "BK217": "renames lead in a circle";
    STILL_DEFINED = "BK218": "something is said to be renamed or removed, and the files still define it";
    HAS_ENDED = "BK219": "a pause or a consent has reached its end";
    "BK301": "a cron expression cannot be read";
    "BK302": "a rule names a day that never comes";
    "BK303": "a day is of a kind that the frequency has no use for";
    "BK304": "a day is outside every calendar";
    "BK305": "the distance between two slots is nothing, or longer than the calendar";
    TIME_SKIPPED = "BK306": "a clock change skips the time of day of a slot";
    TIME_REPEATED = "BK307": "a clock change repeats the time of day of a slot";
    LATE_START_OVERLAPS = "BK308": "a missed slot may start after the next one has come";
    SLOTS_COLLIDE = "BK309": "two whole backups of one database start at the same minute";
    LONGER_THAN_GAP = "BK310": "a backup takes longer than the time to its schedule's next slot";
    ZERO_OBJECTIVE = "BK401": "an objective is zero, which no backup can meet";
    RPO_IMPOSSIBLE = "BK402": "what the schedules can lose at worst is more than an rpo allows";
    RPO_UNCOVERED = "BK403": "an rpo is promised, and no schedule or WAL archive makes backups for it";
    RPO_ASSUMES_ARCHIVER = "BK404": "an rpo holds only while the WAL archiver keeps up";
    RPO_SUSPENDED = "BK405": "an rpo is not kept while something is suspended";
    RTO_EXCEEDED = "BK406": "drilled recoveries take longer than an rto allows";
    RTO_UNPROVEN = "BK407": "an rto is promised, and no drill proves it";
    PRIORITY_INVERTED = "BK408": "a class of higher priority is promised less than one of lower priority";
    STANDBY_OBSERVED = "BK409": "a standby is promised, which bkup observes and does not provide";
    ALARM_WHEN_HEALTHY = "BK410": "an alarm would ring although every backup is made in time";
    KEEPS_NOTHING = "BK501": "a retention rule keeps nothing";
    MIN_KEEP_ZERO = "BK502": "`min_keep: 0` would let the last backup be deleted";
    TOO_SHALLOW = "BK503": "backups do not surely reach as far back as a plan or drill needs";
    WINDOW_WITHOUT_BASE = "BK504": "no base backup is sure to be old enough for the point-in-time window to start from";
    WAL_WITHOUT_BASE = "BK505": "WAL is archived, and no schedule makes base backups";
    BASE_RARER_THAN_WINDOW = "BK506": "base backups are made more rarely than the point-in-time window is long";
    OUTSIDE_EVERY_WINDOW = "BK507": "a step restores as of an instant of which nothing is left";
    NOTHING_BETWEEN_SLOTS = "BK508": "a retention rule keeps nothing for a part of the time between two slots";
    LOCK_OUTLASTS = "BK509": "an object lock holds longer than retention keeps what it locks";
    CLASS_CHARGES_LONGER = "BK510": "a storage class charges for longer than backups are kept in it";
    MOVE_NEVER_HAPPENS = "BK511": "a move to a colder class never happens";
    CLASS_FROZEN = "BK512": "backups are written to a class that cannot be read at once";
    PASSWORD_IN_FILE = "BK601": "a URL in a policy file contains a password";
    SECRET_KEY_IN_FILE = "BK602": "a policy file contains an age secret key";
    BAD_RECIPIENT = "BK603": "a recipient is not an age public key";
    NOT_ENCRYPTED = "BK604": "a store has no encryption";
    SECRET_IN_FILE = "BK605": "a secret stands in a policy file";
    IDENTITY_UNUSED = "BK606": "a private key is at hand where only backups are made";
    NOT_VERIFIED = "BK607": "a connection over a network is not encrypted, or does not prove who answers";
    COPY_BESIDE = "BK608": "a copy lies beside the original";
    LIVE_BEFORE_PROVEN = "BK701": "a plan restores over live data before a restore was proven";
    APPROVED_BY_NOBODY = "BK702": "a plan is approved, and nobody is named who approved it";
    DRILL_NEVER_DUE = "BK703": "a drill does not say when it runs";
    NOTHING_TO_CHECK = "BK704": "a check stands before anything was restored";
    NOTHING_TO_DRILL = "BK705": "a drill belongs to a plan that restores nothing";
    NOTHING_MAKES_IT = "BK706": "a plan requires a kind of backup that no schedule makes for its databases";
    NOBODY_TO_CALL = "BK707": "an approved plan names nobody to call";
    NEVER_DRILLED = "BK708": "an approved plan has no drill";
    RARELY_DRILLED = "BK709": "a plan is drilled more rarely than every 90 days";
    MANUAL_ONLY = "BK710": "a plan consists of manual steps only";
    APPROVAL_STALE = "BK711": "a plan was approved in the future, or before its last change";
    CLUSTER_INTO_DATABASE = "BK712": "a cluster is restored to where only a database can go, or the other way round";
    NOT_IN_STORE = "BK713": "a step restores from a store that never gets what it asks for";
    DRILL_ON_LIVE = "BK714": "a drill restores into a protected server";
    PROMISED_BY_WAL = "BK715": "a plan promises what only WAL can give, and restores from dumps";
    RUNS_WHAT_IS_GONE = "BK716": "a step uses what current servers no longer have";
    DESTROYS_BEFORE_PROVEN = "BK717": "a step destroys live data before a restore was proven";
}
