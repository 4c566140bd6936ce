// A table of many rows with the roles of an ARIA grid. Only rows in view are in the document.
// One cell is in the tab order; arrow keys move it.

const MARGIN = 8; // rows beyond the view, so that a quick scroll does not show empty space
const PRINTED = 1000; // rows on paper

// content: columns(), count(), head(node, column), cell(node, row, column), open(row, column),
// item(row) and find(item, row), which find a row again after a filter, and look(row), which
// changes with what its cells show.
function createGrid(root, content, rowHeight) {
  const head = element("div", { role: "rowgroup", class: "grid-head" });
  const body = element("div", { role: "rowgroup", class: "grid-body" });
  root.append(head, body);
  const shown = new Map();
  let active = { row: 0, column: 0, item: null };
  let shownColumns = [];
  let isPrinting = false;
  let frame = 0;

  function range() {
    if (isPrinting) return [0, Math.min(content.count(), PRINTED)];
    const first = Math.floor(root.scrollTop / rowHeight) - MARGIN;
    const last = Math.ceil((root.scrollTop + root.clientHeight) / rowHeight) + MARGIN;
    return [Math.max(0, first), Math.min(content.count(), last)];
  }

  function draw() {
    frame = 0;
    const [first, last] = range();
    const hasFocus = body.contains(document.activeElement);
    for (const [index, node] of shown) {
      const isKept = (index >= first && index < last) || (hasFocus && index === active.row);
      if (!isKept) {
        node.remove();
        shown.delete(index);
      }
    }
    for (let index = first; index < last; index += 1) if (!shown.has(index)) show(index);
    if (!shown.has(active.row) && active.row < content.count()) show(active.row);
  }

  function show(index) {
    const node = element("div", { role: "row", "aria-rowindex": index + 2, class: "grid-row" });
    node.style.top = `${index * rowHeight}px`;
    content.columns().forEach((_, column) => {
      const cell = element("div", {
        role: column ? "gridcell" : "rowheader", class: "cell", "data-column": column,
        "aria-colindex": column + 1,
      });
      content.cell(cell, index, column);
      node.append(cell);
      focusable(cell).tabIndex = index === active.row && column === active.column ? 0 : -1;
    });
    node.dataset.row = index;
    node.dataset.look = content.look(index);
    let after = null; // in the order of the rows, as a screen reader reads them
    for (const [other, place] of shown) {
      if (other > index && (after === null || other < Number(after.dataset.row))) after = place;
    }
    body.insertBefore(node, after);
    shown.set(index, node);
  }

  const focusable = (cell) => cell.querySelector("a") ?? cell;
  const cellAt = (row, column) => shown.get(row)?.children[column];

  // Draws everything anew; the cell that was active stays so, if its row is still there.
  function refresh() {
    const hadFocus = body.contains(document.activeElement);
    const count = content.count();
    const columns = content.columns();
    root.setAttribute("aria-rowcount", count + 1);
    root.setAttribute("aria-colcount", columns.length);
    const widths = columns.map((column) => column.width).join(" ");
    root.style.setProperty("--columns", widths);
    const hasSameColumns = columns.length === shownColumns.length
      && columns.every((column, place) => column.key === shownColumns[place].key);
    shownColumns = columns;
    if (!hasSameColumns) drawHead(columns);
    body.style.height = `${count * rowHeight}px`;
    active.row = Math.max(0, count ? content.find(active.item, active.row) : 0);
    active.row = Math.min(active.row, Math.max(0, count - 1));
    active.column = Math.min(active.column, columns.length - 1);
    active.item = count ? content.item(active.row) : null;
    for (const [index, node] of shown) {
      if (index < count && hasSameColumns && node.dataset.look === content.look(index)) continue;
      node.remove();
      shown.delete(index);
    }
    root.classList.toggle("empty", !count);
    draw();
    if (hadFocus && count) focusable(cellAt(active.row, active.column)).focus({ preventScroll: true });
  }

  function drawHead(columns) {
    head.replaceChildren(element("div", { role: "row", "aria-rowindex": 1, class: "grid-row" },
      columns.map((column, place) => {
        const node = element("div", { role: "columnheader", class: "cell", "aria-colindex": place + 1 });
        content.head(node, column);
        return node;
      })));
  }

  function activate(row, column) {
    const before = cellAt(active.row, active.column);
    if (before) focusable(before).tabIndex = -1;
    active = { row, column, item: content.item(row) };
    reveal(row, column);
    const cell = focusable(cellAt(row, column));
    cell.tabIndex = 0;
    cell.focus({ preventScroll: true });
    draw();
  }

  function reveal(row, column) {
    const room = root.clientHeight - head.offsetHeight - rowHeight;
    const top = row * rowHeight;
    if (top < root.scrollTop) root.scrollTop = top;
    else if (top > root.scrollTop + room) root.scrollTop = top - room;
    draw();
    const cell = cellAt(row, column);
    root.style.scrollPaddingLeft = `${cellAt(row, 0).offsetWidth}px`; // it covers what is below it
    const left = root.scrollLeft;
    cell.scrollIntoView({ block: "nearest", inline: "nearest" });
    if (!column) root.scrollLeft = left; // the first column is always in view
  }

  function target(event) {
    const page = Math.max(1, Math.floor(root.clientHeight / rowHeight) - 2);
    const { row, column } = active;
    const [lastRow, lastColumn] = [content.count() - 1, content.columns().length - 1];
    const all = event.ctrlKey || event.metaKey;
    switch (event.key) {
      case "ArrowUp": return [row - 1, column];
      case "ArrowDown": return [row + 1, column];
      case "ArrowLeft": return [row, column - 1];
      case "ArrowRight": return [row, column + 1];
      case "PageUp": return [Math.max(0, row - page), column];
      case "PageDown": return [Math.min(lastRow, row + page), column];
      case "Home": return [all ? 0 : row, 0];
      case "End": return [all ? lastRow : row, lastColumn];
      default: return null;
    }
  }

  root.addEventListener("keydown", (event) => {
    if (event.altKey || !body.contains(event.target)) return;
    const place = target(event);
    if (place) {
      event.preventDefault();
      if (event.key === "Home") root.scrollLeft = 0;
      const [row, column] = place;
      const isInside = row >= 0 && row < content.count()
        && column >= 0 && column < content.columns().length;
      if (isInside) activate(row, column);
    } else if ((event.key === "Enter" || event.key === " ") && !event.target.closest("a")) {
      event.preventDefault();
      content.open(active.row, active.column);
    }
  });
  body.addEventListener("click", (event) => {
    const cell = event.target.closest(".cell");
    if (!cell || event.target.closest("a")) return;
    activate(Number(cell.parentElement.dataset.row), Number(cell.dataset.column));
    content.open(active.row, active.column);
  });
  root.addEventListener("scroll", () => { frame ||= requestAnimationFrame(draw); }, { passive: true });
  addEventListener("resize", () => { frame ||= requestAnimationFrame(draw); });

  function print(on) {
    isPrinting = on;
    refresh();
  }

  function top() {
    root.scrollTop = 0;
    active = { row: 0, column: 0, item: null };
  }

  return { refresh, print, top };
}
