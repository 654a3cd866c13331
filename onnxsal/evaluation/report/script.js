"use strict";
(() => {
  const all = (selector, within = document) => [...within.querySelectorAll(selector)];

  const theme = document.getElementById("theme");
  const isDark = () => {
    const set = document.documentElement.dataset.theme;
    return set ? set === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  };
  theme.hidden = false;
  theme.addEventListener("click", () => { document.documentElement.dataset.theme = isDark() ? "light" : "dark"; });

  // Tables: a cell sorts by data-value where it has one, else by its text; what has no value stays last.
  const keyOf = (row, at) => {
    const cell = row.children[at];
    const text = cell.dataset.value ?? cell.textContent.trim();
    const number = text === "" ? NaN : Number(text);
    return Number.isNaN(number) ? text.toLowerCase() : number;
  };
  const compare = (a, b, sign) => {
    if (a === "" || b === "") return (a === "") - (b === "");
    if (typeof a === typeof b) return sign * (a < b ? -1 : a > b ? 1 : 0);
    return typeof a === "number" ? -1 : 1;
  };
  const sort = (table, head) => {
    const heads = all("thead th", table);
    const at = heads.indexOf(head);
    const first = head.dataset.first ?? "ascending";
    const other = first === "ascending" ? "descending" : "ascending";
    const order = head.getAttribute("aria-sort") === first ? other : first;
    heads.forEach((each) => each.removeAttribute("aria-sort"));
    head.setAttribute("aria-sort", order);
    const body = table.tBodies[0];
    const sign = order === "ascending" ? 1 : -1;
    const rows = all("tr", body).map((row) => [keyOf(row, at), row]);
    rows.sort((a, b) => compare(a[0], b[0], sign));
    body.append(...rows.map((pair) => pair[1]));
  };
  all("table.sortable").forEach((table) => {
    all("thead th button", table).forEach((button) => {
      button.addEventListener("click", () => sort(table, button.closest("th")));
    });
  });

  // Filters: every word typed has to stand in the text of what stays; a select compares data-<name>.
  const apply = (controls) => {
    const scope = document.getElementById(controls.dataset.filters);
    const words = all('input[type="search"]', controls).flatMap((i) => i.value.toLowerCase().split(/\s+/)).filter(Boolean);
    const chosen = all("select", controls).map((s) => [s.name, s.value]).filter((pair) => pair[1] !== "");
    const items = all("[data-item]", scope);
    let shown = 0;
    items.forEach((item) => {
      const text = (item.dataset.item || item.textContent).toLowerCase();
      const stays = words.every((word) => text.includes(word)) && chosen.every(([n, v]) => item.dataset[n] === v);
      item.hidden = !stays;
      shown += stays;
    });
    all("[data-group]", scope).forEach((group) => { group.hidden = !group.querySelector("[data-item]:not([hidden])"); });
    const count = controls.querySelector(".count");
    if (count) count.textContent = `${shown} of ${items.length}`;
  };
  all(".controls[data-filters]").forEach((controls) => {
    controls.hidden = false;
    controls.addEventListener("input", () => apply(controls));
    apply(controls);
  });

  // Curves: a click on a name takes its curve away, pointing at it makes the others faint.
  all("figure.chart").forEach((chart) => {
    const parts = (name) => all("[data-series]", chart).filter((part) => part.dataset.series === name);
    const others = (name) => all("[data-series]", chart).filter((part) => part.dataset.series !== name);
    all(".legend button", chart).forEach((button) => {
      const name = button.dataset.name;
      button.addEventListener("click", () => {
        const on = button.getAttribute("aria-pressed") === "false";
        button.setAttribute("aria-pressed", String(on));
        parts(name).forEach((part) => { part.style.display = on ? "" : "none"; });
      });
      const faint = (on) => {
        others(name).forEach((part) => part.classList.toggle("faint", on));
        parts(name).forEach((part) => part.classList.toggle("focus", on));
      };
      for (const [event, on] of [["mouseenter", true], ["focus", true], ["mouseleave", false], ["blur", false]]) {
        button.addEventListener(event, () => faint(on));
      }
    });
  });

  // Zoom: the arrow keys go on to the neighbours that are shown.
  const dialog = document.getElementById("zoom");
  let current = null;
  const show = (button) => {
    current = button;
    const image = button.querySelector("img");
    const large = dialog.querySelector("img");
    large.src = image.src;
    large.alt = image.alt;
    large.className = image.className;
    dialog.querySelector("span").textContent = image.alt;
  };
  const step = (by) => {
    const shown = all("button.zoom").filter((each) => each.offsetParent !== null || each === current);
    show(shown[(shown.indexOf(current) + by + shown.length) % shown.length]);
  };
  all("button.zoom").forEach((button) => button.addEventListener("click", () => { show(button); dialog.showModal(); }));
  dialog.addEventListener("keydown", (event) => {
    if (event.key === "ArrowRight") step(1);
    if (event.key === "ArrowLeft") step(-1);
  });
  dialog.addEventListener("click", (event) => { if (event.target === dialog || event.target.tagName === "IMG") dialog.close(); });

  // What is folded away is printed too.
  let closed = [];
  addEventListener("beforeprint", () => {
    closed = all("details:not([open])");
    closed.forEach((each) => { each.open = true; });
  });
  addEventListener("afterprint", () => closed.forEach((each) => { each.open = false; }));
})();
