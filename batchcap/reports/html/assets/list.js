// The list of captions.

const LIST_COLUMNS = [
  { key: "Caption", width: "var(--first)" },
  { key: "Language", width: "6.5rem" },
  { key: "State", width: "7.5rem" },
  { key: "File", label: "File, or what is wrong", width: "minmax(16rem, 1fr)" },
  { key: "Cues", width: "4.5rem", isNumber: true },
  { key: "Size", width: "6rem", isNumber: true },
  { key: "Took", width: "6rem", isNumber: true },
];

const listContent = {
  columns: () => LIST_COLUMNS,
  count: () => hits.length,
  item: (index) => hits[index],
  look: (index) => `${hits[index].at} ${hits[index].status} ${hits[index].finishedAt}`,
  find: (row, index) => (hits[index] === row ? index : placeOf(hits, row) ?? index),
  head(node, column) {
    node.textContent = column.label ?? column.key;
    if (column.isNumber) node.classList.add("number");
  },
  cell(node, index, column) {
    if (LIST_COLUMNS[column].isNumber) node.classList.add("number");
    LIST_CELLS[LIST_COLUMNS[column].key](node, hits[index]);
  },
  open: (index) => openDetails(hits[index]),
};

const LIST_CELLS = {
  Caption(node, row) {
    node.append(element("span", { class: "name", dir: "auto" }, nameOf(row)));
    if (row.title && row.source) node.append(element("span", { class: "id", dir: "auto" }, row.source));
    node.title = row.key ?? "";
  },
  Language(node, row) {
    node.append(element("bdi", {}, row.language ?? ""));
  },
  State(node, row) {
    node.append(element("span", { class: `sign status-${row.status}`, "aria-hidden": "true" },
      STATUSES[row.status].sign), STATUSES[row.status].label);
  },
  File(node, row) {
    const link = linkOf(row);
    const text = (row.state === "done" ? row.path : row.message) ?? "";
    if (row.code) node.append(element("code", {}, row.code), " ");
    node.append(link ? element("a", { href: link, dir: "auto" }, text) : element("bdi", {}, text));
    node.title = text;
  },
  Cues(node, row) {
    node.textContent = row.cues === null ? "" : number(row.cues);
  },
  Size(node, row) {
    node.textContent = row.bytes === null ? "" : size(row.bytes);
  },
  Took(node, row) {
    node.textContent = tookOf(row) === null ? "" : duration(tookOf(row));
  },
};

const tookOf = (row) => (row.startedAt === null || row.finishedAt === null ? null
  : Math.max(0, row.finishedAt - row.startedAt));

const listGrid = createGrid(byId("list"), listContent, 36);
