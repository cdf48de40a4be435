"use strict";
// Elements and charts. Text only ever becomes a text node; nothing here reads markup.

function h(tag, attributes, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes || {})) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else element.setAttribute(name, value === true ? "" : String(value));
  }
  for (const child of children.flat(Infinity)) {
    if (child === null || child === undefined || child === false) continue;
    element.append(child instanceof Node ? child : document.createTextNode(String(child)));
  }
  return element;
}

const COLOURS = 8;
const WHISKERS_FROM_PX = 7; // below so many pixels a run, intervals are drawn as a band
const NEAR_PX = 28;
const HEIGHT_PX = 260;
const BARS = 12; // candidates with error bars on the frontier
const DOLLARS_PX = 96; // room for one written cost on an axis
const live = []; // charts on the page: redrawn when colours change, dropped when the page is drawn anew

const css = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
const colour = (k) => css(`--c${k % COLOURS}`);

function significant(value, digits) {
  return Number(value.toPrecision(digits)).toLocaleString("en-US", { maximumFractionDigits: 12, useGrouping: false });
}

function write(unit, value) {
  if (unit === "share") return `${(100 * value).toFixed(1)}%`;
  if (unit === "usd") return `$${significant(value, 3)}`;
  if (unit === "s") return `${significant(value, 3)} s`;
  return significant(value, 3);
}

function writeChange(unit, value) {
  const sign = value > 0 ? "+" : value < 0 ? "-" : "";
  const size = Math.abs(value);
  if (unit === "share") return `${sign}${(100 * size).toFixed(1)} pt`;
  return sign + write(unit, size);
}

// Decimals of the labels of an axis: enough to tell two neighbours apart.
function axisWriter(unit) {
  return (_, ticks) => {
    const step = ticks.length > 1 ? Math.abs(ticks[1] - ticks[0]) * (unit === "share" ? 100 : 1) : 1;
    const decimals = Math.max(0, Math.min(6, Math.ceil(-Math.log10(step) - 1e-9)));
    return ticks.map((tick) => {
      if (tick === null) return "";
      if (unit === "share") return `${(100 * tick).toFixed(decimals)}%`;
      if (unit === "usd") return `$${significant(tick, 3)}`;
      return tick.toFixed(decimals) + (unit === "s" ? " s" : "");
    });
  };
}

// What is near the mouse or chosen by the arrow keys: a ring, a text, and the page of its run.
function attachPointer(plot, host, points) {
  const ring = h("div", { class: "ring" });
  const tip = h("div", { class: "tip", role: "status", "aria-live": "polite" });
  host.append(ring, tip);
  let chosen = null;
  let pressedAt = null;

  function show(point) {
    chosen = point;
    plot.over.classList.toggle("on", Boolean(point));
    ring.style.display = tip.style.display = point ? "block" : "none";
    if (!point) return;
    const left = plot.over.offsetLeft + plot.valToPos(point.x, "x");
    const top = plot.over.offsetTop + plot.valToPos(point.y, "y");
    ring.style.left = `${left}px`;
    ring.style.top = `${top}px`;
    tip.replaceChildren(h("b", {}, point.title), ...point.lines.map((line) => h("span", {}, line)));
    const space = host.clientWidth - tip.offsetWidth - 4;
    tip.style.left = `${Math.max(0, Math.min(space, left > host.clientWidth / 2 ? left - tip.offsetWidth - 14 : left + 14))}px`;
    tip.style.top = `${Math.max(0, top - tip.offsetHeight - 10)}px`;
  }

  function nearest(event) {
    const box = plot.over.getBoundingClientRect();
    const [x, y] = [event.clientX - box.left, event.clientY - box.top];
    let best = null;
    let least = NEAR_PX ** 2;
    for (const point of points()) {
      const distance = (plot.valToPos(point.x, "x") - x) ** 2 + (plot.valToPos(point.y, "y") - y) ** 2;
      if (distance < least) [best, least] = [point, distance];
    }
    return best;
  }

  const open = () => { if (chosen) window.location.assign(chosen.href); };
  plot.over.addEventListener("mousemove", (event) => show(nearest(event)));
  plot.over.addEventListener("mouseleave", () => show(null));
  plot.over.addEventListener("mousedown", (event) => { pressedAt = event.clientX; });
  plot.over.addEventListener("click", (event) => {
    if (pressedAt !== null && Math.abs(event.clientX - pressedAt) < 4) open();
  });
  host.addEventListener("blur", () => show(null));
  host.addEventListener("keydown", (event) => {
    const all = points();
    if (!all.length) return;
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (step) {
      const at = chosen ? all.indexOf(chosen) + step : step > 0 ? 0 : all.length - 1;
      show(all[Math.max(0, Math.min(all.length - 1, at))]);
    } else if (event.key === "ArrowUp" || event.key === "ArrowDown") {
      const names = [...new Set(all.map((p) => p.label))];
      const turn = event.key === "ArrowDown" ? 1 : names.length - 1;
      const name = names[(names.indexOf(chosen ? chosen.label : names[0]) + turn) % names.length];
      const run = chosen ? chosen.run : 0;
      const mine = all.filter((p) => p.label === name);
      show(mine.reduce((best, p) => (Math.abs(p.run - run) < Math.abs(best.run - run) ? p : best)));
    } else if (event.key === "Enter") open();
    else if (event.key === "Escape") show(null);
    else return;
    event.preventDefault();
  });
}

function axes(unit, xAxis) {
  const common = { stroke: () => css("--quiet"), grid: { stroke: () => css("--grid"), width: 1 }, ticks: { show: false }, font: "12px system-ui, sans-serif" };
  return [{ ...common, size: 30, ...xAxis }, { ...common, size: 62, values: axisWriter(unit) }];
}

function mount(host, options, data) {
  const plot = new uPlot({ width: host.clientWidth || 600, height: HEIGHT_PX, legend: { show: false }, ...options }, data, host);
  const watcher = new ResizeObserver(() => {
    if (host.clientWidth && host.clientWidth !== plot.width) plot.setSize({ width: host.clientWidth, height: HEIGHT_PX });
  });
  watcher.observe(host);
  live.push({ plot, watcher });
  return plot;
}

function dropCharts() {
  for (const { plot, watcher } of live.splice(0)) {
    watcher.disconnect();
    plot.destroy();
  }
}

matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => live.forEach(({ plot }) => plot.redraw(false, true)));

// The range of an axis: everything that is drawn, with room; shares stay between 0 and 1.
function rangeOf(values, unit, reference) {
  const known = values.filter((v) => v !== null && v !== undefined);
  if (reference !== null && reference !== undefined) known.push(reference);
  let [low, high] = [Math.min(...known), Math.max(...known)];
  const room = (high - low || Math.abs(high) || 1) * 0.07;
  if (unit === "s" || unit === "usd") return [0, high + room];
  [low, high] = [low - room, high + room];
  return unit === "share" ? [Math.max(low, -0.03), Math.min(high, 1.03)] : [low, high]; // a little more: points on the edge
}

// From limit to limit, or from the value where there is no limit on that side.
function drawInterval(context, x, [value, low, high], py, ratio) {
  if (low === null && high === null) return;
  context.moveTo(x, py(low === null ? value : low));
  context.lineTo(x, py(high === null ? value : high));
  for (const end of [low, high].filter((limit) => limit !== null).map(py)) {
    context.moveTo(x - 2.5 * ratio, end);
    context.lineTo(x + 2.5 * ratio, end);
  }
}

// One chart over time: the runs of a line stand side by side in their order.
function drawOverTime(host, chart, runs, hidden) {
  const count = chart.labels.length;
  const aside = (k) => (count > 1 ? (k - (count - 1) / 2) * Math.min(0.16, 0.6 / count) : 0);
  const columns = chart.labels.flatMap((label, k) => label.series.map((points) => ({ k, points })));
  const cells = columns.map(() => new Map());
  columns.forEach(({ k, points }, column) => {
    const there = new Map(points.map((p) => [p[0], p[1]]));
    for (let run = points[0][0]; run <= points[points.length - 1][0]; run++) {
      cells[column].set(run + aside(k), there.has(run) ? there.get(run) : null); // null breaks the line
    }
  });
  const xs = [...new Set(cells.flatMap((c) => [...c.keys()]))].sort((a, b) => a - b);
  const data = [xs, ...cells.map((c) => xs.map((x) => c.get(x)))]; // undefined belongs to another label
  const few = runs.length <= 80;
  const all = columns.flatMap(({ points }) => points.flatMap((p) => p.slice(1, 4)));
  const ends = [-0.5, runs.length - 0.5];
  const plot = mount(host, {
    scales: {
      x: { time: false, range: (_, low, high) => (low === null || (low <= xs[0] && high >= xs[xs.length - 1]) ? ends : [low, high]) },
      y: { range: rangeOf(all, chart.unit, chart.reference) },
    },
    axes: axes(chart.unit, {
      splits: (u, _, low, high) => {
        const step = Math.max(1, Math.ceil(((high - low) * 92) / Math.max(1, u.over.clientWidth || u.width - 70)));
        const first = Math.max(0, Math.ceil(low));
        return Array.from({ length: Math.max(0, Math.floor((Math.min(high, ends[1]) - first) / step) + 1) }, (__, i) => first + i * step);
      },
      values: (_, ticks) => ticks.map((tick) => (runs[tick] ? runs[tick].when.slice(0, 10) : "")),
    }),
    series: [{}, ...columns.map(({ k }) => ({
      stroke: () => colour(k), width: 1.6, show: !hidden.has(chart.labels[k].label),
      points: { show: true, size: few ? 7 : 4, width: 1, stroke: () => colour(k), fill: () => colour(k) },
    }))],
    cursor: { y: false, points: { show: false }, drag: { x: true, y: false }, sync: { key: "runs", scales: ["x", null] } },
    hooks: { drawAxes: [(u) => drawUnder(u, chart, columns, aside, hidden)] },
  }, data);
  attachPointer(plot, host, () => columns
    .filter(({ k }) => !hidden.has(chart.labels[k].label))
    .flatMap(({ k, points }) => points.map((p) => pointOf(p, chart.labels[k].label, aside(k), runs)))
    .sort((a, b) => a.run - b.run));
  return plot;
}

const pointCache = new WeakMap();
function pointOf(p, label, offset, runs) {
  if (!pointCache.has(p)) {
    const run = runs[p[0]];
    pointCache.set(p, { run: p[0], x: p[0] + offset, y: p[1], label, title: `${label}: ${p[4]}`, lines: [`${run.candidate}, ${run.verdict || run.state}`, `${run.when}, ${run.folder}`], href: run.href });
  }
  return pointCache.get(p);
}

// Under the lines: where series break, the reference, and the intervals.
function drawUnder(u, chart, columns, aside, hidden) {
  const { ctx: context, bbox } = u;
  const ratio = uPlot.pxRatio;
  const px = (x) => u.valToPos(x, "x", true);
  const py = (y) => u.valToPos(y, "y", true);
  context.save();
  context.beginPath();
  context.rect(bbox.left, bbox.top, bbox.width, bbox.height);
  context.clip();
  context.lineWidth = ratio;
  context.setLineDash([5 * ratio, 4 * ratio]);
  if (chart.reference !== null) {
    context.strokeStyle = css("--quiet");
    context.beginPath();
    context.moveTo(bbox.left, py(chart.reference));
    context.lineTo(bbox.left + bbox.width, py(chart.reference));
    context.stroke();
  }
  context.strokeStyle = css("--open");
  for (const { run } of chart.breaks) {
    context.beginPath();
    context.moveTo(px(run - 0.5), bbox.top);
    context.lineTo(px(run - 0.5), bbox.top + bbox.height);
    context.stroke();
  }
  context.setLineDash([]);
  const whiskers = Math.abs(px(1) - px(0)) >= WHISKERS_FROM_PX * ratio * Math.max(1, chart.labels.length * 0.8);
  for (const { k, points } of columns) {
    if (hidden.has(chart.labels[k].label)) continue;
    context.strokeStyle = context.fillStyle = colour(k);
    context.globalAlpha = whiskers ? 0.55 : 0.16;
    for (const stretch of whiskers ? [points] : stretches(points)) {
      context.beginPath();
      if (whiskers) {
        for (const p of stretch) drawInterval(context, px(p[0] + aside(k)), p.slice(1, 4), py, ratio);
        context.stroke();
      } else {
        stretch.forEach((p) => context.lineTo(px(p[0] + aside(k)), py(p[3])));
        [...stretch].reverse().forEach((p) => context.lineTo(px(p[0] + aside(k)), py(p[2])));
        context.fill();
      }
    }
  }
  context.restore();
}

// Points with both limits, cut where a run in between has none.
function stretches(points) {
  const found = [];
  let before = null;
  for (const p of points) {
    if (p[2] === null || p[3] === null) { before = null; continue; }
    if (before === null || p[0] !== before + 1) found.push([]);
    found[found.length - 1].push(p);
    before = p[0];
  }
  return found;
}

// Cost against quality, error bars both ways, and the frontier of what nothing beats in both.
function drawFrontier(host, chart, runs) {
  const roles = [...new Set(chart.points.map((p) => p.role))];
  const sorted = [...chart.points].sort((a, b) => a.x[0] - b.x[0]);
  const costs = sorted.flatMap((p) => p.x.filter((v) => v !== null && v > 0));
  const wide = costs.length && sorted.every((p) => p.x[0] > 0) && Math.max(...costs) / Math.min(...costs) >= 4;
  const xRange = wide ? [Math.min(...costs) / 1.3, Math.max(...costs) * 1.3] : rangeOf(sorted.flatMap((p) => p.x), "number");
  const newest = Math.max(...sorted.map((p) => p.run));
  const plot = mount(host, {
    scales: { x: { time: false, distr: wide ? 3 : 1, range: xRange }, y: { range: rangeOf(sorted.flatMap((p) => p.y), chart.unit) } },
    axes: axes(chart.unit, {
      splits: wide ? (u) => thinned(decades(...xRange), u.over.clientWidth || u.width) : undefined, space: DOLLARS_PX, filter: (_, ticks) => ticks, values: (_, ticks) => ticks.map((t) => (t === null ? "" : `$${significant(t, 2)}`)),
      label: "US dollars per request", labelSize: 22, labelGap: -4, labelFont: "12px system-ui, sans-serif",
    }),
    series: [{}, ...roles.map((_, k) => ({ stroke: () => colour(k), paths: () => null, points: { show: false } }))],
    cursor: { x: false, y: false, points: { show: false }, drag: { x: false, y: false } },
    hooks: { drawAxes: [(u) => drawFrontierUnder(u, chart, roles)], draw: [(u) => drawFrontierPoints(u, chart, roles, newest)] },
  }, [sorted.map((p) => p.x[0]), ...roles.map((role) => sorted.map((p) => (p.role === role ? p.y[0] : null)))]);
  const points = sorted.map((p) => ({
    run: p.run, x: p.x[0], y: p.y[0], label: p.role, href: runs[p.run].href, title: `${p.role}, ${runs[p.run].when}`,
    lines: [p.role === "candidate" ? runs[p.run].candidate : null, `${chart.metric}: ${p.text[1]}`, `cost per request: ${p.text[0]}`].filter(Boolean),
  }));
  attachPointer(plot, host, () => points);
}

function drawFrontierUnder(u, chart, roles) {
  const { ctx: context, bbox } = u;
  const ratio = uPlot.pxRatio;
  const px = (x) => Math.max(bbox.left, u.valToPos(x, "x", true));
  const py = (y) => u.valToPos(y, "y", true);
  context.save();
  context.beginPath();
  context.rect(bbox.left, bbox.top, bbox.width, bbox.height);
  context.clip();
  context.lineWidth = 1.5 * ratio;
  context.setLineDash([6 * ratio, 4 * ratio]);
  context.strokeStyle = css("--quiet");
  context.beginPath();
  chart.front.forEach(([x, y], i) => {
    if (i) context.lineTo(px(x), py(chart.front[i - 1][1]));
    context[i ? "lineTo" : "moveTo"](px(x), py(y));
  });
  if (chart.front.length) context.lineTo(bbox.left + bbox.width, py(chart.front[chart.front.length - 1][1]));
  context.stroke();
  context.setLineDash([]);
  context.lineWidth = ratio;
  context.globalAlpha = 0.45;
  for (const p of withBars(chart.points)) {
    context.strokeStyle = colour(roles.indexOf(p.role));
    context.beginPath();
    drawInterval(context, px(p.x[0]), p.y, py, ratio);
    if (p.x[1] !== null && p.x[2] !== null) {
      context.moveTo(px(Math.max(p.x[1], Number.MIN_VALUE)), py(p.y[0]));
      context.lineTo(px(p.x[2]), py(p.y[0]));
    }
    context.stroke();
  }
  context.restore();
}

// Where many candidates would bury each other under bars, only the newest ones have them.
function withBars(points) {
  const candidates = points.filter((p) => p.role === "candidate");
  return points.filter((p) => p.role !== "candidate" || candidates.length - candidates.indexOf(p) <= BARS);
}

function decades(low, high) {
  const found = [];
  for (let power = Math.floor(Math.log10(low)); power <= Math.log10(high); power++) {
    for (const digit of [1, 2, 5]) {
      const tick = digit * 10 ** power;
      if (tick >= low && tick <= high) found.push(tick);
    }
  }
  return found;
}

function thinned(ticks, width) {
  const step = Math.ceil((ticks.length * DOLLARS_PX) / width);
  return ticks.filter((_, i) => i % step === 0);
}

// Older candidates are paler; the newest one has a ring.
function drawFrontierPoints(u, chart, roles, newest) {
  const { ctx: context } = u;
  const ratio = uPlot.pxRatio;
  const candidates = chart.points.filter((p) => p.role === "candidate");
  context.save();
  context.lineWidth = 2 * ratio;
  for (const p of chart.points) {
    const [x, y] = [u.valToPos(p.x[0], "x", true), u.valToPos(p.y[0], "y", true)];
    const rank = candidates.indexOf(p);
    context.globalAlpha = rank < 0 ? 1 : 0.2 + 0.8 * ((rank + 1) / candidates.length) ** 2;
    context.fillStyle = colour(roles.indexOf(p.role));
    context.beginPath();
    context.arc(x, y, 4 * ratio, 0, 2 * Math.PI);
    context.fill();
    if (p.run === newest && p.role === "candidate") {
      context.strokeStyle = css("--ink");
      context.beginPath();
      context.arc(x, y, 7 * ratio, 0, 2 * Math.PI);
      context.stroke();
    }
  }
  context.restore();
}
