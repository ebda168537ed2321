// Draws the charts that stand in #charts-data and opens the examples of a cell of the confusion matrix.
const read = (id) => JSON.parse(document.getElementById(id).textContent);
const charts = read("charts-data");
const config = read("config-data");

async function draw(place) {
  const spec = charts[place.dataset.chart][place.dataset.index];
  await window.vegaEmbed(place, spec, { mode: "vega-lite", renderer: "svg", actions: false, config, tooltip: { theme: "custom" } });
}

const examples = read("examples-data");
const panel = document.getElementById("examples");
let opened = null;

function element(tag, text, className) {
  const made = document.createElement(tag);
  if (text !== undefined) made.textContent = text;
  if (className) made.className = className;
  return made;
}

function heading(cell, shown) {
  const { truth, said, count } = cell.dataset;
  const line = element("h4", truth === said ? `“${truth}”, and called so` : `“${truth}” called “${said}”`);
  const rest = shown < Number(count) ? `${shown} of ${count} shown, the surest first; all stand in predictions.parquet` : `${count} shown, the surest first`;
  line.append(" ", element("small", rest));
  return line;
}

const sure = (share) => (share < 1 && share >= 0.9995 ? "> 99.9" : (100 * share).toFixed(1));

function item(example) {
  const made = element("li");
  made.append(element("span", example.excerpt ?? example.id, "text"));
  if (example.probability !== undefined) made.append(" ", element("small", `${sure(example.probability)} % sure`));
  return made;
}

function toggle(cell) {
  const again = cell === opened;
  if (opened) opened.removeAttribute("aria-expanded");
  opened = again ? null : cell;
  panel.hidden = again;
  if (again) return;
  cell.setAttribute("aria-expanded", "true");
  const list = element("ul");
  const found = examples[cell.dataset.cell] ?? [];
  list.append(...found.map(item));
  panel.replaceChildren(heading(cell, found.length), list);
}

const cells = [...document.querySelectorAll("button[data-cell]")];
for (const cell of cells) cell.addEventListener("click", () => toggle(cell));
const wrong = cells.filter((cell) => cell.classList.contains("wrong") && !cell.disabled);
wrong.sort((a, b) => b.dataset.count - a.dataset.count);
if (wrong.length) toggle(wrong[0]); // the most frequent mistake is what a reader looks for first
document.addEventListener("keydown", (event) => {
  if (event.key !== "Escape" || !opened) return;
  const cell = opened;
  toggle(cell);
  cell.focus();
});

let folded = [];
window.addEventListener("beforeprint", () => {
  folded = [...document.querySelectorAll("details.scores:not([open])")];
  for (const part of folded) part.open = true;
});
window.addEventListener("afterprint", () => folded.forEach((part) => (part.open = false)));

const places = [...document.querySelectorAll(".chart")];
await Promise.all(places.map(draw));
document.documentElement.dataset.drawn = String(places.length);
