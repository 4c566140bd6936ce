// The text of captions that are in the page, beside their source.

const CAPTIONS_IN_BLOCK = 50;
const CUE_TIME = /(?:(\d+):)?(\d{2}):(\d{2})[.,](\d{3})/;
const ENTITIES = { amp: "&", lt: "<", gt: ">", nbsp: "\u00a0", lrm: "\u200e", rlm: "\u200f" };
const captionBlocks = new Map();

// Returns { caption, source } of a row, or null. A block is read when a row of it is opened.
function embeddedOf(row) {
  const place = Math.floor(row.at / CAPTIONS_IN_BLOCK);
  if (!captionBlocks.has(place)) {
    const block = byId(`captions-${place}`);
    captionBlocks.set(place, block ? JSON.parse(block.textContent) : {});
  }
  return captionBlocks.get(place)[row.at] ?? null;
}

function cuesOf(text) {
  return text.split(/\r?\n[ \t]*\r?\n|\r\r/).flatMap((block) => {
    const lines = block.split(/\r\n|\n|\r/);
    const timing = lines.findIndex((line) => line.includes("-->"));
    if (timing < 0) return [];
    const [from, to] = lines[timing].split("-->").map((part) => CUE_TIME.exec(part));
    if (!from || !to) return [];
    const words = lines.slice(timing + 1).join("\n").trim().replace(/<[^<>]*>/g, "")
      .replace(/&(\w+);/g, (whole, name) => ENTITIES[name] ?? whole);
    return [{ from: secondsOf(from), to: secondsOf(to), text: words }];
  });
}

const secondsOf = ([, hours, minute, second, millis]) =>
  Number(hours ?? 0) * 3600 + Number(minute) * 60 + Number(second) + Number(millis) / 1000;

function cueTime(seconds) {
  const hours = Math.floor(seconds / 3600);
  const text = `${two(Math.floor((seconds % 3600) / 60))}:${(seconds % 60).toFixed(1).padStart(4, "0")}`;
  return hours ? `${hours}:${text}` : text;
}

// Puts each cue beside the source cues that begin while it is shown, in the order of time.
function aligned(cues, sources) {
  const lines = [];
  let next = 0;
  for (const [at, cue] of cues.entries()) {
    const end = cues[at + 1]?.from ?? Infinity;
    const beside = [];
    while (next < sources.length && sources[next].from < cue.from - 0.2) {
      lines.push({ from: sources[next].from, source: sources[next].text, text: "" });
      next += 1;
    }
    while (next < sources.length && sources[next].from < end - 0.2) beside.push(sources[next++].text);
    lines.push({ from: cue.from, source: beside.join("\n"), text: cue.text });
  }
  return [...lines, ...sources.slice(next).map(({ from, text }) => ({ from, source: text, text: "" }))];
}

function captionTable(row, { caption, source }) {
  const cues = cuesOf(caption);
  if (!cues.length) return element("p", { class: "note" }, "This caption has no cue.");
  const hasSource = source !== undefined;
  const lines = hasSource ? aligned(cues, cuesOf(source)) : cues;
  const side = (text, lang) => element("td", { dir: "auto", lang }, text);
  return element("table", { class: hasSource ? "cues both" : "cues" },
    element("caption", { class: "unseen" }, "Cues"),
    element("thead", {}, element("tr", {}, element("th", { scope: "col" }, "Time"),
      hasSource ? element("th", { scope: "col" }, "Source") : null,
      element("th", { scope: "col" }, row.language ? element("bdi", {}, row.language) : "Caption"))),
    element("tbody", {}, lines.map((line) => element("tr", {},
      element("th", { scope: "row", class: "number" }, cueTime(line.from)),
      hasSource ? side(line.source) : null, side(line.text, tagOf(row))))));
}

const tagOf = (row) => (/^[A-Za-z]{2,3}(-[A-Za-z0-9]{1,8})*$/.test(row.language ?? "") ? row.language : null);
