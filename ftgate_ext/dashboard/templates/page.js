// The page of all runs: state lives in the fragment of the address (line, a, b), so that it can be shared.

(function () {
  const data = JSON.parse(document.getElementById("data").textContent);
  const page = document.getElementById("page");
  const hidden = new Map(); // chart -> labels that are switched off

  function readState() {
    const asked = new URLSearchParams(window.location.hash.slice(1));
    const line = data.lines.find((l) => l.name === asked.get("line")) || data.lines[0];
    return { line, a: asked.get("a"), b: asked.get("b") };
  }

  function go(changes) {
    const state = readState();
    const next = { line: state.line && state.line.name, a: state.a, b: state.b, ...changes };
    const kept = Object.entries(next).filter(([, value]) => value);
    window.location.hash = new URLSearchParams(kept).toString();
  }

  const pin = (slot, folder) => go({ [slot]: folder });
  const findRun = (folder) => data.lines.flatMap((l) => l.runs).find((run) => run.folder === folder);

  function top(state) {
    const select = h("select", { id: "line", onchange: (event) => go({ line: event.target.value }) },
      data.lines.map((l) => h("option", { value: l.name, selected: l === state.line }, `${l.name} (${l.runs.length})`)));
    return h("header", {},
      h("div", { class: "top" }, h("h1", {}, "Runs"), data.lines.length > 1 ? h("label", {}, "Candidate line ", select) : null),
      h("p", { class: "quiet" }, `${data.where}, as of ${data.made}. `, state.line ? `Line ${state.line.name}: ${plural(state.line.runs.length, "run")}.` : null));
  }

  const plural = (n, thing) => `${n} ${thing}${n === 1 ? "" : "s"}`;

  function card(name, figure, under, extra) {
    return h("div", { class: `card ${extra || ""}` }, h("div", { class: "name" }, name), h("div", { class: "figure" }, figure), h("div", { class: "under" }, under));
  }

  function overview(line) {
    const run = line.runs[line.runs.length - 1];
    const green = run.verdict === "GO" ? run : run.green === null ? null : line.runs[run.green];
    const cards = [card(`Newest run, ${run.when}`, run.verdict || run.state, h("a", { href: run.href }, run.candidate), `verdict ${run.verdict || "none"}`)];
    cards.push(green ? card("Last green build", green.when.slice(0, 10), h("a", { href: green.href }, green.candidate)) : card("Last green build", "none yet", "every regressed case counts as new"));
    for (const [name, [figure, interval, n]] of Object.entries(run.headline)) cards.push(card(name, figure, `${interval}, ${n}`));
    cards.push(run.regressed === null ? card("Regressed cases", "not compared", "no regression set in this run") : card("Regressed cases", `${run.new} new`, `${run.regressed} in all, against production`));
    return h("section", { "aria-label": "Newest run" }, h("div", { class: "cards" }, cards));
  }

  function strip(line, state) {
    const letter = { GO: "G", "NO-GO": "N", INCONCLUSIVE: "I" };
    const items = line.runs.map((run) => h("li", {}, h("a", {
      class: `${run.verdict || "none"}${[state.a, state.b].includes(run.folder) ? " pinned" : ""}`, href: run.href,
      title: `${run.when}: ${run.verdict || run.state}, ${run.candidate}`, "aria-label": `${run.when}, ${run.candidate}: ${run.verdict || run.state}`,
    }, letter[run.verdict] || "–")));
    const counts = ["GO", "NO-GO", "INCONCLUSIVE"].map((v) => `${line.runs.filter((r) => r.verdict === v).length} ${v}`);
    const open = line.runs.filter((r) => !r.verdict).length;
    return h("section", {}, h("h2", { id: "verdicts" }, "Verdicts"), h("ol", { class: "strip" }, items),
      h("p", { class: "quiet" }, `Oldest first: ${counts.join(", ")}${open ? `, ${open} without a decision` : ""}.`));
  }

  function swatch(k) {
    const ns = "http://www.w3.org/2000/svg";
    const svg = document.createElementNS(ns, "svg");
    svg.setAttribute("viewBox", "0 0 20 10");
    svg.setAttribute("aria-hidden", "true");
    for (const [tag, attributes] of [["line", { x1: 0, x2: 20, y1: 5, y2: 5, "stroke-width": 2 }], ["circle", { cx: 10, cy: 5, r: 3.6 }]]) {
      const part = document.createElementNS(ns, tag);
      for (const [name, value] of Object.entries(attributes)) part.setAttribute(name, value);
      part.style.stroke = part.style.fill = `var(--c${k % COLOURS})`;
      svg.append(part);
    }
    return svg;
  }

  function chartSection(chart, line) {
    const off = hidden.get(chart.id) || new Set();
    hidden.set(chart.id, off);
    const section = h("section", { class: chart.id === "win-rate" ? "chart wide" : "chart", id: chart.id }, h("h2", {}, chart.title));
    if (!chart.labels.length) {
      section.append(h("p", { class: "empty" }, chart.absent || "No run has this figure."));
      return { section, draw: () => {} };
    }
    const host = h("div", { class: "plot", tabindex: "0", role: "group", "aria-roledescription": "chart", "aria-label": `${chart.title}. Arrow keys go from point to point, Enter opens the run. The figures stand in the table below.` });
    let plot = null;
    const toggle = (event, label) => {
      if (off.has(label)) off.delete(label); else off.add(label);
      event.currentTarget.setAttribute("aria-pressed", String(!off.has(label)));
      let column = 1;
      for (const each of chart.labels) {
        for (let i = 0; i < each.series.length; i++) {
          if (each.label === label) plot.setSeries(column, { show: !off.has(label) });
          column += 1;
        }
      }
    };
    section.append(h("div", { class: "legend" }, chart.labels.map((label, k) => h("button", { type: "button", "aria-pressed": String(!off.has(label.label)), onclick: (event) => toggle(event, label.label) }, swatch(k), label.label))), host);
    if (chart.absent) section.append(h("p", {}, chart.absent));
    if (chart.breaks.length) section.append(breakList(chart, line));
    section.append(folded("Figures as a table", () => chartTable(chart, line.runs)));
    return { section, draw: () => { plot = drawOverTime(host, chart, line.runs, off); } };
  }

  function breakList(chart, line) {
    const items = chart.breaks.map((b) => h("li", {}, `${line.runs[b.run].when}: ${b.why} (${b.labels.join(", ")})`));
    const said = `${plural(items.length, "break")}: points on two sides of a dashed line are not comparable, and no line joins them. Why:`;
    return items.length <= 3 ? h("div", {}, h("p", {}, said), h("ul", {}, items)) : folded(said, () => h("ul", {}, items));
  }

  function frontierSection(line) {
    const chart = line.frontier;
    const section = h("section", { class: "chart", id: chart.id }, h("h2", {}, chart.title));
    if (!chart.points.length) {
      section.append(h("p", { class: "empty" }, chart.absent));
      return { section, draw: () => {} };
    }
    const roles = [...new Set(chart.points.map((p) => p.role))];
    const host = h("div", { class: "plot", tabindex: "0", role: "group", "aria-roledescription": "chart", "aria-label": `${chart.metric} against cost per request. Arrow keys go from point to point, Enter opens the run. The figures stand in the table below.` });
    section.append(h("div", { class: "legend" }, roles.map((role, k) => h("span", {}, swatch(k), ` ${role}`))), host);
    section.append(h("p", {}, "Up and left is better. The dashed line joins what nothing beats in both; the ring marks the newest candidate, paler ones are older; other models stand with their newest figures.", chart.points.filter((p) => p.role === "candidate").length > BARS ? ` Error bars: the newest ${BARS} candidates and the other models; the table has all intervals.` : null));
    if (chart.left_out) section.append(h("p", {}, `${plural(chart.left_out, "run")} with other cases or prompts left out: not comparable with the newest one.`));
    if (chart.absent) section.append(h("p", {}, chart.absent));
    section.append(folded("Figures as a table", () => frontierTable(chart, line.runs)));
    return { section, draw: () => drawFrontier(host, chart, line.runs) };
  }

  function regressions(line) {
    const section = h("section", {}, h("h2", { id: "regressions" }, "Regressed cases over time"));
    if (!line.matrix.rows.length) {
      const compared = line.runs.filter((run) => run.regressed !== null).length;
      section.append(h("p", { class: "empty" }, compared ? `No case regressed in ${plural(compared, "run")} with a regression set.` : "No run has a regression set."));
      return section;
    }
    const body = h("div", {});
    const show = (every) => {
      const made = matrixTable(data, line, every);
      const cut = made.shown < line.matrix.rows.length || made.runs < line.runs.length;
      body.replaceChildren(
        h("p", { class: "quiet" }, h("span", { class: "key N" }, "✕"), " regressed, not so in the last green build; ", h("span", { class: "key R" }, "✕"), " regressed there too; · not regressed; empty: not compared. A dashed line: the set or its prompts changed. The case that broke last stands first."),
        made.element,
        cut || every ? h("p", { class: "quiet" }, `${made.shown} of ${plural(line.matrix.rows.length, "case")} that ever regressed, ${made.runs} of ${plural(line.runs.length, "run")}. `, h("button", { type: "button", onclick: () => show(!every) }, every ? "Newest only" : "Show all")) : "");
      const region = body.querySelector(".scroll");
      region.scrollLeft = region.scrollWidth;
    };
    section.append(body);
    show(false);
    return section;
  }

  function pinned(state) {
    if (!state.a && !state.b) return null;
    const [a, b] = [findRun(state.a), findRun(state.b)];
    const section = h("section", {}, h("h2", { id: "pinned" }, "Pinned comparison"));
    const lost = [state.a && !a ? state.a : null, state.b && !b ? state.b : null].filter(Boolean);
    if (lost.length) section.append(h("p", { class: "note" }, `Not among these runs: ${lost.join(", ")}.`));
    if (a && b) section.append(comparison(data.prints, a, b));
    else if (!lost.length) section.append(h("p", { class: "note" }, `Run ${(a || b).folder} is pinned; pin another one in the table of runs to see both side by side.`));
    section.append(h("p", {}, h("button", { type: "button", onclick: () => go({ a: null, b: null }) }, "Unpin")));
    return section;
  }

  function allRuns(line, state) {
    const body = h("div", {});
    const show = (every) => body.replaceChildren(runsTable(line, state, pin, every),
      line.runs.length > RUN_ROWS ? h("p", {}, h("button", { type: "button", onclick: () => show(!every) }, every ? `Newest ${RUN_ROWS}` : `All ${line.runs.length} runs`)) : "");
    show(false);
    return h("section", {}, h("h2", { id: "runs" }, "All runs"), body);
  }

  function render() {
    dropCharts();
    const state = readState();
    const { line } = state;
    const parts = [top(state)];
    if (line) {
      const charts = [...line.charts.slice(0, 2).map((c) => chartSection(c, line)), frontierSection(line), ...line.charts.slice(2).map((c) => chartSection(c, line))];
      parts.push(h("main", {}, overview(line), pinned(state), strip(line, state), h("h2", { class: "unseen" }, "Charts"), h("div", { class: "charts" }, charts.map((c) => c.section)), regressions(line), allRuns(line, state)));
      page.replaceChildren(...parts);
      charts.forEach((c) => c.draw());
    } else {
      page.replaceChildren(...parts, h("main", {}, h("p", { class: "empty" }, "No runs here. ftgate gate makes one.")));
    }
    if (data.skipped.length) page.append(h("section", { class: "note" }, h("h2", {}, "Not read"), h("ul", {}, data.skipped.map((s) => h("li", {}, s)))));
    if (data.cases) page.append(h("p", { class: "quiet" }, `These files hold the pages of ${plural(Object.keys(data.cases).length, "case")}; ftgate view opens any case.`));
    page.setAttribute("aria-busy", "false");
    performance.mark("drawn");
  }

  window.addEventListener("hashchange", () => {
    const before = window.scrollY;
    render();
    window.scrollTo(0, before);
  });
  render();
})();
