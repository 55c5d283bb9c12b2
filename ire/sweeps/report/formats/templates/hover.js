// An interactive figure: values and names under the mouse, a dragged box zooms, the legend hides and shows.
function liveFigure(figure, panels) {
  const hidden = new Set(), tip = document.getElementById("tip");
  const live = panels.map((panel, i) => ({ panel, host: figure.querySelectorAll(".live")[i], view: null }));
  const draw = each => { each.drawn = drawPanel(each.host, each.panel, hidden, each.view); };

  function nearest({ shown, box }, px, py) {
    let best = null, distance = 24 ** 2;
    for (const series of shown) series.drawn.points.forEach(([x, y], i) => {
      if (x < box.left - 1 || x > box.right + 1 || y < box.top - 1 || y > box.bottom + 1) return;
      const d = (x - px) ** 2 + (y - py) ** 2;
      if (d < distance) { distance = d; best = { series, i, x, y }; }
    });
    return onBar(shown, px, py) ?? best ?? onLine(shown, px, py);
  }
  function onBar(shown, px, py) {
    for (const series of shown) if (series.bars) {
      const i = series.drawn.points.findIndex(([x, y]) => Math.abs(py - y) < series.drawn.half && px >= series.drawn.zero && px < x + 12);
      if (i >= 0) return { series, i };
    }
    return null;
  }
  function onLine(shown, px, py) {  // between two distant points
    let best = null, distance = 12;
    for (const series of shown) if (series.line) series.drawn.points.forEach(([x1, y1], i) => {
      const next = series.drawn.points[i + 1];
      if (!next || px < x1 || px > next[0]) return;
      const share = (px - x1) / (next[0] - x1 || 1), y = series.stepped ? y1 : y1 + share * (next[1] - y1);
      if (Math.abs(y - py) < distance) { distance = Math.abs(y - py); best = { series, i: share < 0.5 || series.stepped ? i : i + 1 }; }
    });
    return best;
  }
  function told({ panel }, { series: s, i }) {
    const lines = [s.name];
    if (!panel.y.ticks.length) lines.push(`${panel.x.label}: ${short(s.x[i])}`, `${panel.y.label}: ${short(s.y[i])}` + (s.low ? ` [${short(s.low[i])}, ${short(s.high[i])}]` : ""));
    return [...lines, ...[s.note, s.notes?.[i]].filter(Boolean).flatMap(note => note.split("\n"))];
  }
  function show(each, event) {
    const area = each.host.getBoundingClientRect(), found = nearest(each.drawn, event.clientX - area.left, event.clientY - area.top);
    for (const s of each.drawn.shown) s.drawn.group.classList.toggle("chosen", s === found?.series);
    each.host.classList.toggle("chosen", Boolean(found));
    tip.hidden = !found;
    if (!found) return;
    tip.replaceChildren(...told(each, found).map((text, i) => Object.assign(document.createElement(i ? "div" : "b"), { textContent: text })));
    const side = event.clientX + tip.offsetWidth + 24 > innerWidth ? -tip.offsetWidth - 12 : 14;
    tip.style.left = `${Math.max(4, event.clientX + side)}px`;
    tip.style.top = `${Math.max(4, Math.min(event.clientY + 14, innerHeight - tip.offsetHeight - 6))}px`;
  }
  function leave(each) { tip.hidden = true; each.host.classList.remove("chosen"); }

  for (const each of live) {
    let start = null, frame = null;
    const at = event => { const area = each.host.getBoundingClientRect(); return [event.clientX - area.left, event.clientY - area.top]; };
    const zooms = !each.panel.y.ticks.length;
    each.host.addEventListener("pointermove", event => {
      if (!start) return show(each, event);
      const [x, y] = at(event);
      frame ??= node("rect", { class: "zoom" }, each.drawn.svg);
      for (const [name, value] of Object.entries({ x: Math.min(x, start[0]), y: Math.min(y, start[1]), width: Math.abs(x - start[0]), height: Math.abs(y - start[1]) })) frame.setAttribute(name, value);
    });
    each.host.addEventListener("pointerleave", () => leave(each));
    if (!zooms) { each.host.style.cursor = "default"; continue; }
    each.host.addEventListener("pointerdown", event => {
      if (event.pointerType !== "mouse" || event.button) return;
      start = at(event); each.host.setPointerCapture(event.pointerId); tip.hidden = true;
    });
    each.host.addEventListener("pointerup", event => {
      const [x, y] = at(event), from = start, { drawn } = each;
      start = null; frame?.remove(); frame = null;
      if (!from || Math.abs(x - from[0]) < 6 || Math.abs(y - from[1]) < 6) return;
      each.view = { x: [drawn.x.invert(Math.min(x, from[0])), drawn.x.invert(Math.max(x, from[0]))], y: [drawn.y.invert(Math.max(y, from[1])), drawn.y.invert(Math.min(y, from[1]))] };
      draw(each);
    });
    each.host.addEventListener("dblclick", () => { each.view = null; draw(each); });
  }
  for (const key of figure.querySelectorAll(".legend button")) key.addEventListener("click", () => {
    const name = key.textContent.trim(), hide = !hidden.delete(name);
    if (hide) hidden.add(name);
    key.setAttribute("aria-pressed", String(!hide));
    live.forEach(draw);
  });
  new ResizeObserver(() => live.forEach(each => {  // on paper a figure is the one on the screen, scaled
    if (!matchMedia("print").matches && each.host.clientWidth !== each.drawn?.svg.width.baseVal.value) draw(each);
  })).observe(figure);
}
