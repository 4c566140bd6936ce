// All of one row, in a dialog.

let opened = null;

function openDetails(row) {
  opened = row;
  renderDetails();
  if (!byId("details").open) byId("details").showModal();
  byId("details-body").scrollTop = 0;
}

function renderDetails() {
  const row = opened;
  byId("details-title").textContent = nameOf(row);
  const embedded = embeddedOf(row);
  byId("details-body").replaceChildren(
    element("p", { class: "details-state" },
      element("span", { class: `sign status-${row.status}`, "aria-hidden": "true" }, STATUSES[row.status].sign),
      element("strong", {}, STATUSES[row.status].label),
      row.phase && row.state === "pending" ? ` (${PHASES[row.phase] ?? row.phase})` : "",
      row.language ? [" · ", element("bdi", {}, row.language)] : null),
    ...problemOf(row),
    element("dl", { class: "fields" }, fieldsOf(row).map(([name, value]) =>
      element("div", {}, element("dt", { dir: "auto" }, name), element("dd", { dir: "auto" }, value)))),
    ...(embedded ? [captionTable(row, embedded)] : []));
  const place = placeOf(hits, row);
  byId("previous").disabled = place <= 0;
  byId("next").disabled = place >= hits.length - 1;
}

function problemOf(row) {
  if (!row.message) return [];
  const advice = adviceFor(codeOf(row), row.retryable);
  return [element("div", { class: "problem" },
    element("p", {}, row.code ? element("code", {}, row.code) : "", " ",
      element("span", { dir: "auto" }, row.message)),
    advice ? element("p", { class: "advice" }, `${advice.text} ${RETRY[advice.retry]}.`) : null,
    advice?.command ? element("p", { class: "command" }, element("code", {}, advice.command)) : null)];
}

function fieldsOf(row) {
  const link = linkOf(row);
  const took = tookOf(row);
  const fields = [
    ["File", row.state === "done" && row.path ? (link ? element("a", { href: link }, row.path) : row.path) : null],
    ["Size", row.bytes === null ? null : size(row.bytes)],
    ["Cues", row.cues === null ? null : number(row.cues)],
    ["Findings", row.quality],
    ["Provider", row.provider],
    ["Video", row.source],
    ["Key", row.key],
    ["Job", row.job],
    ["Started", row.startedAt === null ? null : moment(row.startedAt)],
    ["Ended", row.finishedAt === null ? null : moment(row.finishedAt)],
    ["Took", took === null ? null : duration(took)],
    ["Manifest", row.origin],
    ...Object.entries(row.meta ?? {}).filter(([name]) => name.toLowerCase() !== "title").map(([name, value]) =>
      [name, typeof value === "object" ? JSON.stringify(value) : String(value)]),
  ];
  return fields.filter(([, value]) => value !== null && value !== "");
}

function connectDetails() {
  const step = (by) => {
    const row = hits[placeOf(hits, opened) + by];
    if (row) openDetails(row);
  };
  byId("previous").addEventListener("click", () => step(-1));
  byId("next").addEventListener("click", () => step(1));
  byId("close").addEventListener("click", () => byId("details").close());
  byId("details").addEventListener("click", (event) => {
    if (event.target === byId("details")) byId("details").close(); // beside it
  });
}
