// The rows of the page, and the videos and languages that they belong to.

const about = JSON.parse(byId("about").textContent);

// In the order in which they are shown. Signs differ, so that colour is not needed.
const STATUSES = {
  done: { sign: "✓", label: "done" },
  running: { sign: "◐", label: "running" },
  failed: { sign: "✕", label: "failed" },
  missing: { sign: "○", label: "missing" },
  skipped: { sign: "–", label: "skipped" },
  invalid: { sign: "!", label: "invalid" },
};
const PHASES = {
  waiting: "waiting for the quota",
  at_provider: "at the provider",
  downloading: "downloading",
};
const DEFAULT = 0;

const rows = [];
const rowByKey = new Map();
const videos = [];
const videoByName = new Map();
const languages = [];
const languageByTag = new Map();
const providers = new Set();
let minutes = new Map();

function readData() {
  for (const block of document.querySelectorAll("script.rows")) {
    addBlock(JSON.parse(block.textContent));
    block.remove();
  }
  addMinutes(about.minutes);
  sortLanguages();
}

// Adds the rows of a block, or changes those that are there.
function addBlock(block) {
  const isNew = !rows.length;
  const knownLanguages = languages.length;
  const text = (column, at) => (block[column][at] < 0 ? null : block.texts[block[column][at]]);
  for (let at = 0; at < block.key.length; at += 1) {
    const row = {
      provider: text("provider", at), source: text("source_id", at),
      language: text("language", at), state: text("state", at), phase: text("phase", at),
      code: text("code", at), message: text("message", at), retryable: block.retryable[at] === 1,
      job: block.job_id[at], bytes: block.bytes[at], cues: block.cues[at],
      startedAt: block.started_at[at], finishedAt: block.finished_at[at],
      quality: block.quality ? text("quality", at) : null,
      origin: block.origin[at], meta: block.meta[at], key: block.key[at], path: block.path[at],
    };
    complete(row);
    const before = row.key === null ? undefined : rowByKey.get(row.key);
    if (before) Object.assign(before, row, { words: null });
    else append(row);
  }
  if (!isNew && languages.length !== knownLanguages) sortLanguages();
}

function complete(row) {
  const parts = [row.provider, row.source, row.language].filter((part) => part);
  if (row.key === DEFAULT) row.key = parts.join(":");
  if (row.path === DEFAULT) {
    row.path = `${row.provider}/${row.source}${row.language ? `.${row.language}` : ""}.vtt`;
  }
  row.status = row.state;
  if (row.state === "pending") {
    const isRunning = row.phase === "at_provider" || row.phase === "downloading" || row.job;
    row.status = isRunning ? "running" : "missing";
  }
  row.title = titleOf(row.meta);
}

function titleOf(meta) {
  const title = meta?.title ?? meta?.Title;
  return title === undefined || title === null || title === "" ? null : String(title);
}

function append(row) {
  row.at = rows.length;
  rows.push(row);
  if (row.key !== null) rowByKey.set(row.key, row);
  if (row.provider) providers.add(row.provider);
  row.video = videoOf(row);
  row.column = languageOf(row);
  row.video.rows.push(row);
}

function videoOf(row) {
  const name = row.source === null ? `\0${row.at}` : `${row.provider}\0${row.source}`;
  let video = videoByName.get(name);
  if (!video) {
    video = { at: videos.length, provider: row.provider, source: row.source, title: null, rows: [] };
    videos.push(video);
    videoByName.set(name, video);
  }
  video.title ??= row.title;
  return video;
}

function languageOf(row) {
  const name = (row.language ?? "").toLowerCase();
  let language = languageByTag.get(name);
  if (!language) {
    const [, english, own] = about.languages[row.language] ?? [];
    const names = [...new Set([english, own])].filter((each) => each).join(", ");
    language = { name, label: row.language ?? "", names, providers: new Set() };
    languages.push(language);
    languageByTag.set(name, language);
  }
  if (row.provider) language.providers.add(row.provider);
  return language;
}

// The languages of one provider beside each other, each by its tag.
function sortLanguages() {
  const order = [...providers];
  const place = (language) => Math.min(...[...language.providers].map((name) => order.indexOf(name)));
  languages.sort((a, b) => place(a) - place(b) || a.name.localeCompare(b.name, "en"));
}

function addMinutes(counts) {
  for (const [minute, source, what, count] of counts) {
    const name = `${source} ${what}`;
    if (!minutes.has(name)) minutes.set(name, new Map());
    minutes.get(name).set(minute, count);
  }
}

const nameOf = (row) => row.title ?? row.source ?? row.key ?? row.origin ?? "row";

function linkOf(row) {
  if (!about.files || row.state !== "done" || !row.path) return null;
  try {
    return about.files + row.path.split("/").map(encodeURIComponent).join("/");
  } catch {
    return null; // a lone surrogate is in no URL
  }
}

function adviceFor(code, retryable) {
  const advice = about.advice[code] ?? about.advice[""];
  return advice ? advice[retryable ? 1 : 0] : null;
}
