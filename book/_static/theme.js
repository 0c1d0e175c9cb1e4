/* Names for what the theme leaves without one, or names by something else than what it shows (WCAG 2.5.3 and 4.1.2), and
   the keyboard for what scrolls sideways (2.1.1). */
(() => {
  "use strict";
  const start = () => {
    for (const summary of document.querySelectorAll(".bd-sidenav details > summary")) {
      const title = summary.closest("li")?.querySelector("a")?.textContent.trim();
      summary.setAttribute("aria-label", `Pages under ${title}`);
    }
    // Their own text is their name.
    for (const named of document.querySelectorAll(".search-button-field, .cell summary[aria-label], .admonition > summary[aria-label]")) {
      named.removeAttribute("aria-label");
    }
    // A list of notes, not of list items.
    document.querySelectorAll(".citation-list").forEach((list) => list.removeAttribute("role"));
    // On a phone a wide table is a card for each row (custom.css), so each cell needs its heading.
    for (const table of document.querySelectorAll(".cx-table table:has(th:nth-child(4))")) {
      const labels = [...table.tHead.rows[0].cells].map((cell) => cell.textContent);
      for (const row of table.tBodies[0].rows) for (const cell of row.cells) cell.dataset.label = labels[cell.cellIndex];
      table.classList.add("cx-cards");
    }
    // A link into a folded section opens it.
    const unfold = () => {
      const target = location.hash ? document.getElementById(decodeURIComponent(location.hash.slice(1))) : null;
      for (let fold = target?.closest("details") ?? target?.querySelector(":scope > details.cx-fold"); fold; fold = fold.parentElement.closest("details")) fold.open = true;
      if (target?.closest("details")) target.scrollIntoView();
    };
    window.addEventListener("hashchange", unfold);
    unfold();
    const watcher = new ResizeObserver((changes) => {
      for (const { target } of changes) {
        if (target.scrollWidth > target.clientWidth) target.tabIndex = 0;
        else target.removeAttribute("tabindex");
      }
    });
    document.querySelectorAll("article :is(pre, .output, .cx-formula, .provenance, .pst-scrollable-table-container)").forEach((one) => watcher.observe(one));
  };
  document.readyState === "loading" ? document.addEventListener("DOMContentLoaded", start) : start();
})();
