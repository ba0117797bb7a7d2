//! `bkup audit verify`: computes the audit chain again, and compares it with the heads that runs have left in the stores.

use std::collections::BTreeMap;

use clap::{Args, Subcommand};
use serde_json::json;

use crate::catalog::{AuditVerdict, Reader};
use crate::cli::context::Context;
use crate::cli::exit::Exit;
use crate::cli::failure::CliError;
use crate::cli::session::Session;
use crate::diag::{Code, Diagnostic};
use crate::observe::{self, Heads};

/// Arguments of `audit`.
#[derive(Debug, Args)]
pub struct AuditArgs {
    /// What to do.
    #[command(subcommand)]
    pub command: AuditCommand,
}

/// What to do with the audit log.
#[derive(Debug, Subcommand)]
pub enum AuditCommand {
    /// Prove that no row was changed, put in or taken out: by its hashes, and by what the stores recorded
    Verify {
        /// Look at the catalog alone
        #[arg(long)]
        without_stores: bool,
    },
}

/// Proves the chain; exit 8 where it is broken.
///
/// # Errors
/// Where it cannot be read.
pub fn run(context: &mut Context, args: &AuditArgs) -> Result<Exit, CliError> {
    let AuditCommand::Verify { without_stores } = &args.command;
    let session = Session::open(context)?;
    let catalog = session.catalog()?;
    let work = async {
        let reader = Reader::with(catalog.options());
        let verdict = reader.verify_audit().await?;
        let mut heads = Heads::default();
        if !without_stores {
            let mut stores = BTreeMap::new();
            for (name, spec) in &session.base.stores {
                stores.insert(name.clone(), session.store(spec).await.map(|(store, _)| store));
            }
            heads = observe::audit_heads(&stores).await;
        }
        let other = reader.first_other_head(&heads.heads).await?;
        Ok::<_, crate::catalog::CatalogError>((verdict, heads, other))
    };
    let (verdict, heads, other) =
        context.block_on_reading(work)?.map_err(|error| CliError::of(&error, Exit::Failed))?;
    let (rows, base, head, broken) = match &verdict {
        AuditVerdict::Broken { row, reason } => (None, 0, None, Some((*row, format!("row {row} {reason}")))),
        AuditVerdict::Whole { rows, base, head } => {
            let broken = other.map(|row| {
                (
                    row,
                    format!(
                        "row {row} has another hash than the one a run left in a store: the chain was written anew"
                    ),
                )
            });
            (Some(*rows), *base, head.map(|head| head.to_string()), broken)
        }
    };
    let ui = &context.ui;
    for (store, why) in &heads.unread {
        ui.note(&ui.err_style.name(&format!("store.{store} was not compared: {why}")));
    }
    if ui.is_json() {
        let json = json!({
            "format_version": "1.0", "whole": broken.is_none(), "rows": rows, "before_rebuild": base, "head": head,
            "first_bad_row": broken.as_ref().map(|(row, _)| row), "reason": broken.as_ref().map(|(_, why)| why),
            "compared": heads.heads.len(),
            "not_compared": heads.unread.iter().map(|(store, why)| json!({ "store": store, "why": why })).collect::<Vec<_>>(),
        });
        ui.print(&format!("{json}\n"));
    }
    if let Some((_, why)) = broken {
        let finding = Diagnostic::error(Code("BK917"), format!("the audit chain is broken: {why}")).help(
            "somebody with rights on the tables changed the log; compare it with the reports below runs/ in the stores",
        );
        return Err(CliError::Failed { finding: Box::new(finding), exit: Exit::Violated });
    }
    if !ui.is_json() {
        ui.print(&whole(rows.unwrap_or(0), base, head.as_deref(), &heads));
    }
    Ok(Exit::Success)
}

fn whole(rows: u64, base: u64, head: Option<&str>, heads: &Heads) -> String {
    let mut out = match head {
        Some(head) => format!("The audit chain is whole: {rows} rows, head {head}.\n"),
        None => "The audit chain is whole: it has no rows yet.\n".to_owned(),
    };
    match heads.heads.len() {
        0 => out.push_str("  No store holds a head to compare it with.\n"),
        n => out.push_str(&format!(
            "  It agrees with {n} head{} that runs left in the stores.\n",
            if n == 1 { "" } else { "s" }
        )),
    }
    if base > 0 {
        out.push_str(&format!(
            "  Rows 1 to {base} were lost with a catalog that was rebuilt; their last hash is all that is known of them.\n"
        ));
    }
    out
}
