//! Reads policies: text to spanned raw trees to [`Policy`]s, with every problem of every file in one run. Pure.
