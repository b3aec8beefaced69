"use strict";
// A table that is wider than its place becomes one block a row; `wide` is the width it needs.
(() => {
  const wide = new WeakMap();
  const fit = (entries) => {
    for (const { target } of entries) {
      if (!target.clientWidth) continue;
      if (!target.classList.contains("cards")) wide.set(target, target.scrollWidth);
      target.classList.toggle("cards", wide.get(target) > target.clientWidth + 1);
    }
  };
  const watch = new ResizeObserver(fit);
  for (const region of document.querySelectorAll(".fits")) watch.observe(region);
})();
(() => {
  const app = document.getElementById("rows-app");
  if (!app) return;
  const data = JSON.parse(document.getElementById("rows-data").textContent);
  const PAGE = 25, LONG = 320;
  const state = { filter: "", query: "", page: 0 };
  const head = app.querySelector("thead"), body = app.querySelector("tbody");
  const buttons = [...app.querySelectorAll("button[data-filter]")];
  const back = document.getElementById("rows-back"), next = document.getElementById("rows-next");
  const count = document.getElementById("rows-count"), search = document.getElementById("rows-search");

  const make = (tag, name, text) => {
    const node = document.createElement(tag);
    if (name) node.className = name;
    if (text !== undefined) node.textContent = text;
    return node;
  };

  const words = (row) => {
    if (row.words === undefined) {
      const parts = [row.y, ...row.p.map((turn) => turn[1])];
      for (const cell of row.cells) if (cell) parts.push(cell.t, cell.raw || "");
      row.words = parts.join("\n").toLowerCase();
    }
    return row.words;
  };

  const longText = (text) => {
    const box = make("div", "text");
    if (text.length <= LONG) {
      box.textContent = text;
      return box;
    }
    const shown = make("span", "", text.slice(0, LONG - 40) + "… ");
    const more = make("button", "more", "show all");
    more.type = "button";
    more.setAttribute("aria-expanded", "false");
    more.addEventListener("click", () => {
      const open = more.getAttribute("aria-expanded") === "true";
      shown.textContent = open ? text.slice(0, LONG - 40) + "… " : text + " ";
      more.textContent = open ? "show all" : "show less";
      more.setAttribute("aria-expanded", String(!open));
    });
    box.append(shown, more);
    return box;
  };

  const mark = (cell) => {
    if (cell.s === "error" || cell.v === null) return make("span", "mark even", "not graded");
    if (!data.binary) return make("span", "mark even", String(Math.round(cell.v * 1000) / 1000));
    const sign = make("span", cell.v >= 1 ? "mark good" : "mark bad", cell.v >= 1 ? "✓" : "✗");
    sign.setAttribute("role", "img");
    sign.setAttribute("aria-label", cell.v >= 1 ? "right" : "wrong");
    return sign;
  };

  const answer = (cell, rung) => {
    const td = make("td", "answer");
    td.dataset.label = rung;
    if (!cell) {
      td.append(make("span", "mark even", "-"));
      return td;
    }
    const inner = make("div");
    const text = longText(cell.t === "" ? "(empty)" : cell.t);
    text.prepend(mark(cell));
    inner.append(text);
    if (cell.s !== "ok") inner.append(make("span", "tag warn", cell.s));
    if (cell.n) inner.append(make("span", "note", cell.n));
    if (cell.raw) {
      const details = make("details");
      details.append(make("summary", "", "as written"), make("div", "text", cell.raw));
      inner.append(details);
    }
    td.append(inner);
    return td;
  };

  const line = (row) => {
    const tr = make("tr");
    const number = make("td", "", String(row.row));
    number.dataset.label = "row";
    const input = make("td", "input");
    input.dataset.label = "input";
    for (const [role, text] of row.p) {
      if (row.p.length > 1) input.append(make("span", "role", role));
      input.append(longText(text));
    }
    const expected = make("td");
    expected.dataset.label = "expected";
    expected.append(longText(row.y));
    tr.append(number, input, expected, ...row.cells.map((cell, i) => answer(cell, data.rungs[i])));
    return tr;
  };

  const draw = () => {
    const query = state.query.toLowerCase();
    const found = data.rows.filter(
      (row) => (!state.filter || row.k === state.filter) && (!query || words(row).includes(query)),
    );
    const pages = Math.max(1, Math.ceil(found.length / PAGE));
    state.page = Math.min(state.page, pages - 1);
    const first = state.page * PAGE;
    body.replaceChildren(...found.slice(first, first + PAGE).map(line));
    const last = Math.min(first + PAGE, found.length);
    count.textContent = found.length ? `${first + 1} to ${last} of ${found.length}` : "No row fits";
    back.disabled = state.page === 0;
    next.disabled = state.page >= pages - 1;
    for (const button of buttons)
      button.setAttribute("aria-pressed", String(button.dataset.filter === state.filter));
  };

  const titles = make("tr");
  for (const name of ["row", "input", "expected", ...data.rungs]) {
    const th = make("th", "", name);
    th.scope = "col";
    titles.append(th);
  }
  head.append(titles);
  const table = app.querySelector("table");
  const answers = data.rows.slice(0, 100).flatMap((row) => row.cells.map((cell) => (cell ? cell.t.length : 0)));
  table.classList.toggle("long", answers.filter((length) => length > 40).length > answers.length / 4);
  // With no room for one column per rung, the answers to a row are listed below each other.
  const needed = (14 + 8 * (data.rungs.length + 1)) * parseFloat(getComputedStyle(document.documentElement).fontSize);
  new ResizeObserver(([{ contentRect }]) => table.classList.toggle("many", contentRect.width < needed)).observe(
    table.parentElement,
  );
  const columns = make("colgroup");
  columns.append(make("col", "row"), make("col", "input"), make("col"));
  for (let i = 0; i < data.rungs.length; i++) columns.append(make("col"));
  head.before(columns);

  for (const button of buttons) {
    const wanted = button.dataset.filter;
    const number = data.rows.filter((row) => !wanted || row.k === wanted).length;
    button.append(make("span", "", String(number)));
    button.addEventListener("click", () => {
      Object.assign(state, { filter: wanted, page: 0 });
      draw();
    });
  }
  let timer;
  search.addEventListener("input", () => {
    clearTimeout(timer);
    timer = setTimeout(() => {
      Object.assign(state, { query: search.value.trim(), page: 0 });
      draw();
    }, 120);
  });
  const turn = (step) => {
    state.page += step;
    draw();
    app.scrollIntoView({ block: "start" });
  };
  back.addEventListener("click", () => turn(-1));
  next.addEventListener("click", () => turn(1));
  app.hidden = false;
  draw();
})();
