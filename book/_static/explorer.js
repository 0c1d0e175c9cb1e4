/* The attribution explorer: state and arithmetic of book/explorer.md. Alpine draws the page from them and writes every
   clause and rule as text. The data come from scripts under explorer/ (src/compliance_xai/book/explorer.py says what is in
   them), one for each scale, loaded when it is chosen; scripts, since a page from the file system may load nothing else. */
(() => {
  "use strict";
  const data = window.explorerData ?? { scales: [], strategies: [], clauses: [], seeds: [], baselines: [] };
  const base = new URL("explorer/", document.currentScript.src);
  const scales = {};
  const decoded = new Map();
  data.take = (name, part) => { scales[name] = part; };

  const loadScale = (name) => new Promise((resolve, reject) => {
    if (scales[name]) { resolve(); return; }
    const tag = document.createElement("script");
    const { file } = data.scales.find((scale) => scale.name === name);
    tag.src = new URL(file, base).href;
    tag.onload = resolve;
    tag.onerror = () => reject(new Error(`${file} is missing beside explorer.js`));
    document.head.append(tag);
  });

  const decode = (text) => Uint8Array.from(atob(text), (sign) => sign.charCodeAt(0));

  /* One run's scores: clause -> word -> column (0 is the whole rule, then its pieces), in nats. */
  const readRun = (scale, key) => {
    const name = `${scale}|${key}`;
    if (!decoded.has(name)) {
      const { pieces, scores } = scales[scale];
      const steps = new Int8Array(decode(scores[key].steps).buffer);
      const peaks = new Float32Array(decode(scores[key].peaks).buffer);
      let [step, peak] = [0, 0];
      decoded.set(name, data.clauses.map(({ words }, place) => {
        const columns = pieces[place].length + 1;
        const rows = words.map((_, word) => Float32Array.from(
          { length: columns }, (_, column) => (steps[step + word * columns + column] * peaks[peak + column]) / 127));
        step += words.length * columns;
        peak += columns;
        return rows;
      }));
    }
    return decoded.get(name);
  };

  const signed = (nats) => {
    const size = Math.abs(nats);
    return size < 0.005 ? "0" : `${nats < 0 ? "−" : "+"}${size.toFixed(size < 1 ? 2 : 1)}`;
  };
  const humanise = (name) => name.replaceAll("_", " ");
  const overlaps = (start, end, spans) => spans.some(([from, to]) => start < to && from < end);

  /* A word joiner keeps a mark that follows a word, such as a comma, on the word's line. */
  const joined = (part, place) => (place && !part.word && /^\S/.test(part.text) ? { ...part, text: `\u2060${part.text}` } : part);

  /* A text cut at spans: what lies between them comes as plain strings. */
  const cut = (text, spans, describe) => {
    const parts = [];
    let cursor = 0;
    spans.forEach(([start, end], place) => {
      if (start > cursor) parts.push({ key: `t${cursor}`, text: text.slice(cursor, start) });
      parts.push({ key: `s${place}`, text: text.slice(start, end), ...describe(place, start, end) });
      cursor = end;
    });
    if (cursor < text.length) parts.push({ key: `t${cursor}`, text: text.slice(cursor) });
    return parts;
  };

  /* Shades are the same for every element, clause and model: the full one says "100 times less likely". */
  const FULL = Math.log(100);
  /* An element is decided by no word if it stays at least half as likely without any of them. */
  const FLOOR = Math.log(2);
  /* A word carries its number from this share of the full shade on; stored scores are rounded, so less means little. */
  const SHOWN = FLOOR / FULL;

  /* What a stretch of text has of some spans, seen from its own start. */
  const clip = (spans, start, end) => spans.filter(([from, to]) => from < end && start < to)
    .map(([from, to]) => [Math.max(from, start) - start, Math.min(to, end) - start]);

  const ORDERS = {
    corpus: "as in the corpus",
    disagreement: "most different first",
    error: "most errors first",
    focus: "most focused first",
  };
  const REMOVAL = { delete: "deleted", mask: "masked", neutral: "replaced by a neutral word", counterfactual: "replaced by another of its kind" };
  const KEPT = ["clause", "scale", "left", "right", "seed", "removal", "element", "sort", "query", "context", "wrongOnly"];
  /* Parts of a rule that are listed for checking, at most. */
  const CHECKED = 4;

  const save = (blob, name) => {
    const link = Object.assign(document.createElement("a"), { href: URL.createObjectURL(blob), download: name });
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 1000);
  };

  const explorer = () => ({
    scales: data.scales, seeds: data.seeds, removals: data.baselines, orders: Object.entries(ORDERS),
    scale: "", left: "", right: "", seed: 0, removal: "", clause: "", element: 0, sort: "disagreement",
    pointed: null, listed: [], query: "", context: "", wrongOnly: false, gold: true, loaded: {}, problem: "", said: "",
    open: !window.matchMedia("(max-width: 60rem)").matches, copied: "",

    async init() {
      if (!data.clauses.length) { this.problem = "No attribution of this study has been run yet."; return; }
      const tuned = data.strategies.filter((strategy) => strategy.name !== "none").map((strategy) => strategy.name);
      this.scale = data.scales.at(-1).name;
      this.left = tuned[0] ?? data.strategies[0].name;
      this.right = tuned[1] ?? data.strategies.at(-1).name;
      this.seed = data.seeds[0];
      this.removal = data.baselines[0];
      await this.takeAddress();
      this.clause ||= this.list()[0].id;
      for (const name of KEPT.filter((one) => one !== "scale")) this.$watch(name, () => this.changed());
      this.$watch("clause", () => { this.element = 0; });
      this.$watch("scale", async () => { await this.show(); this.changed(); });
      window.addEventListener("hashchange", () => this.takeAddress());
      this.changed();
    },

    /* The address holds the state, so that a view can be linked to and bookmarked. */
    async takeAddress() {
      const found = new URLSearchParams(location.hash.slice(1));
      const allowed = {
        clause: data.clauses.map(({ id }) => id), scale: data.scales.map(({ name }) => name), sort: Object.keys(ORDERS),
        left: data.strategies.map(({ name }) => name), right: data.strategies.map(({ name }) => name),
        seed: data.seeds.map(String), removal: data.baselines,
      };
      for (const [name, values] of Object.entries(allowed)) {
        const value = found.get(name);
        if (values.includes(value)) this[name] = name === "seed" ? Number(value) : value;
      }
      this.query = found.get("query") ?? this.query;
      if (["", ...this.contexts].includes(found.get("context"))) this.context = found.get("context");
      this.wrongOnly = found.get("wrongOnly") === "true";
      await this.show();
      const column = Number(found.get("element"));
      // After the clause's own change, which goes back to the whole rule.
      await this.$nextTick();
      if (this.clause && this.pieces.some((piece) => piece.column === column)) this.element = column;
    },
    async show() {
      const name = this.scale;
      try { await loadScale(name); } catch (error) { this.problem = error.message; return; }
      for (const side of ["left", "right"]) if (!this.ran.includes(this[side])) this[side] = this.ran.at(-1);
      this.loaded[name] = true;
    },
    get ready() { return this.loaded[this.scale] === true; },
    changed() {
      if (!this.ready) return;
      const state = new URLSearchParams(KEPT.filter((name) => this[name] !== "" && this[name] !== false).map((name) => [name, this[name]]));
      history.replaceState(null, "", `#${state}`);
      this.$nextTick(() => this.bringIntoList());
      this.said = `Scored for ${this.elementName}. ${["left", "right"].map((side) => this.tell(side)).join(" ")}`;
    },

    /* Scrolls the list to the chosen clause, and never the page. */
    bringIntoList() {
      const { list } = this.$refs;
      const chosen = list?.querySelector("[aria-selected=true]");
      if (!chosen) return;
      if (chosen.offsetTop < list.scrollTop) list.scrollTop = chosen.offsetTop;
      const below = chosen.offsetTop + chosen.offsetHeight - list.clientHeight;
      if (below > list.scrollTop) list.scrollTop = below;
    },

    // ---- what is chosen
    get place() { return data.clauses.findIndex(({ id }) => id === this.clause); },
    get record() { return data.clauses[this.place]; },
    get ran() { return data.scales.find(({ name }) => name === this.scale)?.strategies ?? []; },
    get strategies() { return data.strategies.filter(({ name }) => this.ran.includes(name)); },
    get contexts() { return [...new Set(data.clauses.map(({ context }) => context))].filter(Boolean); },
    get column() { return this.pointed ?? this.element; },
    get elementName() { return this.column ? `“${this.pieces[this.column - 1]?.name}”` : "all of the rule"; },
    strategy(side) { return data.strategies.find(({ name }) => name === this[side]); },
    seedOf(name) {
      const { seeds } = data.strategies.find((strategy) => strategy.name === name);
      return seeds.includes(this.seed) ? this.seed : seeds[0];
    },
    key(side) { return `${this[side]}|${this.seedOf(this[side])}|${this.removal}`; },
    full: `${FULL.toFixed(1)} nats, ${Math.round(Math.exp(FULL))} times less likely`,
    get sizeLabel() { return this.scales.find((one) => one.name === this.scale)?.label ?? this.scale; },
    removalName: (name) => REMOVAL[name] ?? name,

    // ---- the clause's words and the rule's pieces
    get pieces() {
      if (!this.ready || !this.record) return [];
      const { rule } = this.record;
      return scales[this.scale].pieces[this.place].map(([start, end], place) => {
        const text = end > start ? rule.slice(start, end) : "⏎";
        return { column: place + 1, start, end, text, counts: end === start || /[\p{L}\p{N}]/u.test(text), name: end > start ? text.trim() || "space" : "end of the rule" };
      });
    },
    scores(side) { return readRun(this.scale, this.key(side))[this.place].map((row) => row[this.column] ?? 0); },
    undecided(side) { return Math.max(0, ...this.scores(side).map(Math.abs)) < FLOOR; },
    get deciding() {
      const piece = this.pieces.find(({ column }) => column === this.column);
      if (!piece || !this.gold) return [];
      return this.record.links.filter(([, start, end]) => piece.start < end && start < piece.end).flatMap((link) => link[3]);
    },
    words(side) {
      const scores = this.scores(side);
      return cut(this.record.clause, this.record.words, (place, start, end) => {
        const nats = scores[place];
        const share = Math.min(1, Math.abs(nats) / FULL);
        return {
          word: true, size: Math.abs(nats), share, tone: nats < 0 ? "minus" : "plus", nats: signed(nats),
          shown: share >= SHOWN, gold: overlaps(start, end, this.deciding),
          note: `${signed(nats)} nats, ${humanise(this.record.words[place][2])}`,
        };
      }).map(joined);
    },
    heaviest(side, count = 5) {
      return this.words(side).filter((part) => part.word && part.share >= 0.005)
        .sort((a, b) => b.size - a.size).slice(0, count)
        .map((part) => ({ ...part, width: `${(100 * part.share).toFixed(1)}%` }));
    },
    /* Words without which no element of the reference rule becomes half as likely. */
    unread(side) {
      const columns = this.pieces.filter(({ counts }) => counts).map(({ column }) => column);
      const words = readRun(this.scale, this.key(side))[this.place]
        .map((row, place) => [Math.max(...columns.map((column) => row[column])), place])
        .filter(([most, place]) => most < FLOOR && !["other"].includes(this.record.words[place][2]))
        .map(([, place]) => this.record.clause.slice(...this.record.words[place].slice(0, 2)));
      return words.length ? `No element of the reference rule depends on: ${words.join(", ")}.` : "Every word of substance counts for some element.";
    },
    tell(side) {
      const heaviest = this.heaviest(side, 3).map((part) => `${part.text} ${part.nats}`).join(", ");
      return `${this.strategy(side).label}: ${heaviest ? `${heaviest} nats` : "no word matters"}.${this.undecided(side) ? " No word decides this." : ""}`;
    },

    // ---- the rules that were written
    written(side, place = this.place) { return scales[this.scale]?.written[`${this[side]}|${this.seedOf(this[side])}`]?.[place] ?? null; },
    writtenParts(side) {
      const found = this.written(side);
      // A line may break after a comma or a bracket.
      return found ? [...found.rule.matchAll(/[^,(]+[,(]*|[,(]+/g)].map(({ 0: text, index }) => ({
        key: index, parts: cut(text, clip(found.changes, index, index + text.length), () => ({ changed: true })),
      })) : [];
    },
    verdict(side) {
      const found = this.written(side);
      if (!found) return "No rule was generated for this clause.";
      if (found.exact) return "Exactly the reference.";
      const says = { equivalent: "Says the same in other words", stronger: "Asks more than the reference", weaker: "Asks less than the reference",
                     different: "Says something else", unreadable: "No readable rule", unknown: "Not decided whether it says the same" };
      return [says[found.answer] ?? "Not the reference", found.errors.map(humanise).join(", ")].filter(Boolean).join(": ") + ".";
    },
    /* A review of the written rule, without the reference: its parts, the likeliest error first. */
    checks(side) {
      const parts = (this.written(side)?.items ?? []).filter(([kind, , , , , , , says]) => kind === "part" || says.length);
      return parts.map(([kind, text, start, end, chance, probability, words, says], key) => ({
        key, text: text || "the whole rule", says: says.join("; "), words, order: chance ?? 0,
        chance: chance === null ? "" : `${Math.round(100 * chance)} %`, where: kind === "word" ? "clause: " : "",
        probability: probability === null ? "" : probability.toFixed(2), place: [start, end],
      })).filter(({ says: flagged, order }) => flagged || order >= 0.05).sort((a, b) => b.order - a.order).slice(0, CHECKED);
    },
    reviewed(side) { return Boolean(this.written(side)?.items); },
    counterexample(side) {
      const found = this.written(side)?.case;
      return found ? window.ruleWords.building(found, "the written rule", "the reference") : "";
    },
    sentence: (rule) => window.ruleWords.sentence(rule ?? ""),
    tree: (rule) => window.ruleWords.tree(rule ?? ""),
    focus(side, place = this.place) { return scales[this.scale]?.focus[this.key(side)]?.[place] ?? null; },
    distance(place = this.place) {
      const known = scales[this.scale]?.distances ?? {};
      const [a, b] = [this.left, this.right].map((name) => `${name}|${this.seedOf(name)}`);
      return (known[`${a}|${b}|${this.removal}`] ?? known[`${b}|${a}|${this.removal}`])?.[place] ?? null;
    },
    fixed: (value) => (value === null ? "–" : value.toFixed(2)),

    // ---- taking it along
    async copyLink() {
      try {
        await navigator.clipboard.writeText(location.href);
        this.copied = "Link copied.";
      } catch { this.copied = `Copy this address: ${location.href}`; }
    },
    saveTable() {
      const cell = (value) => `"${String(value).replaceAll('"', '""').replace(/^(?=[=+\-@\t\r])/, "'")}"`;
      const head = ["clause", "model size", "strategy", "seed", "word", "start", "end", "category", "element", "nats"];
      const lines = ["left", "right"].flatMap((side) => readRun(this.scale, this.key(side))[this.place].flatMap((row, place) => {
        const [start, end, category] = this.record.words[place];
        const about = [this.clause, this.sizeLabel, this.strategy(side).label, this.seedOf(this[side]), this.record.clause.slice(start, end)].map(cell);
        return ["all of the rule", ...this.pieces.map(({ name }) => name)]
          .map((name, column) => [...about, start, end, cell(category), cell(name), row[column].toFixed(4)].join(","));
      }));
      save(new Blob([`${head.join(",")}\n${lines.join("\n")}\n`], { type: "text/csv" }), `${this.clause}.csv`);
    },
    /* Both clauses with their shades, as a picture. */
    savePicture() {
      const canvas = document.createElement("canvas"), [width, size, line] = [900, 20, 46];
      const pen = canvas.getContext("2d"), font = `${size}px system-ui, sans-serif`;
      const style = getComputedStyle(this.$root), colour = (name) => style.getPropertyValue(name).trim();
      const draw = (paint) => {
        let y = 34;
        const text = (words, x = 24) => { if (paint) pen.fillText(words, x, y); };
        for (const side of ["left", "right"]) {
          pen.font = `600 ${font}`;
          text(`${this.strategy(side).label}, ${this.sizeLabel}, seed ${this.seedOf(this[side])}: ${this.elementName}`);
          pen.font = font;
          let x = 24;
          y += 34;
          for (const part of this.words(side).flatMap((one) => (one.word ? [one] : one.text.split(/(?<=\s)/).map((piece) => ({ text: piece }))))) {
            const wide = pen.measureText(part.text).width;
            if (x + wide > width - 24) { x = 24; y += line; }
            if (paint && part.word) {
              pen.fillStyle = `rgb(${colour(part.tone === "plus" ? "--cx-positive" : "--cx-negative").split(/\s+/).join(",")},${part.share})`;
              pen.fillRect(x - 1, y - size, wide + 2, size + 6);
              pen.fillStyle = "#111";
            }
            text(part.text, x);
            if (part.shown) { pen.font = `12px system-ui, sans-serif`; y += 18; text(part.nats, x); y -= 18; pen.font = font; }
            x += wide;
          }
          y += 64;
        }
        return y - 30;
      };
      [canvas.width, canvas.height] = [width, draw(false)];
      pen.fillStyle = "#fff";
      pen.fillRect(0, 0, canvas.width, canvas.height);
      pen.fillStyle = "#111";
      draw(true);
      canvas.toBlob((blob) => save(blob, `${this.clause}.png`));
    },
    choose(id) {
      this.clause = id;
      if (!window.matchMedia("(max-width: 60rem)").matches) return;
      this.open = false;
      this.$nextTick(() => this.$refs.view?.scrollIntoView());
    },

    // ---- the list of clauses
    get rows() {
      if (!this.ready) return [];
      return data.clauses.map((record, place) => {
        const sides = ["left", "right"].map((side) => ({ written: this.written(side, place), focus: this.focus(side, place) }));
        const rules = sides.map(({ written }) => written).filter(Boolean);
        const wrong = rules.filter(({ exact }) => !exact).length;
        const errors = rules.reduce((sum, rule) => sum + rule.errors.length, 0);
        return { ...record, place, wrong, errors, known: rules.length, distance: this.distance(place), focus: Math.min(...sides.map(({ focus }) => focus ?? 9)) };
      });
    },
    list() {
      const query = this.query.trim().toLowerCase();
      const found = this.rows.filter((row) => (!this.context || row.context === this.context) && (!this.wrongOnly || row.wrong)
        && (!query || `${row.id} ${row.clause} ${row.rule}`.toLowerCase().includes(query)));
      const by = {
        corpus: (a, b) => a.place - b.place,
        disagreement: (a, b) => (b.distance ?? -1) - (a.distance ?? -1),
        error: (a, b) => b.wrong - a.wrong || b.errors - a.errors,
        focus: (a, b) => a.focus - b.focus,
      }[this.sort];
      return found.sort(by);
    },
    total: data.clauses.length,
    /* Where the Tab key enters the list: at the chosen clause, or at the first one where that is filtered out. */
    get entry() { return this.listed.some(({ id }) => id === this.clause) ? this.clause : this.listed[0]?.id; },
    summary(row) {
      const rules = row.wrong ? `${row.wrong} of ${row.known} rules not exact` : row.known ? "both rules exact" : "";
      const focus = this.sort === "focus" && row.focus < 9 ? `entropy ${row.focus.toFixed(2)}` : "";
      return [focus, row.distance === null ? "" : `distance ${row.distance.toFixed(2)}`, rules].filter(Boolean).join(" · ");
    },

    // ---- keyboard: one stop of the Tab key for the list and one for the rule, arrows inside
    move(event, selector, choose) {
      const steps = { ArrowDown: 1, ArrowRight: 1, ArrowUp: -1, ArrowLeft: -1, Home: -Infinity, End: Infinity };
      if (!(event.key in steps)) return;
      event.preventDefault();
      const stops = [...event.currentTarget.querySelectorAll(selector)];
      const next = Math.max(0, Math.min(stops.length - 1, stops.indexOf(document.activeElement) + steps[event.key]));
      choose(stops[next]);
      this.$nextTick(() => stops[next].focus());
    },
    moveClause(event) { this.move(event, "[role=option]", (stop) => { this.clause = stop.dataset.id; }); },
    moveElement(event) { this.move(event, "[role=radio]", (stop) => { this.element = Number(stop.dataset.column); }); },
  });

  document.addEventListener("alpine:init", () => window.Alpine.data("explorer", explorer));
})();
