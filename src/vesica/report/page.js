"use strict";
// The page reads without this: it sorts and filters the test images, and moves between them by keys.
for (const section of document.querySelectorAll("section.images")) {
  const form = section.querySelector("form.choose");
  if (!form) continue;
  const list = section.querySelector("ul.gallery");
  const items = [...list.children].map((item, row) => ({
    item, row,
    name: item.querySelector("bdi").textContent,
    values: item.dataset.values.split(" ").map(Number),
    parts: item.dataset.parts.trim().split(" "),
  }));
  const sort = form.querySelector(".sort"), filters = [...form.querySelectorAll(".filter")];
  const show = () => {
    const [column, sign] = sort.value.split(" ").map(Number);
    const sorted = [...items].sort((a, b) =>
      (sort.value === "name" ? a.name.localeCompare(b.name) : sign * (a.values[column] - b.values[column])) || a.row - b.row);
    let num = 0;
    for (const { item, parts } of sorted) {
      item.hidden = filters.some((filter, n) => filter.value && filter.value !== parts[n]);
      num += !item.hidden;
    }
    list.append(...sorted.map(({ item }) => item));
    form.querySelector("output").textContent = `${num} of ${items.length} shown`;
  };
  form.addEventListener("change", show);
  form.addEventListener("submit", (event) => event.preventDefault());
  form.reset();
  form.hidden = false;
  show();
}

const opened = () => document.querySelector("ul.gallery > :target");
const open = () => {
  const wanted = document.getElementById(location.hash.slice(1));
  if (!wanted?.matches("ul.gallery > li")) return;
  if (wanted.hidden) {  // what a link opens is not to be filtered away
    const form = wanted.closest("section").querySelector("form.choose");
    form.reset();
    form.dispatchEvent(new Event("change"));
  }
  wanted.focus();
  wanted.scrollIntoView({ block: "nearest" });
};
addEventListener("hashchange", open);
open();

addEventListener("keydown", (event) => {
  if (event.target.matches("select, input") || event.altKey || event.ctrlKey || event.metaKey) return;
  const points = event.target.closest(".scatter");
  const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
  if (points && step) {
    const links = [...points.querySelectorAll("a")];
    links[links.indexOf(event.target) + step]?.focus();
    event.preventDefault();
    return;
  }
  const item = opened();
  if (!item) return;
  if (event.key === "Escape") {
    item.querySelector(".close").click();
    item.querySelector(".name").focus();
  } else if (event.key === "ArrowRight" || event.key === "ArrowLeft") {
    const shown = [...item.parentNode.children].filter((other) => !other.hidden);
    const next = shown[shown.indexOf(item) + step];
    if (next) location.hash = next.id;
    event.preventDefault();
  }
});

// One stop of the tab key for all points of a plot; arrows move between them.
for (const plot of document.querySelectorAll(".scatter")) {
  const links = [...plot.querySelectorAll("a")];
  links.forEach((link, row) => { link.setAttribute("tabindex", row ? "-1" : "0"); });
  plot.addEventListener("focusin", (event) => {
    links.forEach((link) => { link.setAttribute("tabindex", link === event.target ? "0" : "-1"); });
  });
}
