//! Finds what other scripts left in a bucket or folder, and checks each of it: names, sidecars, digests, the inside.
//! Reads only. What is taken over, and under which name, the plan decides; copying is `backup`'s.

mod archive;
mod gunzip;
mod names;
mod script;
mod survey;

pub use names::{Named, Sorted, sort};
pub use survey::{Checked, Survey, SurveyError, survey};
