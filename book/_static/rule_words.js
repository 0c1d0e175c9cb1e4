/* A rule for people: as a sentence (IF … THEN … MUST …) and as an indented tree. Used by the explorer and by the live model.
   `ruleWords.sentence` and `ruleWords.tree` give nothing ("") for a text that is not a rule. */
window.ruleWords = (() => {
  "use strict";
  const COMPARED = {
    greaterThanEqual: "at least", lessThanEqual: "at most", greaterThan: "more than", lessThan: "less than", equal: "equal to",
  };
  const MODES = { obligation: "must", permission: "may", prohibition: "must not" };
  const PREPOSITIONS = /^(about|above|across|after|along|around|as|at|before|below|between|beyond|by|during|for|from|in|into|near|of|on|onto|outside|over|through|to|toward|towards|under|until|via|with|within|without)$/;
  const DEEPEST = 60;

  /* name(argument,…) -> { name, args }, anything else -> a string; null if brackets do not match or nest too deeply. */
  function read(rule) {
    const root = { name: "", args: [] };
    const open = [root];
    let text = "", quoted = false;
    const leaf = () => { if (text.trim()) open.at(-1).args.push(text.trim()); text = ""; };
    for (const sign of rule) {
      if (sign === "'") quoted = !quoted;
      if (quoted || sign === "'") { text += sign; continue; }
      if (sign === "(") {
        const term = { name: text.trim(), args: [] };
        if (!term.name || open.length > DEEPEST) return null;
        open.at(-1).args.push(term);
        open.push(term);
        text = "";
      } else if (sign === ")" || sign === ",") {
        leaf();
        if (sign === ")" && open.length === 1) return null;
        if (sign === ")") open.pop();
      } else text += sign;
    }
    leaf();
    const terms = root.args.every((one) => typeof one === "object");
    return open.length === 1 && !quoted && terms && root.args.length ? root.args : null;
  }

  const spaced = (name) => name.replace(/([a-z])([A-Z])/g, "$1 $2").replace(/([A-Z]+)([A-Z][a-z])/g, "$1 $2").toLowerCase();
  /* exitDoor.clearWidth -> the clear width of the exit door; amounts and references stay as they are. */
  function thing(node) {
    if (typeof node === "object") {
      const inside = node.args.map(thing).join(node.name === "or" ? " or " : " and ");
      if (node.name === "and" || node.name === "or") return inside;
      return `the ${node.name === "count" ? "number" : spaced(node.name)} of ${inside}`;
    }
    if (/^['\d]|\d/.test(node) || !/^[A-Za-z.]+$/.test(node)) return node.replace(/^'(.*)'$/, "$1");
    return node.split(".").reverse().map(spaced).map((name, place, all) => (all.length > 1 ? `the ${name}` : name)).join(" of ");
  }

  const join = (parts, word) => (parts.length > 2 ? `${parts.slice(0, -1).join(", ")} ${word} ${parts.at(-1)}` : parts.join(` ${word} `));
  const subject = (node) => (typeof node === "string" && /^[A-Za-z]+$/.test(node) ? `the ${thing(node)}` : thing(node));

  /* A predicate's name as a verb: complyWith -> "complies with", "must comply with"; within -> "is within". */
  function verb(name, mode, negated) {
    const [first, ...rest] = spaced(name).split(" ");
    const place = PREPOSITIONS.test(first);
    if (mode) return [mode, negated && "not", place && "be", first, ...rest].filter(Boolean).join(" ");
    if (place) return [negated ? "is not" : "is", first, ...rest].join(" ");
    if (negated) return ["does not", first, ...rest].join(" ");
    const ending = /[^aeiou]y$/.test(first) ? [first.slice(0, -1), "ies"] : [first, /(s|x|z|ch|sh)$/.test(first) ? "es" : "s"];
    return [ending.join(""), ...rest].join(" ");
  }

  /* What a term says; `mode` is must, may or must not inside an obligation, permission or prohibition. */
  function say(node, mode = "", negated = false) {
    if (typeof node === "string") return thing(node);
    const { name, args } = node;
    if (MODES[name]) return join(args.map((one) => say(one, MODES[name], negated)), "and");
    if (name === "and" || name === "or") {
      // "Not both" is "the one or the other not".
      return join(args.map((one) => say(one, mode, negated)), (name === "and") === negated ? "or" : "and");
    }
    if (name === "not" && args.length === 1) return say(args[0], mode, !negated);
    if (negated && mode === "may") return say(node, "need not");
    if (negated && mode === "must not") return say(node, "must");
    const first = subject(args[0] ?? ""), other = args.slice(1).map(thing).join(" and ");
    const be = mode ? `${mode}${negated ? " not" : ""} be` : `is${negated ? " not" : ""}`;
    if (name === "exist" && args.length === 1) {
      const one = thing(args[0]), article = /^[a-z]+( [a-z]+)*$/.test(one) ? (/^[aeiou]/.test(one) ? "an " : "a ") : "";
      return negated && !mode ? `there is no ${one}` : `there ${be} ${article}${one}`;
    }
    if (name === "define" && args.length === 2) return `${other} stands for ${first}`;
    if (COMPARED[name] && args.length === 2) return `${first} ${be} ${COMPARED[name]} ${other}`;
    if (name === "is" && args.length === 2) return `${first} ${be} ${other}`;
    if (name === "asPer" && args[0] === "requirement") return `this ${negated ? "is not" : "is"} required by ${other}`;
    if (name === "asPer" && args.length === 2) return `${first} ${be} as given in ${other}`;
    if (name === "has" && args.length === 2) {
      return mode ? `${first} ${verb("have", mode, negated)} ${other}` : `${first} has ${negated ? "no " : ""}${other}`;
    }
    return [first, verb(name, mode, negated), other].filter(Boolean).join(" ");
  }

  function sentence(rule) {
    const terms = read(rule);
    if (!terms) return "";
    const says = (term) => term.args.map((one) => say(one)).join(" and ");
    const text = terms.map((term) => {
      if (term.name === "if") return `IF ${says(term)}`;
      if (term.name === "then") return `THEN ${says(term)}`;
      return say(term);
    }).join(", ");
    return `${text.replace(/\b(must not|must|may|need not)\b/g, (word) => word.toUpperCase())}.`;
  }

  function tree(rule) {
    const lines = [];
    const add = (node, depth) => {
      const pad = "  ".repeat(depth);
      if (typeof node === "string") lines.push(pad + node);
      else if (node.args.every((one) => typeof one === "string")) lines.push(`${pad}${node.name}(${node.args.join(", ")})`);
      else {
        lines.push(pad + node.name);
        node.args.forEach((one) => add(one, depth + 1));
      }
    };
    read(rule)?.forEach((term) => add(term, 0));
    return lines.join("\n");
  }

  /* A counter-example of the solver ("riser.height = 185 mm, not exist(ramp): satisfies a, not b") in words. */
  function building(text, a, b) {
    const [, facts, one, other] = /^(.*): satisfies ([ab]), not ([ab])$/s.exec(text) ?? [];
    if (!facts) return "";
    const said = facts.split(/, (?![^(]*\))/).filter((fact) => fact !== "any building").map((fact) => {
      const [name, value] = fact.replace(/\boption /, "").split(" = ");
      if (value !== undefined) return `${subject(name)} is ${value}`;
      const bare = name.replace(/^not /, ""), negated = bare !== name;
      if (bare === "breach") return negated ? "nothing is breached" : "an obligation may be breached";
      if (bare === "permitted") return negated ? "the option is not permitted" : "the option is permitted";
      return say(read(bare)?.[0] ?? bare, "", negated);
    });
    const names = { a, b };
    const where = said.length ? `A building where ${join(said, "and")}` : "Any building";
    return `${where} satisfies ${names[one]} and not ${names[other]}.`;
  }

  return { sentence, tree, building };
})();
if (typeof module !== "undefined") module.exports = window.ruleWords;
