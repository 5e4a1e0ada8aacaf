// Elements, scales and marks: what both charts are made of. Text only ever becomes text nodes.

function grown(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === "function") node.addEventListener(name, value);
    else if (value !== false && value !== null)
      node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...children.filter((child) => child !== null));
  return node;
}

function html(tag, attributes = {}, ...children) {
  return grown(document.createElement(tag), attributes, children);
}

function svg(tag, attributes = {}, ...children) {
  return grown(document.createElementNS("http://www.w3.org/2000/svg", tag), attributes, children);
}

function facts(pairs) {
  const rows = pairs.filter(([, value]) => value !== null);
  return html(
    "dl",
    {},
    ...rows.flatMap(([name, value]) => [html("dt", {}, name), html("dd", {}, value)]),
  );
}

const short = new Intl.NumberFormat("en-US", { notation: "compact", maximumSignificantDigits: 3 });
const whole = new Intl.NumberFormat("en-US", { maximumFractionDigits: 0 });
const three = new Intl.NumberFormat("en-US", { maximumSignificantDigits: 3 });

// How far along an axis a value lies. A recall is spread by what is missed, to part the best.
const WARPS = { even: (v) => v, log: Math.log, missed: (v) => -Math.log(1.02 - v) };

function scale(domain, range, warp) {
  const [low, high] = domain.map(warp);
  return (v) => range[0] + ((warp(v) - low) / (high - low || 1)) * (range[1] - range[0]);
}

function evenTicks(low, high) {
  const rough = (high - low || 1) / 6;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].find((m) => m * power >= rough) * power;
  const ticks = [];
  for (let i = Math.ceil(low / step); i * step <= high; i++)
    ticks.push(Number((i * step).toPrecision(6)));
  return ticks;
}

function logTicks(low, high) {
  const ticks = [];
  for (let e = Math.floor(Math.log10(low)); 10 ** e <= high; e++) {
    ticks.push(...[1, 2, 5].map((m) => m * 10 ** e).filter((v) => v >= low && v <= high));
  }
  return ticks;
}

const RECALLS = [0, 0.2, 0.4, 0.5, 0.6, 0.7, 0.8, 0.85, 0.9, 0.93, 0.95, 0.97, 0.98, 0.99, 1];

// The last tick and, going back, all that are so many pixels from the one before.
function spaced(ticks, at, gap) {
  const kept = [];
  for (const tick of ticks.toReversed()) {
    if (!kept.length || Math.abs(at(tick) - at(kept.at(-1))) >= gap) kept.push(tick);
  }
  return kept;
}

const SHAPES = [
  "M4,0A4,4 0 1 1 -4,0A4,4 0 1 1 4,0Z", // circle
  "M-3.5,-3.5H3.5V3.5H-3.5Z", // square
  "M0,-4.5L4.5,3.5H-4.5Z", // triangle
  "M0,-5L5,0L0,5L-5,0Z", // diamond
  "M0,4.5L4.5,-3.5H-4.5Z", // triangle on its tip
  "M-5,0L-2.5,-4.3H2.5L5,0L2.5,4.3H-2.5Z", // hexagon
  "M-1.5,-4.5H1.5V-1.5H4.5V1.5H1.5V4.5H-1.5V1.5H-4.5V-1.5H-1.5Z", // cross
];

function mark(shape, x, y, faint = false) {
  const size = faint ? 0.6 : 1;
  return svg("path", {
    class: faint ? "mark faint" : "mark",
    d: SHAPES[shape],
    transform: `translate(${x.toFixed(1)} ${y.toFixed(1)}) scale(${size})`,
  });
}
