// The sections but for the findings: what ran, the variance, the map, the images of each label.

function runSection() {
  const run = data.summary;
  const facts = [
    ["images", run.images ?? data.n_rows], ["labels", data.labels.length], ["errors", run.errors], ["images/s", run.images_per_second],
  ].filter(([, value]) => value !== undefined).map(([name, value]) => [name, count(value)]);
  if (run.seconds) facts.push(["time", seconds(Object.values(run.seconds).reduce((a, b) => a + b, 0))]);
  if (run.peak_memory_bytes) facts.push(["memory at most", `${count(run.peak_memory_bytes / 1e6)} MB`]);
  const cards = element("dl", { class: "cards" }, ...facts.map(([name, value]) =>
    element("div", {}, element("dt", {}, name), element("dd", {}, value))));
  if (run.images_per_second) cards.append(costCard(run.images_per_second));
  const made = section("run", "What ran", cards);
  if (run.seconds) {
    const columns = element("div", { class: "columns" });
    const chartOf = (title, times) => element("div", {}, element("h3", {}, title),
      barChart(title, Object.keys(times), Object.values(times), (value) => seconds(value)));
    columns.append(chartOf("Time by stage", run.seconds));
    if (run.worker_seconds) columns.append(chartOf("Time of all workers by step", run.worker_seconds));
    made.append(columns);
  }
  if (run.errors) {
    made.append(element("h3", {}, "Images that failed"), table("Images that failed, by kind", [
      { title: "images", value: (row) => row.count, number: true }, { title: "kind", value: (row) => row.kind },
      { title: "such as", value: (row) => row.example }, { title: "whose reason is", value: (row) => row.reason },
    ], run.errors_by_reason ?? []));
  }
  made.append(settings(run));
}

function costCard(rate) {
  const result = element("dd");
  const price = element("input", { type: "number", min: 0, step: "0.001", value: "0.204", id: "price", oninput: () => fill() });
  const fill = () => { result.textContent = `$ ${((1e6 / rate / 3600) * Number(price.value)).toFixed(2)}`; };
  fill();
  return element("div", {}, element("dt", {}, "cost of a million images"), result,
    element("dd", { class: "entry" }, element("label", { for: "price" }, "at $ per hour "), price));
}

function settings(run) {
  const rows = [];
  const add = (group, values) => {
    for (const [name, value] of Object.entries(values ?? {})) {
      if (value !== null && value !== undefined) rows.push({ group, name, value: typeof value === "object" ? JSON.stringify(value) : `${value}` });
    }
  };
  add("model", run.model);
  add("setting", run.config);
  add("version", run.versions);
  if (rows.length === 0) return note("There is no summary.json: model, options and versions are not known.");
  return element("details", {}, element("summary", {}, "Model, options and versions"), table("Model, options and versions", [
    { title: "of", value: (row) => row.group }, { title: "name", value: (row) => row.name }, { title: "value", value: (row) => row.value },
  ], rows, { search: true }));
}

const MARKS = [0.8, 0.9, 0.95, 0.99];

function varianceSection() {
  const ratios = data.summary.pca?.explained_variance_ratio;
  if (!ratios?.length) return;
  const sums = cumulated(ratios);
  const reach = (share) => sums.findIndex((sum) => sum >= share - 1e-9) + 1;
  const marks = element("ul", {}, ...MARKS.map((share) => element("li", {}, reach(share)
    ? `${percent(share, 0)} of the variance: ${plural(reach(share), "component")}`
    : `${percent(share, 0)} of the variance: more than the ${count(ratios.length)} that were kept`)));
  section("variance", "Explained variance",
    element("p", {}, `${plural(ratios.length, "component")} hold ${percent(sums[sums.length - 1])} of the variance.`),
    element("div", { class: "columns" }, element("div", {}, varianceChart(ratios), marks),
      table("Share of the variance by component", [
        { title: "component", value: (row) => row.number, number: true },
        { title: "share", value: (row) => row.ratio, text: (row) => percent(row.ratio, 2), number: true },
        { title: "cumulative", value: (row) => row.sum, text: (row) => percent(row.sum, 2), number: true },
      ], ratios.map((ratio, at) => ({ number: at + 1, ratio, sum: sums[at] })))));
}

function mapSection() {
  if (!data.axes.length) {
    if (data.summary.pca === null) section("map", "Map", note("There are no principal components. A run with a PCA gives a map."));
    return;
  }
  const map = new PointMap(data.axes.map((axis) => unpacked(axis, Float32Array)), data.n_points);
  const names = data.axes.map((_, at) => `component ${at + 1}`);
  const choice = (name, first) => {
    const select = element("select", { "aria-label": name, onchange: () => map.show(across.selectedIndex, up.selectedIndex) },
      ...names.map((text, at) => element("option", { selected: at === first }, text)));
    return select;
  };
  const [across, up] = [choice("across", 0), choice("up", Math.min(1, names.length - 1))];
  const said = element("output", { class: "note", "aria-live": "polite" });
  const hits = element("ul", { class: "paths" });
  const search = element("input", { type: "search", placeholder: "Search a label or path", "aria-label": "Search a label or path in the map",
    oninput() {
      const found = map.search(search.value);
      said.textContent = found === null ? "" : `${plural(found.length, "image")} found`;
      hits.replaceChildren(...(found ?? []).slice(0, 10).map((image) => element("li", {}, images.path(image))));
    } });
  const zoom = (text, name, act) => element("button", { type: "button", "aria-label": name, onclick: act }, text);
  const shown = data.n_points < (data.summary.images ?? data.n_rows)
    ? `${count(data.n_points)} of ${count(data.summary.images ?? data.n_rows)} images, chosen by a hash of their paths.`
    : `All ${count(data.n_points)} images.`;
  section("map", "Map", note(shown, " Drag to move, scroll or pinch to zoom. Point at an image to see it."),
    element("div", { class: "bar" }, across, up, search, zoom("+", "Zoom in", () => map.zoom(1.5)), zoom("−", "Zoom out", () => map.zoom(1 / 1.5)),
      zoom("All", "Show all points", () => map.reset()), said),
    element("div", { class: "map" }, map.canvas, map.tip), hits, legend(map));
  redraw.push(() => map.draw());
}

function legend(map) {
  const labels = [...map.byLabel.entries()].sort((a, b) => a[0] - b[0]);
  if (labels.length < 2) return null;
  const dots = labels.map(([label]) => element("span", { class: "dot" }));
  const paint = () => dots.forEach((dot, at) => { dot.style.background = labelColor(labels[at][0]); });
  paint();
  redraw.push(paint);
  const buttons = labels.map(([label, points], at) => element("button", { type: "button", "aria-pressed": "false", onclick(event) {
    const chosen = map.chosen === label ? null : label;
    map.choose(chosen);
    buttons.forEach((button, other) => button.setAttribute("aria-pressed", String(labels[other][0] === chosen)));
  } }, dots[at], `${label < 0 ? "no label" : data.labels[label]} (${count(points.length)})`));
  return element("ul", { class: "legend", "aria-label": "Labels: choose one to see it alone", tabindex: 0 },
    ...buttons.map((button) => element("li", {}, button)));
}

const FEW = 10;

function labelSection() {
  if (data.labels.length === 0) {
    section("labels", "Images by label", note("There are no labels. A run takes them from the folders of the images, or by --label-regex."));
    return;
  }
  const counted = new Map((data.summary.by_label ?? []).map((row) => [row.label, row]));
  const accuracy = new Map((data.findings?.facts.accuracy_by_label ?? []).map((row) => [row.label, row.accuracy]));
  const shown = new Map(data.labels.map((_, label) => [label, []]));
  for (let image = 0; image < images.size; image++) shown.get(images.label[image])?.push(image);
  const rows = data.labels.map((name, label) => ({ name, label, files: counted.get(name)?.images ?? shown.get(label).length, accuracy: accuracy.get(name) }));
  const few = rows.filter((row) => row.files < FEW);
  const made = section("labels", "Images by label");
  if (few.length) made.append(element("p", { class: "few" }, `${plural(few.length, "label")} of fewer than ${FEW} images: ${few.slice(0, 20).map((row) => row.name).join(", ")}.`));
  const columns = [{ title: "label", value: (row) => row.name }, { title: "images", value: (row) => row.files, number: true }];
  if (accuracy.size) {
    columns.push({ title: "neighbours agree", value: (row) => row.accuracy, number: true,
      text: (row) => (row.accuracy === undefined ? "" : percent(row.accuracy)) });
  }
  made.append(table("Labels", columns, rows, { search: true }), element("h3", {}, "Contact sheets"));
  for (const { name, label, files } of rows) {
    const sheet = element("div", { class: "sheet" });
    const folded = element("details", { ontoggle() {
      if (!folded.open || sheet.childElementCount) return;
      const seen = shown.get(label).filter((image) => images.thumbnail(image) !== null).slice(0, 60);
      sheet.append(...(seen.length ? seen.map((image) => picture(image, data.images.name[image])) : [note("There are no thumbnails of these images.")]));
    } }, element("summary", {}, `${name} (${count(files)})`), sheet);
    made.append(folded);
  }
}
