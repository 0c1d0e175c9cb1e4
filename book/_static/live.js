// "Try your own clause": a fine-tuned model runs in the page. Scripts are loaded when the reader asks for them; the model works
// in a Worker that is started from the engine's own text, so the page stays responsive and nothing is requested.
(() => {
  "use strict";
  const STATIC = document.currentScript.src.replace(/live\.js.*$/, "");
  const FLOOR = Math.log(2); // nats: at most half as likely without the word
  const LONGEST = 400; // characters
  const FRAME = new Set(["if", "then", "and", "or", "not", "exist", "is", "has", "define"]);
  const LABELS = { full: "full fine-tuning", lora: "LoRA" };
  const BOTH = "both";
  const labelOf = ({ scale, strategy }) => `${scale.toUpperCase()}, ${LABELS[strategy] || strategy}`;

  function loadScript(name) {
    return new Promise((resolve, reject) => {
      const script = document.createElement("script");
      script.src = STATIC + name;
      script.onload = resolve;
      script.onerror = () => reject(new Error(`${name} could not be read`));
      document.head.append(script);
    });
  }

  function make(tag, attributes = {}, ...children) {
    const node = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) {
      if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
      else if (value !== false && value != null) node.setAttribute(name, value === true ? "" : value);
    }
    node.append(...children);
    return node;
  }

  const WORK = `
    let engine;
    onmessage = ({ data }) => {
      try {
        if (data.pack) {
          engine = createLiveEngine(data.pack);
          postMessage({ difference: engine.check() });
        } else {
          const report = (done, total) => postMessage({ done, total });
          postMessage({ found: engine.explain(data.clause, report), unseen: engine.unseen(data.clause) });
        }
      } catch (error) {
        postMessage({ problem: String(error.message || error) });
      }
    };`;

  class Model {
    constructor(name) {
      this.name = name;
      this.worker = null;
      this.difference = null;
    }

    async start() {
      if (this.worker) return;
      if (typeof createLiveEngine === "undefined") await loadScript("live_engine.js");
      if (!window.liveModels?.[this.name]) await loadScript(`live/${this.name}.js`);
      const blob = new Blob([createLiveEngine.toString(), WORK], { type: "text/javascript" });
      this.worker = new Worker(URL.createObjectURL(blob));
      const { difference, problem } = await this.ask({ pack: window.liveModels[this.name] });
      if (problem) throw new Error(problem);
      this.difference = difference;
      if (!(difference < 0.05)) {
        this.stop();
        throw new Error("its self-check failed: this browser computes other numbers than the ones stored with the model");
      }
    }

    ask(message, progress = () => {}) {
      return new Promise((resolve) => {
        this.cancel = () => resolve({ cancelled: true });
        this.worker.onmessage = ({ data }) => (data.total ? progress(data.done / data.total) : resolve(data));
        this.worker.onerror = (event) => resolve({ problem: event.message });
        this.worker.postMessage(message);
      });
    }

    stop() {
      this.worker?.terminate();
      this.worker = null;
      this.cancel?.();
    }
  }

  // The parts of a rule that a reader can point at, and the text between them.
  function splitRule(rule) {
    return [...rule.matchAll(/[A-Za-z_][\w]*(?:\.[A-Za-z_]\w*)*|\d[\d.,:/]*\d|\d|\s+|[^\sA-Za-z_\d]/g)].map((match) => ({
      text: match[0], start: match.index, end: match.index + match[0].length,
      counts: /\w/.test(match[0]) && !FRAME.has(match[0]),
    }));
  }

  function judge(found, part) {
    const inside = found.tokens.map((token) => token.start < part.end && part.start < token.end && token.start < token.end);
    const sum = (values) => values.reduce((total, value, t) => (inside[t] ? total + value : total), 0);
    // The signal of the flag "improbable": log odds of another token where the least likely token of the part stands.
    const least = Math.min(...found.logProbs.filter((_, t) => inside[t]));
    const unlikely = Math.log(Math.max(-Math.expm1(least), 1e-9)) - least;
    return { ...part, unlikely, probability: Math.exp(sum(found.logProbs)), scores: found.scores.map(sum) };
  }

  class Widget {
    constructor(root) {
      this.root = root;
      this.models = window.liveIndex?.models || [];
      this.previous = {};
      const clause = root.dataset.clause || "";
      const shown = window.liveShown?.found.clause === clause ? window.liveShown : null;
      if (this.models.length) this.build(clause);
      else this.showOnly(shown);
      if (!shown) return;
      if (this.choice) this.choice.value = shown.name;
      this.result.replaceChildren(this.show({ found: shown.found, unseen: [] }, shown.name));
      if (this.models.length) this.say("Measured when this book was built. Choose a part of the rule, or change the clause.");
    }

    /* A study whose models are too large for a page still has its measurement to show. */
    showOnly(shown) {
      this.result = make("div", { class: "lm-result" });
      const none = "No model of this study is small enough to run in the page.";
      const measured = shown ? ` What is shown was measured when this book was built.` : "";
      this.root.append(this.result, make("p", { class: "lm-note" }, none + measured));
    }

    build(clause) {
      const id = `lm-${Math.random().toString(36).slice(2)}`;
      this.text = make("textarea", { id, rows: 2, maxlength: LONGEST + 1, spellcheck: "false" });
      this.text.value = clause;
      this.choice = make("select", { "aria-label": "Model" }, ...this.models.map((one) => make("option", { value: one.name }, labelOf(one))));
      if (this.models.length > 1) this.choice.append(make("option", { value: BOTH }, "both models, side by side"));
      this.go = make("button", { type: "submit", class: "lm-go" }, "Write the rule");
      this.halt = make("button", { type: "button", class: "lm-halt", hidden: true, onclick: () => this.cancel() }, "Stop");
      this.meter = make("progress", { max: 1, value: 0, hidden: true, "aria-label": "Progress" });
      this.status = make("p", { class: "lm-status", role: "status" });
      this.result = make("div", { class: "lm-result" });
      const form = make("form", { onsubmit: (event) => { event.preventDefault(); this.run(); } },
        make("label", { for: id }, "Your clause"), this.text,
        make("div", { class: "lm-bar" }, this.go, this.halt, this.choice, this.meter));
      this.root.append(form, this.status, this.result, make("p", { class: "lm-note" },
        "The model runs in this page, and nothing you type leaves your computer. It knows only the kind of clause it was trained on."));
    }

    say(text) {
      this.status.textContent = text;
    }

    cancel() {
      this.model?.stop();
    }

    async run() {
      const clause = this.text.value.replace(/\s+/g, " ").trim();
      if (!/[\p{L}\p{N}]/u.test(clause)) return this.say("Type a clause first.");
      if (clause.length > LONGEST) return this.say(`This clause is too long for the model in the page: at most ${LONGEST} characters.`);
      this.busy(true);
      const names = this.choice.value === BOTH ? this.models.map((one) => one.name) : [this.choice.value];
      const shown = [];
      for (const name of names) {
        const block = await this.ask(name, clause);
        if (!block) break;
        shown.push(block);
      }
      if (shown.length === names.length) {
        this.result.replaceChildren(...shown);
        this.result.classList.toggle("two", shown.length > 1);
      }
      this.busy(false);
    }

    /* What one model makes of a clause, as a block to show; nothing if it could not be asked. */
    async ask(name, clause) {
      this.loaded ||= {};
      this.model = this.loaded[name] ||= new Model(name);
      try {
        this.say("Loading the model…");
        await this.model.start();
        this.say("Writing the rule and removing one word at a time…");
        const answer = await this.model.ask({ clause }, (share) => { this.meter.value = share; });
        if (answer.found) {
          this.say(`Self-check passed: scores differ from PyTorch by at most ${this.model.difference.toFixed(4)} nats.`);
          return this.show(answer, name);
        }
        this.say(answer.cancelled ? "Stopped." : `The model could not read this clause: ${answer.problem}`);
      } catch (error) {
        this.say(`The model cannot be used here: ${error.message}.`);
      }
      return null;
    }

    /* A word of the clause is marked in the text field, so that typing replaces it. */
    mark(word) {
      if (!this.text || this.text.value.slice(word.start, word.end) !== word.text) return;
      this.text.focus();
      this.text.setSelectionRange(word.start, word.end);
    }

    busy(on) {
      this.go.disabled = on;
      this.halt.hidden = this.meter.hidden = !on;
      this.meter.value = 0;
    }

    show({ found, unseen }, name) {
      const flag = window.liveIndex.flags[name]; // "improbable": its threshold, and how often it was right on validation
      const parts = splitRule(found.rule).map((part) => judge(found, part));
      const counting = parts.filter((part) => part.counts);
      const strongest = Math.max(FLOOR, ...counting.flatMap((part) => part.scores.map(Math.abs)));
      const words = make("p", { class: "lm-clause" }), rule = make("p", { class: "lm-rule" });
      const note = make("p", { class: "lm-why", "aria-live": "polite" });
      const whole = { text: "the whole rule", counts: true, probability: Math.exp(found.logProbs.reduce((a, b) => a + b, 0)),
        scores: found.scores.map((row) => row.reduce((a, b) => a + b, 0)), all: true };

      const point = (part, button) => {
        for (const other of rule.querySelectorAll("button")) other.setAttribute("aria-pressed", String(other === button));
        const scale = part.all ? Math.max(FLOOR, ...part.scores.map(Math.abs)) : strongest;
        let cursor = 0;
        words.replaceChildren();
        found.words.forEach((word, place) => {
          const score = part.scores[place], counts = Math.abs(score) >= FLOOR;
          words.append(found.clause.slice(cursor, word.start), make("span", {
            onclick: () => this.mark(word),
            class: counts ? (score > 0 ? "lm-word plus" : "lm-word minus") : "lm-word",
            style: counts ? `--share: ${Math.min(1, Math.abs(score) / scale).toFixed(3)}` : false,
            title: `${score < 0 ? "−" : "+"}${Math.abs(score).toFixed(2)} nats`,
          }, word.text));
          cursor = word.end;
        });
        words.append(found.clause.slice(cursor));
        note.textContent = this.explain(part, found);
      };

      const all = make("button", { type: "button", class: "lm-all" }, "whole rule");
      all.addEventListener("click", () => point(whole, all));
      rule.append(all, " ");
      for (const part of parts) {
        if (!part.counts) { rule.append(part.text); continue; }
        const unsure = part.unlikely >= flag.at;
        const button = make("button", { type: "button", class: unsure ? "lm-part unsure" : "lm-part",
          title: `probability ${part.probability.toFixed(2)}` }, part.text);
        button.addEventListener("click", () => point(part, button));
        rule.append(button);
      }
      const extra = [];
      if (!found.complete) extra.push("The model did not finish this rule.");
      if (unseen.length) extra.push(`The model was never trained on: ${[...new Set(unseen)].join(", ")}. Expect mistakes.`);
      const unsure = counting.filter((part) => part.unlikely >= flag.at).map((part) => `${part.text} (${part.probability.toFixed(2)})`);
      if (unsure.length) extra.push(`Check first, the model is unsure of: ${unsure.join(", ")}. On validation, this flag was right: ${flag.right}.`);
      const before = this.previous[name];
      if (before && before !== found.rule) extra.push(`Before, the rule was: ${before}`);
      this.previous[name] = found.rule;
      const said = window.ruleWords.sentence(found.rule);
      const model = this.models.find((one) => one.name === name);
      const block = make("div", {}, make("p", { class: "lm-label" }, `${model ? `${labelOf(model)}. ` : ""}Rule: choose a part to see which words it depends on`), rule,
        ...(said ? [make("p", { class: "lm-said" }, said)] : []),
        make("p", { class: "lm-label" }, this.text ? "Clause: choose a word to replace it" : "Clause"), words, note, ...extra.map((text) => make("p", { class: "lm-extra" }, text)));
      point(whole, all);
      return block;
    }

    explain(part, found) {
      const order = part.scores.map((score, place) => [score, found.words[place].text]).filter(([score]) => score >= FLOOR);
      order.sort((a, b) => b[0] - a[0]);
      const name = part.all ? "The whole rule" : `“${part.text}”`;
      const sure = part.all ? "" : ` (probability ${part.probability.toFixed(2)})`;
      if (!order.length) return `${name}${sure}: no single word decides it; the model writes it anyway.`;
      const says = ([score, text]) => `${Math.exp(Math.min(score, 30)) > 1e6 ? "over a million" : Math.round(Math.exp(score)).toLocaleString("en")} times without “${text}”`;
      return `${name}${sure} becomes less likely: ${order.slice(0, 3).map(says).join(", ")}.`;
    }
  }

  const start = () => document.querySelectorAll(".lm[data-clause]").forEach((root) => root.childElementCount || new Widget(root));
  if (document.readyState === "loading") document.addEventListener("DOMContentLoaded", start);
  else start();
})();
