// Snapshots of a study, drawn as they come. Texts are set as texts, never as markup.
"use strict";
const EVERY_MILLISECONDS = 2000;
const LONG_HEADER = 16; // letters of a header that gets room for its words
const byId = (id) => document.getElementById(id);
const make = (tag, text, attributes = {}) => {
  const element = document.createElement(tag);
  element.textContent = text;
  Object.entries(attributes).forEach(([name, value]) => element.setAttribute(name, value));
  return element;
};
const digits = (value) => (value === null || value === undefined ? "–"
  : typeof value === "number" ? String(Number(value.toPrecision(4))) : String(value));
const sameDecimals = (values) => {
  const sizes = values.filter((value) => typeof value === "number" && value !== 0).map(Math.abs);
  const decimals = sizes.length ? Math.min(12, Math.max(0, 3 - Math.floor(Math.log10(Math.max(...sizes))))) : 0;
  return values.map((value) => (typeof value === "number" ? value.toFixed(decimals) : "–"));
};
const percent = (value) => (typeof value === "number" ? value.toFixed(1) : "–");
const duration = (seconds) => (seconds < 60 ? `${seconds.toFixed(0)} s`
  : seconds < 3600 ? `${Math.floor(seconds / 60)} min` : `${(seconds / 3600).toFixed(1)} h`);

function fact(quantity, value, detail) {
  const box = make("div", "", { class: "fact" });
  box.append(make("span", quantity), make("strong", value), make("span", detail));
  return box;
}
function showFacts(study) {
  const count = (state) => study.trials.filter((trial) => trial.state === state).length;
  const asked = study.n_trials === null ? "" : ` of ${study.n_trials}`;
  const unit = study.unit ? `MAE (${study.unit})` : "MAE";
  const state = study.running.length ? "running"
    : study.n_trials !== null && study.trials.length >= study.n_trials ? "all trials ended"
      : "nobody works on it";
  byId("facts").replaceChildren(
    fact("State", state, `${study.running.length} at work`),
    fact("Trials", `${study.trials.length}${asked}`,
      `${count("complete")} complete, ${count("pruned")} pruned, ${count("failed")} failed`),
    fact(unit, digits(study.best && study.best.mae),
      study.best ? `chosen so far: trial ${study.best.trial_number}` : "no trial is complete yet"),
    fact("Coverage", study.best ? `${percent(study.best.picp)} %` : "–", `target ${digits(study.target)} %`),
  );
}
function fill(table, caption, header, rows, empty, isText = () => false) {
  const head = make("tr", "");
  const look = (i, name) => (isText(i) ? { class: "text" } : name.length > LONG_HEADER ? { class: "long" } : {});
  header.forEach((name, i) => head.append(make("th", name, { scope: "col", ...look(i, name) })));
  table.replaceChildren(make("caption", caption, { class: "unseen" }));
  table.createTHead().append(head);
  const body = table.createTBody();
  rows.forEach((cells) => {
    const row = make("tr", "");
    cells.forEach((cell, i) => row.append(make(i ? "td" : "th", cell, i ? look(i, "") : { scope: "row" })));
    body.append(row);
  });
  if (!rows.length) {
    const row = make("tr", "");
    row.append(make("td", empty, { colspan: String(header.length) }));
    body.append(row);
  }
}
function showTables(study) {
  fill(byId("running"), "Trainings under way",
    ["trial", "worker", "host", "for", "step", "MAE at last rung"],
    study.running.map((one) => [
      one.repeat ? `${one.trial}, repeat ${one.repeat}` : String(one.trial),
      String(one.worker), one.host, duration(one.since),
      one.total_steps ? `${one.step} of ${one.total_steps}` : one.rung ? `past ${one.rung}` : "–",
      digits(one.mae),
    ]), "nobody works on it");
  const latest = study.trials.slice(-12).reverse();
  const maes = sameDecimals(latest.map((trial) => trial.mae));
  const header = ["trial", "state", study.unit ? `MAE (${study.unit})` : "MAE", "PICP (%)", "training", "parameters"];
  fill(byId("latest"), "Latest trials", header,
    latest.map((trial, i) => [String(trial.number), trial.state, maes[i], percent(trial.picp), duration(trial.seconds),
      Object.entries(trial.config).map(([name, value]) => `${name} ${digits(value)}`).join(", ") || "–"]),
    "none has ended", (i) => i === header.length - 1);
}
function showLogs(study) {
  byId("logs").replaceChildren(...study.logs.flatMap((log) => [
    make("p", log.name), make("pre", log.lines.join("\n"), { tabindex: "0" })]));
  if (!study.logs.length) {
    byId("logs").append(make("p", "No log in the workspace: a search in one process writes to its terminal."));
  }
}
const AXIS = { showline: true, linecolor: "#9aa5b1", gridcolor: "#e4e7eb", zeroline: false, automargin: true };
const layout = (x, y) => ({
  margin: { l: 60, r: 16, t: 12, b: 48 }, showlegend: false, hovermode: "closest",
  font: { family: "Inter, 'Segoe UI', Roboto, 'DejaVu Sans', Arial, sans-serif", size: 13, color: "#1f2933" },
  xaxis: { ...AXIS, ...x }, yaxis: { ...AXIS, ...y },
});
const CONFIG = { displayModeBar: false, responsive: true, showSendToCloud: false };
function showCharts(study) {
  const ended = study.trials.map((_, i) => i + 1);
  Plotly.react("growth", [{ x: ended, y: study.hypervolume.map((share) => share === null ? null : 100 * share),
    mode: "lines+markers", line: { shape: "hv", color: "#0072B2" }, hovertemplate: "%{y:.1f} % after %{x}<extra></extra>" }],
  layout({ title: { text: "trials ended" } }, { title: { text: "% of now" }, rangemode: "tozero" }), CONFIG);
  const scored = study.trials.filter((trial) => trial.mae !== null && trial.picp !== null && trial.mae !== undefined);
  const complete = (trial) => trial.state === "complete";
  const line = study.target === null ? [] : [{ type: "line", xref: "paper", x0: 0, x1: 1,
    y0: study.target, y1: study.target, line: { color: "#52606D", width: 1, dash: "dash" } }];
  Plotly.react("scores", [{ x: scored.map((trial) => trial.mae), y: scored.map((trial) => trial.picp),
    customdata: scored.map((trial) => trial.number), mode: "markers",
    hovertemplate: "trial %{customdata}<br>MAE %{x:.4g}<br>PICP %{y:.1f} %<extra></extra>",
    marker: { size: 9, color: scored.map((trial) => (complete(trial) ? "#0072B2" : "#ffffff")),
      line: { color: "#0072B2", width: 1.5 } } }],
  { ...layout({ title: { text: "MAE" } }, { title: { text: "PICP (%)" } }), shapes: line }, CONFIG);
}
function show(study) {
  byId("problems").hidden = !study.problems.length;
  byId("problems").textContent = study.problems.join(" ");
  showFacts(study);
  showTables(study);
  showLogs(study);
  showCharts(study);
}
async function follow() {
  try {
    const answer = await fetch(`${location.pathname}.json`, { cache: "no-store" });
    if (answer.ok) show(await answer.json());
  } catch {
    byId("problems").hidden = false;
    byId("problems").textContent = "The server does not answer any more; the study goes on without it.";
  }
  setTimeout(follow, EVERY_MILLISECONDS);
}
follow();
