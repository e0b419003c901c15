// Charts by Apache ECharts, drawn again when the theme or the width changes.

const charts = [];

function color(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
}

// `options` is called for each drawing: it reads the colours of the theme.
function chart(title, options) {
  const place = element("div", { class: "chart", role: "img", "aria-label": title });
  charts.push({ place, options, drawn: null });
  return place;
}

function drawCharts() {
  for (const entry of charts) {
    entry.drawn?.dispose();
    entry.drawn = echarts.init(entry.place, null, { renderer: "canvas" });
    const text = { color: color("text") };
    entry.drawn.setOption({ animation: false, textStyle: text, ...entry.options() });
  }
}

function axis(extra) {
  return {
    axisLabel: { color: color("soft") }, axisLine: { lineStyle: { color: color("line") } },
    splitLine: { lineStyle: { color: color("line") } }, nameTextStyle: { color: color("soft") }, ...extra,
  };
}

function tooltip() {
  return {
    backgroundColor: color("ground"), borderColor: color("line"), textStyle: { color: color("text") }, renderMode: "richText",
    confine: true,
  };
}

function varianceChart(ratios) {
  const sums = cumulated(ratios);
  const numbers = ratios.map((_, at) => at + 1);
  const legend = ["each", "cumulative"];
  return chart(`Share of the variance of ${plural(ratios.length, "component")}, each and cumulative`, () => ({
    tooltip: { ...tooltip(), trigger: "axis", valueFormatter: (value) => percent(value, 2) },
    legend: { data: legend, textStyle: { color: color("text") } },
    grid: { left: 52, right: 24, top: 36, bottom: 42 },
    xAxis: axis({ type: "category", data: numbers, name: "component", nameLocation: "middle", nameGap: 26 }),
    yAxis: axis({ type: "value", min: 0, max: 1, axisLabel: { color: color("soft"), formatter: (value) => percent(value, 0) } }),
    series: [
      { name: legend[0], type: "bar", data: ratios, itemStyle: { color: color("bar") }, barCategoryGap: "20%" },
      { name: legend[1], type: "line", data: sums, showSymbol: false, lineStyle: { color: color("bar2"), width: 2 },
        itemStyle: { color: color("bar2") } },
    ],
  }));
}

function cumulated(ratios) {
  let sum = 0;
  return ratios.map((ratio) => (sum += ratio));
}

function barChart(title, names, values, format) {
  const place = chart(title, () => ({
    tooltip: { ...tooltip(), trigger: "axis", valueFormatter: format },
    grid: { left: 8, right: 70, top: 8, bottom: 8, containLabel: true },
    xAxis: axis({ type: "value", axisLabel: { show: false }, splitLine: { show: false } }),
    yAxis: axis({ type: "category", data: names, inverse: true, axisTick: { show: false } }),
    series: [{ type: "bar", data: values, itemStyle: { color: color("bar") }, barMaxWidth: 22,
      label: { show: true, position: "right", color: color("text"), formatter: ({ value }) => format(value) } }],
  }));
  place.style.height = `${Math.max(90, 34 * names.length + 16)}px`;
  return place;
}
