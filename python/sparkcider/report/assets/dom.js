// The data of the page, and elements made of it. Text from the data becomes text nodes only, never markup.

const data = JSON.parse(document.getElementById("data").textContent);

function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else if (value !== undefined && value !== null && value !== false) made.setAttribute(name, value === true ? "" : value);
  }
  made.append(...children.filter((child) => child !== null && child !== undefined));
  return made;
}

const whole = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
const count = (value) => whole.format(value);
const percent = (value, digits = 1) => `${(100 * value).toFixed(digits)} %`;
const plural = (value, word) => `${count(value)} ${word}${value === 1 ? "" : "s"}`;

function seconds(value) {
  if (value < 60) return `${value.toFixed(1)} s`;
  const minutes = Math.floor(value / 60);
  if (minutes < 60) return `${minutes} min ${Math.round(value % 60)} s`;
  return `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}

function unpacked(text, Kind) {
  return new Kind(Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0)).buffer);
}

// Images by their numbers.
const images = {
  folder: unpacked(data.images.folder, Uint32Array),
  label: unpacked(data.images.label, Int32Array),
  size: data.images.name.length,
  path(image) { return data.images.folders[this.folder[image]] + data.images.name[image]; },
  labelOf(image) { return this.label[image] < 0 ? "no label" : data.labels[this.label[image]]; },
  thumbnail(image) {
    const found = data.images.thumbnail[image];
    return found === undefined ? null : `data:image/jpeg;base64,${found}`;
  },
};

function picture(image, caption) {
  const source = images.thumbnail(image);
  const path = images.path(image);
  const shown = source === null
    ? element("span", { class: "blank", role: "img", "aria-label": `no thumbnail of ${path}` })
    : element("img", { src: source, alt: path, title: path, loading: "lazy", width: 72, height: 72 });
  return element("figure", {}, shown, element("figcaption", {}, caption ?? images.labelOf(image)));
}

function section(name, title, ...children) {
  document.getElementById("sections").append(element("li", {}, element("a", { href: `#${name}` }, title)));
  const made = element("section", { id: name, "aria-labelledby": `${name}-title` },
    element("h2", { id: `${name}-title` }, title), ...children);
  document.getElementById("main").append(made);
  return made;
}

const note = (...text) => element("p", { class: "note" }, ...text);
