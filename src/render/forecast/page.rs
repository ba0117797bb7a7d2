//! A forecast as a page of its own: the picture and the tables, without scripts and without anything from elsewhere. Pure.

use super::chart::{forecast_svg, xml};
use super::{Style, forecast_text};
use crate::domain::ForecastReport;

const STYLE: &str = "\
:root{color-scheme:light dark;--page:#f6f7f9;--card:#fff;--ink:#1c2430;--rule:#e4e7ec}\
@media(prefers-color-scheme:dark){:root{--page:#0b0e13;--card:#12161d;--ink:#e6e9ef;--rule:#2b3340}}\
body{margin:0;background:var(--page);color:var(--ink);font:14px/1.5 system-ui,-apple-system,'Segoe UI',Roboto,'DejaVu Sans',sans-serif}\
main{max-width:1040px;margin:32px auto;padding:0 20px}\
figure{margin:0 0 24px}svg{width:100%;height:auto;display:block;border:1px solid var(--rule);border-radius:12px}\
pre{background:var(--card);border:1px solid var(--rule);border-radius:12px;padding:18px 20px;overflow-x:auto;\
font:12.5px/1.55 ui-monospace,'SFMono-Regular',Menlo,Consolas,'DejaVu Sans Mono',monospace}";

/// Writes the page.
#[must_use]
pub fn forecast_html(report: &ForecastReport) -> String {
    let style = Style { unicode: true, colour: false, width: 120 };
    let title = xml(&format!("Forecast of {}", report.after.policies));
    // The text escapes what comes from outside for a terminal; here it is markup that must not come through.
    let text = markup_free(&forecast_text(report, true, &style));
    let svg = forecast_svg(report);
    format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" \
         content=\"width=device-width,initial-scale=1\"><meta http-equiv=\"Content-Security-Policy\" \
         content=\"default-src 'none'; style-src 'unsafe-inline'\"><title>{title}</title><style>{STYLE}</style></head>\n\
         <body><main><figure>\n{svg}</figure>\n<pre>{text}</pre></main></body></html>\n"
    )
}

fn markup_free(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}
