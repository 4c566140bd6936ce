// Time lines as SVG: captions, and the requests of each bucket beside its quota.

const PLOT = { left: 44, right: 8, top: 10, bottom: 24 };
const GAP_MINUTES = 15; // a longer silence is cut out of the line
const MOST_BINS = 140;
const SHORT_RUN = 4; // minutes, under which seconds are counted instead

// Charts are drawn in the pixels that they are shown in, so that their texts keep their size.
const chartWidth = () => Math.max(280, Math.min(560, document.querySelector("main").clientWidth));

function renderTimeline() {
  const kept = [...new Set([...minutes.values()].flatMap((counts) => [...counts.keys()]))];
  const axis = kept.length < SHORT_RUN ? secondsAxis() : timeAxis(kept.sort((a, b) => a - b), 60);
  byId("timeline").hidden = !axis;
  if (!axis) return;
  const charts = [captionsChart(axis)];
  if (kept.length >= SHORT_RUN) charts.push(...bucketNames().map((name) => bucketChart(axis, name)));
  byId("time-charts").replaceChildren(...charts.filter((chart) => chart));
}

// An axis of bins over the units of time (of `seconds`) that have something, without long gaps.
function timeAxis(units, seconds) {
  const parts = [];
  for (const unit of units) {
    const part = parts.at(-1);
    if (part && unit - part.last <= GAP_MINUTES * (60 / seconds)) part.last = unit;
    else parts.push({ first: unit, last: unit });
  }
  const length = parts.reduce((sum, part) => sum + part.last - part.first + 1, 0);
  const perBin = Math.max(1, Math.ceil(length / MOST_BINS));
  let bins = 0;
  for (const part of parts) {
    part.from = bins;
    part.bins = Math.ceil((part.last - part.first + 1) / perBin);
    bins += part.bins;
  }
  return { parts, perBin, bins, seconds };
}

function secondsAxis() {
  const ends = rows.filter((row) => row.finishedAt !== null).map((row) => Math.floor(row.finishedAt));
  return ends.length < 2 ? null : timeAxis([...new Set(ends)].sort((a, b) => a - b), 1);
}

// Sums counts ([unit, count] pairs) into the bins, as a rate for each unit of time. The last bin
// of a part may be shorter than the others.
function binned(axis, counts) {
  const values = new Array(axis.bins).fill(0);
  for (const [unit, count] of counts) {
    const part = axis.parts.find((each) => unit >= each.first && unit <= each.last);
    if (!part) continue;
    const at = Math.floor((unit - part.first) / axis.perBin);
    const units = Math.min(axis.perBin, part.last - part.first + 1 - at * axis.perBin);
    values[part.from + at] += count / units;
  }
  return values;
}

function captionsChart(axis) {
  const isShort = axis.seconds === 1;
  const counts = (state) => (isShort ? countEnds(state) : merged(`${state}`));
  const [doneCounts, failedCounts] = [counts("done"), counts("failed")];
  const [done, failed] = [binned(axis, doneCounts), binned(axis, failedCounts)];
  const unit = isShort ? "second" : "minute";
  const most = Math.max(...done, 0);
  return figure(`Captions a ${unit}`, `${number(total(doneCounts))} done, ${number(total(failedCounts))} failed; `
    + `at most ${brief(most)} a ${unit}`, [
    plot(axis, [{ values: done, kind: "done", label: "done" },
      { values: failed, kind: "failed", label: "failed", down: true }], unit),
  ], total(failedCounts) ? [["done", "done"], ["failed", "failed, below the line"]] : []);
}

function countEnds(state) {
  const counts = new Map();
  for (const row of rows) {
    if (row.state !== state || row.finishedAt === null) continue;
    const second = Math.floor(row.finishedAt);
    counts.set(second, (counts.get(second) ?? 0) + 1);
  }
  return counts;
}

// What all providers did in each minute.
function merged(what) {
  const sums = new Map();
  for (const provider of providers) {
    for (const [minute, count] of minutes.get(`${provider} ${what}`) ?? []) {
      sums.set(minute, (sums.get(minute) ?? 0) + count);
    }
  }
  return sums;
}

const bucketNames = () => [...minutes.keys()].filter((name) => name.endsWith(" requests"))
  .map((name) => name.slice(0, -" requests".length))
  .sort((a, b) => minutes.has(`${b} quota`) - minutes.has(`${a} quota`) || a.localeCompare(b, "en"));

const ofBucket = (bucket, what) => minutes.get(`${bucket} ${what}`) ?? new Map();

function bucketChart(axis, bucket) {
  const requests = binned(axis, ofBucket(bucket, "requests"));
  const quota = binned(axis, ofBucket(bucket, "quota"));
  const throttled = total(ofBucket(bucket, "throttled"));
  const hasQuota = quota.some((value) => value);
  const used = hasQuota
    ? `${percent(total(ofBucket(bucket, "requests")), total(ofBucket(bucket, "quota")))} of the quota used`
    : "no limit";
  const sum = `${used}, ${number(throttled)} throttled`;
  const series = [{ values: requests, kind: "requests", label: "requests" }];
  if (hasQuota) series.push({ values: quota, kind: "quota", label: "quota", line: true });
  if (throttled) {
    series.push({ values: binned(axis, ofBucket(bucket, "throttled")), kind: "throttled", marks: true,
      label: "throttled" });
  }
  const key = [["requests", "requests"], ...(hasQuota ? [["quota", "quota"]] : []),
    ...(throttled ? [["throttled", "throttled"]] : [])];
  return figure(`${bucket}: requests a minute`, sum, [plot(axis, series, "minute")], key);
}

function figure(title, text, charts, key = []) {
  const heading = element("h3", {}, title);
  charts[0].setAttribute("aria-label", `${title}: ${text}`);
  return element("figure", {}, element("figcaption", {}, heading, element("p", { class: "note" }, text)),
    charts, key.length ? element("ul", { class: "chart-key" },
      key.map(([kind, label]) => element("li", {}, element("span", { class: `swatch ${kind}` }), label))) : null);
}

function plot(axis, series, unit) {
  const down = series.filter((each) => each.down && each.values.some((value) => value));
  const up = series.filter((each) => !each.down && !each.marks);
  const top = niceCeiling(Math.max(...up.flatMap((each) => each.values), 1));
  const bottom = down.length ? Math.max(top / 4, niceCeiling(Math.max(...down[0].values))) : 0;
  const height = down.length ? 190 : 150;
  const width = chartWidth();
  const inner = { width: width - PLOT.left - PLOT.right, height: height - PLOT.top - PLOT.bottom };
  const y = (value) => PLOT.top + (inner.height * (top - value)) / (top + bottom);
  const gap = axis.parts.length > 1 ? Math.min(14, inner.width / 4 / (axis.parts.length - 1)) : 0;
  const step = (inner.width - gap * (axis.parts.length - 1)) / axis.bins;
  const x = (bin) => {
    const before = axis.parts.filter((part) => part.from + part.bins <= bin && part !== axis.parts.at(-1));
    return PLOT.left + bin * step + before.length * gap;
  };
  const drawn = svg("svg", { viewBox: `0 0 ${width} ${height}`, width, height, role: "img" });
  drawn.append(...levels(width, top, bottom, y), ...series.flatMap((each) => {
    if (each.line) return [stepLine(axis, each, x, step, y)];
    if (each.marks) return marks(each, x, step);
    return bars(each, x, step, y);
  }), ...timeLabels(width, axis, x, step, y(-bottom)), tips(axis, series, x, step, inner.height, unit));
  return drawn;
}

function levels(width, top, bottom, y) {
  const values = [0, top / 2, top, ...(bottom ? [-bottom] : [])];
  return values.flatMap((value) => [
    svg("line", { x1: PLOT.left, x2: width - PLOT.right, y1: y(value), y2: y(value),
      class: value ? "level" : "level zero" }),
    svg("text", { x: PLOT.left - 6, y: y(value) + 3.5, class: "y" }, brief(Math.abs(value))),
  ]);
}

function bars({ values, kind, down }, x, step, y) {
  const room = step > 5 ? 1 : 0;
  const end = (value) => (down ? Math.max(y(-value), y(0) + 2) : Math.min(y(value), y(0) - 1));
  const path = values.map((value, bin) => (value
    ? `M${x(bin).toFixed(1)} ${y(0).toFixed(1)}V${end(value).toFixed(1)}`
      + `h${(step - room).toFixed(2)}V${y(0).toFixed(1)}Z` : "")).join("");
  return path ? [svg("path", { d: path, class: `bar ${kind}` })] : [];
}

function stepLine(axis, { values, kind }, x, step, y) {
  const path = axis.parts.map((part) => {
    const points = values.slice(part.from, part.from + part.bins);
    return points.map((value, at) => `${at ? "L" : "M"}${x(part.from + at).toFixed(1)} ${y(value).toFixed(1)}`
      + `h${step.toFixed(2)}`).join("");
  }).join("");
  return svg("path", { d: path, class: `line ${kind}` });
}

function marks({ values }, x, step) {
  return values.flatMap((value, bin) => (value
    ? [svg("path", { d: `M${x(bin) + step / 2 - 4} 1h8l-4 7Z`, class: "mark throttled" })] : []));
}

function timeLabels(chart, axis, x, step, base) {
  const labels = [];
  let right = 0;
  const many = axis.parts.length > 1;
  for (const part of axis.parts) {
    const every = Math.max(1, Math.round(part.bins / Math.max(1, Math.floor((part.bins * step) / 90))));
    for (let at = 0; at < part.bins; at += every) {
      const place = x(part.from + at);
      const seconds = (part.first + at * axis.perBin) * axis.seconds;
      const text = many && !at && dateOf(seconds) !== dateOf(axis.parts[0].first * axis.seconds)
        ? `${dateOf(seconds).slice(5)} ${clock(seconds)}` : clock(seconds, axis.seconds === 1);
      const width = text.length * 6.2;
      if (place < right || place + width > chart) continue;
      right = place + width + 12;
      labels.push(svg("line", { x1: place, x2: place, y1: base, y2: base + 4, class: "tick" }),
        svg("text", { x: place, y: base + 16, class: "x" }, text));
    }
    if (part.from) {
      const middle = x(part.from) - 7;
      labels.push(svg("path", { d: `M${middle - 3} ${base + 4}l3 -8m1 8l3 -8`, class: "cut" }));
    }
  }
  return labels;
}

// One transparent bar for each bin, whose title a pointer shows.
function tips(axis, series, x, step, height, unit) {
  const group = svg("g", { class: "tips" });
  for (const part of axis.parts) {
    for (let at = 0; at < part.bins; at += 1) {
      const bin = part.from + at;
      const seconds = (part.first + at * axis.perBin) * axis.seconds;
      const values = series.filter((each) => each.values[bin])
        .map((each) => `${brief(each.values[bin])} ${each.label}`).join(", ") || "nothing";
      group.append(svg("rect", { x: x(bin), y: PLOT.top, width: step, height },
        svg("title", {}, `${clock(seconds, axis.seconds === 1)}: ${values} a ${unit}`)));
    }
  }
  return group;
}

function niceCeiling(value) {
  const power = 10 ** Math.floor(Math.log10(value));
  return [1, 2, 3, 4, 5, 6, 8, 10].map((step) => step * power).find((step) => step >= value * 0.999);
}
