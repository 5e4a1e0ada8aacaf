// A chart of recall against something else, with what is under the pointer or chosen by keys.

// Points beside which no other has more recall and as good a y, by recall.
function front(points, x, y, up) {
  const sign = up ? 1 : -1;
  const sorted = points.toSorted((a, b) => x(b) - x(a) || sign * (y(b) - y(a)));
  const kept = [];
  for (const point of sorted) {
    if (!kept.length || sign * (y(point) - y(kept.at(-1))) > 0) kept.push(point);
  }
  return kept.reverse();
}

const MARGIN = { left: 52, right: 14, top: 10, bottom: 40 };
const REACH = 40; // pixels from a point at which it is pointed at

// options: lines [{label, look, ours, points, best}], x and y of a point, xName, yName, log,
// spread, span (low and high of a point, or null), chosen (called with a point or null), opened
// (with a point). Returns show(point).
function chart(box, options) {
  const width = Math.max(box.clientWidth, 260);
  const height = Math.round(Math.min(440, Math.max(290, width * 0.68)));
  const { lines, x, y, log, spread } = options;
  const all = lines.flatMap((line) => line.points);
  const right = width - MARGIN.right;
  const bottom = height - MARGIN.bottom;
  const ys = all.map(y);
  const yRange = log ? [Math.min(...ys) / 1.2, Math.max(...ys) * 1.2] : [0, Math.max(...ys) * 1.05];
  const lowest = Math.min(...all.map(x));
  const xRange = [Math.max(0, lowest - 0.02), 1];
  const toX = scale(xRange, [MARGIN.left + 6, right], spread ? WARPS.missed : WARPS.even);
  const toY = scale(yRange, [bottom, MARGIN.top], log ? WARPS.log : WARPS.even);
  const root = svg("svg", {
    width,
    height,
    tabindex: 0,
    role: "group",
    "aria-roledescription": "chart",
    "aria-label": `${options.yName} against ${options.xName}; arrow keys go from point to point`,
  });
  root.append(axes(), ...lines.map(drawn));
  const span = svg("path", { class: "span", visibility: "hidden" });
  const ring = svg("circle", { class: "ring", r: 9, visibility: "hidden" });
  const tip = html("div", { class: "tip", hidden: true });
  root.append(span, ring);
  box.replaceChildren(root, tip);
  let at = null;

  function axes() {
    const group = svg("g");
    const recalls = spread ? RECALLS.filter((v) => v >= xRange[0]) : evenTicks(...xRange);
    for (const tick of spaced(recalls, toX, 34)) {
      group.append(
        svg("path", { class: "grid", d: `M${toX(tick)},${MARGIN.top}V${bottom}` }),
        svg("text", { x: toX(tick), y: bottom + 16, "text-anchor": "middle" }, String(tick)),
      );
    }
    for (const tick of spaced(log ? logTicks(...yRange) : evenTicks(...yRange), toY, 22)) {
      group.append(
        svg("path", { class: "grid", d: `M${MARGIN.left},${toY(tick)}H${right}` }),
        svg(
          "text",
          { x: MARGIN.left - 6, y: toY(tick) + 4, "text-anchor": "end" },
          short.format(tick),
        ),
      );
    }
    const middle = (MARGIN.top + bottom) / 2;
    group.append(
      svg(
        "text",
        { x: (MARGIN.left + right) / 2, y: height - 6, "text-anchor": "middle" },
        options.xName,
      ),
      svg(
        "text",
        { transform: `translate(11 ${middle}) rotate(-90)`, "text-anchor": "middle" },
        options.yName,
      ),
    );
    return group;
  }

  function drawn(line) {
    const best = new Set(line.best);
    const path = line.best.map((p) => `${toX(x(p)).toFixed(1)},${toY(y(p)).toFixed(1)}`).join("L");
    const look = `c${line.look % 8} ${line.ours ? "ours" : "theirs"}`;
    return svg(
      "g",
      { class: look },
      ...line.points
        .filter((p) => !best.has(p))
        .map((p) => mark(line.look % 7, toX(x(p)), toY(y(p)), true)),
      svg("path", { class: "line", d: `M${path}` }),
      ...line.best.map((p) => mark(line.look % 7, toX(x(p)), toY(y(p)))),
    );
  }

  function show(point, described) {
    at = point;
    const seen = point !== null && all.includes(point);
    for (const node of [ring, span]) node.setAttribute("visibility", seen ? "visible" : "hidden");
    tip.hidden = !seen || !described;
    if (!seen) return;
    const [cx, cy] = [toX(x(point)), toY(y(point))];
    ring.setAttribute("cx", cx);
    ring.setAttribute("cy", cy);
    const ends = options.span(point);
    span.setAttribute("d", ends ? `M${cx},${toY(ends[0])}V${toY(ends[1])}` : "");
    if (!described) return;
    tip.replaceChildren(...described);
    const beside = cx + 16 + tip.offsetWidth <= width ? cx + 16 : cx - 16 - tip.offsetWidth;
    tip.style.left = `${Math.max(0, Math.min(beside, width - tip.offsetWidth))}px`;
    const below = beside < 0 ? cy + 16 : Math.min(Math.max(0, cy - 20), height - tip.offsetHeight);
    tip.style.top = `${below}px`;
  }

  function nearest(event) {
    const place = root.getBoundingClientRect();
    const [px, py] = [event.clientX - place.left, event.clientY - place.top];
    let [found, least] = [null, REACH];
    for (const point of all) {
      const away = Math.hypot(toX(x(point)) - px, toY(y(point)) - py);
      if (away < least) [found, least] = [point, away];
    }
    return found;
  }

  function step(key) {
    const i = Math.max(
      0,
      lines.findIndex((line) => line.best.includes(at)),
    );
    const own = lines[i].best;
    const j = own.indexOf(at);
    if (j < 0) return own[0];
    if (key === "ArrowRight") return own[Math.min(j + 1, own.length - 1)];
    if (key === "ArrowLeft") return own[Math.max(j - 1, 0)];
    const other = lines[(i + (key === "ArrowDown" ? 1 : lines.length - 1)) % lines.length].best;
    return other.reduce((a, b) => (Math.abs(x(b) - x(at)) < Math.abs(x(a) - x(at)) ? b : a));
  }

  for (const type of ["pointermove", "pointerdown"]) {
    root.addEventListener(type, (event) => options.chosen(nearest(event)));
  }
  root.addEventListener("pointerleave", () => options.chosen(null));
  root.addEventListener("blur", () => options.chosen(null));
  root.addEventListener("click", (event) => options.opened(nearest(event)));
  root.addEventListener("keydown", (event) => {
    if (event.key === "Enter") options.opened(at);
    else if (event.key === "Escape") options.chosen(null);
    else if (event.key.startsWith("Arrow")) options.chosen(step(event.key));
    else return;
    event.preventDefault();
  });
  return show;
}
