// Elements, and how numbers and times are written. Texts become text nodes, never HTML.

const SVG = "http://www.w3.org/2000/svg";

const byId = (id) => document.getElementById(id);

function element(tag, attributes, ...children) {
  return fill(document.createElement(tag), attributes, children);
}

function svg(tag, attributes, ...children) {
  return fill(document.createElementNS(SVG, tag), attributes, children);
}

function fill(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes ?? {})) {
    if (value === true) node.setAttribute(name, "");
    else if (value !== null && value !== undefined && value !== false) node.setAttribute(name, value);
  }
  node.append(...children.flat().filter((child) => child !== null && child !== undefined));
  return node;
}

// Replaces what an element holds. What had the focus has it afterwards: it is known by `data-focus`.
function replaceAll(parent, nodes) {
  const { activeElement } = document;
  const key = parent.contains(activeElement) ? activeElement.dataset.focus : null;
  parent.replaceChildren(...nodes);
  if (key) parent.querySelector(`[data-focus="${CSS.escape(key)}"]`)?.focus({ preventScroll: true });
}

function table(caption, heads, lines, numeric = []) {
  const align = (index) => (numeric.includes(index) ? "number" : null);
  return element("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": caption, "data-focus": caption },
    element("table", {},
      element("caption", { class: "unseen" }, caption),
      element("thead", {}, element("tr", {},
        heads.map((head, index) => element("th", { scope: "col", class: align(index) }, head)))),
      element("tbody", {}, lines.map((line) => element("tr", {},
        line.map((cell, index) => index === 0
          ? element("th", { scope: "row" }, cell)
          : element("td", { class: align(index) }, cell)))))));
}

const number = (value) => Math.round(value).toLocaleString("en");
const counted = (value, noun) => `${number(value)} ${noun}${value === 1 ? "" : "s"}`;
const two = (value) => String(value).padStart(2, "0");

// Numbers under 10 with one decimal, as rates need it.
const brief = (value) => (value < 9.95 && value % 1 ? value.toFixed(1) : number(value));

function percent(part, whole) {
  const share = whole ? (100 * part) / whole : 0;
  if (share > 0 && share < 1) return "< 1 %";
  if (share > 99 && share < 100) return "> 99 %";
  return `${Math.round(share)} %`;
}

function size(bytes) {
  const units = ["B", "kB", "MB", "GB", "TB"];
  let place = 0;
  for (; bytes >= 1000 && place < units.length - 1; place += 1) bytes /= 1000;
  return `${place ? bytes.toFixed(1) : bytes} ${units[place]}`;
}

function duration(seconds) {
  if (seconds < 59.95) return `${seconds < 10 ? seconds.toFixed(1) : Math.round(seconds)} s`;
  const minutes = Math.round(seconds / 60);
  if (minutes < 60) return `${minutes} min`;
  return `${Math.floor(minutes / 60)} h ${two(minutes % 60)} min`;
}

function dateOf(seconds) {
  const date = new Date(seconds * 1000);
  return `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())}`;
}

function clock(seconds, withSeconds = false) {
  const date = new Date(seconds * 1000);
  const text = `${two(date.getHours())}:${two(date.getMinutes())}`;
  return withSeconds ? `${text}:${two(date.getSeconds())}` : text;
}

const moment = (seconds) => `${dateOf(seconds)} ${clock(seconds, true)}`;
