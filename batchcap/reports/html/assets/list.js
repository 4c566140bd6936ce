// The list of captions.

const LIST_COLUMNS = [
  { name: "Caption", width: "var(--first)" },
  { name: "Language", width: "6.5rem" },
  { name: "State", width: "7.5rem" },
  { name: "File", width: "minmax(14rem, 1fr)" },
  { name: "Cues", width: "4.5rem", isNumber: true },
  { name: "Size", width: "6rem", isNumber: true },
  { name: "Took", width: "6rem", isNumber: true },
  { name: "Error", width: "minmax(16rem, 1.4fr)" },
];

const listContent = {
  columns: () => LIST_COLUMNS,
  count: () => hits.length,
  nameOf: (index) => hits[index],
  find: (row, index) => (hits[index] === row ? index : placeOf(hits, row) ?? index),
  head(node, column) {
    node.textContent = column.name;
    if (column.isNumber) node.classList.add("number");
  },
  cell(node, index, column) {
    if (LIST_COLUMNS[column].isNumber) node.classList.add("number");
    LIST_CELLS[LIST_COLUMNS[column].name](node, hits[index]);
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
    const text = row.state === "done" ? row.path ?? "" : "";
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
  Error(node, row) {
    if (!row.message) return;
    node.append(row.code ? element("code", {}, row.code) : "", " ", element("bdi", {}, row.message));
    node.title = row.message;
  },
};

const tookOf = (row) => (row.startedAt === null || row.finishedAt === null ? null
  : Math.max(0, row.finishedAt - row.startedAt));

const listGrid = createGrid(byId("list"), listContent, 36);
