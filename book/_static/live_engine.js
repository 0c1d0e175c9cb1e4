// A small Qwen2 model in plain JavaScript. It writes the rule for a clause and scores each word by leaving it out, the way
// the Python package does. It needs no server, no request and no WebAssembly, so it works from the file system.
// The whole engine is one function, so that a page can start it in a Worker from its own text.
function createLiveEngine(pack) {
  "use strict";
  const { hidden: H, heads, kvHeads, headDim: D, layers, intermediate, vocabulary, eps, theta, positions } = pack.config;
  const weights = readWeights(pack);
  const embeddings = weights["model.embed_tokens.weight"];
  const tokenizer = createTokenizer(pack);

  // --- weights ---------------------------------------------------------------------------------------------------

  function readWeights({ blob, index }) {
    const text = atob(blob);
    const bytes = Uint8Array.from(text, (letter) => letter.charCodeAt(0));
    const found = {};
    for (const [name, { shape, at }] of Object.entries(index)) {
      const halves = new Uint16Array(bytes.buffer, at, shape.reduce((a, b) => a * b, 1));
      found[name] = Float32Array.from(halves, readHalf);
    }
    return found;
  }

  function readHalf(half) {
    const sign = half & 0x8000 ? -1 : 1, exponent = (half >> 10) & 31, fraction = half & 1023;
    if (exponent === 0) return sign * fraction * 2 ** -24;
    return exponent === 31 ? (fraction ? NaN : sign * Infinity) : sign * (1 + fraction / 1024) * 2 ** (exponent - 15);
  }

  // --- tokens: byte-level BPE ------------------------------------------------------------------------------------

  function createTokenizer({ vocab, merges, pattern }) {
    const rank = new Map(merges.map((merge, place) => [merge, place]));
    const texts = [];
    for (const [text, id] of Object.entries(vocab)) texts[id] = text;
    const letters = [], bytes = new Map();
    for (let byte = 0, extra = 0; byte < 256; byte++) {
      const plain = (byte > 32 && byte < 127) || (byte > 160 && byte < 173) || byte > 173;
      letters[byte] = String.fromCharCode(plain ? byte : 256 + extra++);
      bytes.set(letters[byte], byte);
    }
    const encoder = new TextEncoder();

    function merge(piece) {
      const parts = [...piece];
      for (;;) {
        let best = Infinity, place = -1;
        for (let i = 0; i + 1 < parts.length; i++) {
          const found = rank.get(`${parts[i]} ${parts[i + 1]}`);
          if (found < best) [best, place] = [found, i];
        }
        if (place < 0) return parts;
        parts.splice(place, 2, parts[place] + parts[place + 1]);
      }
    }

    const encode = (text) =>
      [...text.matchAll(new RegExp(pattern, "gu"))].flatMap(([piece]) =>
        merge([...encoder.encode(piece)].map((byte) => letters[byte]).join("")).map((part) => vocab[part]));
    const toBytes = (id) => [...texts[id]].map((letter) => bytes.get(letter));
    const decode = (ids) => new TextDecoder().decode(Uint8Array.from(ids.flatMap(toBytes)));
    return { encode, decode };
  }

  // --- the model -------------------------------------------------------------------------------------------------

  function normalise(x, weight, rows) {
    const out = new Float32Array(rows * H);
    for (let t = 0; t < rows; t++) {
      let sum = 0;
      for (let i = 0; i < H; i++) sum += x[t * H + i] ** 2;
      const scale = 1 / Math.sqrt(sum / H + eps);
      for (let i = 0; i < H; i++) out[t * H + i] = x[t * H + i] * scale * weight[i];
    }
    return out;
  }

  // x (rows x from) times the transpose of weight (to x from), plus bias; four sums at once are faster in every browser.
  function multiply(x, weight, bias, rows, from, to) {
    const out = new Float32Array(rows * to);
    for (let t = 0; t < rows; t++) {
      for (let r = 0; r < to; r++) {
        let a = 0, b = 0, c = 0, d = 0;
        for (let i = 0, p = t * from, q = r * from; i < from; i += 4, p += 4, q += 4) {
          a += x[p] * weight[q]; b += x[p + 1] * weight[q + 1]; c += x[p + 2] * weight[q + 2]; d += x[p + 3] * weight[q + 3];
        }
        out[t * to + r] = a + b + c + d + (bias ? bias[r] : 0);
      }
    }
    return out;
  }

  function rotate(x, rows, width, start) {
    for (let t = 0; t < rows; t++)
      for (let i = 0; i < D / 2; i++) {
        const angle = (start + t) * theta ** ((-2 * i) / D), cos = Math.cos(angle), sin = Math.sin(angle);
        for (let at = t * width + i; at < (t + 1) * width; at += D) {
          const u = x[at], v = x[at + D / 2];
          x[at] = u * cos - v * sin;
          x[at + D / 2] = v * cos + u * sin;
        }
      }
  }

  function attend(q, keys, values, rows, start, kvWidth) {
    const out = new Float32Array(rows * H), scores = new Float32Array(start + rows), share = heads / kvHeads;
    for (let t = 0; t < rows; t++)
      for (let head = 0; head < heads; head++) {
        const at = t * H + head * D, kv = Math.floor(head / share) * D, count = start + t + 1;
        let largest = -Infinity, total = 0;
        for (let j = 0; j < count; j++) {
          let sum = 0;
          for (let i = 0; i < D; i++) sum += q[at + i] * keys[j * kvWidth + kv + i];
          scores[j] = sum / Math.sqrt(D);
          largest = Math.max(largest, scores[j]);
        }
        for (let j = 0; j < count; j++) total += scores[j] = Math.exp(scores[j] - largest);
        for (let j = 0; j < count; j++)
          for (let i = 0; i < D; i++) out[at + i] += (scores[j] / total) * values[j * kvWidth + kv + i];
      }
    return out;
  }

  function add(x, y) {
    for (let i = 0; i < x.length; i++) x[i] += y[i];
  }

  // Hidden states of some tokens that follow a cache ({length, keys, values}), and the cache with them.
  function forward(ids, cache) {
    const rows = ids.length, start = cache ? cache.length : 0, kvWidth = kvHeads * D;
    const x = new Float32Array(rows * H), next = { length: start + rows, keys: [], values: [] };
    ids.forEach((id, t) => x.set(embeddings.subarray(id * H, id * H + H), t * H));
    for (let layer = 0; layer < layers; layer++) {
      const of = (name) => weights[`model.layers.${layer}.${name}`];
      const project = (name, to) =>
        multiply(h, of(`self_attn.${name}_proj.weight`), of(`self_attn.${name}_proj.bias`), rows, H, to);
      const h = normalise(x, of("input_layernorm.weight"), rows);
      const q = project("q", H), k = project("k", kvWidth), v = project("v", kvWidth);
      rotate(q, rows, H, start);
      rotate(k, rows, kvWidth, start);
      const [keys, values] = ["keys", "values"].map((name) => {
        const all = new Float32Array((start + rows) * kvWidth);
        if (cache) all.set(cache[name][layer].subarray(0, start * kvWidth));
        return all;
      });
      keys.set(k, start * kvWidth);
      values.set(v, start * kvWidth);
      next.keys.push(keys);
      next.values.push(values);
      add(x, multiply(attend(q, keys, values, rows, start, kvWidth), of("self_attn.o_proj.weight"), null, rows, H, H));
      const g = normalise(x, of("post_attention_layernorm.weight"), rows);
      const gate = multiply(g, of("mlp.gate_proj.weight"), null, rows, H, intermediate);
      const up = multiply(g, of("mlp.up_proj.weight"), null, rows, H, intermediate);
      for (let i = 0; i < gate.length; i++) gate[i] = (gate[i] / (1 + Math.exp(-gate[i]))) * up[i];
      add(x, multiply(gate, of("mlp.down_proj.weight"), null, rows, intermediate, H));
    }
    return { states: normalise(x, weights["model.norm.weight"], rows), cache: next };
  }

  const logits = (states, t) => multiply(states.subarray(t * H, t * H + H), embeddings, null, 1, H, vocabulary);

  function logProbabilities(states, first, target) {
    return target.map((id, t) => {
      const z = logits(states, first + t);
      const largest = z.reduce((a, b) => Math.max(a, b));
      let sum = 0;
      for (const value of z) sum += Math.exp(value - largest);
      return z[id] - largest - Math.log(sum);
    });
  }

  // --- clauses ---------------------------------------------------------------------------------------------------

  const prompt = (clause) => tokenizer.encode(pack.prompt.before + clause + pack.prompt.after);

  // Words as `corpus.features` cuts them: runs without white space, outer punctuation taken off.
  const KEPT = "%‰§&@#′″";
  const LIST_MARKER = /^\(?(?:[a-z]{1,2}|[ivx]{1,4}|\d{1,2})\)/i;
  const punctuation = (letter) => /^\p{P}$/u.test(letter) && !KEPT.includes(letter);

  function cutWords(clause) {
    const words = [];
    for (const run of clause.matchAll(/\S+/gu)) {
      let start = run.index, end = start + run[0].length;
      while (start < end && punctuation(clause[start])) {
        const rest = clause.slice(start, end);
        if (/^[-–][/\d]/.test(rest) || LIST_MARKER.test(rest)) break;
        start++;
      }
      while (start < end && punctuation(clause[end - 1])) {
        const rest = clause.slice(start, end), marker = LIST_MARKER.exec(rest);
        const closed = rest.split("(").length === rest.split(")").length && !rest.startsWith("(");
        if (rest.endsWith(")") && (closed || (marker && marker[0] === rest))) break;
        end--;
      }
      if (start < end) words.push({ start, end, text: clause.slice(start, end) });
    }
    return words;
  }

  // A word goes with the white-space character before it, or else with the one after it.
  function removeWord(clause, { start, end }) {
    if (/\s/.test(clause[start - 1] || "")) start--;
    else if (/\s/.test(clause[end] || "")) end++;
    return clause.slice(0, start) + clause.slice(end);
  }

  // --- what a page asks for --------------------------------------------------------------------------------------

  function write(clause) {
    const ids = prompt(clause), out = [];
    let { states, cache } = forward(ids), last = ids.length - 1;
    while (out.length < pack.maxTokens && ids.length + out.length < positions) {
      const z = logits(states, last);
      let best = 0;
      for (let id = 1; id < vocabulary; id++) if (z[id] > z[best]) best = id;
      if (best === pack.end) return { ids: out, complete: true };
      out.push(best);
      ({ states, cache } = forward([best], cache));
      last = 0;
    }
    return { ids: out, complete: false };
  }

  // Log-probabilities of a target after a clause; what the prompt shares with another one's cache is not computed again.
  function score(clause, target, shared) {
    const ids = prompt(clause), all = [...ids, ...target].slice(0, -1);
    let same = 0;
    if (shared) while (same < Math.min(ids.length, shared.ids.length) - 1 && ids[same] === shared.ids[same]) same++;
    const run = forward(all.slice(same), same ? { ...shared.cache, length: same } : null);
    return { ids, cache: run.cache, values: logProbabilities(run.states, ids.length - 1 - same, target) };
  }

  function spanTokens(ids) {
    return ids.map((_, t) => ({ start: tokenizer.decode(ids.slice(0, t)).length, end: tokenizer.decode(ids.slice(0, t + 1)).length }));
  }

  // The rule for a clause, the log-probability of each of its tokens, and each word's score towards each token (nats).
  function explain(clause, report = () => {}) {
    const words = cutWords(clause), written = write(clause), target = [...written.ids, pack.end];
    report(1, words.length + 1);
    const whole = score(clause, target);
    const scores = words.map((word, place) => {
      const without = score(removeWord(clause, word), target, whole).values;
      report(place + 2, words.length + 1);
      return whole.values.map((value, t) => value - without[t]);
    });
    const rule = tokenizer.decode(written.ids);
    return { clause, rule, complete: written.complete, words, tokens: spanTokens(written.ids), logProbs: whole.values, scores };
  }

  // The largest difference (nats) between this engine and what PyTorch stored for the same clauses; Infinity if a rule differs.
  function check() {
    let largest = 0;
    for (const known of pack.checks) {
      const found = explain(known.clause);
      if (found.rule !== known.rule || found.words.length !== known.scores.length) return Infinity;
      found.scores.forEach((row, place) => {
        largest = Math.max(largest, Math.abs(row.reduce((a, b) => a + b, 0) - known.scores[place]));
      });
    }
    return largest;
  }

  const unseen = (clause) => cutWords(clause).map((word) => word.text).filter(
    (text) => /[^\P{L}\p{Script=Latin}]/u.test(text)
      || (/\p{L}/u.test(text) && !/\d/.test(text) && !pack.known.has(text.toLowerCase())));
  pack.known = new Set(pack.words);
  return { cutWords, removeWord, write, explain, check, unseen, encode: tokenizer.encode, decode: tokenizer.decode };
}
if (typeof module !== "undefined") module.exports = { createLiveEngine };
