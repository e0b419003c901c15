// The map: points in two components, on a canvas. Drawn by the colour of their labels; dragged, zoomed, searched.

// Half the side of a point in pixels: the fewer there are, the larger.
const radiusOf = (points) => (points < 1000 ? 4 : points < 5000 ? 3 : 2.2);
const NEAR = 12; // how far the pointer may be from the point that it means, in pixels

// Hues by the golden angle: any number of labels, neighbours in the list far apart.
function labelColor(label) {
  if (label < 0) return color("soft");
  const dark = document.documentElement.dataset.theme === "dark";
  return `hsl(${(label * 137.508) % 360} 65% ${dark ? 62 : 38 + 8 * (label % 2)}%)`;
}

// A colour of CSS as a pixel of image data.
const knownPixels = new Map();
function pixelOf(css) {
  if (!knownPixels.has(css)) {
    const context = element("canvas", { width: 1, height: 1 }).getContext("2d", { willReadFrequently: true });
    context.fillStyle = css;
    context.fillRect(0, 0, 1, 1);
    knownPixels.set(css, new Uint32Array(context.getImageData(0, 0, 1, 1).data.buffer)[0]);
  }
  return knownPixels.get(css);
}

class PointMap {
  constructor(axes, n) {
    this.axes = axes;
    this.n = n;
    this.radius = radiusOf(n);
    this.chosen = null; // the label that alone is in colour
    this.found = null; // the points that a search has found
    this.canvas = element("canvas", { tabindex: 0, role: "application",
      "aria-label": "Map of the images. Arrow keys move it, plus and minus zoom, 0 shows all." });
    this.tip = element("div", { class: "tip", hidden: true });
    this.byLabel = new Map();
    for (let point = 0; point < n; point++) {
      const label = images.label[point];
      if (!this.byLabel.has(label)) this.byLabel.set(label, []);
      this.byLabel.get(label).push(point);
    }
    this.show(0, Math.min(1, axes.length - 1));
    this.listen();
  }

  show(x, y) {
    this.x = this.axes[x];
    this.y = x === y && this.axes.length === 1 ? new Float32Array(this.n) : this.axes[y];
    this.reset();
  }

  // Shows all points.
  reset() {
    const range = (values) => {
      let [least, most] = [Infinity, -Infinity];
      for (const value of values) { least = Math.min(least, value); most = Math.max(most, value); }
      return [least, Math.max(most - least, 1e-9)];
    };
    const [[left, width], [bottom, height]] = [range(this.x), range(this.y)];
    this.view = { left: left - 0.04 * width, bottom: bottom - 0.04 * height, width: 1.08 * width, height: 1.08 * height };
    this.draw();
  }

  draw() {
    if (this.waiting) return;
    this.waiting = true;
    requestAnimationFrame(() => { this.waiting = false; this.drawNow(); });
  }

  drawNow() {
    const { clientWidth: width, clientHeight: height } = this.canvas;
    if (!width) return;
    const scale = Math.min(devicePixelRatio || 1, 2);
    if (this.canvas.width !== Math.round(width * scale) || this.canvas.height !== Math.round(height * scale)) {
      this.canvas.width = Math.round(width * scale);
      this.canvas.height = Math.round(height * scale);
    }
    const context = this.canvas.getContext("2d");
    const strong = (label) => this.found === null && (this.chosen === null || this.chosen === label);
    const image = context.createImageData(this.canvas.width, this.canvas.height);
    const pixels = new Uint32Array(image.data.buffer);
    const drawAll = (wanted) => {
      for (const [label, points] of this.byLabel) {
        if (strong(label) === wanted) this.drawPoints(pixels, points, wanted ? labelColor(label) : color("line"), this.radius * scale);
      }
    };
    drawAll(false);
    drawAll(true);
    if (this.found !== null) this.drawPoints(pixels, this.found, color("accent"), (this.radius + 1.5) * scale);
    context.putImageData(image, 0, 0);
  }

  // Points as squares, written into the pixels: the canvas would take four times as long to fill them.
  drawPoints(pixels, points, css, radius) {
    const { left, bottom, width, height } = this.view;
    const [wide, high] = [this.canvas.width, this.canvas.height];
    const [across, up] = [wide / width, high / height];
    const paint = pixelOf(css);
    const side = Math.round(2 * radius);
    const { x: xs, y: ys } = this;
    for (const point of points) {
      const x = Math.round((xs[point] - left) * across - radius);
      const y = Math.round(high - (ys[point] - bottom) * up - radius);
      const [first, last] = [Math.max(x, 0), Math.min(x + side, wide)];
      if (first >= last) continue;
      for (let row = Math.max(y, 0); row < Math.min(y + side, high); row++) pixels.fill(paint, row * wide + first, row * wide + last);
    }
  }

  // The point nearest to a place on the canvas, if one is near.
  at(left, top) {
    const { view } = this;
    const [across, up] = [this.canvas.clientWidth / view.width, this.canvas.clientHeight / view.height];
    let [best, distance] = [null, NEAR * NEAR];
    for (let point = 0; point < this.n; point++) {
      const x = (this.x[point] - view.left) * across - left;
      const y = this.canvas.clientHeight - (this.y[point] - view.bottom) * up - top;
      if (x * x + y * y < distance) [best, distance] = [point, x * x + y * y];
    }
    return best;
  }

  move(across, up) {
    this.view.left -= (across / this.canvas.clientWidth) * this.view.width;
    this.view.bottom += (up / this.canvas.clientHeight) * this.view.height;
    this.draw();
  }

  zoom(factor, left = this.canvas.clientWidth / 2, top = this.canvas.clientHeight / 2) {
    const { view } = this;
    const [across, up] = [left / this.canvas.clientWidth, 1 - top / this.canvas.clientHeight];
    view.left += view.width * across * (1 - 1 / factor);
    view.bottom += view.height * up * (1 - 1 / factor);
    view.width /= factor;
    view.height /= factor;
    this.draw();
  }

  choose(label) {
    this.chosen = label;
    this.draw();
  }

  // Marks the points whose path or label holds a text; gives how many.
  search(text) {
    const wanted = text.trim().toLowerCase();
    this.found = wanted === "" ? null : [];
    for (let point = 0; wanted !== "" && point < this.n; point++) {
      if (images.path(point).toLowerCase().includes(wanted) || images.labelOf(point).toLowerCase().includes(wanted)) this.found.push(point);
    }
    this.draw();
    return this.found;
  }

  listen() {
    const { canvas } = this;
    const pointers = new Map();
    let apart = 0;
    const place = (event) => {
      const box = canvas.getBoundingClientRect();
      return [event.clientX - box.left, event.clientY - box.top];
    };
    canvas.addEventListener("pointerdown", (event) => {
      canvas.setPointerCapture(event.pointerId);
      pointers.set(event.pointerId, place(event));
      canvas.classList.add("held");
      this.point(null);
    });
    canvas.addEventListener("pointermove", (event) => {
      const now = place(event);
      const before = pointers.get(event.pointerId);
      if (before === undefined) return this.point(this.at(...now), now);
      pointers.set(event.pointerId, now);
      if (pointers.size === 1) return this.move(now[0] - before[0], now[1] - before[1]);
      const [first, second] = [...pointers.values()];
      const distance = Math.hypot(first[0] - second[0], first[1] - second[1]);
      if (apart > 0) this.zoom(distance / apart, (first[0] + second[0]) / 2, (first[1] + second[1]) / 2);
      apart = distance;
    });
    const released = (event) => {
      pointers.delete(event.pointerId);
      apart = 0;
      if (pointers.size === 0) canvas.classList.remove("held");
    };
    canvas.addEventListener("pointerup", (event) => { released(event); this.point(this.at(...place(event)), place(event)); });
    canvas.addEventListener("pointercancel", released);
    canvas.addEventListener("pointerleave", () => this.point(null));
    canvas.addEventListener("wheel", (event) => {
      event.preventDefault();
      this.zoom(Math.exp(-event.deltaY / 400), ...place(event));
    }, { passive: false });
    const keys = {
      ArrowLeft: () => this.move(40, 0), ArrowRight: () => this.move(-40, 0), ArrowUp: () => this.move(0, 40),
      ArrowDown: () => this.move(0, -40), "+": () => this.zoom(1.25), "=": () => this.zoom(1.25), "-": () => this.zoom(0.8),
      0: () => this.reset(),
    };
    canvas.addEventListener("keydown", (event) => {
      if (!keys[event.key]) return;
      event.preventDefault();
      keys[event.key]();
    });
    new ResizeObserver(() => this.draw()).observe(canvas);
  }

  // Shows what is known of a point beside the pointer.
  point(point, [left, top] = [0, 0]) {
    this.tip.hidden = point === null;
    if (point === null) return;
    this.tip.replaceChildren(picture(point), element("div", {}, images.path(point)));
    const right = left > this.canvas.clientWidth / 2;
    this.tip.style.left = right ? "" : `${left + 14}px`;
    this.tip.style.right = right ? `${this.canvas.clientWidth - left + 14}px` : "";
    this.tip.style.top = `${Math.min(top + 10, this.canvas.clientHeight - 150)}px`;
  }
}
