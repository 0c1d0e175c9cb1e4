/* Names for what the theme leaves without one, or names by something else than what it shows: screen readers and people
   who speak to their browser need them (WCAG 2.5.3 and 4.1.2). */
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
  };
  document.readyState === "loading" ? document.addEventListener("DOMContentLoaded", start) : start();
})();
