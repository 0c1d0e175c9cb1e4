"use strict";
// Decisions are kept in the browser under the address of this page, and leave it only as a file that is asked for.
const places = [...document.querySelectorAll("fieldset")];
const key = "review " + location.pathname;
function read() {
  return places.map((place) => ({
    id: place.dataset.id,
    decision: (place.querySelector("input[type=radio]:checked") || { value: "" }).value,
    note: place.querySelector("input[type=text]").value,
  }));
}
function keep() {
  const rows = read();
  document.getElementById("count").textContent = rows.filter((row) => row.decision).length + " of " + rows.length + " decided";
  try { localStorage.setItem(key, JSON.stringify(rows)); } catch (error) { /* a browser may forbid it; exporting still works */ }
}
let before = [];
try { before = JSON.parse(localStorage.getItem(key)) || []; } catch (error) { before = []; }
places.forEach((place, index) => {
  const row = before[index];
  if (row && row.id === place.dataset.id) {
    place.querySelector("input[type=text]").value = row.note;
    place.querySelectorAll("input[type=radio]").forEach((input) => { input.checked = input.value === row.decision; });
  }
  place.addEventListener("input", keep);
});
document.getElementById("export").addEventListener("click", () => {
  const cell = (text) => '"' + String(text).replace(/"/g, '""') + '"';
  const lines = read().map((row) => [row.id, row.decision, row.note].map(cell).join(","));
  const link = document.createElement("a");
  link.href = "data:text/csv;charset=utf-8," + encodeURIComponent(["id,decision,note", ...lines].join("\r\n"));
  link.download = "decisions.csv";
  link.click();
});
keep();
