// Tables: behind the charts, of cases x runs, of two runs side by side, of all runs.

const MATRIX_RUNS = 40;
const MATRIX_ROWS = 60;
const RUN_ROWS = 100;

function table(caption, columns, bodies, attributes, height) {
  return h("div", { class: `scroll ${height || "tall"}`, tabindex: "0", role: "region", "aria-label": caption },
    h("table", attributes || {}, h("caption", { class: "unseen" }, caption),
      columns && h("thead", {}, h("tr", {}, columns.map((c) => h("th", { scope: "col" }, c)))), bodies));
}

const badge = (run) => h("span", { class: `badge ${run.verdict || "none"}` }, run.verdict || run.state);
const runLink = (run) => h("a", { href: run.href }, run.folder);

// Where a case's page is: any case where a server makes it, only those written beforehand in files.
function caseHref(data, run, task, id) {
  if (data.cases) return data.cases[`${run.folder}\n${task}\n${id}`] || null;
  return `case?${new URLSearchParams({ run: run.folder, task, id })}`;
}

function folded(summary, make) {
  const details = h("details", {}, h("summary", {}, summary));
  details.addEventListener("toggle", () => {
    if (details.open && details.children.length === 1) details.append(make());
  });
  return details;
}

function chartTable(chart, runs) {
  const at = chart.labels.map((label) => new Map(label.series.flat().map((p) => [p[0], p[4]])));
  const breaks = new Map();
  for (const b of chart.breaks) breaks.set(b.run, [...(breaks.get(b.run) || []), b]);
  const rows = runs.flatMap((run, i) => {
    const row = h("tr", {}, h("th", { scope: "row" }, run.when), h("td", {}, runLink(run)), at.map((m) => h("td", {}, m.get(i) || "none")));
    const why = (breaks.get(i) || []).map((b) => h("tr", {}, h("td", { class: "why", colspan: at.length + 2 }, breakText(b))));
    return [row, ...why]; // newest first: the break stands between a run and the one before it
  });
  const ordered = [];
  let group = [];
  for (const row of rows) {
    if (row.firstChild.scope === "row" && group.length) { ordered.unshift(...group); group = []; }
    group.push(row);
  }
  ordered.unshift(...group);
  return table(chart.title, ["Began", "Run", ...chart.labels.map((l) => l.label)], h("tbody", {}, ordered));
}

const breakText = (b) => `From here on not comparable with what stands before (${b.labels.join(", ")}): ${b.why}`;

function frontierTable(chart, runs) {
  const rows = [...chart.points].sort((a, b) => b.run - a.run).map((p) => h("tr", {},
    h("th", { scope: "row" }, runs[p.run].when), h("td", {}, runLink(runs[p.run])), h("td", {}, p.role), h("td", {}, p.text[0]), h("td", {}, p.text[1])));
  return table("Cost and quality", ["Began", "Run", "Model", "Cost per request", chart.metric], h("tbody", {}, rows));
}

function matrixTable(data, line, every) {
  const { rows, breaks } = line.matrix;
  const from = every ? 0 : Math.max(0, line.runs.length - MATRIX_RUNS);
  const shown = line.runs.map((run, i) => [run, i]).slice(from);
  const said = { N: "regressed, not so in the last green build", R: "regressed, as in the last green build", ".": "not regressed", " ": "not compared" };
  const sign = { N: "✕", R: "✕", ".": "·", " ": "" };
  const tasks = new Set(rows.map((row) => row.task));
  const kept = rows.filter((row) => /[NR]/.test(row.cells.slice(from)));
  const body = (every ? kept : kept.slice(0, MATRIX_ROWS)).map((row) => h("tr", {},
    h("th", { scope: "row" }, row.case, tasks.size > 1 ? h("span", { class: "quiet" }, ` ${row.task}`) : null),
    shown.map(([run, i]) => {
      const cell = row.cells[i];
      const href = cell === "N" || cell === "R" ? caseHref(data, run, row.task, row.case) : null;
      const mark = href ? h("a", { href, "aria-label": `${row.case}, ${run.when}: ${said[cell]}` }, sign[cell]) : [h("span", { "aria-hidden": "true" }, sign[cell]), h("span", { class: "unseen" }, said[cell])];
      return h("td", { class: [cell.trim() && cell !== "." ? cell : "", (breaks[row.task] || []).includes(i) ? "break" : ""].join(" ").trim(), title: `${run.when}: ${said[cell]}` }, mark);
    })));
  const head = h("thead", {}, h("tr", {}, h("th", { scope: "col" }, tasks.size > 1 ? "Case" : [...tasks][0]), shown.map(([run]) => h("th", { scope: "col" }, h("a", { href: run.href, "aria-label": `${run.when}, ${run.folder}` }, h("span", {}, run.when.slice(0, 10)))))));
  return { element: h("div", { class: "scroll tall", tabindex: "0", role: "region", "aria-label": "Regressed cases by run" }, h("table", { class: "matrix" }, h("caption", { class: "unseen" }, "Regressed cases by run"), head, h("tbody", {}, body))), n: kept.length, shown: body.length, runs: shown.length };
}

function differing(a, b) {
  const names = [...new Set([...Object.keys(a), ...Object.keys(b)])];
  return names.filter((name) => a[name] !== b[name]);
}

function changeOf(prints, a, b) {
  if (!a || !b || a.value === undefined || b.value === undefined) return "";
  const other = differing(prints[a.print], prints[b.print]);
  if (other.length) return `not comparable: other ${other.join(", ")}`;
  if (Object.values(prints[a.print]).includes("not recorded")) return "not comparable: fingerprint not recorded";
  return writeChange(a.unit, b.value - a.value);
}

function comparison(prints, a, b) {
  const key = (fact) => `${fact.group}\n${fact.label}`;
  const [left, right] = [a, b].map((run) => new Map(run.facts.map((f) => [key(f), f])));
  const groups = new Map();
  for (const fact of [...a.facts, ...b.facts]) {
    const found = groups.get(fact.group) || new Map();
    groups.set(fact.group, found.set(key(fact), fact.label));
  }
  const bodies = [...groups].map(([group, labels]) => h("tbody", { class: "group" }, h("tr", {}, h("th", { colspan: 4, scope: "colgroup" }, group)),
    [...labels].map(([id, label]) => {
      const [x, y] = [left.get(id), right.get(id)];
      const changed = (x && x.text) !== (y && y.text);
      return h("tr", { class: changed && !(x && x.value !== undefined) && group !== "Run" ? "changed" : "" },
        h("td", {}, label), h("td", {}, x ? x.text : "none"), h("td", {}, y ? y.text : "none"), h("td", {}, changeOf(prints, x, y) || (changed ? "differs" : "the same")));
    })));
  const heads = [["A", a], ["B", b]].map(([name, run]) => h("span", {}, `${name}: `, runLink(run)));
  return table("Two runs side by side", ["", ...heads, "B minus A"], bodies, {}, "whole");
}

function runsTable(line, state, pin, every) {
  const names = [...new Set(line.runs.flatMap((run) => Object.keys(run.headline)))];
  const newest = line.runs.map((run) => run).reverse();
  const pinButton = (run, slot) => h("button", { type: "button", "aria-pressed": String(state[slot] === run.folder), "aria-label": `Pin ${run.folder} as ${slot.toUpperCase()}`, onclick: () => pin(slot, state[slot] === run.folder ? null : run.folder) }, slot.toUpperCase());
  const rows = (every ? newest : newest.slice(0, RUN_ROWS)).map((run) => h("tr", {},
    h("td", { class: "when" }, pinButton(run, "a"), " ", pinButton(run, "b")),
    h("td", { class: "when" }, run.when.replace(" UTC", "")), h("th", { scope: "row" }, h("a", { href: run.href }, run.candidate), h("span", { class: "quiet" }, ` ${run.folder}`)),
    h("td", { class: "verdict" }, badge(run)),
    h("td", {}, run.regressed === null ? h("span", { class: "quiet" }, "not compared") : [run.regressed, run.regressed ? h("span", { class: "quiet" }, `${run.new} new`) : null]),
    names.map((name) => h("td", {}, run.headline[name] ? [run.headline[name][0], h("span", { class: "quiet" }, run.headline[name][1])] : h("span", { class: "quiet" }, "none")))));
  return table("All runs of this line", ["Pin", "Began (UTC)", "Candidate and run", "Verdict", "regressed", ...names], h("tbody", {}, rows), { class: "runs" });
}
