// How long captions took, as a histogram for each provider.

const EDGES = [0, 1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1200, 1800, 3600, 7200, 18000, 36000,
  86400, Infinity];

function renderLengths() {
  const charts = [...providers].map(lengthChart).filter((chart) => chart);
  byId("lengths").hidden = !charts.length;
  byId("length-charts").replaceChildren(...charts);
}

function lengthChart(provider) {
  const lengths = rows.filter((row) => row.provider === provider && row.state === "done"
    && tookOf(row) !== null).map(tookOf).sort((a, b) => a - b);
  if (!lengths.length) return null;
  const counts = new Array(EDGES.length - 1).fill(0);
  let edge = 0;
  for (const length of lengths) {
    while (length >= EDGES[edge + 1]) edge += 1;
    counts[edge] += 1;
  }
  const first = counts.findIndex((count) => count);
  const last = counts.findLastIndex((count) => count);
  const at = (share) => duration(lengths[Math.min(lengths.length - 1, Math.floor(share * lengths.length))]);
  const text = `${counted(lengths.length, "caption")}; half of them within ${at(0.5)}, `
    + `95 % within ${at(0.95)}, the longest ${duration(lengths.at(-1))}`;
  return figure(provider, text, [histogram(counts.slice(first, last + 1), EDGES.slice(first, last + 2))]);
}

const edgeLabel = (seconds) => (seconds < 60 ? `${seconds} s` : seconds < 3600 ? `${seconds / 60} min`
  : seconds === Infinity ? "∞" : `${seconds / 3600} h`);

const INSET = 24;

function histogram(counts, edges) {
  const height = 150;
  const base = height - PLOT.bottom;
  const top = Math.max(...counts);
  const width = chartWidth();
  const step = Math.min(72, (width - 48) / counts.length);
  const drawn = svg("svg", { viewBox: `0 0 ${width} ${height}`, width, height, role: "img" });
  drawn.append(svg("line", { x1: INSET, x2: INSET + step * counts.length, y1: base, y2: base,
    class: "level zero" }));
  counts.forEach((count, at) => {
    const x = INSET + at * step;
    const tall = ((base - PLOT.top - 14) * count) / top;
    drawn.append(
      svg("rect", { x: x + 1, y: base - tall, width: step - 2, height: tall, class: "bar length" },
        svg("title", {}, `${edgeLabel(edges[at])} to ${edgeLabel(edges[at + 1])}: ${number(count)}`)),
      svg("text", { x: x + step / 2, y: base - tall - 4, class: "x middle" }, count ? number(count) : ""));
  });
  edges.forEach((seconds, at) => drawn.append(
    svg("text", { x: INSET + at * step, y: base + 16, class: "x middle" }, edgeLabel(seconds))));
  return drawn;
}
