/* Draws the figures of a page: loads plotly.min.js only where a figure is, follows the light or dark theme, and
   lays panels out in one column where the page is narrow. Without this script the still picture stays. */
(() => {
  "use strict";
  const base = document.currentScript.src;
  const NARROW = 600;

  let loading = null;
  const loadPlotly = () => {
    loading ??= new Promise((resolve, reject) => {
      const tag = document.createElement("script");
      tag.src = new URL("plotly.min.js", base).href;
      tag.onload = () => resolve(window.Plotly);
      tag.onerror = () => reject(new Error("plotly.min.js is missing beside figures.js"));
      document.head.append(tag);
    });
    return loading;
  };

  const themeColours = () => {
    const style = getComputedStyle(document.documentElement);
    const read = (name, otherwise) => style.getPropertyValue(name).trim() || otherwise;
    return {
      text: read("--pst-color-text-base", "#222"),
      line: read("--pst-color-border", "#ccc"),
      surface: read("--pst-color-surface", "#fff"),
    };
  };

  const deepMerge = (target, patch) => {
    for (const [key, value] of Object.entries(patch)) {
      const mergeable = value && typeof value === "object" && !Array.isArray(value);
      target[key] = mergeable ? deepMerge(target[key] ?? {}, value) : value;
    }
    return target;
  };

  const themedLayout = (spec, narrow) => {
    const layout = structuredClone(spec.layout);
    if (narrow && spec.narrow) {
      const { annotations, ...rest } = spec.narrow;
      deepMerge(layout, rest);
      if (annotations) layout.annotations = annotations;
    }
    const colours = themeColours();
    layout.paper_bgcolor = layout.plot_bgcolor = "rgba(0,0,0,0)";
    layout.font = { ...layout.font, color: colours.text };
    layout.hoverlabel = {
      ...layout.hoverlabel, bgcolor: colours.surface, bordercolor: colours.line,
      font: { ...(layout.hoverlabel?.font ?? {}), color: colours.text },
    };
    for (const name of Object.keys(layout).filter((key) => /^[xy]axis\d*$/.test(key))) {
      layout[name] = { gridcolor: colours.line, linecolor: colours.line, zerolinecolor: colours.line,
                       tickcolor: colours.line, ...layout[name] };
    }
    return layout;
  };

  const draw = async (figure) => {
    const Plotly = await loadPlotly();
    const plot = figure.querySelector(".cx-plot");
    const spec = JSON.parse(figure.querySelector("script[type='application/json']").textContent);
    const config = { displaylogo: false, responsive: false, scrollZoom: false,
                     modeBarButtonsToRemove: ["select2d", "lasso2d", "autoScale2d", "toImage"] };
    let width = 0;
    const render = async () => {
      width = plot.clientWidth;
      if (!width) return;
      const narrow = width < NARROW;
      const layout = themedLayout(spec, narrow);
      layout.width = Math.max(width, (narrow ? spec.narrow?.min_width : spec.min_width) ?? 0);
      delete layout.min_width;
      plot.style.minHeight = `${layout.height}px`;
      await Plotly.react(plot, structuredClone(spec.data), layout, { ...config, displayModeBar: narrow ? false : "hover" });
      figure.classList.add("cx-drawn");
    };
    await render();
    let waiting = 0;
    new ResizeObserver(() => {
      if (Math.abs(plot.clientWidth - width) < 2) return;
      cancelAnimationFrame(waiting);
      waiting = requestAnimationFrame(render);
    }).observe(plot);
    new MutationObserver(render).observe(document.documentElement, { attributeFilter: ["data-theme"] });
  };

  const start = () => {
    const figures = document.querySelectorAll("figure.cx-figure[data-interactive]");
    if (!figures.length) return;
    const watcher = new IntersectionObserver((entries) => {
      for (const entry of entries.filter((one) => one.isIntersecting)) {
        watcher.unobserve(entry.target);
        draw(entry.target).catch((error) => console.error(error));
      }
    }, { rootMargin: "600px" });
    figures.forEach((figure) => watcher.observe(figure));
  };
  document.readyState === "loading" ? document.addEventListener("DOMContentLoaded", start) : start();
})();
