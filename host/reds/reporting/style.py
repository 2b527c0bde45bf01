"""The page's style sheet: one for screens wide and narrow, light and dark, and for paper."""

STYLE_SHEET = """
:root {
  color-scheme: light dark;
  --page: #ffffff; --panel: #f6f8fa; --rule: #d0d7de; --ink: #24292f; --muted: #57606a;
  --blue: #1f6feb; --orange: #d9730d; --red: #cf222e; --green: #1a7f37; --purple: #8250df; --brown: #9a6700;
  --pink: #bf3989;
}
@media screen and (prefers-color-scheme: dark) {
  :root {
    --page: #0d1117; --panel: #161b22; --rule: #3d444d; --ink: #e6edf3; --muted: #9da7b3;
    --blue: #58a6ff; --orange: #f0883e; --red: #ff7b72; --green: #3fb950; --purple: #bc8cff; --brown: #d29922;
    --pink: #f778ba;
  }
}
* { box-sizing: border-box; }
html { -webkit-text-size-adjust: 100%; }
body {
  margin: 0 auto; padding: 1.5rem clamp(1rem, 4vw, 2.5rem) 3rem; max-width: 72rem;
  background: var(--page); color: var(--ink);
  font: 1rem/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "DejaVu Sans", sans-serif;
}
h1 { margin: 0 0 1rem; font-size: 1.8rem; line-height: 1.2; overflow-wrap: anywhere; }
h2 { margin: 2.5rem 0 .75rem; padding-top: .75rem; border-top: 1px solid var(--rule); font-size: 1.25rem; }
p { margin: 0 0 1rem; max-width: 46rem; }
small { display: block; color: var(--muted); font-size: .8em; font-weight: normal; }
.facts { display: grid; grid-template-columns: repeat(auto-fit, minmax(11rem, 1fr)); gap: .75rem; margin: 0; }
.facts div { padding: .6rem .8rem; border-radius: .4rem; background: var(--panel); }
.facts dt { color: var(--muted); font-size: .85rem; }
.facts dd { margin: 0; font-weight: 600; font-variant-numeric: tabular-nums; overflow-wrap: anywhere; }
.scroll { margin: 0 0 1rem; overflow-x: auto; }
table { border-collapse: collapse; font-size: .9rem; font-variant-numeric: tabular-nums; }
caption { padding-bottom: .4rem; color: var(--muted); text-align: left; }
th, td { padding: .35rem .9rem .35rem 0; border-bottom: 1px solid var(--rule); text-align: left; vertical-align: top; }
thead th { vertical-align: bottom; border-bottom-width: 2px; }
tbody th { font-weight: 600; }
td, th { white-space: nowrap; }
.number { text-align: right; }
code { font: inherit; white-space: normal; overflow-wrap: anywhere; }
.bar {
  display: block; width: 4.5rem; height: .35rem; margin-left: auto;
  background: var(--panel); outline: 1px solid var(--rule);
}
.bar span { display: block; height: 100%; background: var(--blue); print-color-adjust: exact; }
.failed { color: var(--red); font-weight: 700; }
.plots { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(22rem, 100%), 1fr)); gap: 1rem 1.5rem; }
figure { margin: 0; min-width: 0; break-inside: avoid; }
figure.wide { overflow-x: auto; }
figcaption { color: var(--muted); font-size: .9rem; }
svg { display: block; width: 100%; height: auto; }
.wide svg { min-width: 34rem; max-width: 52rem; }
svg * { stroke-linejoin: round; stroke-linecap: butt; }
@media screen and (max-width: 40rem) {
  tbody th {
    position: sticky; left: 0; min-width: 7.5rem; max-width: 9rem;
    background: var(--page); white-space: normal; overflow-wrap: anywhere;
  }
}
@media print {
  body { max-width: none; padding: 0; font-size: 10pt; }
  h2, h2 + p { break-after: avoid; }
  tr { break-inside: avoid; }
  .scroll, figure.wide { overflow: visible; }
  table { font-size: 8pt; }
  .plots { grid-template-columns: 1fr 1fr; }
  .wide svg { min-width: 0; }
}
"""
