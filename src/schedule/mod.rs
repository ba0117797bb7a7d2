//! Calendar and cron rules to slots, in both directions, with the daylight-saving rules written down. Pure.
