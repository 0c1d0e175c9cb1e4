/* What the book's figures need of plotly.js, and no more: a third of the usual file. The package's own custom bundles
   would add sliders, menus and images. To make book/_static/vendor/plotly-figures.min.js again, in an empty folder:

     npm install plotly.js@4.1.1 esbuild@0.28.2
     npx esbuild plotly_bundle.js --bundle --minify --format=iife --global-name=Plotly --target=es2020 \
       --define:global=window --alias:stream=stream-browserify --outfile=plotly-figures.min.js \
       --banner:js='// plotly.js v4.1.1, Copyright 2012-2026 Plotly, Inc., MIT licence; scatter, bar, box and heatmap only'

   The version is the one inside the Python package plotly that requirements.lock names; a test compares them. */
"use strict";

require("plotly.js/build/plotcss");
const { register } = require("plotly.js/src/registry");
const api = require("plotly.js/src/plot_api");

exports.version = require("plotly.js/src/version").version;
for (const [name, fn] of Object.entries(api)) {
  if (!name.startsWith("_")) exports[name] = fn;
  register({ moduleType: "apiMethod", name, fn });
}
register([
  require("plotly.js/src/traces/scatter"),
  require("plotly.js/src/traces/bar"),
  require("plotly.js/src/traces/box"),
  require("plotly.js/src/traces/heatmap"),
  require("plotly.js/src/components/annotations"),
  require("plotly.js/src/components/shapes"),  // the legend reads them
  require("plotly.js/src/components/selections"),
  require("plotly.js/src/components/grid"),
  require("plotly.js/src/components/errorbars"),
  require("plotly.js/src/components/colorscale"),
  require("plotly.js/src/components/colorbar"),
  require("plotly.js/src/components/legend"),
  require("plotly.js/src/components/fx"),
  require("plotly.js/src/components/modebar"),
  require("plotly.js/src/locale-en"),
  require("plotly.js/src/locale-en-us"),
]);
