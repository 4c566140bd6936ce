// Failures by code, with what to do.

const RETRY = {
  yes: "A retry can help",
  no: "A retry cannot help",
  "after a change": "A retry can help after a change",
};

// Groups the rows that have an error. Those that may pass and those that do not are told apart
// if the advice for them differs.
function failureGroups() {
  const groups = new Map();
  for (const row of rows) {
    const code = row.state === "invalid" ? "invalid" : row.code;
    if (!code) continue;
    const advice = adviceFor(code, row.retryable);
    const name = `${code}\0${advice?.text ?? ""}`;
    if (!groups.has(name)) groups.set(name, { code, advice, rows: [] });
    groups.get(name).rows.push(row);
  }
  return [...groups.values()].sort((a, b) => b.rows.length - a.rows.length);
}

function renderFailures() {
  const groups = failureGroups();
  byId("failures").hidden = !groups.length;
  replaceAll(byId("failure-groups"), groups.map(failureCard));
}

function failureCard({ code, advice, rows: members }) {
  const [sample] = members;
  const show = element("button", { type: "button", class: "show", "data-focus": code },
    members.length === 1 ? "Show the row" : `Show ${number(members.length)} rows`,
    element("span", { class: "unseen" }, ` with ${code}`));
  show.addEventListener("click", () => {
    setFilter(code === "invalid" ? { status: "invalid" } : { code });
    showView("list");
    byId("captions").scrollIntoView();
    byId("captions").focus({ preventScroll: true });
  });
  return element("article", { class: "group" },
    element("div", { class: "group-head" },
      element("h3", {}, element("code", {}, code)),
      element("p", { class: "group-count" }, counted(members.length, "row"),
        sample.state === "pending" ? " (pending)" : ""),
      advice ? element("p", { class: `retry retry-${advice.retry.replaceAll(" ", "-")}` },
        RETRY[advice.retry]) : null),
    element("div", { class: "group-body" },
      advice ? element("p", { class: "advice" }, advice.text) : null,
      advice?.command ? element("p", { class: "command" }, element("code", {}, advice.command)) : null,
      element("p", { class: "sample" }, element("span", {}, "For example "),
        element("bdi", {}, sample.key ?? sample.origin ?? ""), ": ",
        element("span", { dir: "auto" }, sample.message ?? "")),
      show));
}
