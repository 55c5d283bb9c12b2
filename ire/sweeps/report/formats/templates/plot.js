// One panel as SVG. Colours are set as --ink and --dark, and the style sheet chooses; text is set as text.
const NS = "http://www.w3.org/2000/svg";
function node(tag, attributes, parent, text) {
  const made = document.createElementNS(NS, tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  if (text !== undefined) made.textContent = text;
  parent?.append(made);
  return made;
}
const MARKS = {
  "o": r => `M${-r} 0a${r} ${r} 0 1 0 ${2 * r} 0a${r} ${r} 0 1 0 ${-2 * r} 0Z`,
  "^": r => `M0 ${-1.1 * r}L${r} ${0.8 * r}L${-r} ${0.8 * r}Z`,
  "X": r => `M${-r} ${-r}L${r} ${r}M${-r} ${r}L${r} ${-r}`,
  "<": r => `M${-r} 0L${r} ${-r}L${r} ${r}Z`,
  ">": r => `M${r} 0L${-r} ${-r}L${-r} ${r}Z`,
};
MARKS.x = MARKS.X;
MARKS["*"] = r => "M" + Array.from({ length: 10 }, (_, i) => {
  const reach = i % 2 ? 0.45 * r : 1.15 * r, angle = i * Math.PI / 5;
  return `${reach * Math.sin(angle)} ${-reach * Math.cos(angle)}`;
}).join("L") + "Z";
const LETTER = 6.4, BAR = 0.6;  // pixels per letter; height as a share of the distance between bars
const cut = (name, room) => (name.length > room ? name.slice(0, room - 1) + "…" : name);

function drawPanel(host, panel, hidden, view) {
  const width = host.clientWidth, height = +host.dataset.height, names = panel.y.ticks.map(t => t[1]);
  const left = names.length ? Math.min(0.45 * width, (panel.y.label ? 28 : 14) + 6.6 * Math.max(...names.map(n => n.length))) : 52;
  const right = width - (panel.shade ? 62 : 12), below = panel.x.ticks.map(t => cut(t[1], 16)), longest = LETTER * Math.max(0, ...below.map(n => n.length));
  const slanted = below.length > 1 && longest > 0.75 * (right - left) / below.length, foot = panel.x.label ? 38 : 22;
  const box = { left, right, top: panel.title ? 22 : 8, bottom: height - (slanted ? Math.min(0.4 * height, foot + 0.57 * longest - 8) : foot) };
  const shown = panel.series.filter(s => !hidden.has(s.name));
  const all = key => shown.flatMap(s => [...s[key], ...(s.low && (s.interval === "x") === (key === "x") ? [...s.low, ...s.high] : [])]);
  const axis = key => (view ? { ...panel[key], low: view[key][0], high: view[key][1] } : panel[key]);
  const x = scaleOf(axis("x"), all("x"), box.left, box.right), y = scaleOf(axis("y"), all("y"), box.bottom, box.top);
  const svg = node("svg", { width, height, viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": panel.title || `${panel.y.label} against ${panel.x.label}` });
  const clip = `clip${drawPanel.count = (drawPanel.count ?? 0) + 1}`;
  node("rect", { x: box.left, y: box.top, width: box.right - box.left, height: box.bottom - box.top },
    node("clipPath", { id: clip }, node("defs", {}, svg)));
  const frame = node("g", { class: "axes" }, svg), marks = node("g", { "clip-path": `url(#${clip})` }, svg);
  for (const [at, name] of x.ticks) if (x(at) >= box.left - 1 && x(at) <= box.right + 1) {
    node("path", { class: "grid", d: `M${x(at)} ${box.top}V${box.bottom}` }, frame);
    if (slanted) node("text", { transform: `translate(${x(at) + 3} ${box.bottom + 12}) rotate(-35)`, "text-anchor": "end" }, frame, cut(name, 16));
    else node("text", { x: x(at), y: box.bottom + 14, "text-anchor": "middle" }, frame, name);
  }
  for (const [at, name] of y.ticks) if (y(at) >= box.top - 1 && y(at) <= box.bottom + 1) {
    if (!names.length) node("path", { class: "grid", d: `M${box.left} ${y(at)}H${box.right}` }, frame);
    node("text", { x: box.left - 6, y: y(at) + 4, "text-anchor": "end" }, frame, cut(name, Math.floor((left - 8) / LETTER)));
  }
  node("path", { class: "edge", d: `M${box.left} ${names.length ? box.bottom : box.top}V${box.bottom}H${box.right}` }, frame);
  node("text", { x: (box.left + box.right) / 2, y: height - 6, "text-anchor": "middle" }, frame, panel.x.label);
  if (panel.y.label) node("text", { transform: `translate(11 ${(box.top + box.bottom) / 2}) rotate(-90)`, "text-anchor": "middle" }, frame, panel.y.label);
  if (panel.title) node("text", { class: "title", x: (box.left + box.right) / 2, y: 13, "text-anchor": "middle" }, frame, panel.title);
  for (const [at, line] of panel.uprights) node("path", { class: line === "-" ? "upright" : "upright dotted", d: `M${x(at)} ${box.top}V${box.bottom}` }, marks);
  if (panel.level !== null) node("path", { class: "upright dotted", d: `M${box.left} ${y(panel.level)}H${box.right}` }, marks);
  if (panel.field) node("image", { href: panel.field, x: x(0), y: y(1), width: x(1) - x(0), height: y(0) - y(1), preserveAspectRatio: "none" }, marks);
  if (panel.shade) drawShade(panel.shade, box, node("linearGradient", { id: `${clip}s`, x1: 0, x2: 0, y1: 1, y2: 0 }, svg.firstChild), frame);
  for (const series of shown) series.drawn = drawSeries(series, x, y, marks);
  host.replaceChildren(svg);
  return { svg, box, x, y, shown };
}

function drawShade({ colours, ticks }, box, gradient, parent) {  // the bar that explains the colours
  const left = box.right + 10, tall = box.bottom - box.top;
  colours.forEach((colour, i) => node("stop", { offset: i / (colours.length - 1), "stop-color": colour }, gradient));
  node("rect", { class: "shade", x: left, y: box.top, width: 9, height: tall, fill: `url(#${gradient.id})` }, parent);
  for (const [share, name] of ticks) node("text", { x: left + 13, y: box.bottom - share * tall + (share ? share < 1 ? 4 : 9 : 0) }, parent, name);
}

function drawSeries(s, x, y, parent) {
  const group = node("g", { class: "series", style: `--ink:${s.colour};--dark:${s.dark}`, opacity: s.alpha ?? 1 }, parent);
  const at = (scale, v) => (v === null ? NaN : scale(v)), points = s.x.map((v, i) => [at(x, v), at(y, s.y[i])]);
  const half = s.bars ? BAR / 2 * Math.abs(y(1) - y(0)) : 0;
  if (s.bars) for (const [px, py] of points) node("rect", { class: "bars", x: x(0), y: py - half, width: Math.max(0, px - x(0)), height: 2 * half }, group);
  if (s.low && s.interval === "band") {
    const upper = s.high.map((v, i) => `${points[i][0]} ${y(v)}`), lower = s.low.map((v, i) => `${points[i][0]} ${y(v)}`).reverse();
    node("path", { class: "band", d: `M${upper.join("L")}L${lower.join("L")}Z` }, group);
  } else if (s.low) s.low.forEach((low, i) => {
    const [px, py] = points[i], along = s.interval === "x", arrows = s.arrows?.[i] ?? "";
    const ends = along ? [[x(low), py], [x(s.high[i]), py]] : [[px, y(low)], [px, y(s.high[i])]];
    node("path", { class: "bar", d: `M${ends[0].join(" ")}L${ends[1].join(" ")}` }, group);
    [["<", ends[0], 4], [">", ends[1], -4]].forEach(([sign, [ex, ey], inward]) => {
      if (arrows.includes(sign)) node("path", { class: "arrow", d: MARKS[sign](4), transform: `translate(${ex + inward} ${ey})` }, group);
    });
  });
  if (s.line) {
    const known = i => points[i]?.every(Number.isFinite), step = ([px, py], i) =>  // an unknown value is a gap
      !known(i) ? "" : !known(i - 1) ? `M${px} ${py}` : s.stepped ? `H${px}V${py}` : `L${px} ${py}`;
    node("path", { class: s.dashed ? "line dashed" : "line", style: `--thick:${s.width}px`, d: points.map(step).join("") }, group);
  }
  const kind = ["mark", s.hollow && "hollow", s.edged && "edged", "xX".includes(s.marker) && "cross", s.colours && "shaded"].filter(Boolean).join(" ");
  if (s.marker) points.forEach(([px, py], i) => {
    if (Number.isFinite(px + py)) node("path", { class: kind, d: (MARKS[s.marker] ?? MARKS.o)(s.size * 0.62), transform: `translate(${px} ${py})`, ...(s.colours && { style: `--series:${s.colours[i]}` }) }, group);
  });
  return { group, points, half, zero: x(0) };
}
