/* Sorting and filtering of the table of repositories. Without it the page says everything, worst first. */
(() => {
  "use strict";
  const table = document.getElementById("repositories");
  if (!table) return;
  const body = table.tBodies[0];
  const rows = [...body.rows];
  const heads = [...table.tHead.rows[0].cells];
  const byRule = JSON.parse(document.getElementById("by-rule").textContent);
  const control = (id) => document.getElementById(id);
  const tools = control("tools"), words = control("words"), state = control("of-state"), owner = control("of-owner");
  const severity = control("of-severity"), rule = control("of-rule"), order = control("order");
  const shown = control("shown");

  /* sorting: a head's data-first is the direction of the first press; what has no value stays at the end */
  const collator = new Intl.Collator("en", { numeric: true, sensitivity: "base" });
  const valueAt = (row, column, isNumber) => {
    const text = row.cells[column].textContent.trim();
    if (!isNumber) return text || null;
    const number = Number.parseFloat(text.replace("−", "-"));
    return Number.isNaN(number) ? null : number;
  };
  const sort = (column, direction) => {
    const head = heads[column], isNumber = head.dataset.sort === "number";
    const sign = direction === "ascending" ? 1 : -1;
    const values = new Map(rows.map((row) => [row, valueAt(row, column, isNumber)]));
    const rank = new Map([...rows].map((row) => [row, Number(row.cells[0].textContent)]));
    const sorted = [...rows].sort((a, b) => {
      const left = values.get(a), right = values.get(b);
      if (left === right) return rank.get(a) - rank.get(b);
      if (left === null) return 1;
      if (right === null) return -1;
      return sign * (isNumber ? left - right : collator.compare(left, right));
    });
    body.append(...sorted);
    for (const other of heads) other.setAttribute("aria-sort", other === head ? direction : "none");
    order.value = String(column);
  };
  const first = (column) => heads[column].dataset.first || "ascending";
  heads.forEach((head, column) => {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...head.childNodes);
    head.append(button);
    button.addEventListener("click", () => {
      const now = head.getAttribute("aria-sort");
      const other = now === "ascending" ? "descending" : "ascending";
      sort(column, now === "none" ? first(column) : other);
    });
    order.add(new Option(button.textContent.replace("#", "").replace(/\s+/g, " ").trim(), String(column)));
  });
  order.addEventListener("change", () => sort(Number(order.value), first(Number(order.value))));

  /* filtering */
  const texts = new Map();
  const textOf = (row) => {
    if (!texts.has(row)) texts.set(row, `${row.cells[1].textContent} ${row.dataset.of || ""}`.toLowerCase());
    return texts.get(row);
  };
  const filter = () => {
    const wanted = words.value.toLowerCase().split(/\s+/).filter(Boolean);
    const ranks = rule.value ? new Set(byRule[rule.value]) : null;
    let count = 0;
    for (const row of rows) {
      const keep = wanted.every((word) => textOf(row).includes(word))
        && (!state.value || row.dataset.state === state.value)
        && (!owner || !owner.value || row.dataset.owner === owner.value.slice(1))
        && (!severity.value || Number(row.dataset.worst) <= Number(severity.value))
        && (!ranks || ranks.has(Number(row.cells[0].textContent)));
      row.hidden = !keep;
      count += keep ? 1 : 0;
    }
    shown.textContent = `${count.toLocaleString("en")} of ${rows.length.toLocaleString("en")} shown`;
  };
  words.addEventListener("input", filter);
  for (const one of [state, owner, severity, rule]) if (one) one.addEventListener("change", filter);
  control("clear").addEventListener("click", () => {
    words.value = "";
    for (const one of [state, owner, severity, rule]) if (one) one.value = "";
    filter();
    words.focus();
  });
  for (const button of document.querySelectorAll("button[data-rule]")) {
    button.hidden = false;
    button.addEventListener("click", () => {
      rule.value = button.dataset.rule;
      filter();
      control("repositories-title").scrollIntoView();
      rule.focus({ preventScroll: true });
    });
  }
  tools.hidden = false;
  filter();
})();
