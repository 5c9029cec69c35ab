// Sorting, the filter and the comparison of an index. Texts are set as texts, never as markup.
"use strict";
const byId = (id) => document.getElementById(id);
const make = (tag, text, attributes = {}) => {
  const element = document.createElement(tag);
  element.textContent = text;
  Object.entries(attributes).forEach(([name, value]) => element.setAttribute(name, value));
  return element;
};
const listings = () => [...document.querySelectorAll(".listing table")];
const order = {}; // by table: the column it is sorted by, and whether downwards

function keyOf(row, column) {
  const key = row.children[column].dataset.key;
  return key === undefined || key === "" ? null : key;
}
function compareKeys(one, other) {
  const numbers = [one, other].map(Number);
  return numbers.some(Number.isNaN) ? one.localeCompare(other) : numbers[0] - numbers[1];
}
function sortTable(table) {
  if (!order[table.id]) return;
  const { column, down } = order[table.id];
  const rows = [...table.tBodies[0].rows].map((row) => [keyOf(row, column), row]);
  rows.sort(([one], [other]) => {
    if (one === null || other === null) return (one === null) - (other === null);
    return (down ? -1 : 1) * compareKeys(one, other);
  });
  rows.forEach(([, row]) => table.tBodies[0].append(row));
  [...table.tHead.rows[0].cells].forEach((cell, i) => {
    if (i === column) cell.setAttribute("aria-sort", down ? "descending" : "ascending");
    else cell.removeAttribute("aria-sort");
  });
}
function addButtons(table) {
  [...table.tHead.rows[0].cells].forEach((cell, column) => {
    if (cell.className === "pick" || cell.textContent === "Pages") return;
    const button = make("button", cell.textContent, { type: "button" });
    button.addEventListener("click", () => {
      const before = order[table.id];
      order[table.id] = { column, down: Boolean(before) && before.column === column && !before.down };
      sortTable(table);
    });
    cell.replaceChildren(button);
  });
}
function filterRows() {
  const words = byId("filter").value.toLowerCase().split(/\s+/).filter(Boolean);
  const dataset = byId("dataset").value;
  let [shown, all] = [0, 0];
  listings().forEach((table) => [...table.tBodies[0].rows].forEach((row) => {
    const text = row.textContent.toLowerCase();
    const fits = words.every((word) => text.includes(word));
    row.hidden = !fits || (dataset !== "" && row.dataset.dataset !== dataset);
    all += 1;
    shown += row.hidden ? 0 : 1;
  }));
  byId("shown").textContent = shown === all ? "" : `${shown} of ${all} rows`;
}

const picked = new Set();
const digits = (value, count = 4) => (value === null || value === undefined ? "–"
  : typeof value === "number" ? String(Number(value.toPrecision(count))) : String(value));
const QUANTITIES = [
  ["chosen trial", (s) => s.trial],
  ["MAE", (s) => s.scores.mae, true],
  ["pinball loss", (s) => s.scores.pinball, true],
  ["Winkler score", (s) => s.scores.winkler, true],
  ["mean width", (s) => s.scores.mean_width],
  ["coverage (%)", (s) => s.scores.picp],
  ["its 95 % interval (%)", (s) => s.interval.map((bound) => bound.toFixed(1)).join(" to ")],
  ["target (%)", (s) => s.target],
  ["MAE below best reference (%)", (s) => s.scores.reference_gain_percent],
  ["that reference", (s) => s.reference],
  ["recommended", (s) => s.recommended],
  ["training (h)", (s) => s.hours],
];
function addRow(body, name, values, best) {
  const row = make("tr", "");
  row.append(make("th", name, { scope: "row" }));
  values.forEach((value) => {
    const cell = make("td", digits(value));
    if (best !== undefined && value === best) cell.className = "best";
    row.append(cell);
  });
  body.append(row);
}
function compareStudies() {
  const data = JSON.parse(byId("data").textContent);
  const studies = [...picked].filter((name) => name in data).map((name) => data[name]);
  const place = byId("comparison");
  place.hidden = studies.length < 2;
  place.replaceChildren();
  if (place.hidden) return;
  const same = new Set(studies.map((s) => s.dataset + s.task)).size === 1;
  place.append(make("h2", "Chosen models side by side"));
  place.append(make("p", same
    ? "All were scored on the same hours; the lowest losses are marked. Differences may be chance."
    : "These were not scored on the same hours: their errors cannot be compared."));
  const table = make("table", "");
  table.append(make("caption", "Chosen models side by side", { class: "unseen" }));
  const head = make("tr", "");
  head.append(make("th", "", { scope: "col" }));
  studies.forEach((s) => head.append(make("th", `${s.dataset} · ${s.model} · ${s.id}`, { scope: "col" })));
  table.createTHead().append(head);
  const body = table.createTBody();
  const unit = new Set(studies.map((s) => s.unit)).size === 1 ? studies[0].unit : "";
  QUANTITIES.forEach(([name, value, isLoss]) => {
    const values = studies.map(value);
    const known = values.filter((one) => typeof one === "number");
    const named = isLoss && unit ? `${name} (${unit})` : name;
    addRow(body, named, values, isLoss && same ? Math.min(...known) : undefined);
  });
  new Set(studies.flatMap((s) => Object.keys(s.params))).forEach(
    (name) => addRow(body, name, studies.map((s) => s.params[name])));
  const scroll = make("div", "", { class: "scroll", tabindex: "0" });
  scroll.append(table);
  place.append(scroll);
}
function addBoxes() {
  document.querySelectorAll("td.pick input").forEach((box) => {
    box.checked = picked.has(box.value);
    box.addEventListener("change", () => {
      if (box.checked) picked.add(box.value);
      else picked.delete(box.value);
      compareStudies();
    });
  });
}
document.documentElement.classList.add("scripted");
document.querySelectorAll(".controls").forEach((element) => { element.hidden = false; });
document.querySelector("form.controls").addEventListener("submit", (event) => event.preventDefault());
["filter", "dataset"].forEach((id) => byId(id).addEventListener("input", filterRows));
listings().forEach(addButtons);
addBoxes();
filterRows();
