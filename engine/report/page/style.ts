/** The page's style: one column on a phone, black on white on paper. */
export const pageStyle = `
:root { color-scheme: light; }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 72rem; padding: 1rem; font: 16px/1.5 "DejaVu Sans", Verdana, system-ui, sans-serif; color: #1b2333; background: #fff; }
h1 { font-size: 1.6rem; line-height: 1.2; margin: 0.5rem 0; overflow-wrap: anywhere; }
h2 { font-size: 1.25rem; margin: 2.5rem 0 0.75rem; border-bottom: 2px solid #d5dbe5; }
h3 { font-size: 1rem; margin: 2rem 0 0.5rem; overflow-wrap: anywhere; }
p { max-width: 48rem; }
nav ul { display: flex; flex-wrap: wrap; gap: 0.25rem 1rem; padding: 0; list-style: none; }
a { color: #1d5fa8; }
.wide { overflow-x: auto; margin: 0.5rem 0 1rem; }
table { border-collapse: collapse; font-size: 0.85rem; font-variant-numeric: tabular-nums; }
th, td { padding: 0.25rem 0.6rem; border-bottom: 1px solid #dfe4ec; text-align: left; vertical-align: top; }
th { border-bottom: 2px solid #8a94a6; }
th { vertical-align: bottom; }
.number, [style*="text-align:right"] { text-align: right; }
td.number, td[style*="text-align:right"] { white-space: nowrap; }
code, pre { font-family: "DejaVu Sans Mono", Menlo, Consolas, monospace; font-size: 0.82rem; }
pre { overflow-x: auto; background: #f4f6f9; padding: 0.6rem; border-radius: 4px; }
td code { white-space: nowrap; }
figure { margin: 0.5rem 0 1rem; }
figure img { max-width: 100%; height: auto; }
.graph text { text-anchor: middle; font-family: inherit; }
.graph .name { font-size: 12px; font-weight: bold; }
.graph .type { font-size: 9.5px; fill: #4a5568; }
.warning { border-left: 4px solid #c2571a; padding: 0.25rem 0.75rem; background: #fdf3ec; }
.muted { color: #4a5568; font-size: 0.85rem; }
summary { cursor: pointer; padding: 0.25rem 0; }
@media (max-width: 40rem) { body { padding: 0.75rem; font-size: 15px; } th, td { padding: 0.2rem 0.4rem; } td:first-child { min-width: 9rem; } }
@media print {
  @page { margin: 14mm 12mm; }
  body { max-width: none; padding: 0; font-size: 10pt; }
  nav, .screen { display: none; }
  h2, h3 { break-after: avoid; }
  tr, figure, .graph { break-inside: avoid; }
  thead { display: table-header-group; }
  .wide { overflow: visible; }
  .graph { max-width: 100%; max-height: 115mm; height: auto; }
  table { font-size: 7.5pt; }
  th, td { padding: 1pt 4pt; }
  pre { white-space: pre-wrap; overflow-wrap: anywhere; }
  details::details-content { content-visibility: visible; block-size: auto; }
  a { color: inherit; text-decoration: none; }
}
`;
