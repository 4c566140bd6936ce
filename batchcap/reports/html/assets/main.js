// Draws the page, and draws it again when something has changed.

let scheduled = null;
let drawingTook = 0; // milliseconds

function showView(view) {
  byId("coverage").hidden = view !== "coverage";
  byId("list").hidden = view !== "list";
  byId("key").hidden = view !== "coverage";
  document.querySelector(`input[name=view][value=${view}]`).checked = true;
  refreshView();
}

function refreshView() {
  if (byId("list").hidden) refreshCoverage();
  else listGrid.refresh();
}

function filterWasChanged() {
  applyFilter();
  coverageGrid.top();
  listGrid.top();
  refreshView();
}

function renderSummaries() {
  renderGlance();
  renderNow();
  renderFailures();
  renderTimeline();
  renderLengths();
  renderUsage();
}

// Several messages of one moment are drawn once, and drawing takes at most a tenth of the time,
// also of a page with many rows. `hasRows`: rows have changed.
function scheduleUpdate(hasRows) {
  if (scheduled) {
    scheduled.hasRows ||= hasRows;
    return;
  }
  scheduled = { hasRows };
  setTimeout(() => requestAnimationFrame(update), 9 * drawingTook);
}

function update() {
  const { hasRows } = scheduled;
  scheduled = null;
  const began = performance.now();
  renderSummaries();
  if (hasRows) {
    offerChoices();
    applyFilter();
    refreshView();
    if (byId("details").open) renderDetails();
  }
  drawingTook = performance.now() - began;
}

function renderKey() {
  byId("key").replaceChildren(...Object.entries(STATUSES).map(([name, { sign, label }]) =>
    element("li", {}, element("span", { class: `sign status-${name}`, "aria-hidden": "true" }, sign), label)),
  element("li", {}, element("span", { class: "sign none", "aria-hidden": "true" }), "not asked for"));
}

function connectResize() {
  let width = chartWidth();
  addEventListener("resize", () => {
    if (chartWidth() === width) return;
    width = chartWidth();
    renderTimeline();
    renderLengths();
  });
}

function connectPrint() {
  const grid = () => (byId("list").hidden ? coverageGrid : listGrid);
  const count = () => (byId("list").hidden ? hitVideos.length : hits.length);
  const print = (on) => {
    document.documentElement.classList.toggle("printing", on);
    byId("print-note").textContent = count() > PRINTED
      ? `The first ${number(PRINTED)} of ${number(count())} are printed; search to print others.` : "";
    grid().print(on);
  };
  const media = matchMedia("print");
  media.addEventListener("change", () => print(media.matches));
  addEventListener("beforeprint", () => print(true));
  addEventListener("afterprint", () => print(false));
}

readData();
renderSummaries();
renderSources();
renderKey();
offerChoices();
applyFilter();
connectFilter(filterWasChanged);
for (const choice of document.querySelectorAll("input[name=view]")) {
  choice.addEventListener("change", () => showView(choice.value));
}
connectDetails();
connectPrint();
connectResize();
showView("coverage");
connectLive();
document.documentElement.dataset.ready = "yes";
