// The outcome at a glance.

function statusCounts() {
  const counts = Object.fromEntries(Object.keys(STATUSES).map((name) => [name, 0]));
  for (const row of rows) counts[row.status] += 1;
  return counts;
}

function renderGlance() {
  const counts = statusCounts();
  const { totals } = about;
  const outcome = `${number(totals.done)} of ${counted(totals.total, "caption")} done`;
  byId("outcome").textContent = outcome;
  document.title = `${outcome} – batchcap report`;
  renderFacts();
  const shown = Object.keys(STATUSES).filter((name) => counts[name]);
  byId("share").setAttribute("aria-label",
    shown.map((name) => `${number(counts[name])} ${STATUSES[name].label}`).join(", ") || "no rows");
  byId("share").replaceChildren(...shown.map((name) => {
    const part = element("span", { class: `status-${name}` });
    part.style.flexGrow = counts[name];
    return part;
  }));
  byId("legend").replaceChildren(...shown.map((name) => element("li", { "data-status": name },
    element("span", { class: `sign status-${name}`, "aria-hidden": "true" }, STATUSES[name].sign),
    element("strong", {}, number(counts[name])), ` ${STATUSES[name].label} `,
    element("span", { class: "share-of" }, percent(counts[name], rows.length)))));
  renderFigures(totals);
}

function renderFacts() {
  const [began, ended] = span();
  const when = began === null ? []
    : [`${moment(began)} to ${dateOf(began) === dateOf(ended) ? clock(ended, true) : moment(ended)}`];
  const rehearsal = about.is_rehearsal ? ["a rehearsal: the captions are the sandbox's"] : [];
  const parts = [about.folder, ...when, ...rehearsal];
  byId("facts").replaceChildren(...parts.map((part) => element("span", { dir: "auto" }, part)));
  byId("made").textContent = about.live ? "" : `Made ${moment(about.made_at)} by batchcap report. `
    + "Times are those of this device.";
}

// When the first row started and the last one ended, [null, null] if none did.
function span() {
  let [began, ended] = [null, null];
  for (const row of rows) {
    if (row.startedAt !== null && (began === null || row.startedAt < began)) began = row.startedAt;
    if (row.finishedAt !== null && (ended === null || row.finishedAt > ended)) ended = row.finishedAt;
  }
  return began === null || ended === null ? [null, null] : [began, ended];
}

function renderFigures(totals) {
  const requests = [...minutes].filter(([name]) => name.endsWith(" requests"))
    .reduce((sum, [, counts]) => sum + total(counts), 0);
  const figures = [
    ["Videos", number(videos.length)],
    ["Languages", number(languages.filter((each) => each.name).length)],
    ["Size", size(totals.bytes)],
    ["Requests", number(requests)],
  ];
  if (totals.units_consumed) figures.push(["Units", number(totals.units_consumed)]);
  if (totals.without_cues) figures.push(["Without a cue", number(totals.without_cues)]);
  byId("figures").replaceChildren(...figures.map(([name, value]) =>
    element("div", {}, element("dt", {}, name), element("dd", {}, value))));
}

const total = (counts) => [...counts.values()].reduce((sum, count) => sum + count, 0);
