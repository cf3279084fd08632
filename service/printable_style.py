"""How the printed sheet looks. The picture takes the height that everything else leaves."""

STYLE = """
@page { size: A4; margin: 12mm; }
* { box-sizing: border-box; margin: 0; }
html { font: 8.5pt/1.35 "Helvetica Neue", Helvetica, Arial, "Liberation Sans", sans-serif;
  color: #15202b; -webkit-print-color-adjust: exact; print-color-adjust: exact; }
.sheet { width: 186mm; height: 272mm; overflow: hidden; display: flex; flex-direction: column;
  gap: 4mm; margin: 0 auto; background: #fff; }
header { display: flex; justify-content: space-between; gap: 8mm; padding-bottom: 2.5mm;
  border-bottom: .6mm solid #8c1c2b; }
h1 { font-size: 17pt; line-height: 1.1; letter-spacing: -.01em; }
h2 { font-size: 9.5pt; margin: 0 0 1mm; color: #8c1c2b; overflow-wrap: anywhere; }
.slide { font-size: 11pt; }
.slide, .limits, footer p { overflow-wrap: anywhere; overflow: hidden; display: -webkit-box;
  -webkit-box-orient: vertical; -webkit-line-clamp: 2; }
.quiet, caption, dt, small { color: #51606e; }
.notice { flex: none; align-self: start; padding: 1.5mm 3mm; border: .3mm solid #8c1c2b;
  border-radius: 1mm; color: #8c1c2b; }
.figures { display: grid; grid-template-columns: repeat(5, 1fr); gap: 3mm; }
.figures div { padding-left: 2.5mm; border-left: .5mm solid #d9dee3; }
dd { font-size: 15pt; line-height: 1.15; font-weight: 600; font-variant-numeric: tabular-nums; }
dd small { font-size: 9pt; font-weight: 400; }
figure { flex: 1 1 0; min-height: 0; }
img { display: block; width: 100%; height: 100%; object-fit: contain; }
.columns { display: grid; grid-template-columns: 100mm 1fr; gap: 8mm; }
.columns > div { min-width: 0; }
.columns h2 ~ h2 { margin-top: 3mm; }
table { width: 100%; border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { padding: .55mm 1mm; text-align: right; border-bottom: .2mm solid #e3e7eb; }
th { font-weight: 600; border-color: #97a3ae; }
th:first-child, td:first-child { text-align: left; padding-left: 0; }
caption { text-align: left; }
.warning { flex: none; padding: 1.5mm 3mm; border-left: 1mm solid #8c1c2b; background: #fbeef0;
  overflow-wrap: anywhere; }
.limits { -webkit-line-clamp: 3; flex: none; }
footer { padding-top: 2mm; border-top: .2mm solid #97a3ae; font-size: 7pt; color: #3c4854; }
.digests { margin-top: 1mm; }
.digests td { padding: 0; border: 0; text-align: left; line-height: 1.3; }
.digests td:last-child { font-family: "DejaVu Sans Mono", Menlo, Consolas, monospace;
  font-size: 6.3pt; }
@media screen {
  html { background: #e8ebee; }
  .sheet { width: 210mm; height: 297mm; padding: 12mm; margin: 6mm auto;
    box-shadow: 0 1mm 5mm #0003; }
}
"""
