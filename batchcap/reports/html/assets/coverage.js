// The matrix of videos and languages.

let coverageColumns = [];

function refreshCoverage() {
  const { language } = filterValues();
  const chosen = languages.filter((each) => !language || each.name === language.slice(1));
  const widths = chosen.map(({ label }) => Math.min(9, Math.max(3.6, label.length * 0.55 + 1.4)));
  const others = widths.reduce((sum, width) => sum + width, 0);
  coverageColumns = [
    { key: "", width: `clamp(var(--first), calc(100cqw - ${others.toFixed(2)}rem - 2px), 32rem)` },
    ...chosen.map((each, at) => ({ key: `=${each.name}`, language: each, width: `${widths[at]}rem` })),
  ];
  coverageGrid.refresh();
}

const coverageContent = {
  columns: () => coverageColumns,
  count: () => hitVideos.length,
  item: (index) => hitVideos[index],
  look: (index) => `${hitVideos[index].at} ${isFiltered ? filterCount : ""} ${hitVideos[index].rows
    .map((row) => row.status).join(" ")}`,
  find: (video, index) => (hitVideos[index] === video ? index : placeOf(hitVideos, video) ?? index),
  head(node, { language }) {
    node.textContent = language ? language.label || "(none)" : "Video";
    if (language) node.title = language.names || node.textContent;
  },
  cell(node, index, column) {
    const video = hitVideos[index];
    if (!column) return videoCell(node, video);
    const { language } = coverageColumns[column];
    const members = video.rows.filter((row) => row.column === language);
    return statusCell(node, members);
  },
  open(index, column) {
    const video = hitVideos[index];
    const language = coverageColumns[column]?.language;
    const row = video.rows.find((each) => !language || each.column === language);
    if (row) openDetails(row);
  },
};

// Rows keep the order of their `at`, so that a place is found by halving.
function placeOf(ordered, item) {
  if (!item) return null;
  let [low, high] = [0, ordered.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (ordered[middle].at < item.at) low = middle + 1;
    else high = middle;
  }
  return low;
}

function videoCell(node, video) {
  const name = video.title ?? video.source ?? video.rows[0].key ?? video.rows[0].origin ?? "";
  node.append(element("span", { class: "name", dir: "auto" }, name));
  if (video.title && video.source) {
    node.append(element("span", { class: "id", dir: "auto" }, video.source));
  }
  node.title = [name, video.provider, video.source].filter((part) => part).join(" · ");
}

// The status that needs attention first, if a cell has several rows.
const URGENCY = ["failed", "invalid", "missing", "running", "skipped", "done"];

function statusCell(node, members) {
  if (!members.length) {
    node.classList.add("none");
    node.setAttribute("aria-label", "not asked for");
    return;
  }
  const status = URGENCY.find((name) => members.some((row) => row.status === name));
  const isHit = !isFiltered || members.some(isInHits);
  node.classList.add(isHit ? `status-${status}` : "faded");
  node.textContent = STATUSES[status].sign;
  const code = members.find((row) => row.code)?.code;
  node.setAttribute("aria-label", [...new Set([STATUSES[status].label, code])].filter((part) => part).join(", "));
  node.title = node.getAttribute("aria-label");
}

const isInHits = (row) => hits[placeOf(hits, row)] === row;

const coverageGrid = createGrid(byId("coverage"), coverageContent, 36);
