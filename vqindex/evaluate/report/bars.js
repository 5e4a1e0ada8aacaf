// Bars: a mark for each figure of an index, along one axis.

function bars(id, items, key, figures, text) {
  const values = items.flatMap((item) => figures(item).filter((v) => v !== null && v > 0));
  const range = state.log ? [Math.min(...values), Math.max(...values)] : [0, Math.max(...values)];
  const at = scale(range, [1, 99], state.log ? WARPS.log : WARPS.even);
  const where = (v) => Math.max(1, at(v));
  const classes = ["first", "second", "third"];
  const first = (item) => figures(item).find((v) => v !== null);
  const sorted = items
    .filter((item) => first(item) !== undefined)
    .sort((a, b) => first(a) - first(b));
  place(id).setAttribute("tabindex", "0");
  place(id).replaceChildren(
    html("div", { class: "key" }, key),
    ...sorted.map((item) => {
      const dots = figures(item).map((v, i) => {
        if (v === null || v <= 0) return null;
        const dot = html("i", { class: classes[i] });
        dot.style.left = `${where(v)}%`;
        return dot;
      });
      return html(
        "div",
        { class: `bar c${item.look % 8}` },
        html(
          "div",
          {},
          html("b", {}, `${item.point.system} ${item.point.spec}`),
          html("span", {}, text(item)),
        ),
        html("div", { class: "track" }, ...dots.reverse()),
      );
    }),
  );
}

function drawBars(lines) {
  const items = new Map();
  for (const line of lines) {
    for (const p of line.points) items.set(`${p.system} ${p.spec}`, { point: p, look: line.look });
  }
  const every = [...items.values()];
  const a_row = (bytes, p) => (bytes === null ? null : bytes / data.sets[p.set].n);
  bars(
    "builds",
    every,
    "\u25cf all of it \u25a1 training alone",
    ({ point: p }) => [p.build_s, p.train_s],
    ({ point: p }) => `${seconds(p.build_s)}${p.train_s ? `, training ${seconds(p.train_s)}` : ""}`,
  );
  bars(
    "sizes",
    every,
    "bytes a row: \u25cf as reported \u25a1 in the saved file \u25c7 most while building",
    ({ point: p }) => [p.bytes_per_row, a_row(p.file_bytes, p), a_row(p.peak_bytes, p)],
    ({ point: p }) =>
      [
        ["", p.bytes_per_row],
        ["file ", a_row(p.file_bytes, p)],
        ["building ", a_row(p.peak_bytes, p)],
      ]
        .flatMap(([name, v]) => (v === null ? [] : [name + whole.format(v)]))
        .join(", "),
  );
}
