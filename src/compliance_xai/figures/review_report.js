"use strict";
// Decisions are kept in the browser under the address of this page, and leave it only as a file that is asked for.
const sections = [...document.querySelectorAll("section")];
const store = "review " + location.pathname;
const find = (section, name) => section.querySelector(name);
function read(section) {
  const decision = (find(section, "input[type=radio]:checked") || { value: "" }).value;
  const [clause, rule] = [find(section, ".text").textContent, (find(section, ".rule") || { textContent: "" }).textContent];
  const corrected = decision === "edit" ? find(section, "textarea").value : "";
  return { id: find(section, "fieldset").dataset.id, clause, rule, decision, corrected, note: find(section, "input[type=text]").value };
}
const name = (row) => JSON.stringify([row.id, row.clause, row.rule]);
function keep() {
  const rows = sections.map(read), decided = rows.filter((row) => row.decision).length;
  document.getElementById("count").textContent = decided + " of " + rows.length + " decided";
  document.getElementById("progress").value = decided;
  const kept = rows.filter((row) => row.decision || row.note).map((row) => [name(row), row]);
  try { localStorage.setItem(store, JSON.stringify(kept)); } catch (error) { /* a browser may forbid it; exporting still works */ }
}
let before = new Map();
try { before = new Map(JSON.parse(localStorage.getItem(store)) || []); } catch (error) { before = new Map(); }
for (const section of sections) {
  const row = before.get(name(read(section)));
  if (row) {
    section.querySelectorAll("input[type=radio]").forEach((input) => { input.checked = input.value === row.decision; });
    find(section, "input[type=text]").value = row.note;
    if (row.corrected) find(section, "textarea").value = row.corrected;
  }
  section.addEventListener("input", keep);
}
const open = document.getElementById("open");
open.addEventListener("change", () => sections.forEach((section) => { section.hidden = open.checked && read(section).decision !== ""; }));
document.getElementById("export").addEventListener("click", () => {
  // A spreadsheet would compute a text that begins like a formula.
  const cell = (text) => '"' + String(text).replace(/^(?=[=+\-@\t\r])/, "'").replace(/"/g, '""') + '"';
  const columns = ["id", "clause", "rule", "decision", "corrected", "note"];
  const lines = sections.map(read).map((row) => columns.map((column) => cell(row[column])).join(","));
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([[columns.join(","), ...lines].join("\r\n")], { type: "text/csv;charset=utf-8" }));
  link.download = "decisions.csv";
  link.click();
});
keep();
