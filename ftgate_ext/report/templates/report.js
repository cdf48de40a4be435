
"use strict";
// Sorts and filters the tables of this page. The page says everything without it, and nothing that
// stands in a cell is ever read as markup: texts go in by textContent only.
(() => {
  const FILTER_FROM = 8;
  const numberIn = (text) => {
    const found = text.replace(/,(?=\d{3})/g, "").match(/[-+]?\d+(?:\.\d+)?/);
    return found === null ? null : Number(found[0]);
  };
  const compareCells = (a, b) => {
    const x = numberIn(a), y = numberIn(b);
    if (x !== null && y !== null && x !== y) return x - y;
    if ((x === null) !== (y === null)) return x === null ? 1 : -1;
    return a.localeCompare(b);
  };
  const textOf = (row, column) => (row.cells[column] ? row.cells[column].textContent.trim() : "");

  function sortBy(table, column, direction, original) {
    const rows = original.slice();
    if (direction !== "none") {
      const isNumeric = table.tHead.rows[0].cells[column].classList.contains("number");
      const order = isNumeric ? compareCells : (a, b) => a.localeCompare(b);
      const sign = direction === "ascending" ? 1 : -1;
      const known = (row) => !isNumeric || numberIn(textOf(row, column)) !== null;
      rows.sort((a, b) => {
        if (known(a) !== known(b)) return known(a) ? -1 : 1; // what is not known stays last
        return sign * order(textOf(a, column), textOf(b, column));
      });
    }
    rows.forEach((row) => table.tBodies[0].append(row));
  }

  function addSorting(table) {
    const heads = [...table.tHead.rows[0].cells];
    const original = [...table.tBodies[0].rows];
    heads.forEach((head, column) => {
      if (head.textContent.trim() === "Drawn") return;
      const button = document.createElement("button");
      button.type = "button";
      button.textContent = head.textContent.trim();
      head.textContent = "";
      head.append(button);
      button.addEventListener("click", () => {
        const next = { ascending: "descending", descending: "none" };
        const direction = next[head.getAttribute("aria-sort")] || "ascending";
        heads.forEach((other) => other.removeAttribute("aria-sort"));
        if (direction !== "none") head.setAttribute("aria-sort", direction);
        sortBy(table, column, direction, original);
      });
    });
  }

  function addFilter(table) {
    const rows = [...table.tBodies[0].rows];
    if (rows.length < FILTER_FROM) return;
    const line = document.createElement("p");
    const label = document.createElement("label");
    const field = document.createElement("input");
    const count = document.createElement("span");
    line.className = "filter";
    field.type = "search";
    field.setAttribute("aria-label", "Only rows with, in: " + table.caption.textContent);
    count.setAttribute("role", "status");
    label.append("Only rows with ", field);
    line.append(label, " ", count);
    table.parentElement.before(line);
    field.addEventListener("input", () => {
      const wanted = field.value.toLowerCase();
      rows.forEach((row) => { row.hidden = !row.textContent.toLowerCase().includes(wanted); });
      const shown = rows.filter((row) => !row.hidden).length;
      count.textContent = wanted ? shown + " of " + rows.length + " rows" : "";
    });
  }

  document.querySelectorAll("table.sorts").forEach((table) => {
    addSorting(table);
    addFilter(table);
  });
  // A closed part is not printed by every browser: open all of them while the page is printed.
  let closed = [];
  window.addEventListener("beforeprint", () => {
    closed = [...document.querySelectorAll("details:not([open])")];
    closed.forEach((part) => { part.open = true; });
  });
  window.addEventListener("afterprint", () => closed.forEach((part) => { part.open = false; }));
})();
