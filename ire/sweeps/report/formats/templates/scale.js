// Maps values to pixels: linear and logarithmic axes and their round ticks.
function scaleOf(axis, values, from, to) {
  const known = values.filter(v => Number.isFinite(v) && (!axis.log || v > 0));
  const log = axis.log && known.length > 0;
  const to_line = log ? Math.log : v => v, back = log ? Math.exp : v => v;
  let low = axis.low ?? Math.min(...known), high = axis.high ?? Math.max(...known);
  if (!known.length && axis.low === null) { low = 0; high = 1; }
  const margin = side => (axis[side] === null ? 0.04 : 0);
  let a = to_line(low), b = to_line(high);
  if (a === b) { a -= 0.5; b += 0.5; }
  const span = b - a;
  a -= margin("low") * span; b += margin("high") * span;
  const scale = v => from + (to_line(v) - a) / (b - a) * (to - from);
  scale.invert = p => back(a + (p - from) / (to - from) * (b - a));
  scale.ticks = axis.ticks.length ? axis.ticks : (log ? logTicks : linearTicks)(
    Math.min(back(a), back(b)), Math.max(back(a), back(b)), Math.max(2, Math.abs(to - from) / (to > from ? 65 : 38)));  // vertical ticks may be closer together
  return scale;
}
function linearTicks(low, high, count) {
  const raw = (high - low) / count, power = 10 ** Math.floor(Math.log10(raw));
  const step = [1, 2, 2.5, 5, 10].map(m => m * power).find(s => s >= raw);
  const ticks = [];
  for (let i = Math.ceil(low / step); i * step <= high * (1 + 1e-9); i++) ticks.push([i * step, short(i * step)]);
  return ticks;
}
function logTicks(low, high, count) {
  if (high / low < 3 && (low > 1 || high < 1)) return linearTicks(low, high, count);
  let ticks = [];
  for (const steps of [[1, 1.2, 1.5, 2, 2.5, 3, 4, 5, 6, 7, 8, 9], [1, 1.5, 2, 3, 5, 7], [1, 2, 5], [1]]) {
    ticks = [];
    for (let e = Math.floor(Math.log10(low)); e <= Math.ceil(Math.log10(high)); e++)
      for (const s of steps) if (s * 10 ** e >= low && s * 10 ** e <= high) ticks.push([s * 10 ** e, short(s * 10 ** e)]);
    if (ticks.length <= count + 1) break;
  }
  const each = Math.ceil(ticks.length / (count + 1));
  return ticks.length > 1 ? ticks.filter((_, i) => i % each === 0) : linearTicks(low, high, count);
}
function short(v) {
  if (v === 0) return "0";
  const size = Math.abs(v);
  return size < 1e-4 || size >= 1e6 ? v.toExponential(2).replace(/\.?0+e/, "e").replace("e+", "e") : String(+v.toPrecision(4));
}
