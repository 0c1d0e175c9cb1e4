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
