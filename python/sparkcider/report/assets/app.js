// Puts the page together, and keeps its theme.

const redraw = [drawCharts]; // what depends on the colours of the theme

function setTheme(dark) {
  document.documentElement.dataset.theme = dark ? "dark" : "light";
  const button = document.getElementById("theme");
  button.textContent = dark ? "Light" : "Dark";
  button.setAttribute("aria-pressed", String(dark));
  redraw.forEach((draw) => draw());
}

function lead() {
  const { summary } = data;
  const parts = [summary.model?.name && `model ${summary.model.name}`, summary.engine && `engine ${summary.engine}`,
    summary.versions?.sparkcider && `sparkcider ${summary.versions.sparkcider}`];
  document.getElementById("lead").textContent = parts.filter(Boolean).join(" · ");
}

lead();
runSection();
varianceSection();
mapSection();
labelSection();
findingSections();

const darkWanted = matchMedia("(prefers-color-scheme: dark)");
setTheme(darkWanted.matches);
darkWanted.addEventListener("change", (event) => setTheme(event.matches));
document.getElementById("theme").addEventListener("click", () => setTheme(document.documentElement.dataset.theme !== "dark"));
let width = innerWidth;
addEventListener("resize", () => {
  if (innerWidth === width) return;
  width = innerWidth;
  drawCharts();
});
document.documentElement.dataset.ready = "true";
