// Search and filters, which the coverage and the list share.

let hits = rows;
let hitVideos = videos;
let isFiltered = false;
let filterCount = 0; // grows with each change of the filter

const SELECTS = { status: "by-status", provider: "by-provider", language: "by-language", code: "by-code" };

const filterValues = () => ({
  text: byId("search").value.trim().toLowerCase(),
  ...Object.fromEntries(Object.entries(SELECTS).map(([name, id]) => [name, byId(id).value])),
});

function applyFilter() {
  const { text, status, provider, language, code } = filterValues();
  const words = text.split(/\s+/).filter((word) => word);
  isFiltered = Boolean(words.length || status || provider || language || code);
  hits = isFiltered ? rows.filter((row) =>
    (!status || row.status === status) && (!provider || row.provider === provider)
    && (!language || row.column.name === language.slice(1)) && (!code || row.code === code)
    && words.every((word) => wordsOf(row).includes(word))) : rows;
  hitVideos = isFiltered ? [...new Set(hits.map((row) => row.video))] : videos;
  hitVideos.sort((a, b) => a.at - b.at);
  const videosText = counted(hitVideos.length, "video");
  byId("hits").textContent = isFiltered
    ? `${number(hits.length)} of ${counted(rows.length, "caption")}, in ${videosText}`
    : `${counted(rows.length, "caption")} of ${videosText}`;
  byId("clear").hidden = !isFiltered;
}

// What a search looks at, in small letters.
function wordsOf(row) {
  row.words ??= [row.key, row.source, row.language, row.path, row.code, row.message, row.job,
    row.origin, ...Object.values(row.meta ?? {}).map((value) =>
      (typeof value === "object" ? JSON.stringify(value) : String(value)))]
    .filter((part) => part).join("\n").toLowerCase();
  return row.words;
}

// Offers the values that rows have; what was chosen stays chosen.
function offerChoices() {
  const counts = (of) => {
    const found = new Map();
    for (const row of rows) if (of(row)) found.set(of(row), (found.get(of(row)) ?? 0) + 1);
    return found;
  };
  const statuses = counts((row) => row.status);
  offer("status", Object.keys(STATUSES).filter((name) => statuses.has(name))
    .map((name) => [name, `${STATUSES[name].sign} ${STATUSES[name].label} (${number(statuses.get(name))})`]));
  offer("provider", [...providers].map((name) => [name, name]));
  offer("language", languages.map((each) => [`=${each.name}`,
    [each.label || "(none)", each.names].filter((text) => text).join(": ")]));
  const codes = counts((row) => row.code);
  offer("code", [...codes].sort((a, b) => b[1] - a[1])
    .map(([code, count]) => [code, `${code} (${number(count)})`]));
}

function offer(name, choices) {
  const select = byId(SELECTS[name]);
  if (select === document.activeElement) return; // it may be open
  const chosen = select.value;
  const offered = chosen && !choices.some(([value]) => value === chosen)
    ? [...choices, [chosen, chosen.replace(/^=/, "")]] : choices;
  select.replaceChildren(element("option", { value: "" }, "all"),
    ...offered.map(([value, label]) => element("option", { value }, label)));
  select.value = chosen;
  select.parentElement.hidden = offered.length < 2 && !chosen && name !== "status";
}

function setFilter(values) {
  byId("search").value = values.text ?? "";
  for (const [name, id] of Object.entries(SELECTS)) byId(id).value = values[name] ?? "";
  filterChanged();
}

function connectFilter(onChange) {
  filterChanged = () => {
    filterCount += 1;
    onChange();
  };
  let timer = 0;
  byId("search").addEventListener("input", () => {
    clearTimeout(timer);
    timer = setTimeout(filterChanged, rows.length > 20000 ? 200 : 60);
  });
  for (const id of Object.values(SELECTS)) byId(id).addEventListener("change", filterChanged);
  byId("filter").addEventListener("submit", (event) => event.preventDefault());
  byId("clear").addEventListener("click", () => {
    setFilter({});
    byId("search").focus();
  });
  document.addEventListener("keydown", (event) => {
    const isTyping = event.target.closest("input[type=search], select, dialog");
    if (event.key !== "/" || event.ctrlKey || event.metaKey || event.altKey || isTyping) return;
    event.preventDefault();
    byId("search").focus();
    byId("search").select();
  });
}

let filterChanged = () => {};
