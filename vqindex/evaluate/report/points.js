// The points, what is chosen of them, and how their figures are written.

const data = JSON.parse(document.getElementById("data").textContent);
const place = (id) => document.getElementById(id);
const FEW = 40; // rows of the table, until all are asked for
const state = {
  set: null,
  threads: null,
  batch: null,
  recall: null,
  line: "system",
  log: true,
  spread: true,
  hidden: new Set(),
  sort: "recall",
  down: true,
  rows: FEW,
};

const listed = (values) => [...new Set(values)].sort((a, b) => a - b);
const recallOf = (p) =>
  (state.recall.near ? p.recall_by_distance : p.recall)[state.recall.k] ?? null;
const rateOf = (p) => p.qps.median;
const bytesOf = (p) => p.bytes;
const nameOf = (p) => (state.line === "system" ? p.system : `${p.system} ${p.kind}`);
const asked = (p) =>
  Object.entries(p.parameters)
    .map(([key, v]) => `${key}=${JSON.stringify(v)}`)
    .join(" ");
const plural = (n, one) => `${whole.format(n)} ${one}${n === 1 ? "" : "s"}`;
const seconds = (s) =>
  s === null ? null : s < 1 ? `${three.format(1000 * s)} ms` : `${three.format(s)} s`;
const calls = (batch) => (batch === 1 ? "one query" : `${whole.format(batch)} queries`);

// A look for every line that there can be, ours first, so that choices change none.
function looks() {
  const names = [...new Set(data.points.map(nameOf))];
  const ours = (name) => name === "vqindex" || name.startsWith("vqindex ");
  names.sort((a, b) => ours(b) - ours(a) || (a < b ? -1 : 1));
  return new Map(names.map((name, i) => [name, { look: i, ours: ours(name) }]));
}
