/* Draws the figures of a page: loads plotly only if the page has a figure, follows the light or dark theme, and puts
   panels in one column if the page is narrow. Without this script the still picture stays. */
(() => {
  "use strict";
  const base = document.currentScript.src;
  const NARROW = 600;

  const loadScript = (address) => new Promise((resolve, reject) => {
    const tag = document.createElement("script");
    tag.src = address;
    tag.onload = resolve;
    tag.onerror = () => reject(new Error(`cannot load ${address}`));
    document.head.append(tag);
  });
  /* A drawing is a script of its own (page_anatomy.py), read when its figure comes near the window. */
  const readDrawing = async (figure) => {
    if (!figure.dataset.drawing) return JSON.parse(figure.querySelector("script[type='application/json']").textContent);
    await loadScript(figure.dataset.drawing);
    return window.drawings[figure.id];
  };

  let loading = null;
  const loadPlotly = () => {
    loading ??= loadScript(new URL("vendor/plotly-figures.min.js", base).href).then(() => window.Plotly);
    return loading;
  };

  const themeColours = () => {
    const style = getComputedStyle(document.documentElement);
    const read = (name, otherwise) => style.getPropertyValue(name).trim() || otherwise;
    return {
      text: read("--pst-color-text-base", "#222"),
      line: read("--pst-color-border", "#ccc"),
      grid: "rgba(127,135,144,0.22)",
      surface: read("--pst-color-surface", "#fff"),
      signed: [`rgb(${read("--cx-negative", "0 100 190").replaceAll(" ", ",")})`, "rgba(127,135,144,0.06)",
               `rgb(${read("--cx-positive", "179 80 10").replaceAll(" ", ",")})`],
      sequential: [read("--cx-heat-least", "#f3e9f0"), read("--cx-heat-most", "#6e1551")],
      unchanged: [read("--cx-heat-unchanged", "#dfe3e7"), read("--cx-heat-unchanged", "#dfe3e7")],
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
    if (narrow) {
      const { annotations, ...rest } = spec.narrow;
      deepMerge(layout, rest);
      layout.annotations = annotations;
      layout.dragmode = false;  // a finger scrolls the page
    }
    const colours = themeColours();
    layout.paper_bgcolor = layout.plot_bgcolor = "rgba(0,0,0,0)";
    layout.font = { ...layout.font, color: colours.text };
    layout.hoverlabel = {
      ...layout.hoverlabel, bgcolor: colours.surface, bordercolor: colours.line,
      font: { ...(layout.hoverlabel?.font ?? {}), color: colours.text },
    };
    for (const name of Object.keys(layout).filter((key) => /^[xy]axis\d*$/.test(key))) {
      layout[name] = { gridcolor: colours.grid, linecolor: colours.line, zerolinecolor: colours.line,
                       tickcolor: colours.line, ...layout[name] };
    }
    return layout;
  };

  /* Heat maps take the page's colours, which differ in the dark; their meta names the scale. */
  const themedData = (spec) => {
    const colours = themeColours();
    return structuredClone(spec.data).map((trace) => {
      const scale = trace.type === "heatmap" && colours[trace.meta];
      return scale ? { ...trace, colorscale: scale.map((colour, index) => [index / (scale.length - 1), colour]) } : trace;
    });
  };

  /* The legend is HTML: it wraps, it can be reached by keyboard, and a press hides or shows its marks. */
  const SHAPES = {
    circle: '<circle cx="8" cy="8" r="5"/>', square: '<path d="M3 3h10v10H3z"/>', diamond: '<path d="M8 2l6 6-6 6-6-6z"/>',
    "triangle-up": '<path d="M8 2l6 11H2z"/>', "triangle-down": '<path d="M8 14L2 3h12z"/>',
    "triangle-left": '<path d="M2 8l11-6v12z"/>', star: '<path d="M8 1l2 5h5l-4 3 2 6-5-4-5 4 2-6-4-3h5z"/>',
    pentagon: '<path d="M8 2l6 4.4-2.3 7.1H4.3L2 6.4z"/>', hexagon: '<path d="M8 2l5.2 3v6L8 14l-5.2-3V5z"/>',
    cross: '<path d="M6 2h4v4h4v4h-4v4H6v-4H2V6h4z"/>', x: '<path d="M3 5l2-2 3 3 3-3 2 2-3 3 3 3-2 2-3-3-3 3-2-2 3-3z"/>',
    "line-ns": '<path d="M8 2v12" stroke-width="2.5"/>',
  };
  const symbolOf = (trace) => {
    const icon = document.createElementNS("http://www.w3.org/2000/svg", "svg");
    icon.setAttribute("viewBox", "0 0 16 16");
    icon.setAttribute("aria-hidden", "true");
    const colour = trace.marker?.color ?? trace.line?.color ?? "currentColor";
    if ((trace.mode ?? "markers").includes("markers")) {
      const symbol = trace.marker?.symbol ?? "square";
      const open = symbol.endsWith("-open");
      icon.innerHTML = SHAPES[symbol.replace("-open", "")] ?? SHAPES.square;
      icon.setAttribute("fill", open ? "none" : colour);
      icon.setAttribute("stroke", open ? colour : "none");
      icon.setAttribute("stroke-width", "2");
    } else if (trace.fill) {
      icon.innerHTML = '<path d="M0 3h16v10H0z"/>';
      icon.setAttribute("fill", trace.fillcolor ?? colour);
    } else {
      const dashes = { dash: "4.5 3", dot: "1.8 2.4", dashdot: "5 2 1.5 2" }[trace.line?.dash];
      icon.innerHTML = `<path d="M0 8h16" stroke-width="2.5" ${dashes ? `stroke-dasharray="${dashes}"` : ""}/>`;
      icon.setAttribute("stroke", colour);
    }
    return icon;
  };
  /* What the shades of a heat map stand for: a bar of its colours, with labels at their places. */
  const rampOf = (ramp) => {
    const legend = document.createElement("div");
    legend.className = `cx-heat ${ramp.signed ? "cx-signed" : ""}`;
    const bar = document.createElement("span");
    bar.className = "cx-heat-bar";
    for (const [share, label] of Object.entries(ramp.labels)) {
      const text = document.createElement("span");
      text.textContent = label;
      text.style.setProperty("--share", share);
      bar.append(text);
    }
    legend.append(bar);
    if (ramp.unchanged) {
      const plain = document.createElement("span");
      plain.className = "cx-heat-unchanged";
      plain.textContent = ramp.unchanged;
      legend.append(plain);
    }
    return legend;
  };
  const addLegend = (figure, plot, spec, Plotly) => {
    if (spec.ramp) plot.before(rampOf(spec.ramp));
    if (!spec.layout.showlegend) return;
    const groupOf = (trace) => trace.legendgroup ?? trace.name;
    const entries = spec.data.filter((trace) => trace.showlegend !== false && trace.name);
    if (entries.length < 2) return;
    const legend = document.createElement("div");
    legend.className = "cx-legend";
    legend.setAttribute("role", "group");
    legend.setAttribute("aria-label", "Legend; press an entry to hide or show it");
    for (const entry of entries) {
      const button = document.createElement("button");
      button.type = "button";
      button.setAttribute("aria-pressed", "true");
      button.append(symbolOf(entry), document.createTextNode(entry.name));
      button.addEventListener("click", () => {
        const shown = button.getAttribute("aria-pressed") !== "true";
        button.setAttribute("aria-pressed", String(shown));
        spec.data.forEach((trace) => { if (groupOf(trace) === groupOf(entry)) trace.visible = shown; });
        const indices = spec.data.flatMap((trace, index) => (groupOf(trace) === groupOf(entry) ? [index] : []));
        Plotly.restyle(plot, { visible: shown }, indices);
      });
      legend.append(button);
    }
    plot.before(legend);
  };

  const draw = async (figure) => {
    const Plotly = await loadPlotly();
    const plot = figure.querySelector(".cx-plot");
    const spec = await readDrawing(figure);
    // A list of buttons of our own: plotly's has one that would send the data to its maker.
    const config = { displaylogo: false, responsive: false, scrollZoom: false, showSendToCloud: false, plotlyServerURL: "",
                     modeBarButtons: [["zoom2d", "pan2d", "resetScale2d"]] };
    addLegend(figure, plot, spec, Plotly);
    let width = 0;
    const render = async () => {
      width = plot.clientWidth;
      if (!width) return;
      const narrow = width < NARROW;
      const layout = themedLayout(spec, narrow);
      layout.width = Math.max(width, spec.min_width ?? 0);
      layout.showlegend = false;
      plot.style.minHeight = `${layout.height}px`;
      await Plotly.react(plot, themedData(spec), layout, { ...config, displayModeBar: narrow ? false : "hover" });
      figure.classList.add("cx-drawn");
      // The drawing has buttons and may scroll, so it is a group with a name; its marks stay one picture to a screen reader.
      plot.setAttribute("role", "group");
      plot.querySelectorAll(".main-svg").forEach((svg) => svg.setAttribute("aria-hidden", "true"));
      if (plot.scrollWidth > plot.clientWidth) plot.tabIndex = 0;
      else plot.removeAttribute("tabindex");
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
