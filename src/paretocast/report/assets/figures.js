// On a phone a legend takes many lines: the figure grows by them, so that its axes keep their room.
const roomForLegend = (plot) => {
  const legend = plot.querySelector(".legend");
  const { height, legend: placed } = plot.layout || {};
  if (!legend || !height || plot.clientWidth > 600 || plot.dataset.fitted) return;
  plot.dataset.fitted = "yes";
  const more = Math.round(legend.getBBox().height - 34);
  if (more <= 0) return;
  plot.style.height = `${height + more}px`;
  const change = { height: height + more, "margin.t": plot.layout.margin.t + more };
  if (placed && placed.y) change["legend.y"] = 1 - (1 - placed.y) * height / (height + more);
  Plotly.relayout(plot, change);
};
const plots = () => document.querySelectorAll(".js-plotly-plot");
const drawn = Plotly.newPlot; // figures may be drawn long after the page is there
Plotly.newPlot = (...parts) => drawn(...parts).then((plot) => { roomForLegend(plot); return plot; });
addEventListener("load", () => {
  plots().forEach(roomForLegend);
  // Paper is narrower than the window: figures are drawn again for it, and for the window after it.
  addEventListener("beforeprint", () => plots().forEach(
    (plot) => Plotly.relayout(plot, { autosize: false, width: 1340 })));
  addEventListener("afterprint", () => plots().forEach(
    (plot) => Plotly.relayout(plot, { autosize: true, width: null })));
});
