"use strict";
// Draws the charts that the page carries as JSON, in the colours of the reader's scheme, and serves the few buttons.
(() => {
  const read = (id) => JSON.parse(document.getElementById(id).textContent);
  const charts = read("charts");
  const darkByLight = read("theme");
  const darkScheme = window.matchMedia("(prefers-color-scheme: dark)");
  const touch = window.matchMedia("(pointer: coarse)").matches;

  const recoloured = (value) => {
    if (typeof value === "string") return Object.hasOwn(darkByLight, value) ? darkByLight[value] : value;
    if (Array.isArray(value)) return value.map(recoloured);
    if (value === null || typeof value !== "object") return value;
    return Object.fromEntries(Object.entries(value).map(([key, one]) => [key, recoloured(one)]));
  };

  const legend = (id) => document.querySelector(`[data-chart="${id}"]`);
  const tracesOf = (button) => button.dataset.traces.split(",").map(Number);
  const hiddenTraces = (id) => new Set([...legend(id).querySelectorAll('[data-traces][aria-pressed="false"]')].flatMap(tracesOf));
  const showsAll = (id) => legend(id).querySelector('.full[aria-pressed="true"]') !== null;
  const isNarrow = (id) => document.getElementById(id).clientWidth < 480;

  // No tool bar over the curves: the page has buttons of its own, which work by keyboard.
  const config = { displayModeBar: false, responsive: true, doubleClick: "reset+autosize" };

  // A finger that scrolls the page must not draw a zoom box, so charts on touch screens only show values.
  const draw = (chart, dark, extra) => {
    const { id, narrow, zoomed } = chart;
    const { data, layout } = dark ? recoloured(chart.figure) : structuredClone(chart.figure);
    const hidden = hiddenTraces(id);
    data.forEach((trace, index) => { trace.visible = !hidden.has(index); });
    if (isNarrow(id)) {
      Object.assign(layout.xaxis, narrow);
      data.forEach((trace) => { delete trace.customdata; trace.hovertemplate = trace.hovertemplate?.split("  ")[0]; });
    }
    if (showsAll(id)) zoomed.forEach((axis) => { delete layout[axis].range; });
    if (touch) layout.dragmode = false;
    Plotly.react(id, data, { ...layout, ...extra }, config);
  };

  const drawAll = (dark = darkScheme.matches, extra = {}) => charts.forEach((chart) => draw(chart, dark, extra));
  const redraw = (id) => draw(charts.find((chart) => chart.id === id), darkScheme.matches, {});

  const press = (event) => {
    const button = event.target.closest("[data-chart] button");
    if (!button) return;
    button.setAttribute("aria-pressed", String(button.getAttribute("aria-pressed") !== "true"));
    redraw(button.closest("[data-chart]").dataset.chart);
  };

  const saveImage = (event) => {
    const id = event.target.dataset.save;
    if (id) Plotly.downloadImage(id, { format: "svg", filename: `twinsplit-${id}`, width: 900, height: document.getElementById(id).clientHeight });
  };

  const redrawWhenWidthClassChanges = () => {
    const before = new Map(charts.map(({ id }) => [id, isNarrow(id)]));
    window.addEventListener("resize", () => {
      for (const { id } of charts) {
        if (before.get(id) !== isNarrow(id)) redraw(id);
        before.set(id, isNarrow(id));
      }
    });
  };

  const copyCommand = async () => {
    const source = document.getElementById("command-text");
    const told = document.getElementById("copied");
    try {
      await navigator.clipboard.writeText(source.textContent);
      told.textContent = "Copied.";
    } catch {
      window.getSelection().selectAllChildren(source);
      told.textContent = document.execCommand("copy") ? "Copied." : "Selected: press Ctrl+C to copy.";
    }
  };

  const save = (name, type, text) => {
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([text], { type }));
    link.download = name;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 1000);
  };

  const rowsOfCurve = ({ panel, name, x_name, x, mean, low, high, unit, band }) =>
    x.map((at, i) => [panel, name, x_name, at, mean[i], low[i], high[i], unit, band]);

  const quoted = (cell) => (/[",\r\n]/.test(cell) ? `"${String(cell).replaceAll('"', '""')}"` : (cell ?? ""));

  const asCsv = () => {
    const header = ["panel", "series", "x_name", "x", "mean", "low", "high", "unit", "band"];
    const rows = [header, ...read("numbers").series.flatMap(rowsOfCurve)];
    return rows.map((row) => row.map(quoted).join(",")).join("\r\n") + "\r\n";
  };

  const serve = (id, action) => document.getElementById(id)?.addEventListener("click", action);

  for (const button of document.querySelectorAll("#copy, #downloads, [data-save], .full")) button.hidden = false;
  serve("copy", copyCommand);
  serve("download-csv", () => save("twinsplit-report.csv", "text/csv", asCsv()));
  serve("download-json", () => save("twinsplit-report.json", "application/json", JSON.stringify(read("numbers"), null, 1)));
  document.addEventListener("click", press);
  document.addEventListener("click", saveImage);
  darkScheme.addEventListener("change", () => drawAll());
  window.addEventListener("beforeprint", () => drawAll(false, { width: 640 }));
  window.addEventListener("afterprint", () => drawAll());
  redrawWhenWidthClassChanges();
  drawAll();
})();
