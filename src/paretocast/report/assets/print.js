// Paper is narrower than the window: figures are drawn again for it, and for the window after it.
addEventListener("load", () => addEventListener("beforeprint",
  () => document.querySelectorAll(".js-plotly-plot").forEach(
    (plot) => Plotly.relayout(plot, { autosize: false, width: 1220 }))));
addEventListener("afterprint", () => document.querySelectorAll(".js-plotly-plot").forEach(
  (plot) => Plotly.relayout(plot, { autosize: true, width: null })));
