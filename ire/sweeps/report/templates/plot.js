// One panel as SVG. Colours come as --ink and --dark, and style sheets choose; text is set as text.
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

function drawPanel(host, panel, hidden, view) {
  const width = host.clientWidth, height = +host.dataset.height, names = panel.y.ticks.map(t => t[1]);
  const left = names.length ? Math.min(0.45 * width, 14 + 6.6 * Math.max(...names.map(n => n.length))) : 52;
  const box = { left, right: width - 12, top: panel.title ? 22 : 8, bottom: height - 38 };
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
    node("text", { x: x(at), y: box.bottom + 14, "text-anchor": "middle" }, frame, name);
  }
  for (const [at, name] of y.ticks) if (y(at) >= box.top - 1 && y(at) <= box.bottom + 1) {
    if (!names.length) node("path", { class: "grid", d: `M${box.left} ${y(at)}H${box.right}` }, frame);
    const room = Math.floor((left - 8) / 6.4), cut = name.length > room ? name.slice(0, room - 1) + "…" : name;
    node("text", { x: box.left - 6, y: y(at) + 4, "text-anchor": "end" }, frame, cut);
  }
  node("path", { class: "edge", d: `M${box.left} ${names.length ? box.bottom : box.top}V${box.bottom}H${box.right}` }, frame);
  node("text", { x: (box.left + box.right) / 2, y: height - 6, "text-anchor": "middle" }, frame, panel.x.label);
  if (panel.y.label) node("text", { transform: `translate(11 ${(box.top + box.bottom) / 2}) rotate(-90)`, "text-anchor": "middle" }, frame, panel.y.label);
  if (panel.title) node("text", { class: "title", x: (box.left + box.right) / 2, y: 13, "text-anchor": "middle" }, frame, panel.title);
  for (const [at, line] of panel.uprights) node("path", { class: line === "-" ? "upright" : "upright dotted", d: `M${x(at)} ${box.top}V${box.bottom}` }, marks);
  if (panel.level !== null) node("path", { class: "upright dotted", d: `M${box.left} ${y(panel.level)}H${box.right}` }, marks);
  for (const series of shown) series.drawn = drawSeries(series, x, y, marks);
  host.replaceChildren(svg);
  return { svg, box, x, y, shown };
}

function drawSeries(s, x, y, parent) {
  const group = node("g", { class: "series", style: `--ink:${s.colour};--dark:${s.dark}`, opacity: s.alpha ?? 1 }, parent);
  const points = s.x.map((v, i) => [x(v), y(s.y[i])]);
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
    const step = s.stepped ? ([px, py], i) => (i ? `H${px}V${py}` : `M${px} ${py}`) : ([px, py], i) => `${i ? "L" : "M"}${px} ${py}`;
    node("path", { class: s.dashed ? "line dashed" : "line", "stroke-width": s.width, d: points.map(step).join("") }, group);
  }
  if (s.marker) for (const [px, py] of points)
    node("path", { class: `mark${s.hollow ? " hollow" : ""}${s.edged ? " edged" : ""}`, d: (MARKS[s.marker] ?? MARKS.o)(s.size * 0.62), transform: `translate(${px} ${py})` }, group);
  return { group, points };
}
