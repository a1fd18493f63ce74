// Sorts tables on a click on a column, shows planners in the drawings, and the frames of one metric.
"use strict";
(() => {
  const value = (cell) => {
    const own = cell.dataset.v;
    return own === undefined ? null : cell.dataset.t === "n" ? Number(own) : own;
  };

  const sort = (button) => {
    const head = button.closest("th"), table = button.closest("table");
    const column = Number(button.dataset.column), up = head.getAttribute("aria-sort") !== "ascending";
    for (const other of table.tHead.querySelectorAll("[aria-sort]")) other.removeAttribute("aria-sort");
    head.setAttribute("aria-sort", up ? "ascending" : "descending");
    for (const body of table.tBodies) {
      const rows = [...body.rows].filter((row) => !row.classList.contains("title"));
      const key = new Map(rows.map((row) => [row, value(row.cells[column])]));
      rows.sort((a, b) => {
        const x = key.get(a), y = key.get(b);
        if (x === null || y === null) return (x === null) - (y === null);
        const order = typeof x === "number" && typeof y === "number" ? x - y : String(x).localeCompare(String(y));
        return up ? order : -order;
      });
      body.append(...rows);
    }
  };

  for (const button of document.querySelectorAll("th button")) button.addEventListener("click", () => sort(button));

  for (const box of document.querySelectorAll("input[data-series]")) {
    const show = () => {
      for (const part of document.querySelectorAll(`.bev [data-series="${box.dataset.series}"]`)) {
        part.classList.toggle("off", !box.checked);
      }
    };
    box.addEventListener("change", show);
    show();
  }

  const chooser = document.querySelector("#metric");
  if (chooser) {
    const choose = () => {
      for (const frame of document.querySelectorAll(".frame")) {
        frame.hidden = chooser.value !== "" && !frame.dataset.metrics.split(" ").includes(chooser.value);
      }
    };
    chooser.addEventListener("change", choose);
    choose();
  }
  document.documentElement.classList.add("scripted");
})();
