// Failures by code, with what to do.

const RETRY = {
  yes: "A retry can help",
  no: "A retry cannot help",
  "after a change": "A retry can help after a change",
};

// Groups the rows that have an error by its code. A group has a part for each advice: errors of
// one code that may pass and that do not can differ in it.
function failureGroups() {
  const groups = new Map();
  for (const row of rows) {
    const code = codeOf(row);
    if (!code) continue;
    const advice = adviceFor(code, row.retryable);
    if (!groups.has(code)) groups.set(code, { code, count: 0, parts: new Map() });
    const group = groups.get(code);
    const part = group.parts.get(advice?.text) ?? { advice, count: 0, sample: row };
    group.parts.set(advice?.text, part);
    group.count += 1;
    part.count += 1;
  }
  return [...groups.values()].sort((a, b) => b.count - a.count);
}

const codeOf = (row) => (row.state === "invalid" ? "invalid" : row.code);

function renderFailures() {
  const groups = failureGroups();
  byId("failures").hidden = !groups.length;
  replaceAll(byId("failure-groups"), groups.map(failureGroup));
}

function failureGroup({ code, count, parts }) {
  return element("article", { class: "group" },
    element("div", { class: "group-head" }, element("h3", {}, element("code", {}, code)),
      element("p", {}, element("span", { class: "group-count" }, counted(count, "row")), " ",
        showButton(code))),
    element("div", { class: "group-body" }, [...parts.values()].map((part) =>
      failurePart(part, parts.size > 1 ? `${number(part.count)}: ` : ""))));
}

function showButton(code) {
  const button = element("button", { type: "button", class: "show", "data-focus": code },
    "Show", element("span", { class: "unseen" }, ` rows with ${code}`));
  button.addEventListener("click", () => {
    setFilter(code === "invalid" ? { status: "invalid" } : { code });
    showView("list");
    byId("captions").scrollIntoView();
    byId("captions").focus({ preventScroll: true });
  });
  return button;
}

function failurePart({ advice, sample }, count) {
  return element("div", { class: "part" },
    advice ? element("p", { class: "advice" },
      element("span", { class: `retry retry-${advice.retry.replaceAll(" ", "-")}` },
        count, RETRY[advice.retry]), " ", advice.text) : null,
    advice?.command ? element("p", { class: "command" }, element("code", {}, advice.command)) : null,
    element("p", { class: "sample" }, element("span", {}, "For example "),
      element("bdi", {}, sample.key ?? sample.origin ?? ""), ": ",
      element("span", { dir: "auto" }, sample.message ?? "")));
}
