// The table of points: sorted by any column, every text of use copied by a button.

const COLUMNS = [
  { key: "system", name: "library", of: (p) => p.system, shown: (p) => p.system },
  { key: "spec", name: "index", of: (p) => p.spec, shown: (p) => p.spec, copied: (p) => p.spec },
  {
    key: "asked",
    name: "parameters",
    of: asked,
    shown: (p) => asked(p) || "defaults",
    copied: (p) => JSON.stringify(p.parameters),
  },
  { key: "recall", name: "recall", of: (p) => recallOf(p), shown: (p) => recallOf(p).toFixed(4) },
  { key: "rate", name: "queries/s", of: rateOf, shown: (p) => whole.format(rateOf(p)) },
  {
    key: "p50",
    name: "p50",
    of: (p) => p.latency?.p50 ?? null,
    shown: (p) => seconds(p.latency.p50),
  },
  {
    key: "p99",
    name: "p99",
    of: (p) => p.latency?.p99 ?? null,
    shown: (p) => seconds(p.latency.p99),
  },
  { key: "bytes", name: "bytes/row", of: bytesOf, shown: (p) => whole.format(bytesOf(p)) },
  { key: "build", name: "build", of: (p) => p.build_s, shown: (p) => seconds(p.build_s) },
  {
    key: "command",
    name: "command",
    of: (p) => p.command,
    shown: (p) => p.command,
    copied: (p) => p.command,
  },
];
const NUMBERS = new Set(["recall", "rate", "p50", "p99", "bytes", "build"]);

async function copy(text, button) {
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    const area = html("textarea", { class: "unseen" });
    area.value = text;
    document.body.append(area);
    area.select();
    document.execCommand("copy");
    area.remove();
  }
  button.textContent = "copied";
  setTimeout(() => {
    button.textContent = "copy";
  }, 1500);
}

function cell(p, column) {
  const value = column.of(p);
  const text = value === null ? "-" : column.shown(p);
  if (NUMBERS.has(column.key))
    return html("td", { class: "number", "data-name": column.name }, text);
  const click = (event) => copy(column.copied(p), event.target);
  return html(
    "td",
    { "data-name": column.name },
    column.key === "system" ? text : html("code", {}, text),
    column.copied
      ? html("button", { type: "button", "aria-label": `copy ${column.name}`, click }, "copy")
      : null,
  );
}

function heading(column) {
  const click = () => {
    state.down = state.sort === column.key ? !state.down : NUMBERS.has(column.key);
    state.sort = column.key;
    table();
    document.querySelector("th[aria-sort] button").focus();
  };
  const order = state.sort === column.key ? (state.down ? "descending" : "ascending") : false;
  return html(
    "th",
    { scope: "col", "aria-sort": order },
    html("button", { type: "button", click }, column.name),
  );
}

let tabled = []; // the lines whose points it may show
let shown = []; // the points that it shows

function table() {
  const every = tabled.flatMap((line) => (place("best").checked ? line.best : line.points));
  const { of } = COLUMNS.find((column) => column.key === state.sort);
  const sign = state.down ? -1 : 1;
  const compared = (a, b) =>
    a === b ? 0 : a === null ? 1 : b === null ? -1 : sign * (a < b ? -1 : 1);
  every.sort((a, b) => compared(of(a), of(b)));
  shown = every.slice(0, state.rows);
  const columns = COLUMNS.filter((column) => every.some((p) => column.of(p) !== null));
  const rows = shown.map((p) =>
    html("tr", { id: `point-${p.index}` }, ...columns.map((c) => cell(p, c))),
  );
  const all = () => {
    state.rows = Infinity;
    table();
  };
  place("table").replaceChildren(
    html(
      "table",
      {},
      html("thead", {}, html("tr", {}, ...columns.map(heading))),
      html("tbody", {}, ...rows),
    ),
    shown.length < every.length
      ? html(
          "button",
          { type: "button", id: "all", click: all },
          `show all ${whole.format(every.length)}`,
        )
      : "",
  );
}
