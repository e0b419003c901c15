// The findings: duplicates side by side, outliers, suspect labels with their neighbours, labels that are mixed up.

const KINDS = {
  bytes: "the same bytes", copy: "copies of an image: re-encoded, resized or mirrored", similar: "similar images",
};

function findingSections() {
  const { findings, sample } = data;
  if (findings === null) {
    section("findings", "Findings", note("Duplicates, outliers and suspect labels were not looked for."));
    return;
  }
  const looked = sample?.sampled ? `a sample of ${count(sample.rows)} of ${count(sample.of)} images. sparkcider report --all looks at all.`
    : `all ${count(findings.facts.rows)} images.`;
  duplicateSection(findings, looked);
  outlierSection(findings, looked);
  if (findings.facts.knn_accuracy !== null) suspectSection(findings, looked);
}

function item(text, pictures) {
  return element("div", { class: "find" }, element("div", {}, ...text), element("div", { class: "sheet" }, ...pictures));
}

const paths = (found) => element("ul", { class: "paths" }, ...found.map((image) => element("li", {}, images.path(image))));

// A list that shows its first items, and more when asked.
function listed(items, make) {
  const place = element("div");
  let shown = 0;
  const more = element("button", { type: "button", onclick: () => fill() });
  const fill = () => {
    place.append(...items.slice(shown, shown + 20).map(make));
    shown = Math.min(items.length, shown + 20);
    more.textContent = `Show more (${count(items.length - shown)})`;
    more.hidden = shown === items.length;
  };
  fill();
  return element("div", {}, place, more);
}

function duplicateSection({ duplicates, facts }, looked) {
  const made = section("duplicates", "Duplicates", note(`Looked for among ${looked} The first image of a group stands for it; the score says how near the others are to it.`));
  for (const [kind, words] of Object.entries(KINDS)) {
    const groups = duplicates.filter((group) => group.kind === kind);
    const { groups: all, images: members } = facts.duplicates[kind];
    made.append(element("h3", {}, `${words[0].toUpperCase()}${words.slice(1)}: ${plural(all, "group")}, ${plural(members, "image")}`));
    if (kind === "similar" && all) made.append(note(`A cosine of at least ${facts.similarity} does not prove a copy: it may be the same object.`));
    if (!groups.length) continue;
    if (groups.length < all) made.append(note(`The ${count(groups.length)} largest groups; findings/duplicates.parquet has all.`));
    const rows = groups.flatMap((group, number) => group.images.map((image, at) => ({ number, image, score: group.scores[at] })));
    made.append(element("div", { class: "bar" }, copyButton(words, [
      { title: "group", value: (row) => row.number }, { title: "path", value: (row) => images.path(row.image) },
      { title: "label", value: (row) => images.labelOf(row.image) }, { title: "score", value: (row) => row.score },
    ], rows)), listed(groups, (group) => item([element("strong", {}, plural(group.size, "image")), paths(group.images)],
      group.images.map((image, at) => picture(image, group.scores[at].toFixed(3))))));
  }
}

function outlierSection({ outliers }, looked) {
  if (!outliers.length) return;
  const at = (value) => (value === null ? "" : value.toPrecision(3));
  const columns = [
    { title: "path", value: (row) => images.path(row.images[0]) }, { title: "label", value: (row) => images.labelOf(row.images[0]) },
    { title: "reconstruction error", value: (row) => row.error, text: (row) => at(row.error), number: true },
    { title: "its quantile", value: (row) => row.error_quantile, text: (row) => at(row.error_quantile), number: true },
    { title: "distance to neighbours", value: (row) => row.distance, text: (row) => at(row.distance), number: true },
    { title: "its quantile", value: (row) => row.distance_quantile, text: (row) => at(row.distance_quantile), number: true },
  ];
  section("outliers", "Outliers", note(`The ${plural(outliers.length, "image")} farthest from the principal components or from their neighbours, of ${looked}`),
    element("div", { class: "sheet" }, ...outliers.slice(0, 40).map((row) => picture(row.images[0]))),
    table("Outliers, the farthest first", columns, outliers, { search: true }));
}

function suspectSection({ suspects, facts }, looked) {
  const made = section("suspects", "Suspect labels",
    note(`The neighbours of an image vote on its label; its copies do not. Looked at: ${looked} The vote is the given label for ${percent(facts.knn_accuracy)} of them. Most of the votes contradict ${plural(facts.suspects, "label")}.`));
  if (suspects.length) {
    made.append(element("div", { class: "bar" }, copyButton("suspect labels", [
      { title: "path", value: (row) => images.path(row.images[0]) }, { title: "label", value: (row) => images.labelOf(row.images[0]) },
      { title: "vote", value: (row) => row.vote }, { title: "confidence", value: (row) => row.confidence },
    ], suspects)), listed(suspects, (row) => item([
      element("strong", {}, images.labelOf(row.images[0])), element("div", {}, `neighbours say ${row.vote} (${percent(row.confidence, 0)})`), paths(row.images.slice(0, 1)),
    ], [picture(row.images[0], "this image"), ...row.images.slice(1).map((image) => picture(image))])));
  }
  if (facts.confusions.length) {
    made.append(element("h3", {}, "Labels that are mixed up"), table("Labels that are mixed up", [
      { title: "label", value: (row) => row.label }, { title: "neighbours say", value: (row) => row.vote },
      { title: "images", value: (row) => row.count, number: true },
    ], facts.confusions, { search: true }));
  }
}
