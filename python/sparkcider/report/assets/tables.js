// Tables that sort by a click on a heading, can be searched, and be copied as CSV.

// A column: { title, value(row), text(row), number }. `text` is what is shown, `value` what is sorted and copied.
function table(caption, columns, rows, { search = false } = {}) {
  const body = element("tbody");
  const text = (column, row) => (column.text ?? ((given) => `${column.value(given) ?? ""}`))(row);
  let shown = rows;
  let order = { column: null, down: false };

  function fill() {
    const { column, down } = order;
    const sorted = column === null ? shown : [...shown].sort((a, b) => compare(column.value(a), column.value(b)) * (down ? -1 : 1));
    body.replaceChildren(...sorted.map((row) => element("tr", {}, ...columns.map((column) =>
      element("td", { class: column.number && "number" }, text(column, row))))));
  }

  const headings = columns.map((column) => element("th", { scope: "col", class: column.number && "number", "aria-sort": "none" },
    element("button", { type: "button", onclick() {
      order = { column, down: order.column === column ? !order.down : Boolean(column.number) };
      headings.forEach((heading, at) =>
        heading.setAttribute("aria-sort", columns[at] !== column ? "none" : order.down ? "descending" : "ascending"));
      fill();
    } }, column.title)));
  fill();
  const bar = element("div", { class: "bar" });
  if (search) {
    const input = element("input", { type: "search", placeholder: "Search", "aria-label": `Search ${caption}`, oninput() {
      const wanted = input.value.toLowerCase();
      shown = rows.filter((row) => columns.some((column) => text(column, row).toLowerCase().includes(wanted)));
      fill();
    } });
    bar.append(input);
  }
  bar.append(copyButton(caption, columns, rows));
  const made = element("table", {}, element("caption", { class: "note" }, caption), element("thead", {}, element("tr", {}, ...headings)), body);
  return element("div", {}, bar, element("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": caption }, made));
}

function compare(a, b) {
  if (a === b) return 0;
  if (a === null || a === undefined) return -1;
  if (b === null || b === undefined) return 1;
  return typeof a === "string" ? a.localeCompare(b) : a - b;
}

function csv(columns, rows) {
  // a spreadsheet would run a text that begins like a formula
  const cell = (value) => {
    const text = `${value ?? ""}`;
    const safe = typeof value === "string" && /^[=+\-@\t\r]/.test(text) ? `'${text}` : text;
    return /[",\n\r]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
  };
  const lines = [columns.map((column) => cell(column.title)), ...rows.map((row) => columns.map((column) => cell(column.value(row))))];
  return lines.map((line) => line.join(",")).join("\n") + "\n";
}

function copyButton(what, columns, rows) {
  const button = element("button", { type: "button", "aria-label": `Copy as CSV: ${what}`, async onclick() {
    const text = csv(columns, rows);
    try {
      await navigator.clipboard.writeText(text);
    } catch { // a page that was opened as a file may have no clipboard
      const area = element("textarea", { "aria-hidden": "true" });
      area.value = text;
      document.body.append(area);
      area.select();
      document.execCommand("copy");
      area.remove();
      button.focus();
    }
    button.textContent = "Copied";
    setTimeout(() => { button.textContent = "Copy as CSV"; }, 1500);
  } }, "Copy as CSV");
  return button;
}
