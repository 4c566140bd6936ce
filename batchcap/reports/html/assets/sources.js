// Sources whose captions `--fetch-sources` could not have.

function renderSources() {
  const { count, first } = about.source_failures;
  byId("sources").hidden = !count;
  if (!count) return;
  const lines = first.map((failure) => [element("bdi", {}, failure.source_id), failure.provider,
    element("span", { dir: "auto" }, failure.reason)]);
  byId("source-failures").replaceChildren(
    table("Source captions that could not be had", ["Video", "Provider", "Reason"], lines),
    ...(count > first.length ? [element("p", { class: "note" }, `And ${number(count - first.length)} more.`)] : []));
}
