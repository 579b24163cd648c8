// A table that sorts by its headings, with the mouse or the keyboard.

// Table shows rows {key, ...} in a table element that has a thead and a tbody.
// A column is {title, value(row), fill(cell, row)}: value sorts, fill writes; a
// fill that is missing writes the value. The first column heads its rows.
export class Table {
  #body; #columns; #heads; #by = 0; #down = false; #rows = [];
  #drawn = new Map(); // key -> {tr, cells}

  constructor(table, columns) {
    this.#body = table.tBodies[0];
    this.#columns = columns;
    this.#heads = columns.map((column, i) => {
      const th = document.createElement("th");
      th.scope = "col";
      if (column.number) th.className = "number";
      const button = document.createElement("button");
      button.type = "button";
      button.textContent = column.title;
      button.addEventListener("click", () => this.sort(i, i === this.#by ? !this.#down : false));
      th.append(button);
      table.tHead.rows[0].append(th);
      return th;
    });
    this.sort(0, false);
  }

  sort(by, down) {
    this.#by = by;
    this.#down = down;
    this.#heads.forEach((th, i) => {
      if (i === by) th.setAttribute("aria-sort", down ? "descending" : "ascending");
      else th.removeAttribute("aria-sort");
    });
    this.#draw();
  }

  update(rows) {
    this.#rows = rows;
    this.#draw();
  }

  #draw() {
    const { value } = this.#columns[this.#by];
    const sorted = sortBy(this.#rows, value, this.#down);
    const keys = new Set(sorted.map((row) => row.key));
    const focused = this.#body.contains(document.activeElement) ? document.activeElement : null;
    for (const [key, { tr }] of this.#drawn) {
      if (keys.has(key)) continue;
      tr.remove();
      this.#drawn.delete(key);
    }
    sorted.forEach((row, at) => {
      let drawn = this.#drawn.get(row.key);
      if (!drawn) this.#drawn.set(row.key, (drawn = this.#newRow()));
      this.#columns.forEach((column, i) => {
        if (column.fill) column.fill(drawn.cells[i], row);
        else drawn.cells[i].textContent = column.value(row);
      });
      // Moving only what stands elsewhere keeps selections in the rest.
      if (this.#body.rows[at] !== drawn.tr) this.#body.insertBefore(drawn.tr, this.#body.rows[at] ?? null);
    });
    this.#keepFocus(focused);
  }

  // #keepFocus gives the focus back to what lost it by being moved, or where that
  // is gone to the frame that the table scrolls in.
  #keepFocus(focused) {
    if (!focused || focused === document.activeElement) return;
    (focused.isConnected ? focused : this.#body.closest("[tabindex]"))?.focus({ preventScroll: true });
  }

  #newRow() {
    const tr = document.createElement("tr");
    const cells = this.#columns.map((column, i) => {
      const cell = document.createElement(i === 0 ? "th" : "td");
      if (i === 0) cell.scope = "row";
      if (column.number) cell.className = "number";
      tr.append(cell);
      return cell;
    });
    return { tr, cells };
  }
}

// sortBy returns rows in the order of value(row), numbers before texts before
// nothing (NaN, null, ""), equal ones by their key.
export function sortBy(rows, value, down) {
  const order = down ? -1 : 1;
  return rows
    .map((row) => ({ row, v: value(row) }))
    .sort((a, b) => {
      const ra = rank(a.v), rb = rank(b.v);
      if (ra !== rb) return ra - rb; // nothing comes last both ways
      const c = ra === 0 ? a.v - b.v : ra === 1 ? texts.compare(a.v, b.v) : 0;
      return c !== 0 ? c * order : texts.compare(a.row.key, b.row.key);
    })
    .map(({ row }) => row);
}

const texts = new Intl.Collator("en", { numeric: true });

const rank = (v) => (typeof v === "number" && !Number.isNaN(v) ? 0 : typeof v === "string" && v !== "" ? 1 : 2);
