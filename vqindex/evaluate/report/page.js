// What can be chosen, and everything drawn from it.

const CHOICES = {
  set: { name: "Dataset", of: (p) => p.set, text: (i) => data.sets[i].label },
  threads: { name: "Threads", of: (p) => p.threads, text: String },
  batch: { name: "In a call", of: (p) => p.batch, text: calls },
};

function picker(name, key, values, text, current) {
  const options = values.map((v, i) =>
    html("option", { value: i, selected: v === current }, text(v)),
  );
  const change = (event) => choose(key, values[event.target.value]);
  return html("label", {}, name, html("select", { id: `choose-${key}`, change }, ...options));
}

function tick(name, key) {
  const change = (event) => choose(key, event.target.checked);
  const box = html("input", { type: "checkbox", id: `choose-${key}`, checked: state[key], change });
  return html("label", { class: "check" }, box, name);
}

function choose(key, value) {
  state[key] = value;
  if (key === "line") state.hidden.clear();
  render();
  place(`choose-${key}`).focus();
}

// The points of each choice in turn are those of the choices before it.
function choices() {
  let points = data.points;
  const fields = [];
  for (const [key, choice] of Object.entries(CHOICES)) {
    const values = listed(points.map(choice.of));
    if (!values.includes(state[key])) state[key] = values[0];
    points = points.filter((p) => choice.of(p) === state[key]);
    fields.push(picker(choice.name, key, values, choice.text, state[key]));
  }
  const depths = listed(points.flatMap((p) => Object.keys(p.recall).map(Number)));
  const kinds = [false, true].flatMap((near) => depths.map((k) => ({ k, near })));
  const same = (a) => state.recall && a.k === state.recall.k && a.near === state.recall.near;
  state.recall = kinds.find(same) ??
    kinds.find(({ k }) => k === 10) ??
    kinds[0] ?? { k: 10, near: false };
  const text = ({ k, near }) => `recall@${k}${near ? ", by distance" : ""}`;
  fields.push(picker("Recall", "recall", kinds, text, state.recall));
  const lineText = (v) => (v === "system" ? "each library" : "each kind of index");
  fields.push(picker("A line for", "line", ["system", "kind"], lineText, state.line));
  const ticks = html("div", {}, tick("logarithmic", "log"), tick("spread high recalls", "spread"));
  place("choices").replaceChildren(...fields, ticks);
  return points.filter((p) => p.failed === null && p.qps !== null && recallOf(p) !== null);
}

// Charts

let charts = []; // shows a point in each

function linesOf(points) {
  const every = looks();
  return [...every].flatMap(([label, look]) => {
    const own = points.filter((p) => nameOf(p) === label);
    return own.length ? [{ label, ...look, points: own }] : [];
  });
}

function described(p) {
  const [median, low, high] = [rateOf(p), p.qps.low, p.qps.high].map(whole.format);
  return [
    html("strong", {}, `${p.system} ${p.spec}`),
    facts([
      ["searched with", asked(p) || "defaults"],
      ...Object.entries(p.recall).map(([k, v]) => [`recall@${k}`, v.toFixed(4)]),
      ["queries/s", `${median} (${low} to ${high})`],
      ["latency", p.latency && `p50 ${seconds(p.latency.p50)}, p99 ${seconds(p.latency.p99)}`],
      [
        "bytes/row",
        bytesOf(p) && whole.format(bytesOf(p)) + (p.bytes_per_row === null ? ", of its file" : ""),
      ],
      ["built in", seconds(p.build_s)],
    ]),
  ];
}

// Marks a point in both charts; the figures stand beside it in the chart that was pointed at.
function point(p, from) {
  charts.forEach((show, i) => show(p, i === from && p ? described(p) : null));
  if (p) place("said").textContent = [...described(p)].map((node) => node.textContent).join(" ");
}

function open(p) {
  if (!p) return;
  if (!shown.includes(p)) {
    if (!tabled.some((line) => line.best.includes(p))) place("best").checked = false;
    state.rows = Infinity;
    table();
  }
  document.querySelector("tr.chosen")?.classList.remove("chosen");
  const row = document.getElementById(`point-${p.index}`);
  row.classList.add("chosen");
  row.scrollIntoView({ block: "center" });
  row.querySelector("button").focus({ preventScroll: true });
}

function drawCharts(lines) {
  const common = {
    x: recallOf,
    xName: recallName(),
    log: state.log,
    spread: state.spread,
    opened: open,
  };
  const speed = lines.map((line) => ({
    ...line,
    best: front(line.points, recallOf, rateOf, true),
  }));
  const known = lines
    .map((line) => ({ ...line, points: line.points.filter((p) => bytesOf(p) !== null) }))
    .filter((line) => line.points.length);
  const memory = known.map((line) => ({
    ...line,
    best: front(line.points, recallOf, bytesOf, false),
  }));
  charts = [
    speed.length &&
      chart(place("speed"), {
        ...common,
        lines: speed,
        y: rateOf,
        yName: "queries a second (up is better)",
        span: (p) => [p.qps.low, p.qps.high],
        chosen: (p) => point(p, 0),
      }),
    memory.length &&
      chart(place("memory"), {
        ...common,
        lines: memory,
        y: bytesOf,
        yName: "bytes a row (down is better)",
        span: () => null,
        chosen: (p) => point(p, 1),
      }),
  ];
  for (const [i, id] of ["speed", "memory"].entries()) {
    if (!charts[i]) place(id).replaceChildren();
  }
  charts = charts.map((show) => show || (() => {}));
  return speed;
}

const recallName = () =>
  `recall@${state.recall.k}${state.recall.near ? " by distance" : ""} (right is better)`;

function legend(lines) {
  place("legend").replaceChildren(
    ...lines.map(({ label, look, ours }) => {
      const click = () => {
        if (!state.hidden.delete(label)) state.hidden.add(label);
        render();
        [...place("legend").children].find((node) => node.textContent === label).focus();
      };
      const sign = svg(
        "svg",
        { width: 30, height: 14, class: ours ? "ours" : "theirs", "aria-hidden": true },
        svg("path", { class: "line", d: "M0,7H30" }),
        mark(look % 7, 15, 7),
      );
      return html(
        "button",
        {
          type: "button",
          class: `c${look % 8}`,
          "aria-pressed": !state.hidden.has(label) + "",
          click,
        },
        sign,
        html("span", {}, label),
      );
    }),
  );
}

function failures() {
  const failed = data.points.filter((p) => p.failed !== null && p.set === state.set);
  const texts = new Set(failed.map((p) => `${p.system} ${p.spec}: ${p.failed}`));
  place("failures").hidden = !texts.size;
  place("failures")
    .querySelector("ul")
    .replaceChildren(...[...texts].map((text) => html("li", {}, text)));
}

function machines(points) {
  const used = listed(points.map((p) => p.machine)).map((i) => data.machines[i]);
  const text = (v) => (v !== null && typeof v === "object" ? JSON.stringify(v) : String(v));
  place("machines").replaceChildren(
    ...used.map((machine) =>
      html(
        "details",
        { open: used.length === 1 },
        html("summary", {}, text(machine.cpu ?? "the machine")),
        facts(Object.entries(machine).map(([key, value]) => [key, text(value)])),
      ),
    ),
  );
}

function render() {
  const points = choices();
  const lines = linesOf(points);
  state.rows = FEW;
  const seen = lines.filter((line) => !state.hidden.has(line.label));
  legend(lines);
  tabled = drawCharts(seen);
  drawBars(seen);
  table();
  failures();
  machines(points);
  const about = data.sets[state.set];
  place("nothing").hidden = points.length > 0;
  place("about").textContent = about
    ? `${about.name}: ${whole.format(about.n)} rows of ${about.dim} numbers, ${about.metric}; ` +
      `${plural(points.length, "point")}, ${plural(lines.length, "line")}`
    : "";
}

place("best").addEventListener("change", table);
let width = 0;
new ResizeObserver(() => {
  if (width !== document.body.clientWidth) render();
  width = document.body.clientWidth;
}).observe(document.body);
